use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::resource::{Backend, ConfigMapKey, From, Spec, Status, Task, TaskStatus, Version};
use super::seen::{Name, Namespace, Objects, Referred, reach};
use super::status::{self, Lack, Observed, Outcome, Seen, Step};
use super::{source, versions};
use crate::definitions::State;
use crate::definitions::state::{Health, TaskView};
use crate::operations::{Reach, SwapTo};

/// The CRD of the chart, without what Helm fills in.
fn crd() -> Value {
    let chart = include_str!("../../../../deploy/istio/templates/workflows.yaml");
    let plain: Vec<&str> = chart.lines().filter(|it| !it.contains("{{")).collect();
    serde_saphyr::from_str(&plain.join("\n")).unwrap()
}

/// One of each field.
fn full() -> Value {
    let task = |image, url, service| Task { name: "a".into(), image, url, service };
    let spec = Spec {
        bpmn: Some("<x/>".into()),
        bpmn_from: Some(From { config_map_key_ref: ConfigMapKey { name: "m".into(), key: "k".into() } }),
        resources: BTreeMap::from([("a.dmn".into(), "x".into())]),
        tasks: vec![task(Some("i:1".into()), Some("http://x".into()), Some(Backend { name: "b.c".into(), weight: 1 }))],
    };
    let status = Status {
        observed_generation: 1,
        conditions: vec![Condition {
            last_transition_time: Time(Timestamp::from_second(7).unwrap()),
            message: "m".into(),
            observed_generation: Some(1),
            reason: "R".into(),
            status: "True".into(),
            type_: "Ready".into(),
        }],
        deployment: "d".into(),
        deployments: vec!["d".into()],
        processes: vec!["p".into()],
        ready: "1/1".into(),
        instances: 1,
        tasks: vec![TaskStatus {
            name: "a".into(),
            service: "s".into(),
            deployment: "d".into(),
            sidecars: 1,
            programmed: 1,
            health: "UP".into(),
            message: "m".into(),
        }],
        versions: vec![Version {
            deployment: "d".into(),
            process: "p".into(),
            state: "RUNNING".into(),
            current: true,
            instances: 1,
            message: "m".into(),
        }],
    };
    json!({"apiVersion": "rexflow.io/v1alpha1", "kind": "Workflow", "metadata": {}, "spec": spec, "status": status})
}

/// That a value has just the fields of a schema, each of its type.
fn agrees(value: &Value, schema: &Value, at: &str) {
    let kind = match value {
        Value::Null => panic!("{at} is null"),
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert_eq!(schema["type"], kind, "{at}");
    match value {
        Value::Array(items) => items.iter().for_each(|it| agrees(it, &schema["items"], &format!("{at}[]"))),
        Value::Object(fields) if schema["additionalProperties"].is_object() => {
            fields.values().for_each(|it| agrees(it, &schema["additionalProperties"], &format!("{at}.*")));
        }
        Value::Object(fields) if schema["properties"].is_object() => {
            let names = |it: &serde_json::Map<String, Value>| it.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(fields), names(schema["properties"].as_object().unwrap()), "fields of {at}");
            fields.iter().for_each(|(name, it)| agrees(it, &schema["properties"][name], &format!("{at}.{name}")));
        }
        _ => {}
    }
}

#[test]
fn the_crd_of_the_chart_is_what_flowd_reads_and_writes() {
    let crd = crd();
    let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
    let resource = super::resource::resource();
    assert_eq!((&crd["spec"]["group"], &names["kind"]), (&json!(resource.group), &json!(resource.kind)));
    assert_eq!((&names["plural"], &version["name"]), (&json!(resource.plural), &json!(resource.version)));
    let schema = &version["schema"]["openAPIV3Schema"];
    agrees(&full(), schema, "Workflow");
    // what may be left out there may be left out here
    let bare: Spec = serde_json::from_value(json!({})).unwrap();
    assert_eq!(bare, Spec::default());
    let task: Task = serde_json::from_value(json!({"name": "a", "service": {"name": "b.c"}})).unwrap();
    let weight =
        &schema["properties"]["spec"]["properties"]["tasks"]["items"]["properties"]["service"]["properties"]["weight"];
    assert_eq!(json!(task.service.unwrap().weight), weight["default"]);
    // columns name what there is
    for column in version["additionalPrinterColumns"].as_array().unwrap() {
        let path = column["jsonPath"].as_str().unwrap();
        let first = path.trim_start_matches(".status.").split(['[', '.']).next().unwrap();
        assert!(!full()["status"][first].is_null() || path == ".metadata.creationTimestamp", "{path}");
    }
}

