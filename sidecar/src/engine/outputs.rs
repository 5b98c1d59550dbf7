//! Doing what the core says.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use hop::{Link, Refusal};
use proto::{convert, v1};
use routing::{ActivationId, Timestamp};

use super::{Engine, Parts};
use crate::core::{Call, Leaving, Output};

/// What one batch says to one sender.
type Answers = (Vec<(ActivationId, u32)>, Vec<(ActivationId, Refusal)>);

impl Engine {
    /// Does everything that is in `out`, records first.
    pub(super) fn perform(&mut self, now: Timestamp) {
        let mut out = std::mem::take(&mut self.out);
        self.append(&mut out);
        let mut answers: BTreeMap<Link, Answers> = BTreeMap::new();
        for output in out.drain(..) {
            match output {
                Output::Accept(link, activation, since) => {
                    let ago = u32::try_from(now.saturating_sub(since)).unwrap_or(u32::MAX);
                    answers.entry(link).or_default().0.push((activation, ago));
                }
                Output::Refuse(link, activation, why) => {
                    self.parts.metrics.refused(why);
                    answers.entry(link).or_default().1.push((activation, why));
                }
                other => self.perform_one(now, other),
            }
        }
        for (link, (accepted, refused)) in answers {
            self.parts.receiver.answer(link, accepted, refused);
        }
        self.out = out;
    }

    /// Takes the records out of `out` and gives them to the journal, in one append.
    fn append(&mut self, out: &mut Vec<Output>) {
        // nobody outside hears of anything before the records are durable: no use in another thread
        let nothing_else = out.iter().all(|output| matches!(output, Output::Write(..) | Output::Hop(_)));
        let (mut records, mut last): (Vec<Bytes>, _) = (Vec::new(), None);
        let written = out.extract_if(.., |output| matches!(output, Output::Write(..)));
        for output in written {
            if let Output::Write(mark, record) = output {
                records.push(record.encode());
                last = Some(mark);
            }
        }
        if let Some(mark) = last {
            let journal = &self.parts.journal;
            let lsn = if nothing_else { journal.append_at_once(records) } else { journal.append(records) };
            self.marks.push_back((lsn, mark, Instant::now()));
        }
    }

    fn perform_one(&mut self, now: Timestamp, output: Output) {
        let Parts { links, control, calls, spans, metrics, tables, .. } = &mut self.parts;
        match output {
            Output::Send(replica, watermark, mut offers) => {
                for offer in &mut offers {
                    spans.offered(offer, now);
                    metrics.offered(&offer.product.token);
                }
                links.send(replica, watermark, offers);
            }
            Output::Report(seq, product) => control.outgoing.report(seq, product),
            Output::Call(call) => self.call(now, call),
            Output::Abort(activation) => {
                calls.abort(activation);
                spans.aborted(activation, now);
                metrics.aborted(activation);
            }
            Output::Hop(record) => {
                spans.passed(&record);
                crate::log::passed(&record);
                control.outgoing.hop(now, record);
            }
            Output::WantTables(definition) => {
                if self.wanted.insert(definition) {
                    control.outgoing.want_tables(convert::digest_bytes(definition));
                }
            }
            Output::HandTables(replica, definition, element) => {
                if let Some(bundle) = tables.bundle(definition, &element) {
                    links.hand_tables(replica, bundle);
                }
            }
            Output::Whereabouts(replica, activations) => {
                self.asked.extend(activations.iter().map(|activation| (*activation, replica)));
                let activations = activations.into_iter().map(convert::id_bytes).collect();
                let replica = convert::incarnation_bytes(replica);
                control.outgoing.whereabouts(v1::Whereabouts { replica, activations });
            }
            Output::Leave(leaving) => self.leave(leaving),
            Output::Drained => self.drained(),
            // The caller has taken these out.
            Output::Write(..) | Output::Accept(..) | Output::Refuse(..) => {}
        }
    }

    fn call(&mut self, now: Timestamp, call: Call) {
        let Parts { core, calls, spans, metrics, .. } = &mut self.parts;
        let (trace, travels_under) = spans.calling(&call, now);
        if let Some(trace) = travels_under {
            core.travels_under(call.activation, trace);
        }
        metrics.calling(&call);
        calls.start(call, trace.as_ref());
    }

    fn leave(&mut self, leaving: Leaving) {
        let Leaving { held, unfinished, accepted } = leaving;
        let assigned = |assignment: hop::Assignment| v1::Assigned {
            product: Some(assignment.product.into()),
            replica: assignment.replica.map(convert::incarnation_bytes).unwrap_or_default(),
        };
        let leave = v1::Leave {
            held: held.into_iter().map(Into::into).collect(),
            unfinished: unfinished.into_iter().map(assigned).collect(),
            accepted: accepted.into_iter().map(convert::id_bytes).collect(),
        };
        tracing::info!(
            held = leave.held.len(),
            unfinished = leave.unfinished.len(),
            "handing over to flowd what is left"
        );
        self.parts.control.outgoing.leave(leave.clone());
        self.phase.leaving(leave);
    }
}
