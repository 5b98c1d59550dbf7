//! One sidecar's connection, from hello to its end: what it says, and what it is to be told next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::convert::{self, Malformed, digest_bytes};
use proto::v1;
use routing::{Digest, Incarnation, ServiceName, Timestamp};
use runtime::tls::Identity;

use super::{Mesh, MeshState, desired};
use crate::definitions::state::Health;
use crate::sidecars::{Mailbox, Pod, Probe, Remembered, Sidecar, TableState};
use crate::store::Write;

/// Tables go out in messages of about so many bytes.
const MESSAGE: usize = 4 << 20;
/// Names that one sidecar may serve.
const MAX_SERVES: usize = 1_000;

/// A sidecar's hello, checked.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) incarnation: Incarnation,
    pub(crate) boot: u64,
    pub(crate) address: String,
    pub(crate) serves: BTreeMap<ServiceName, String>,
    pub(crate) version: String,
    pub(crate) holds: BTreeSet<Digest>,
    /// Who it is, by its certificate.
    pub(crate) identity: Option<Identity>,
    /// Its pod, in a cluster.
    pub(crate) pod: Option<Pod>,
    /// It wants proof that the mesh captures its hop port.
    pub(crate) unproven: bool,
}

impl Hello {
    /// With who the sidecar is, by its certificate; that says in which namespace its pod is.
    pub(crate) fn of(hello: v1::SidecarHello, identity: Option<Identity>) -> Result<Self, Malformed> {
        let pod = hello.pod.clone().unwrap_or_default();
        let namespace = identity.as_ref().and_then(hop::identity::account).map(|(namespace, _)| namespace.to_owned());
        let pod =
            namespace.filter(|_| !pod.uid.is_empty()).map(|namespace| Pod { namespace, name: pod.name, uid: pod.uid });
        Ok(Self { identity, pod, ..Self::try_from(hello)? })
    }
}

impl TryFrom<v1::SidecarHello> for Hello {
    type Error = Malformed;

    fn try_from(hello: v1::SidecarHello) -> Result<Self, Malformed> {
        let v1::SidecarHello {
            incarnation,
            boot,
            hop_address,
            serves,
            version,
            definitions,
            watermark: _,
            pod: _,
            unproven,
        } = hello;
        let bad = |field, why| Malformed { field, why };
        if hop_address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
            return Err(bad("hop_address", "not HOST:PORT"));
        }
        if serves.is_empty() || serves.len() > MAX_SERVES || serves.iter().any(|it| it.name.is_empty()) {
            return Err(bad("serves", "no names, too many, or an empty one"));
        }
        Ok(Self {
            incarnation: convert::incarnation(&incarnation)?,
            boot,
            address: hop_address,
            serves: serves.into_iter().map(|it| (ServiceName::from(it.name), it.url)).collect(),
            version,
            holds: definitions.iter().map(|it| convert::digest(it)).collect::<Result<_, _>>()?,
            identity: None,
            pod: None,
            unproven,
        })
    }
}

/// What a session is to send.
#[derive(Debug, Default)]
pub(crate) struct Next {
    pub(crate) message: v1::FlowdMessage,
    /// There is something in `message`.
    pub(crate) some: bool,
    /// There is more than went into it.
    pub(crate) more: bool,
    /// Another session speaks for this sidecar now: end.
    pub(crate) replaced: bool,
    /// It may not be here any more, and why: end.
    pub(crate) refused: Option<String>,
}

impl Mesh {
    /// A sidecar is here: a session of it begins, and any older one ends. Gives its mailbox and what to store.
    pub(crate) fn attach(&self, hello: &Hello, now: Timestamp) -> (u64, Arc<Mailbox>, Write) {
        self.change(|state| {
            state.sessions += 1;
            let mailbox = Arc::<Mailbox>::default();
            let before = state.sidecars.remove(&hello.incarnation);
            state.news.of(hello.serves.keys().chain(before.iter().flat_map(|it| it.serves.keys())));
            let health = before.map(|it| it.health).unwrap_or_default();
            let sidecar = Sidecar {
                session: Some(state.sessions),
                mailbox: mailbox.clone(),
                health,
                unproven: hello.unproven.then(String::new),
                ..Remembered {
                    boot: hello.boot,
                    address: hello.address.clone(),
                    serves: hello.serves.clone(),
                    version: hello.version.clone(),
                    seen: now,
                    identity: hello.identity.clone(),
                    pod: hello.pod.clone(),
                }
                .into_sidecar()
            };
            let stored = serde_json::to_vec(&Remembered::of(&sidecar)).expect("a record of strings and numbers");
            // a port that was taken over belongs to the newer one
            let MeshState { sidecars, news, .. } = state;
            sidecars.retain(|_, it| {
                let stays = it.is_connected() || it.address != sidecar.address;
                if !stays {
                    news.of(it.serves.keys());
                }
                stays
            });
            state.sidecars.insert(hello.incarnation, sidecar);
            (state.sessions, mailbox, Write::put(Remembered::key(hello.incarnation), stored))
        })
    }

