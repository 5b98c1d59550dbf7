//! What may go wrong. Every seed has its own mixture: some kinds not at all, some often (swarm testing).

use crate::random::Random;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $rate:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name),* }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// How often it happens where it may, in a million, at normal intensity.
            const RATES: &[u64] = &[$($rate),*];
        }
    };
}

faults! {
    /// A sidecar dies before it appends a record.
    CrashBeforeAppend 1_500;
    /// A sidecar dies with records appended, not synced.
    CrashAfterAppend 1_500;
    /// A sidecar dies in the middle of a sync.
    CrashInSync 3_000;
    /// A sidecar dies when the sync is done, before anything follows from it.
    CrashAfterSync 3_000;
    /// A sidecar dies at any time.
    CrashSidecar 20_000;
    /// The machine under a sidecar dies: any part of what was not synced is lost.
    LostWrites 500_000;
    /// flowd dies at any time.
    CrashFlowd 10_000;
    /// flowd dies with a commit half done.
    CrashInCommit 2_000;
    /// flowd dies after a commit, before anything follows from it.
    CrashAfterCommit 2_000;
    /// flowd stays away for long.
    FlowdAway 250_000;
    /// A frame is lost.
    FrameLost 3_000;
    /// A frame comes twice.
    FrameTwice 3_000;
    /// A frame overtakes another.
    FrameOvertakes 3_000;
    /// A frame, and all after it on its link, are late; the sender may be gone by then, or back.
    FrameLate 3_000;
    /// Two processes cannot talk.
    Partition 30_000;
    /// The end of a link is noticed late.
    HalfOpen 200_000;
    /// A sidecar is told to go.
    Drain 12_000;
    /// It goes for good, and another comes in its place.
    Leave 700_000;
    /// It goes at once, with offers unanswered.
    LeaveAtOnce 400_000;
    /// A sidecar does not get tables unless it asks.
    TablesMissing 300_000;
    /// A sidecar has lost its tables and bindings.
    TablesLost 200_000;
    /// A journal is checkpointed.
    Checkpoint 150_000;
    /// The task answers 503.
    TaskUnavailable 60_000;
    /// The task does its work and the answer is lost.
    TaskBroken 30_000;
    /// The task does not answer.
    TaskHangs 8_000;
    /// Nothing listens at the task's port.
    TaskRefused 40_000;
    /// The task answers 400.
    TaskError 8_000;
    /// The task takes its time.
    TaskSlow 200_000;
    /// A probe says DOWN for a while.
    ProbeDown 10_000;
    /// A client does not get its answer and asks again with the same key.
    AnswerLost 200_000;
    /// A client asks twice with the same key.
    StartTwice 200_000;
    /// An operator cancels.
    Cancel 40_000;
    /// An operator starts incidents while everything breaks.
    EarlyRestart 300_000;
    /// An instance is created stopped.
    CreatedStopped 60_000;
    /// A sync takes long.
    SlowSync 20_000;
}

/// The mixture of a run, and what of it happened.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    rates: Vec<u64>,
    pub(super) fired: Vec<u64>,
    pub(super) on: bool,
}

impl Faults {
    pub(super) fn of(random: &mut Random) -> Self {
        let calm = random.chance(30_000);
        let rate = |base: &u64| {
            let intensity = [0, 0, 1, 1, 1, 3][random.below(6) as usize];
            if calm { 0 } else { (base * intensity).min(900_000) }
        };
        Self { rates: Fault::RATES.iter().map(rate).collect(), fired: vec![0; Fault::ALL.len()], on: true }
    }

    /// Whether it happens now.
    pub(super) fn hit(&mut self, fault: Fault, random: &mut Random) -> bool {
        let hit = self.on && self.rates[fault as usize] > 0 && random.chance(self.rates[fault as usize]);
        self.fired[fault as usize] += u64::from(hit);
        hit
    }
}
