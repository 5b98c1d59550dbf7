use super::*;

fn branch(base: &str, answer: &str) -> (Payload, Written) {
    let before = Payload { content_type: JSON.into(), body: base.to_owned().into() };
    let after = Payload { content_type: JSON.into(), body: answer.to_owned().into() };
    let mut written = Written::default().forked();
    written.replaced(&before, &after);
    (after, written)
}

fn merged(branches: &[(Payload, Written)]) -> String {
    let refs: Vec<_> = branches.iter().map(|(p, w)| (p, w)).collect();
    String::from_utf8(merge(&refs).0.body.to_vec()).unwrap()
}

#[test]
fn a_key_that_a_later_branch_merely_carried_does_not_undo_an_earlier_write() {
    let base = r#"{"a":1}"#;
    assert_eq!(merged(&[branch(base, r#"{"a":2}"#), branch(base, r#"{"a":1,"b":3}"#)]), r#"{"a":2,"b":3}"#);
}

#[test]
fn the_later_branch_in_document_order_wins_a_key_both_wrote() {
    let base = r#"{"a":1}"#;
    assert_eq!(merged(&[branch(base, r#"{"a":2}"#), branch(base, r#"{"a":3}"#)]), r#"{"a":3}"#);
}

#[test]
fn a_removed_key_stays_removed() {
    let base = r#"{"a":1,"b":1}"#;
    assert_eq!(merged(&[branch(base, r#"{"b":1}"#), branch(base, r#"{"a":1,"b":1,"c":1}"#)]), r#"{"b":1,"c":1}"#);
}

#[test]
fn opaque_payloads_are_taken_whole_from_the_last_branch_that_wrote_one() {
    let png = Payload { content_type: "image/png".into(), body: Bytes::from_static(b"\x89PNG") };
    let mut written = Written::default().forked();
    written.replaced(&Payload::default(), &png);
    let json = branch("{}", r#"{"a":1}"#);
    let (payload, _) = merge(&[(&png, &written), (&json.0, &json.1)]);
    assert_eq!(payload, png);
}

#[test]
fn what_inner_forks_wrote_counts_for_the_outer_join() {
    let outer = Written::default().forked();
    let (mut left, right) = (outer.forked(), outer.forked());
    left.key("x");
    let p = Payload { content_type: JSON.into(), body: Bytes::from_static(b"{\"x\":1}") };
    let q = Payload { content_type: JSON.into(), body: Bytes::from_static(b"{}") };
    let (inner, written) = merge(&[(&p, &left), (&q, &right)]);
    assert_eq!(written.frames().len(), 2);
    assert!(written.frames()[1].keys.contains("x"));
    let other = branch("{}", r#"{"y":1}"#);
    let (all, _) = merge(&[(&inner, &written), (&other.0, &other.1)]);
    assert_eq!(all.body, Bytes::from_static(b"{\"x\":1,\"y\":1}"));
}

#[test]
fn endless_forking_does_not_grow_without_limit() {
    let mut written = Written::default();
    for i in 0..1000 {
        written.key(&format!("k{}", i % 5));
        written = written.forked();
    }
    assert!(written.frames().len() <= MAX_FRAMES);
}