fn name(namespace: &str, name: &str) -> Name {
    (namespace.to_owned(), name.to_owned())
}

#[test]
fn what_a_watch_lists_anew_replaces_what_was_there() {
    let mut objects = Objects::default();
    assert_eq!(objects.all(), None);
    objects.take(Ok(Event::Init));
    objects.take(Ok(Event::InitApply((name("a", "x"), 1))));
    assert_eq!(objects.all(), None, "half a list is none");
    assert!(objects.take(Ok(Event::InitDone)));
    objects.take(Ok(Event::Apply((name("a", "y"), 2))));
    assert_eq!(objects.all().unwrap().len(), 2);
    objects.take(Ok(Event::Init));
    objects.take(Ok(Event::InitApply((name("a", "y"), 3))));
    objects.take(Ok(Event::InitDone));
    assert_eq!(objects.all().unwrap(), &BTreeMap::from([(name("a", "y"), 3)]));
    objects.take(Ok(Event::Delete((name("a", "y"), 3))));
    assert!(objects.all().unwrap().is_empty());
}

#[test]
fn a_workflow_reaches_its_own_namespace_and_those_that_let_it() {
    let namespace = |open: bool, from: Option<&str>| {
        let pairs =
            |of: Option<(&str, &str)>| of.map(|(key, value)| BTreeMap::from([(key.to_owned(), value.to_owned())]));
        Namespace::of(&ObjectMeta {
            labels: pairs(open.then_some(("rexflow.io/injection", "enabled"))),
            annotations: pairs(from.map(|it| ("rexflow.io/workflows-from", it))),
            ..ObjectMeta::default()
        })
    };
    let all = BTreeMap::from([
        (name("shop", ""), namespace(true, None)),
        (name("closed", ""), namespace(false, None)),
        (name("kitchen", ""), namespace(false, Some("shop, bar"))),
        (name("park", ""), namespace(false, Some("*"))),
        (name("bank", ""), namespace(true, Some("bar"))),
    ]);
    let within = ["shop", "kitchen", "park"].map(str::to_owned);
    assert_eq!(reach("shop", "rexflow", &all), Some(Reach::Within(within.into())));
    assert_eq!(reach("closed", "rexflow", &all), None);
    assert_eq!(reach("nowhere", "rexflow", &all), None);
    assert_eq!(reach("rexflow", "rexflow", &all), Some(Reach::Everywhere));
}

