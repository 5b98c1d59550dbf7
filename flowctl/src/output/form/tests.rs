use super::*;
use crate::output::task::List;
use crate::output::tests::{every_form, time_at};

fn task() -> Task {
    Task {
        id: "00f1e2d3c4b5a697".into(),
        instance: "amort-1a2b3c4d-01".into(),
        process: "amort".into(),
        element: "get_terms".into(),
        name: "Get principal, term and rate".into(),
        form: "terms.json".into(),
        assignee: "ann".into(),
        candidate_users: vec!["ann".into(), "bob".into()],
        candidate_groups: vec!["clerks".into()],
        due_date: "2026-12-24T18:00:00Z".into(),
        follow_up_date: String::new(),
        priority: "70".into(),
        since: Some(time_at(-90_000)),
        claimed: Some(time_at(-30_000)),
        has_draft: true,
    }
}

fn field(id: &str, kind: &str, value: Value, checks: &[(&str, Option<&str>)]) -> Field {
    let check = |(name, constraint): &(&str, Option<&str>)| Check {
        name: (*name).to_owned(),
        constraint: constraint.map(str::to_owned),
    };
    Field {
        id: id.into(),
        kind: kind.into(),
        order: 0,
        label: format!("The {id}"),
        description: String::new(),
        value,
        variant: String::new(),
        encrypted: false,
        read_only: false,
        hidden: false,
        choices: None,
        checks: checks.iter().map(check).collect(),
        rows: Vec::new(),
    }
}

#[test]
fn a_list_of_tasks_in_every_form() {
    let other = Task { id: "1".into(), assignee: String::new(), claimed: None, has_draft: false, ..task() };
    insta::assert_snapshot!(every_form(&List { tasks: vec![task(), other] }));
}

#[test]
fn a_form_in_every_form() {
    let fields = vec![
        Field {
            order: 2,
            ..field(
                "interest",
                "PERCENTAGE",
                json!(4.5),
                &[("PERCENTAGE", None), ("REQUIRED", Some("find == 'False'"))],
            )
        },
        Field {
            order: 1,
            ..field("principal", "CURRENCY", Value::Null, &[("POSITIVE", None), ("INTERVAL", Some("[1,9]"))])
        },
        Field { order: 3, encrypted: true, ..field("pin", "TEXT", json!("1234"), &[]) },
        Field { order: 4, hidden: true, ..field("unseen", "TEXT", json!("x"), &[]) },
        Field {
            order: 5,
            read_only: true,
            choices: Some(vec![(json!("r"), "Red".into()), (json!(2), "Two".into())]),
            ..field("color", "CHOICE", json!("r"), &[])
        },
    ];
    insta::assert_snapshot!(every_form(&Form { task: task(), known: true, fields, schema: Value::Null }));
    let unknown = Form { task: task(), known: false, fields: Vec::new(), schema: Value::Null };
    assert!(unknown.text(false, crate::output::tests::NOW).contains("takes any data"));
    assert_eq!(unknown.json()["fields"], Value::Null);
}

#[test]
fn data_that_does_not_fit_in_every_form() {
    let asked = |name: &str, wrong: Option<&str>| Asked {
        check: Check { name: name.into(), constraint: None },
        wrong: wrong.map(str::to_owned),
    };
    let fields = vec![
        Verdict {
            field: "principal".into(),
            results: vec![asked("POSITIVE", Some("-1 is not greater than 0")), asked("REQUIRED", None)],
        },
        Verdict { field: "term".into(), results: vec![asked("REQUIRED", Some("a value is required"))] },
    ];
    let judged = Judged { task: task(), passed: false, saved: false, fields };
    assert_eq!(judged.exit(), Exit::Invalid);
    insta::assert_snapshot!(every_form(&judged));
    let fits = Judged { passed: true, fields: Vec::new(), ..judged.clone() };
    assert!(fits.text(false, crate::output::tests::NOW).contains("The data fits."));
    assert!(Judged { saved: true, ..fits }.text(false, crate::output::tests::NOW).contains("Saved."));
}
