//! An operator gives timers that are waited for another time.

use super::cycle::bounded;
use super::{On, Run, Stay, Subscription};
use crate::id::ActivationId;
use crate::table::{NodeKind, Timer};
use crate::timer;

impl Run<'_> {
    /// Sets each timer anew, as if it were drawn so: named by its event, or by the activation that waits for it.
    ///
    /// # Errors
    /// No such timer is waited for, or several are, or it cannot be computed; nothing has changed for whoever drops the instance then.
    pub fn rearm_timers(mut self, timers: &[(String, Timer)]) -> Result<(), String> {
        for (name, timer) in timers {
            let (activation, what) = self.timer_named(name)?;
            let on = self.rearmed(activation, &what, timer)?;
            let Some(mut stay) = self.instance.take(activation) else { continue };
            for subscription in stay.subscriptions.iter_mut().filter(|it| **it == what) {
                subscription.on = on.clone();
            }
            self.instance.put(stay);
        }
        self.settle();
        Ok(())
    }

    fn timer_named(&self, name: &str) -> Result<(ActivationId, Subscription), String> {
        let meant = |(stay, what): &(&Stay, &Subscription)| {
            stay.token.activation.to_string() == name || self.event_of(stay, what).is_some_and(|it| it == name)
        };
        let found: Vec<(&Stay, &Subscription)> = self.instance.timers().filter(meant).collect();
        match found.as_slice() {
            [(stay, what)] => Ok((stay.token.activation, (*what).clone())),
            [] => Err(format!(
                "it waits for no timer {name:?} at flowd; `flowctl timers` lists them, and one of a task alone is with its sidecar"
            )),
            several => {
                let ids: Vec<String> = several.iter().map(|(stay, _)| stay.token.activation.to_string()).collect();
                Err(format!("it waits for {} timers {name:?}: name one of {}", several.len(), ids.join(", ")))
            }
        }
    }

    fn event_of(&self, stay: &Stay, what: &Subscription) -> Option<String> {
        let table = self.table_of(stay, what)?;
        Some(table.table().node(what.event).id.as_str().to_owned())
    }

    fn rearmed(&self, activation: ActivationId, what: &Subscription, timer: &Timer) -> Result<On, String> {
        let stay = self.instance.stay(activation).ok_or("it is gone")?;
        let table = self.table_of(stay, what).ok_or("flowd has no table of it; apply the same file again")?;
        let repeats = match &table.table().node(what.event).kind {
            NodeKind::CatchEvent(catch) => catch.repeats,
            _ => false,
        };
        let timer = timer.computed(&stay.token.payload, self.now)?;
        let timer = match timer {
            Timer::Cycle(template) if repeats => Timer::Between(template),
            other => other,
        };
        let due = timer::due(&timer, &stay.token.payload, self.now)?;
        let on = On::Timer { at: due.at, again: due.again };
        if repeats {
            bounded(&[Subscription { on: on.clone(), ..what.clone() }])?;
        }
        Ok(on)
    }
}