#[test]
fn a_model_is_in_the_spec_or_in_a_config_map() {
    let reader = ("flowd-rexflow-models", "rexflow:flowd");
    let model = |spec: &Spec, referred| source::model(spec, "shop", referred, reader);
    let inline = Spec { bpmn: Some("<a/>".into()), ..Spec::default() };
    assert_eq!(&model(&inline, Referred::Absent).unwrap().xml[..], b"<a/>");
    let key = ConfigMapKey { name: "models".into(), key: "order.bpmn".into() };
    let from = Spec { bpmn_from: Some(From { config_map_key_ref: key }), ..Spec::default() };
    let data = [("order.bpmn", "<b/>"), ("price.dmn", "<d/>"), ("address.form", "{}"), ("readme.md", "-")];
    let data = data.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let found = model(&from, Referred::There("7", &data)).unwrap();
    let beside: Vec<&str> = found.resources.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((&found.xml[..], beside), (&b"<b/>"[..], vec!["address.form", "price.dmn"]));
    let lacks = |referred| model(&from, referred).unwrap_err();
    let empty = BTreeMap::new();
    assert_eq!(lacks(Referred::There("8", &empty)).reason, "ConfigMapKeyMissing");
    assert_eq!((lacks(Referred::Absent).reason, lacks(Referred::Absent).known), ("ConfigMapMissing", true));
    assert_eq!((lacks(Referred::Awaited).reason, lacks(Referred::Awaited).known), ("ConfigMapAwaited", false));
    let denied = lacks(Referred::Denied("configmaps is forbidden")).message;
    let grant = "kubectl -n shop create rolebinding flowd-rexflow-models --clusterrole=flowd-rexflow-models --serviceaccount=rexflow:flowd";
    assert!(denied.contains(grant), "{denied}");
    assert_eq!(model(&Spec::default(), Referred::Absent).unwrap_err().reason, "Invalid");
}

#[test]
fn a_task_is_swapped_to_one_thing() {
    let task = |value: Value| Spec { tasks: vec![serde_json::from_value(value).unwrap()], ..Spec::default() };
    let swaps = task(json!({"name": "pay", "image": "pay:2"})).swaps().unwrap();
    assert_eq!(swaps, BTreeMap::from([("pay".to_owned(), SwapTo::Image("pay:2".to_owned()))]));
    let service = task(json!({"name": "pay", "service": {"name": "pay.new", "weight": 10}})).swaps().unwrap();
    assert_eq!(service["pay"], SwapTo::Service("pay.new".into(), 10));
    assert!(task(json!({"name": "pay", "image": "pay:2", "url": "http://x"})).swaps().unwrap_err().contains("pay"));
}

fn view(element: &str, replicas: u32, ready: u32, health: Health, reason: &str) -> TaskView {
    let service = format!("{element}.shop");
    TaskView { element: element.into(), service, replicas, ready, health, reason: reason.into(), drift: String::new() }
}

fn seen(deployment: &str, state: State, tasks: Vec<TaskView>) -> Seen {
    Seen {
        deployment: deployment.into(),
        process: "order".into(),
        state,
        message: String::new(),
        retired: false,
        instances: 0,
        tasks,
    }
}

fn applied(deployments: &[&str]) -> Outcome {
    let deployments = deployments.iter().map(|it| (*it).to_owned()).collect();
    Outcome::Applied { deployments, warnings: Vec::new(), unsettled: None }
}

fn observe(outcome: &Outcome, deployments: &[Seen], hindered: &[(&str, &str)], before: &Status, now: u64) -> Status {
    let hindered = hindered.iter().map(|(service, why)| ((*service).to_owned(), (*why).to_owned())).collect();
    Observed { generation: 2, outcome, deployments, hindered: &hindered, now }.status(before)
}

/// A condition's status, reason and message.
fn condition<'a>(status: &'a Status, kind: &str) -> (&'a str, &'a str, &'a str) {
    let it = status.conditions.iter().find(|it| it.type_ == kind).unwrap();
    (&it.status, &it.reason, &it.message)
}

fn statuses(status: &Status) -> Vec<&str> {
    status.conditions.iter().map(|it| it.status.as_str()).collect()
}

