//! The end: refuse, finish, hand over or keep.
//!
//! ```text
//! Running --drain--> Finishing --idle, or its deadline--> Leaving --flowd has it--> Left
//!                                \--no flowd, or told to keep--> Kept   \--deadline--> Kept
//! ```

use std::time::Duration;

use proto::v1;
use routing::Timestamp;

use super::{End, Engine, Input};

/// How long products that are decided wait for their receivers once no call runs, milliseconds.
const GRACE: u64 = 1_000;
/// How long flowd may take to take over, milliseconds.
const HAND_OVER: u64 = 5_000;

/// Where the end has got to.
#[derive(Debug)]
pub(super) enum Phase {
    Running,
    Finishing { until: Timestamp, idle_until: Option<Timestamp>, drained: bool },
    Leaving { until: Timestamp, leave: Option<Box<v1::Leave>> },
}

impl Phase {
    /// When [`Engine::drain_step`] has something to do; with records `on_disk` or else still on their way.
    pub(super) fn deadline(&self, on_disk: bool) -> Option<Timestamp> {
        match self {
            Self::Running => None,
            Self::Finishing { until, idle_until, .. } => {
                Some(idle_until.filter(|_| on_disk).map_or(*until, |at| at.min(*until)))
            }
            Self::Leaving { until, .. } => Some(*until),
        }
    }

    /// Notes what was handed over, to say it again over another stream.
    pub(super) fn leaving(&mut self, said: v1::Leave) {
        if let Self::Leaving { leave, .. } = self {
            *leave = Some(Box::new(said));
        }
    }
}

impl Engine {
    pub(super) fn start_drain(&mut self) {
        let until = super::now() + millis(self.parts.config.drain_timeout);
        self.phase = Phase::Finishing { until, idle_until: None, drained: false };
        self.go_on();
        self.inputs.push(Input::Drain);
    }

    /// The core holds nothing any more, or flowd has everything.
    pub(super) fn drained(&mut self) {
        match &mut self.phase {
            Phase::Running => {}
            Phase::Finishing { drained, .. } => *drained = true,
            Phase::Leaving { .. } => self.end = Some(End::Left),
        }
    }

    pub(super) fn drain_step(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Running => {}
            Phase::Finishing { until, idle_until, drained } => {
                if self.parts.core.is_idle() {
                    idle_until.get_or_insert(now + GRACE);
                } else {
                    *idle_until = None;
                }
                let idle = *drained || idle_until.is_some_and(|at| at <= now);
                let late = *until <= now;
                // What is decided must be on disk before it is handed over.
                if (idle && self.marks.is_empty()) || late {
                    self.hand_over(now);
                }
            }
            Phase::Leaving { until, .. } if *until <= now && self.end.is_none() => {
                tracing::warn!("flowd did not take over in time; what is left stays in the data folder");
                self.end = Some(End::Kept);
            }
            Phase::Leaving { .. } => {}
        }
    }

    fn hand_over(&mut self, now: Timestamp) {
        if !self.parts.config.leave || !self.greeted || !self.marks.is_empty() {
            let held = self.parts.core.held() + self.parts.core.unanswered();
            if held > 0 {
                tracing::warn!(held, "ending with tokens in the data folder; they go on at the next start");
            }
            self.end = Some(End::Kept);
            return;
        }
        self.phase = Phase::Leaving { until: now + HAND_OVER, leave: None };
        self.parts.core.leave(now, &mut self.out);
        self.perform(now);
    }

    /// The stream to flowd is open again: say it again.
    pub(super) fn leave_again(&mut self) {
        if let Phase::Leaving { leave: Some(leave), .. } = &self.phase {
            self.parts.control.outgoing.leave((**leave).clone());
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
