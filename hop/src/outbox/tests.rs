use routing::{Digest, Payload, TraceContext, Weight, Written};

use std::collections::HashMap;

use super::*;

const R: Incarnation = Incarnation(1);
const Q: Incarnation = Incarnation(2);

fn product(id: u128) -> Product {
    let activation = ActivationId(id);
    let token = Token {
        instance: "p-00000000-1".into(),
        definition: Digest::default(),
        element: "task".into(),
        flow: None,
        activation,
        key: activation,
        parent: ActivationId(0),
        scope: ActivationId(0),
        generation: 0,
        attempts: 0,
        weight: Weight::one(),
        written: Written::default(),
        pools: Vec::new(),
        emitted: 0,
        trace: TraceContext::default(),
        payload: Payload::default(),
    };
    Product { token, to: To::Service("s".into()) }
}

fn endpoints(replicas: &[Incarnation]) -> HashMap<ServiceName, Vec<Endpoint>> {
    let endpoint = |r: &Incarnation| Endpoint { incarnation: *r, address: "127.0.0.1:1".into(), draining: false };
    HashMap::from([("s".into(), replicas.iter().map(endpoint).collect())])
}

fn offered(outbox: &mut Outbox) -> Vec<(Incarnation, u64, u128)> {
    outbox.offers().into_iter().map(|o| (o.replica, o.seq, o.product.token.activation.0)).collect()
}

#[test]
fn nothing_is_offered_before_its_record_is_durable() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    outbox.linked(R);
    outbox.assign(product(1));
    assert_eq!(offered(&mut outbox), []);
    outbox.release(ActivationId(1));
    assert_eq!(offered(&mut outbox), [(R, 1, 1)]);
    assert_eq!(offered(&mut outbox), [], "once per link");
}

#[test]
fn the_watermark_moves_when_done_is_durable_and_never_over_a_gap() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    for id in 1..=3 {
        outbox.assign(product(id));
        outbox.release(ActivationId(id));
    }
    assert!(outbox.accepted(ActivationId(2)));
    assert!(!outbox.accepted(ActivationId(2)), "the second time is no news");
    assert_eq!(outbox.watermark(R), 0);
    outbox.done(ActivationId(2));
    assert_eq!(outbox.watermark(R), 0);
    outbox.done(ActivationId(1));
    assert_eq!(outbox.watermark(R), 2);
    outbox.done(ActivationId(3));
    assert_eq!(outbox.watermark(R), 3);
    assert!(outbox.is_empty());
}

#[test]
fn a_broken_link_never_moves_what_was_offered() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    outbox.linked(R);
    outbox.assign(product(1));
    outbox.release(ActivationId(1));
    offered(&mut outbox);
    assert_eq!(outbox.unlinked(R), []);
    assert_eq!(outbox.endpoints(endpoints(&[Q])), []);
    assert_eq!(outbox.unreachable(R), []);
    outbox.linked(R);
    assert_eq!(offered(&mut outbox), [(R, 1, 1)], "to the same replica, under the same number");
}

#[test]
fn a_replica_that_was_never_reached_may_be_given_up() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    outbox.assign(product(1));
    outbox.release(ActivationId(1));
    outbox.endpoints(endpoints(&[R, Q]));
    let moved = outbox.unreachable(R);
    assert_eq!(moved.iter().map(|a| (a.replica, a.seq)).collect::<Vec<_>>(), [(Some(Q), 1)]);
    outbox.linked(Q);
    assert_eq!(offered(&mut outbox), [], "the new choice is not recorded yet");
    outbox.release(ActivationId(1));
    assert_eq!(offered(&mut outbox), [(Q, 1, 1)]);
}

#[test]
fn a_refusal_lets_the_sender_choose_again_and_a_late_one_does_not() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R, Q]));
    outbox.linked(R);
    outbox.linked(Q);
    let first = outbox.assign(product(1)).replica.unwrap();
    let other = if first == R { Q } else { R };
    outbox.release(ActivationId(1));
    offered(&mut outbox);
    let again = outbox.refused(ActivationId(1), first, Refusal::Draining, 0).unwrap();
    assert_eq!(again.replica, Some(other));
    outbox.release(ActivationId(1));
    assert_eq!(outbox.refused(ActivationId(1), first, Refusal::Draining, 0), None, "it is not the replica any more");
    outbox.accepted(ActivationId(1));
    assert_eq!(outbox.refused(ActivationId(1), other, Refusal::Draining, 0), None, "it was accepted");
}

#[test]
fn a_full_receiver_is_asked_again_later() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    outbox.linked(R);
    outbox.assign(product(1));
    outbox.release(ActivationId(1));
    offered(&mut outbox);
    assert_eq!(outbox.refused(ActivationId(1), R, Refusal::Full(200), 1_000), None);
    assert_eq!(outbox.next_tick(), Some(1_200));
    outbox.tick(1_199);
    assert_eq!(offered(&mut outbox), []);
    outbox.tick(1_200);
    assert_eq!(offered(&mut outbox), [(R, 1, 1)]);
}