#[test]
fn each_condition_builds_on_the_one_before_it() {
    let new = applied(&["order-2"]);
    let at = |task, state, hindered: &[(&str, &str)]| {
        observe(&new, &[seen("order-2", state, vec![task])], hindered, &Status::default(), 0)
    };
    let waits = at(view("pay", 0, 0, Health::Unknown, "its pod is starting"), State::Starting, &[]);
    assert_eq!(statuses(&waits), ["True", "True", "False", "False", "False"]);
    assert_eq!(condition(&waits, "SidecarsInjected"), ("False", "NotServed", "task pay: its pod is starting"));
    assert_eq!((waits.ready.as_str(), waits.observed_generation), ("0/1", 2));
    let hindered =
        at(view("pay", 0, 0, Health::Unknown, ""), State::Starting, &[("pay.shop", "pod pay-1: ErrImagePull")]);
    assert_eq!(condition(&hindered, "Resolved"), ("False", "Hindered", "task pay: pod pay-1: ErrImagePull"));
    let served = at(view("pay", 1, 0, Health::Unknown, ""), State::Starting, &[]);
    assert_eq!(statuses(&served), ["True", "True", "True", "False", "False"]);
    let down = at(view("pay", 1, 1, Health::Down, "503"), State::Degraded, &[]);
    assert_eq!(statuses(&down), ["True", "True", "True", "True", "False"]);
    assert_eq!(condition(&down, "Ready").1, "Degraded");
    let runs = at(view("pay", 1, 1, Health::Up, ""), State::Running, &[]);
    assert_eq!(statuses(&runs), ["True"; 5]);
    assert_eq!((runs.ready.as_str(), runs.deployment.as_str()), ("1/1", "order-2"));
    let stopped = at(view("pay", 1, 1, Health::Up, ""), State::Stopped, &[]);
    assert!(condition(&stopped, "Ready").2.contains("flowctl start -d order-2"));
}

#[test]
fn a_broken_model_names_the_element_and_the_earlier_version_goes_on() {
    let xml =
        br#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"><process id="order" isExecutable="true">
        <startEvent id="start"/><sequenceFlow id="f" sourceRef="start" targetRef="nowhere"/></process></definitions>"#;
    let found = bpmn::check(xml, &bpmn::Options::default()).unwrap_err();
    let lack = status::diagnosed(&found);
    assert_eq!((lack.step, lack.reason, lack.known), (Step::Compiled, "Invalid", true));
    let before = seen("order-1", State::Running, vec![view("pay", 1, 1, Health::Up, "")]);
    let status = observe(&Outcome::Lacking(lack), &[before], &[], &Status::default(), 0);
    assert_eq!(statuses(&status), ["False", "Unknown", "Unknown", "Unknown", "False"]);
    let (_, _, message) = condition(&status, "Compiled");
    let first = found.iter().find(|it| it.is_error()).unwrap();
    assert!(message.contains(first.element.as_deref().unwrap()) && message.contains(&first.help), "{message}");
    assert!(condition(&status, "Ready").2.ends_with("order-1 goes on"));
    assert_eq!((status.deployment.as_str(), status.ready.as_str()), ("order-1", "1/1"));
}

#[test]
fn a_task_that_nobody_serves_yet_is_no_broken_model() {
    let xml = br#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"><process id="order" isExecutable="true">
        <startEvent id="start"/><serviceTask id="pay"/><endEvent id="end"/><sequenceFlow id="f" sourceRef="start" targetRef="pay"/>
        <sequenceFlow id="g" sourceRef="pay" targetRef="end"/></process></definitions>"#;
    let options = bpmn::Options { missing_binding_is_error: true, ..bpmn::Options::default() };
    let lack = status::diagnosed(&bpmn::check(xml, &options).unwrap_err());
    assert_eq!((lack.step, lack.reason), (Step::Resolved, "BindingMissing"));
    assert!(lack.message.contains("pay"), "{}", lack.message);
    assert!(!Outcome::Lacking(lack).is_final(), "a sidecar may come");
}

#[test]
fn a_condition_has_the_time_when_its_status_changed() {
    let new = applied(&["order-2"]);
    let at = |state, message: &str, before: &Status, now| {
        let it = Seen { message: message.into(), ..seen("order-2", state, Vec::new()) };
        observe(&new, &[it], &[], before, now)
    };
    let time = |status: &Status| {
        status.conditions.iter().find(|it| it.type_ == "Ready").unwrap().last_transition_time.0.as_second()
    };
    let first = at(State::Starting, "a", &Status::default(), 10_000);
    let second = at(State::Degraded, "b", &first, 20_000);
    assert_eq!((time(&first), time(&second)), (10, 10), "still False, whatever the reason");
    let third = at(State::Running, "", &second, 30_000);
    assert_eq!(time(&third), 30);
    assert!(status::differs(&second, &third));
    let counted = Status { instances: 9, ..third.clone() };
    assert!(!status::differs(&third, &counted), "how many are open is told every so often");
}

