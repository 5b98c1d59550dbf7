#![allow(missing_docs, clippy::unwrap_used)]
use bytes::Bytes;
use std::time::*;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let v: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (v[11].parse::<f64>().unwrap() + v[12].parse::<f64>().unwrap()) / 100.0
}
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let _ = std::fs::remove_dir_all(&dir);
    let t = Instant::now();
    let (j, _) = flow_sidecar::journal::open(&dir, Default::default()).unwrap();
    println!("open {:?}", t.elapsed());
    let rec = Bytes::from(vec![7u8; 1024]);
    for n in [1usize, 32, 256] {
        let mut d = j.durable();
        let (c0, t0) = (cpu(), Instant::now());
        let mut count = 0u64;
        let mut lat = vec![];
        let mut wakes = 0;
        // n in flight: each next append once an earlier one is durable
        let mut last = flow_sidecar::journal::Lsn(0);
        let mut out = 0;
        while t0.elapsed() < Duration::from_secs(3) {
            while out < n {
                last = j.append(vec![rec.clone()]);
                out += 1;
                count += 1;
            }
            let s = Instant::now();
            d.changed().await.unwrap();
            wakes += 1;
            let at = *d.borrow_and_update();
            out = (last.0 - at.0) as usize;
            lat.push(s.elapsed());
        }
        lat.sort();
        println!(
            "{n} in flight: {:.0} rec/s, {:.0} syncs/s, cpu {:.2} us/rec, wait p50 {:?} p99 {:?} max {:?}",
            count as f64 / t0.elapsed().as_secs_f64(),
            wakes as f64 / t0.elapsed().as_secs_f64(),
            (cpu() - c0) * 1e6 / count as f64,
            lat[lat.len() / 2],
            lat[lat.len() * 99 / 100],
            lat[lat.len() - 1]
        );
        if j.bytes() > 64 << 20 {
            let t = Instant::now();
            let l = j.checkpoint(vec![rec.clone(); 1000]);
            let mut d = j.durable();
            d.wait_for(|x| *x >= l).await.unwrap();
            while j.bytes() > 1 << 20 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            println!("checkpoint 1 MB {:?}", t.elapsed());
        }
    }
    let l = j.append(vec![rec.clone()]);
    j.durable().wait_for(|x| *x >= l).await.unwrap();
    let c0 = cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("idle cpu {}", cpu() - c0);
    j.close().unwrap();
    let t = Instant::now();
    let (_j, r) = flow_sidecar::journal::open(&dir, Default::default()).unwrap();
    println!("reopen {:?} {} records", t.elapsed(), r.records.len());
}
