use super::*;

/// The methods of a service in its definition.
fn methods(definition: &str) -> Vec<&str> {
    let lines = definition.lines().filter_map(|it| it.trim().strip_prefix("rpc "));
    lines.filter_map(|it| it.split('(').next()).collect()
}

/// What users need, and the role that has it.
fn told(rule: Rule) -> String {
    let each =
        |rights: &[Right]| rights.iter().map(|it| format!("{it} ({})", it.role())).collect::<Vec<_>>().join(" + ");
    match rule {
        Rule::Needs(rights) => each(rights),
        Rule::ByTarget { workflow, instance } => format!("{} | {}", each(&[workflow]), each(&[instance])),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_call_of_operators_has_its_line_and_no_other_is_anybodys() {
    let flow = methods(include_str!("../../../../proto/flow/v1/flow.proto"));
    let original = methods(include_str!("../../../../proto/rexflow/flow.proto"));
    assert!(flow.len() > 30 && original.len() == 9, "{flow:?} {original:?}");
    for method in flow {
        assert_ne!(of_call(&format!("/flow.v1.Flow/{method}")), Rule::Nobody, "{method}");
    }
    for method in original {
        assert_ne!(of_call(&format!("/FlowDaemon/{method}")), Rule::Nobody, "{method}");
    }
    let others =
        ["/flow.v1.Control/Attach", "/flow.v1.Flow/Unheard", "/flow.v1.Identity/Issue", "/x.FlowDaemon/PSQuery"];
    for path in others.into_iter().chain(["", "/", "//Apply", "/flow.v1.Flow/Apply/", "flow.v1.Flow/Apply"]) {
        assert_eq!(of_call(path), Rule::Nobody, "{path}");
    }
}

#[test]
fn calls_need_what_they_do() {
    for (method, needs) in [
        ("Version", "Somebody"),
        ("Apply", "create workflows.rexflow.io (deployer)"),
        ("Validate", "get workflows.rexflow.io (viewer)"),
        ("ListDeployments", "list workflows.rexflow.io (viewer)"),
        ("Swap", "update workflows.rexflow.io/operation (operator)"),
        ("Stop", "update workflows.rexflow.io/operation (operator) | update instances.rexflow.io (operator)"),
        ("Delete", "delete workflows.rexflow.io (deployer) | delete instances.rexflow.io (deployer)"),
        ("Describe", "get workflows.rexflow.io (viewer) | get instances.rexflow.io (viewer)"),
        ("Run", "create instances.rexflow.io (operator)"),
        ("Trace", "get instances.rexflow.io (viewer)"),
        ("WatchInstances", "watch instances.rexflow.io (viewer)"),
        ("Publish", "create messages.rexflow.io (operator)"),
        ("CompleteTask", "update tasks.rexflow.io (operator)"),
        ("Rearm", "update timers.rexflow.io (operator)"),
    ] {
        assert_eq!(told(of_call(&format!("/flow.v1.Flow/{method}"))), needs, "{method}");
    }
}

#[test]
fn the_originals_calls_need_what_ours_need() {
    for (theirs, ours) in [
        ("ApplyWorkflow", "Apply"),
        ("DeleteWorkflow", "Delete"),
        ("ProbeWorkflow", "Probe"),
        ("RunWorkflow", "Run"),
        ("StartWorkflow", "Start"),
        ("StopWorkflow", "Stop"),
        ("UpdateWorkflow", "Update"),
        ("ValidateWorkflow", "Validate"),
    ] {
        let (theirs, ours) = (of_call(&format!("/FlowDaemon/{theirs}")), of_call(&format!("/flow.v1.Flow/{ours}")));
        assert_eq!(theirs, ours);
    }
}

#[test]
fn requests_that_read_need_less_than_those_that_write() {
    for (method, path, needs) in [
        (Method::GET, "/health", "Open"),
        (Method::POST, "/callbacks/order-1/1f/seal", "Open"),
        (Method::GET, "/metrics", "Unasked"),
        (Method::POST, "/exposed/somewhere", "Unasked"),
        (Method::GET, "/wf_map", "list workflows.rexflow.io (viewer)"),
        (Method::POST, "/start/x", "create instances.rexflow.io (operator)"),
        (Method::POST, "/messages/paid", "create messages.rexflow.io (operator)"),
        (Method::GET, "/tasks", "list tasks.rexflow.io (viewer)"),
        (Method::POST, "/tasks/1/complete", "update tasks.rexflow.io (operator)"),
        (Method::GET, "/graphql", "Somebody"),
        (Method::GET, "/topics/x", "get topics.rexflow.io (viewer)"),
        (Method::POST, "/topics/x", "create topics.rexflow.io (operator)"),
        (Method::POST, "/instances/1/start", "update instances.rexflow.io (operator)"),
        (Method::GET, "/timers", "list timers.rexflow.io (viewer)"),
        (Method::DELETE, "/timers/1/x", "update timers.rexflow.io (operator)"),
    ] {
        assert_eq!(told(of_request(Route::of(path), &method)), needs, "{method} {path}");
    }
    let graphql = told(of_request(Route::Graphql, &Method::POST));
    for part in ["create instances", "update instances", "update tasks"] {
        assert!(graphql.contains(part), "{graphql}");
    }
}

#[test]
fn roles_of_the_chart_have_the_rights_that_are_told_of_them() {
    let chart = include_str!("../../../../deploy/istio/templates/users.yaml");
    let (_, viewer) = chart.split_once("# viewer").unwrap();
    let (viewer, operator) = viewer.split_once("# operator").unwrap();
    let (operator, deployer) = operator.split_once("# deployer").unwrap();
    let has = |rules: &str, Right(verb, resource): Right| {
        let (name, sub) = resource.names();
        let name = sub.map_or(name.to_owned(), |sub| format!("{name}/{sub}"));
        let listed = |line: &str, what: &str| {
            let list =
                line.split_once('[').and_then(|(_, it)| it.split_once(']')).map(|(it, _)| it).unwrap_or_default();
            list.split(',').any(|it| it.trim() == what)
        };
        let lines: Vec<&str> = rules.lines().collect();
        lines.windows(2).any(|it| it[0].contains("resources:") && listed(it[0], &name) && listed(it[1], verb.as_str()))
    };
    for resource in [Workflows, Operation, Instances, Tasks, Timers, Messages, Topics] {
        for verb in [Get, List, Watch, Create, Update, Delete] {
            let right = Right(verb, resource);
            let asked = asked().contains(&right);
            let roles = [("viewer", viewer), ("operator", operator), ("deployer", deployer)];
            let least = roles.iter().find(|(_, rules)| has(rules, right)).map(|(role, _)| *role);
            if asked || least.is_some() {
                assert_eq!(least, Some(right.role()), "{right}");
            }
        }
    }
}

/// All rights that any call asks for.
fn asked() -> Vec<Right> {
    let flow = methods(include_str!("../../../../proto/flow/v1/flow.proto"));
    let rules = flow.into_iter().map(|it| of_call(&format!("/flow.v1.Flow/{it}")));
    let paths = ["/wf_map", "/start/x", "/conditions", "/tasks", "/graphql", "/topics", "/instances/x", "/timers"];
    let requests = paths.iter().flat_map(|path| [Method::GET, Method::POST].map(|it| of_request(Route::of(path), &it)));
    rules
        .chain(requests)
        .flat_map(|rule| match rule {
            Rule::Needs(rights) => rights.to_vec(),
            Rule::ByTarget { workflow, instance } => vec![workflow, instance],
            Rule::Open | Rule::Unasked | Rule::Somebody | Rule::Nobody => Vec::new(),
        })
        .collect()
}