#[test]
fn an_earlier_version_goes_on_until_the_later_one_takes_instances() {
    let versions = |old: State, retired, new: State| {
        let old = Seen { retired, ..seen("order-1", old, Vec::new()) };
        let all = [old, seen("order-2", new, Vec::new())];
        let steps = versions::steps(&all, &["order-2".to_owned()]);
        steps.into_iter().map(|(id, step)| (id.to_owned(), step)).collect::<Vec<_>>()
    };
    let old = |step| vec![("order-1".to_owned(), step)];
    assert_eq!(versions(State::Running, false, State::Starting), []);
    assert_eq!(versions(State::Running, false, State::Running), old(versions::Step::Retire));
    assert_eq!(versions(State::Running, false, State::Degraded), old(versions::Step::Retire), "it takes instances");
    assert_eq!(versions(State::Stopping, true, State::Running), [], "its instances end first");
    assert_eq!(versions(State::Stopped, true, State::Running), old(versions::Step::Renounce));
    assert_eq!(versions(State::Starting, false, State::Starting), old(versions::Step::Retire), "it never took any");
    let both = [seen("order-1", State::Running, Vec::new()), seen("order-2", State::Running, Vec::new())];
    assert_eq!(versions::heirs(&both, &["order-2".to_owned()]), [("order-1", "order-2")]);
    let starting = [seen("order-1", State::Running, Vec::new()), seen("order-2", State::Starting, Vec::new())];
    assert_eq!(versions::heirs(&starting, &["order-2".to_owned()]), []);
    let alone = [seen("order-1", State::Running, Vec::new())];
    assert_eq!(versions::steps(&alone, &["order-2".to_owned()]), [], "the later one was deleted under us");
}

#[test]
fn a_deletion_says_what_it_waits_for() {
    let open = Seen { instances: 3, ..seen("order-1", State::Stopping, Vec::new()) };
    let none = seen("order-2", State::Running, Vec::new());
    let all = [open, none];
    assert_eq!(versions::leave(&all), [("order-2", versions::Step::Retire)]);
    let why = status::awaited(&all, "shop/order");
    assert!(
        why.contains("3 of order-1") && why.contains("kubectl -n shop annotate workflow order rexflow.io/force=true"),
        "{why}"
    );
    let before = observe(&applied(&["order-2"]), &all, &[], &Status::default(), 1_000);
    let going = status::going(&before, &all, why.clone(), 3, 2_000);
    assert_eq!(condition(&going, "Ready"), ("False", "Deleting", why.as_str()));
    assert_eq!((statuses(&going).len(), going.instances), (5, 3));
    assert!(status::awaited(&[], "shop/order").contains("taken away"));
}

#[test]
fn what_speaks_against_a_spec_stands_before_all_else() {
    let lack = Lack { step: Step::Resolved, reason: "NotPermitted", message: "task pay: no".into(), known: true };
    let status = observe(&Outcome::Lacking(lack), &[], &[], &Status::default(), 0);
    assert_eq!(statuses(&status), ["True", "False", "Unknown", "Unknown", "False"]);
    let unsettled = Outcome::Applied {
        deployments: vec!["order-2".into()],
        warnings: vec!["1:2: warning".into()],
        unsettled: Some("task pay: no sidecar serves pay.new".into()),
    };
    let status = observe(&unsettled, &[seen("order-2", State::Running, Vec::new())], &[], &Status::default(), 0);
    assert_eq!(condition(&status, "Resolved").1, "NotSwapped");
    assert_eq!(condition(&status, "Compiled"), ("True", "Compiled", "one warning: 1:2: warning"));
}