#[test]
fn what_has_no_replica_waits_for_one_to_appear() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.assign(product(1)).replica, None);
    outbox.release(ActivationId(1));
    assert_eq!(outbox.unassigned(), 1);
    let moved = outbox.endpoints(endpoints(&[R]));
    assert_eq!(moved[0].replica, Some(R));
    outbox.release(ActivationId(1));
    outbox.linked(R);
    assert_eq!(offered(&mut outbox), [(R, 1, 1)]);
}

#[test]
fn a_recovered_assignment_is_sticky() {
    let mut outbox = Outbox::default();
    outbox.recover(Assignment { product: product(1).into(), replica: Some(R), seq: 7 });
    outbox.release(ActivationId(1));
    assert_eq!(outbox.endpoints(endpoints(&[Q])), []);
    assert_eq!(outbox.unreachable(R), []);
    assert_eq!(outbox.watermark(R), 6);
    outbox.linked(R);
    assert_eq!(offered(&mut outbox), [(R, 7, 1)]);
    outbox.endpoints(endpoints(&[R]));
    assert_eq!(outbox.assign(product(2)).seq, 8, "numbers are never used twice");
}

#[test]
fn a_record_releases_the_assignment_it_is_of_and_no_later_one() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R, Q]));
    outbox.linked(R);
    outbox.linked(Q);
    let first = outbox.assign(product(1));
    let by = first.replica.unwrap();
    let second = outbox.free(ActivationId(1), by).unwrap();
    assert_ne!(second.replica, first.replica);
    outbox.durable(ActivationId(1), first.seq + 7);
    assert_eq!(offered(&mut outbox), []);
    outbox.durable(ActivationId(1), second.seq);
    assert_eq!(offered(&mut outbox).len(), 1);
}

#[test]
fn a_report_never_overtakes_one_that_is_not_durable() {
    let mut outbox = Outbox::default();
    let report = |id| Product { to: To::Ledger, ..product(id) };
    outbox.linked(Outbox::LEDGER);
    let (first, second) = (outbox.assign(report(1)), outbox.assign(report(2)));
    outbox.durable(ActivationId(2), second.seq);
    assert_eq!(offered(&mut outbox), [], "an acknowledgement up to 2 would count for 1");
    outbox.durable(ActivationId(1), first.seq);
    assert_eq!(offered(&mut outbox).len(), 2);
}

#[test]
fn a_product_that_everybody_refused_is_offered_again_after_a_while() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    outbox.linked(R);
    let first = outbox.assign(product(1));
    outbox.durable(ActivationId(1), first.seq);
    assert_eq!(offered(&mut outbox).len(), 1);
    let none = outbox.refused(ActivationId(1), R, Refusal::NotServed, 0).unwrap();
    assert_eq!(none.replica, None);
    outbox.durable(ActivationId(1), none.seq);
    assert_eq!(outbox.tick(0), []);
    let again = outbox.next_tick().unwrap();
    assert_eq!(outbox.tick(again).len(), 1);
}

#[test]
fn an_unreachable_replica_keeps_what_nobody_else_can_take() {
    let mut outbox = Outbox::default();
    outbox.endpoints(endpoints(&[R]));
    let first = outbox.assign(product(1));
    outbox.durable(ActivationId(1), first.seq);
    assert_eq!(outbox.unreachable(R), []);
    outbox.linked(R);
    assert_eq!(offered(&mut outbox).len(), 1);
}

#[test]
fn a_product_seeks_a_replica_until_it_may_be_with_one() {
    let mut outbox = Outbox::default();
    let seeks = |outbox: &Outbox| outbox.seeking().into_iter().collect::<Vec<ServiceName>>();
    outbox.assign(product(1));
    assert!(seeks(&outbox).is_empty(), "its record is not durable yet");
    outbox.release(ActivationId(1));
    assert_eq!(seeks(&outbox), ["s".into()], "there is none");
    for changed in outbox.endpoints(endpoints(&[R])) {
        outbox.release(changed.product.token.activation);
    }
    assert_eq!(seeks(&outbox), ["s".into()], "there is one, that nobody has reached yet");
    outbox.linked(R);
    assert!(seeks(&outbox).is_empty());
    assert_eq!(offered(&mut outbox).len(), 1);
    outbox.unlinked(R);
    assert!(seeks(&outbox).is_empty(), "that one may have it: nobody else is sought");
    outbox.assign(product(2));
    outbox.release(ActivationId(2));
    assert_eq!(seeks(&outbox), ["s".into()]);
}