    /// A session has ended; the sidecar is away unless a newer session speaks for it.
    pub(crate) fn detach(&self, incarnation: Incarnation, session: u64, now: Timestamp) {
        let away = self.change(|state| {
            let sidecar = state.sidecars.get_mut(&incarnation).filter(|it| it.session == Some(session))?;
            (sidecar.session, sidecar.seen) = (None, now);
            sidecar.health.clear();
            if !state.quiesced.is_empty() {
                // a replica that stands still is spared for the sake of others that are there
                state.news.of(sidecar.serves.keys());
            }
            if sidecar.refused.is_some() {
                state.news.of(sidecar.serves.keys());
                state.sidecars.remove(&incarnation);
            }
            Some(())
        });
        if away.is_some() {
            tracing::info!(sidecar = %incarnation, "a sidecar has gone away");
        }
    }

    /// What came of connecting to a sidecar's hop port: `None` is the proof.
    pub(crate) fn proven(&self, incarnation: Incarnation, session: u64, lacks: Option<String>) {
        let mut state = self.lock();
        let Some(sidecar) = state.sidecars.get_mut(&incarnation).filter(|it| it.session == Some(session)) else {
            return;
        };
        if sidecar.unproven != lacks {
            sidecar.unproven = lacks;
            drop(state);
            self.change(|_| ());
        }
    }

    /// What a sidecar says about tables, bindings and health. Gives how long it took for each push of tables that it answers.
    pub(crate) fn heard(
        &self,
        incarnation: Incarnation,
        session: u64,
        message: &v1::SidecarMessage,
        now: Timestamp,
    ) -> Vec<Duration> {
        let said = !message.table_acks.is_empty() || !message.health.is_empty();
        if !said && message.bindings_ack == 0 && message.quiet == 0 {
            return Vec::new();
        }
        self.change_of(|state| {
            let Some(sidecar) = state.sidecars.get_mut(&incarnation).filter(|it| it.session == Some(session)) else {
                return Vec::new();
            };
            sidecar.seen = now;
            sidecar.acked = sidecar.acked.max(message.bindings_ack);
            sidecar.quiet = sidecar.quiet.max(message.quiet);
            let probed: Vec<ServiceName> = message.health.iter().filter_map(|it| probed(sidecar, it)).collect();
            let (acknowledged, took): (Vec<Digest>, Vec<Duration>) =
                message.table_acks.iter().filter_map(|ack| acknowledged(incarnation, sidecar, ack)).unzip();
            state.unseen.of(acknowledged.iter().filter_map(|it| state.by_digest.get(it)));
            for service in &probed {
                let index = state.index();
                for does in std::iter::once(service).chain(state.splits.stands_for(service)) {
                    state.unseen.of(index.naming(does));
                }
            }
            took
        })
    }

    /// What is to be sent now to a sidecar that was sent `pushed` in this session.
    pub(crate) fn next(&self, incarnation: Incarnation, session: u64, told: &mut BTreeSet<Digest>) -> Next {
        let mut state = self.lock();
        let mut next = Next::default();
        let Some(sidecar) = state.sidecars.get(&incarnation).filter(|it| it.session == Some(session)) else {
            next.replaced = true;
            return next;
        };
        if let Some(why) = &sidecar.refused {
            next.refused = Some(why.clone());
            return next;
        }
        let letters = sidecar.mailbox.take();
        next.some = !letters.is_empty();
        let gone = desired::retired(&state, told);
        gone.iter().for_each(|it| {
            told.remove(it);
        });
        next.some |= !gone.is_empty();
        next.message = v1::FlowdMessage {
            acked: letters.acked.unwrap_or_default(),
            tombstones: letters.tombstones(),
            reopened: letters.reopened.iter().map(ToString::to_string).collect(),
            left: letters.left,
            fates: letters.fates,
            probe_now: letters.probe,
            retired: gone.into_iter().map(digest_bytes).collect(),
            proof: letters.proof,
            ..v1::FlowdMessage::default()
        };
        if !letters.wanted.is_empty() || state.concerns(incarnation) {
            state.push_bindings(incarnation, &mut next);
            state.push_tables(incarnation, &letters.wanted, told, &mut next);
        }
        let version = state.news.version();
        if let Some(sidecar) = state.sidecars.get_mut(&incarnation).filter(|_| !next.more) {
            sidecar.told = version;
        }
        next
    }
}

