//! Random histories against a model.

use super::*;

/// What a journal should hold.
#[derive(Default)]
struct Model {
    live: Vec<Bytes>,
    /// Length of `live` that is known to be durable.
    durable: usize,
    made: u64,
}

impl Model {
    fn append(&mut self, dice: &mut Dice) -> Vec<Bytes> {
        let mut append = Vec::new();
        for _ in 0..dice.roll(4) {
            let limit = if dice.roll(20) == 0 { 3000 } else { 80 };
            let size = dice.roll(limit);
            append.push(record(format!("{}{}", self.made, "-".repeat(size as usize))));
            self.made += 1;
        }
        self.live.extend(append.clone());
        append
    }

    /// After a crash: any prefix that holds what is durable.
    fn recover(&mut self, found: Vec<Bytes>, seed: u64) {
        assert!(found.len() >= self.durable, "lost durable records, seed {seed}");
        assert!(self.live.starts_with(&found), "not what was appended, seed {seed}");
        self.durable = found.len();
        self.live = found;
    }
}

fn history(seed: u64) {
    let mut dice = Dice(seed);
    let disk = SimulatedDisk::default();
    let (mut log, first) = reopen(&disk).unwrap();
    let (mut model, mut boot) = (Model::default(), first.boot);
    for _ in 0..60 + dice.roll(200) {
        match dice.roll(24) {
            0..12 => {
                log.append(model.append(&mut dice));
            }
            12..17 => {
                if log.commit().unwrap() == log.last() {
                    model.durable = model.live.len();
                }
            }
            17..20 => log.maintain().unwrap(),
            20 => {
                let keep = dice.roll(model.live.len() as u64 + 1) as usize;
                let live = model.live.split_off(keep);
                match log.checkpoint(&live).unwrap() {
                    true => (model.live, model.durable) = (live, usize::MAX),
                    false => model.live.extend(live),
                }
                model.durable = model.durable.min(model.live.len());
            }
            21 => disk.set_capacity(Some(disk.used() + dice.roll(4000))),
            22 => disk.set_capacity(None),
            _ => {
                match dice.roll(3) {
                    0 => disk.restart(),
                    _ => disk.cut_power(|| dice.roll(3) != 0),
                }
                let (next, recovered) =
                    reopen(&disk).unwrap_or_else(|error| panic!("cannot open again: {error}, seed {seed}"));
                assert_eq!(recovered.identity, first.identity, "seed {seed}");
                assert!(recovered.boot > boot, "seed {seed}");
                (log, boot) = (next, recovered.boot);
                model.recover(recovered.records, seed);
            }
        }
    }
}

#[test]
fn random_histories_recover_what_was_acknowledged() {
    let seed = rand::random::<u64>() >> 1;
    println!("seeds from {seed}");
    for run in 0..400 {
        history(seed + run + 1);
    }
}
