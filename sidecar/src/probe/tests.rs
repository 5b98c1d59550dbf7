//! Probes of tasks that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn spec(base: String, kind: ProbeKind) -> ProbeSpec {
    ProbeSpec {
        base,
        kind,
        period: Duration::from_millis(5),
        timeout: Duration::from_millis(500),
        initial_delay: Duration::ZERO,
        failure_threshold: 3,
    }
}

fn http() -> ProbeKind {
    ProbeKind::Http { method: Method::GET, path: "/health".into(), query: "deep=1".into() }
}

/// A task whose health is a status; 0 hangs.
async fn task(status: &Arc<AtomicU16>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let status = Arc::clone(status);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let status = status.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut request = vec![0; 1000];
                let length = stream.read(&mut request).await.unwrap_or(0);
                assert!(request[..length].starts_with(b"GET /health?deep=1 "));
                match status {
                    0 => drop(stream.read_u8().await),
                    // An endless body is of no interest.
                    _ => drop(stream.write_all(format!("HTTP/1.1 {status} X\r\n\r\nx").as_bytes()).await),
                }
            });
        }
    });
    url
}

async fn until(handle: &ProbeHandle, wanted: impl FnMut(&Health) -> bool) -> Health {
    let mut health = handle.health();
    let found = tokio::time::timeout(Duration::from_secs(20), health.wait_for(wanted));
    found.await.expect("in time").expect("the probe runs").clone()
}

#[tokio::test]
async fn a_task_goes_up_and_down_with_its_answers() {
    let status = Arc::new(AtomicU16::new(399));
    let (probe, handle) = Probe::new(spec(task(&status).await, http()), TaskClient::new());
    assert_eq!(*handle.health().borrow(), Health::Unknown);
    let running = tokio::spawn(probe.run(std::future::pending()));
    until(&handle, |health| *health == Health::Up).await;
    status.store(400, Ordering::SeqCst);
    let down = until(&handle, |health| *health != Health::Up).await;
    assert!(matches!(&down, Health::Down { reason } if reason.contains("400")), "{down:?}");
    status.store(204, Ordering::SeqCst);
    until(&handle, |health| *health == Health::Up).await;
    drop(handle);
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_task_is_down_only_after_failures_in_a_row() {
    let status = Arc::new(AtomicU16::new(500));
    let slow = ProbeSpec {
        initial_delay: Duration::from_secs(600),
        period: Duration::from_secs(600),
        ..spec(task(&status).await, http())
    };
    let (probe, handle) = Probe::new(slow, TaskClient::new());
    tokio::spawn(probe.run(std::future::pending()));
    for failures in 1..=3 {
        let found = handle.probe_now().await;
        assert!(matches!(found, Health::Down { .. }), "{found:?}");
        let health = handle.health().borrow().clone();
        assert_eq!(health != Health::Unknown, failures == 3, "{failures}: {health:?}");
    }
    status.store(200, Ordering::SeqCst);
    assert_eq!(handle.probe_now().await, Health::Up);
    assert_eq!(*handle.health().borrow(), Health::Up);
}

#[tokio::test]
async fn a_task_that_hangs_or_does_not_listen_is_down() {
    let hangs = task(&Arc::new(AtomicU16::new(0))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (url, kind, reason) in [
        (hangs, http(), "in time"),
        (gone.clone(), http(), "cannot be reached"),
        (gone, ProbeKind::TcpConnect, "cannot be reached"),
    ] {
        let quick = ProbeSpec { timeout: Duration::from_millis(50), ..spec(url, kind) };
        let (probe, handle) = Probe::new(quick, TaskClient::new());
        tokio::spawn(probe.run(std::future::pending()));
        let found = until(&handle, |health| *health != Health::Unknown).await;
        assert!(matches!(&found, Health::Down { reason: why } if why.contains(reason)), "{found:?}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp_and_a_drain_ends_the_probe() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (probe, handle) = Probe::new(spec(url, ProbeKind::TcpConnect), TaskClient::new());
    let (drain, drained) = oneshot::channel::<()>();
    let running = tokio::spawn(probe.run(async move {
        let _ = drained.await;
    }));
    until(&handle, |health| *health == Health::Up).await;
    drain.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    assert_eq!(handle.probe_now().await, Health::Unknown);
}