impl MeshState {
    fn push_bindings(&mut self, incarnation: Incarnation, next: &mut Next) {
        let bindings = self.bindings(incarnation);
        let version = self.news.version();
        let Some(sidecar) = self.sidecars.get_mut(&incarnation) else { return };
        if sidecar.sent.as_ref().is_some_and(|(_, sent)| *sent == bindings) {
            return;
        }
        next.message.bindings = Some(v1::Bindings { version, ..bindings.clone() });
        next.some = true;
        sidecar.sent = Some((version, bindings));
    }

    fn push_tables(
        &mut self,
        incarnation: Incarnation,
        wanted: &[Digest],
        told: &mut BTreeSet<Digest>,
        next: &mut Next,
    ) {
        let Some(sidecar) = self.sidecars.get(&incarnation) else { return };
        let does = self.does(sidecar);
        let due = self.served_by(sidecar).filter(|it| {
            let digest = it.definition.digest;
            wanted.contains(&digest) || (it.state.is_served() && !sidecar.tables.contains_key(&digest))
        });
        let (mut pushes, mut bytes) = (Vec::new(), 0);
        for deployment in due {
            if bytes > MESSAGE {
                next.more = true;
                break;
            }
            let nonce = sidecar.tables.get(&deployment.definition.digest).map_or(0, |it| it.nonce) + 1;
            let push = desired::bundle(&deployment.definition, &does, nonce);
            bytes += desired::size(&push);
            pushes.push((deployment.definition.digest, nonce, push));
        }
        let Some(sidecar) = self.sidecars.get_mut(&incarnation) else { return };
        for (digest, nonce, push) in pushes {
            let answer = sidecar.tables.remove(&digest).and_then(|it| it.answer);
            sidecar.tables.insert(digest, TableState { nonce, answer, sent: Instant::now() });
            told.insert(digest);
            next.message.tables.push(push);
            next.some = true;
        }
    }
}

/// To which definition, and how long the answer took; `None` when it is to nothing that was sent last.
fn acknowledged(incarnation: Incarnation, sidecar: &mut Sidecar, ack: &v1::TableAck) -> Option<(Digest, Duration)> {
    let definition = convert::digest(&ack.definition).ok()?;
    let table = sidecar.tables.get_mut(&definition).filter(|it| it.nonce == ack.nonce)?;
    table.answer = Some(if ack.error.is_empty() { Ok(()) } else { Err(ack.error.clone()) });
    if !ack.error.is_empty() {
        tracing::warn!(sidecar = %incarnation, ?definition, error = ack.error, "a sidecar refused tables");
    }
    Some((definition, table.sent.elapsed()))
}

/// The service, if it fares otherwise than before.
fn probed(sidecar: &mut Sidecar, health: &v1::TaskHealth) -> Option<ServiceName> {
    let (service, _) = sidecar.serves.get_key_value(health.service.as_str())?;
    let state = match health.health() {
        v1::task_health::Health::Unknown => Health::Unknown,
        v1::task_health::Health::Up => Health::Up,
        v1::task_health::Health::Down => Health::Down,
    };
    let probe = sidecar.health.entry(service.clone()).or_default();
    let reason = match (state, health.reason.is_empty()) {
        (Health::Down, true) => "its probe fails".to_owned(),
        _ => health.reason.clone(),
    };
    let as_before = probe.health == state && probe.reason == reason;
    *probe = Probe { health: state, reason, latency: health.latency_us, count: probe.count + 1 };
    (!as_before).then(|| service.clone())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mesh::Stored;

    /// Of a sidecar with this number, which does one service.
    pub(in crate::mesh) fn hello(number: u128, service: &str) -> Hello {
        Hello {
            incarnation: Incarnation(number),
            boot: 1,
            address: format!("10.0.0.{number}:7001"),
            serves: BTreeMap::from([(service.into(), String::new())]),
            version: String::new(),
            holds: BTreeSet::new(),
            identity: None,
            pod: None,
            unproven: false,
        }
    }

    #[test]
    fn what_a_sidecar_acknowledges_wakes_no_other_and_what_is_to_be_told_does() {
        let mesh = Mesh::new(Stored::default(), 0);
        let (session, ..) = mesh.attach(&hello(1, "pay"), 0);
        let (mut news, before) = (mesh.news(), mesh.changed());
        let acknowledged = v1::SidecarMessage { bindings_ack: 1, ..v1::SidecarMessage::default() };
        mesh.heard(Incarnation(1), session, &acknowledged, 1);
        assert!(mesh.changed() > before, "whoever waits for it sees it");
        assert!(!news.has_changed().unwrap(), "nobody is told of it");
        mesh.attach(&hello(2, "ship"), 1);
        assert!(news.has_changed().unwrap(), "others are told where it is");
        news.mark_unchanged();
        mesh.call_back_to("http://10.0.0.9:9002".to_owned());
        assert!(news.has_changed().unwrap());
    }
}
