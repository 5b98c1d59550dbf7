use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proto::convert::digest_bytes;
use proto::v1;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use routing::{DeploymentId, Digest, Incarnation};

use super::*;
use crate::definitions::{Definition, state};
use crate::mesh::session::tests::hello;
use crate::mesh::{Mesh, Stored};

#[test]
fn a_change_concerns_its_services_and_no_others() {
    let (pay, ship) = (ServiceName::from("pay"), ServiceName::from("ship"));
    let mut news = News::from(7);
    assert!(news.since(0, [&ship]), "who was told nothing is told all");
    assert!(!news.since(7, [&pay, &ship]));
    news.of([&pay]);
    assert!(news.since(7, [&ship, &pay]) && !news.since(7, [&ship]) && !news.since(8, [&pay]));
    news.for_all();
    assert!(news.since(8, []) && !news.since(9, [&pay]));
}

#[test]
fn more_services_than_are_told_apart_concern_everybody() {
    let mut news = News::from(1);
    for number in 0..=SERVICES {
        news.of([&ServiceName::from(format!("service-{number}"))]);
    }
    assert!(news.since(news.version() - 1, []));
}

/// Services, and sidecars, of the random mesh.
const MANY: usize = 7;

fn service(random: &mut StdRng) -> ServiceName {
    ServiceName::from(format!("service-{}", random.random_range(0..MANY)))
}

/// Tasks of random services one after the other.
fn deployment(random: &mut StdRng) -> Deployment {
    let tasks = random.random_range(1..4);
    let nodes: String = (0..tasks)
        .map(|number| {
            format!(
                r#"<serviceTask id="t{number}"><extensionElements><z:taskDefinition type="{}"/></extensionElements></serviceTask>"#,
                service(random)
            )
        })
        .collect();
    let flows: String = (1..tasks)
        .map(|number| format!(r#"<sequenceFlow id="f{number}" sourceRef="t{}" targetRef="t{number}"/>"#, number - 1))
        .collect();
    let xml = format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:z="http://camunda.org/schema/zeebe/1.0">
        <process id="p" isExecutable="true"><startEvent id="s"/><sequenceFlow id="f0" sourceRef="s" targetRef="t0"/>{nodes}{flows}
        <endEvent id="e"/><sequenceFlow id="fe" sourceRef="t{}" targetRef="e"/></process></definitions>"#,
        tasks - 1
    );
    let checked = bpmn::check(xml.as_bytes(), &bpmn::Options::default()).expect("a model");
    let definition = Definition::compiled(&checked.definitions[0], Bytes::from(xml), false).expect("a definition");
    Deployment::new(Arc::new(definition), BTreeMap::new(), false, 0)
}

/// The sessions of the random mesh, by sidecar.
type Sessions = BTreeMap<u128, (u64, BTreeSet<Digest>)>;

/// A sidecar acknowledges the tables that it was sent last, and says how its service fares.
fn speak(mesh: &Mesh, number: u128, (session, told): &(u64, BTreeSet<Digest>), random: &mut StdRng) {
    let acks: Vec<v1::TableAck> = {
        let state = mesh.lock();
        let Some(sidecar) = state.sidecars.get(&Incarnation(number)) else { return };
        let sent = told.iter().filter_map(|digest| Some((digest, sidecar.tables.get(digest)?.nonce)));
        let ack = |(digest, nonce): (&Digest, u64)| v1::TableAck {
            definition: digest_bytes(*digest),
            nonce,
            error: if random.random_bool(0.2) { "no room".to_owned() } else { String::new() },
        };
        sent.map(ack).collect()
    };
    let health = v1::TaskHealth {
        service: service(random).as_str().to_owned(),
        health: random.random_range(0..3),
        ..v1::TaskHealth::default()
    };
    let message = v1::SidecarMessage { table_acks: acks, health: vec![health], ..v1::SidecarMessage::default() };
    mesh.heard(Incarnation(number), *session, &message, 0);
}

fn change(mesh: &Mesh, sessions: &mut Sessions, random: &mut StdRng) {
    let number = random.random_range(1..=MANY as u128);
    let incarnation = Incarnation(number);
    let ids: Vec<DeploymentId> =
        mesh.deployments().into_iter().map(|(it, _)| it.definition.deployment.clone()).collect();
    let id = (!ids.is_empty()).then(|| ids[random.random_range(0..ids.len())].clone());
    match (random.random_range(0..15), id) {
        (0..=2, _) => {
            let (session, ..) = mesh.attach(&hello(number, service(random).as_str()), 0);
            sessions.insert(number, (session, Default::default()));
        }
        (3, _) => {
            if let Some((session, _)) = sessions.remove(&number) {
                mesh.detach(incarnation, session, 0);
            }
        }
        (4 | 5, _) => mesh.insert(deployment(random)),
        (6, Some(id)) => mesh.remove(&id),
        (7, Some(id)) => drop(mesh.set_state(&id, [State::Stopped, State::Running][random.random_range(0..2)], "", 0)),
        (8, Some(id)) => {
            let urls = BTreeMap::from([("*".to_owned(), format!("http://10.0.0.9:{}", random.random_range(1..9)))]);
            drop(mesh.rebind(&id, urls));
        }
        (9, _) => {
            let (of, backend) = ([service(random)].into(), service(random));
            drop(mesh.admit_backend(&of, &backend));
            drop(mesh.split(&of, Some((&backend, random.random_range(0..101)))));
        }
        (10, _) => {
            drop(mesh.repoint(&[service(random)].into(), random.random_bool(0.5).then_some("http://10.0.0.8:1")))
        }
        (11, _) => {
            sessions.remove(&number);
            mesh.left(incarnation);
        }
        (12..=14, _) => {
            if let Some(session) = sessions.get(&number) {
                speak(mesh, number, session, random);
            }
        }
        _ => {}
    }
}

#[test]
fn whoever_is_not_concerned_by_changes_has_and_is_all_that_it_should() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mesh = Mesh::new(Stored::default(), 0);
    let (mut sessions, mut now) = (Sessions::default(), 0);
    for round in 0..400 {
        for _ in 0..random.random_range(1..4) {
            change(&mesh, &mut sessions, &mut random);
        }
        for (number, (session, told)) in &mut sessions {
            let next = mesh.next(Incarnation(*number), *session, told);
            let state = mesh.lock();
            let Some(sidecar) = state.sidecars.get(&Incarnation(*number)).filter(|_| !next.replaced) else { continue };
            let sent = sidecar.sent.as_ref().map(|(_, sent)| sent);
            assert_eq!(sent, Some(&state.bindings(Incarnation(*number))), "round {round}, sidecar {number}");
            let mut lacks = state.served_by(sidecar).filter(|it| it.state.is_served());
            assert!(
                lacks.all(|it| sidecar.tables.contains_key(&it.definition.digest)),
                "round {round}, sidecar {number}"
            );
        }
        now += random.random_range(0..3_000);
        mesh.evaluate(now);
        let state = mesh.lock();
        for (id, it) in &state.deployments {
            let next = state::next(it.state, it.since, now, it.definition.timeout, &state.tasks(it));
            let stays = next.is_none_or(|next| next == (it.state, it.message.clone()));
            assert!(stays, "round {round}: {id} is {}, and was not looked at", it.state);
        }
    }
}
