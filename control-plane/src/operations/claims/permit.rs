//! What a Workflow may. Pure.
//!
//! A process is of whoever has brought its versions: nobody takes over what is another's. A Workflow brings containers and hop Services into
//! namespaces of its deployments' own, into the one that it stands in, and into those that let it, and swaps what is there. A Workflow in the mesh's own
//! namespace may what flowctl may.

use std::collections::BTreeSet;

use bpmn::{Origin, Workload};
use routing::ServiceName;

use super::Wish;
use crate::definitions::{Definition, Deployment};
use crate::operations::{Error, SwapTo};

/// The namespaces that a Workflow may bring something into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All, and what flowctl has applied is its own.
    Everywhere,
    /// These, and those that its deployments make.
    Within(BTreeSet<String>),
}

impl Reach {
    fn holds(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Within(namespaces) => namespaces.contains(namespace),
        }
    }

    fn allows(&self, workload: &Workload) -> bool {
        match &workload.origin {
            Origin::Deployed { own_namespace: true, .. } => true,
            Origin::Deployed { .. } | Origin::Preexisting => self.holds(&workload.namespace),
        }
    }
}

/// That a process is nobody else's; `versions`: those that there are of it.
pub(super) fn free(wish: &Wish, definition: &Definition, versions: &[Deployment]) -> Result<(), Error> {
    let own = |it: &Deployment| it.claim.as_ref().is_some_and(|claim| claim.workflow == wish.workflow);
    // the very deployment, else any version of it, unless one is ours already
    let same = versions.iter().find(|it| it.definition.deployment == definition.deployment);
    let other = same.or_else(|| if versions.iter().any(own) { None } else { versions.first() });
    match other.filter(|it| !own(it)).map(|it| (&it.definition.deployment, &it.claim)) {
        None => Ok(()),
        Some((_, None)) if wish.reach == Reach::Everywhere => Ok(()),
        Some((id, claim)) => {
            let whose = claim.as_ref().map_or("flowctl".to_owned(), |it| format!("Workflow {}", it.workflow));
            Err(Error::Forbidden(format!(
                "process {} is of {whose}, which has brought {id}: give this one another id, or delete that one first",
                definition.process
            )))
        }
    }
}

/// That all of a definition is to be where the Workflow may bring something.
pub(super) fn within(wish: &Wish, definition: &Definition) -> Result<(), Error> {
    let beyond = definition.workloads.iter().flatten().find(|it| !wish.reach.allows(it));
    let Some(Workload { namespace, name, elements, .. }) = beyond else { return Ok(()) };
    let from = wish.workflow.split('/').next().unwrap_or_default();
    Err(Error::Forbidden(format!(
        "task {}: its service {name} is in namespace {namespace}, and a Workflow of namespace {from} may bring nothing there: `kubectl annotate namespace \
         {namespace} rexflow.io/workflows-from={from}` allows it",
        elements.first().map(|it| it.as_str()).unwrap_or_default()
    )))
}

/// The services of a definition that `task` names.
pub(super) fn services(definition: &Definition, task: &str) -> BTreeSet<ServiceName> {
    let named = |(element, it): &(&routing::ElementId, &crate::definitions::Task)| {
        element.as_str() == task || it.service.as_str() == task || host(&it.service) == Some(task)
    };
    definition.tasks.iter().filter(named).map(|(_, it)| it.service.clone()).collect()
}

/// `HOST` of `HOST.NAMESPACE`.
fn host(service: &ServiceName) -> Option<&str> {
    service.as_str().split_once('.').map(|(host, _)| host)
}

/// Whether a Workflow may swap a task: it is there, and is done by a service that the Workflow may bring or use.
pub(super) fn reachable(reach: &Reach, task: &str, to: &SwapTo, definitions: &[&Definition]) -> Result<(), Error> {
    let all: Vec<_> =
        definitions.iter().copied().flat_map(|it| services(it, task).into_iter().map(move |s| (it, s))).collect();
    if all.is_empty() {
        return Err(Error::NotFound(format!("there is no task or service {task:?} in the model")));
    }
    if *reach == Reach::Everywhere {
        return Ok(());
    }
    let workload = |(it, service): &(&Definition, ServiceName)| {
        it.workloads.iter().flatten().find(|it| it.service == *service).is_some_and(|it| reach.allows(it))
    };
    if let Some((_, service)) = all.iter().find(|it| !workload(it)) {
        return Err(Error::Forbidden(format!(
            "task {task}: {service} is not of this Workflow or its namespace: whoever runs it swaps it (`flowctl swap`)"
        )));
    }
    match to {
        SwapTo::Service(backend, _) => {
            let namespace = backend.as_str().split_once('.').map(|(_, it)| it.split(':').next().unwrap_or_default());
            match namespace.is_some_and(|it| reach.holds(it)) {
                true => Ok(()),
                false => Err(Error::Forbidden(format!(
                    "task {task}: service {backend} is of no namespace that this Workflow may use"
                ))),
            }
        }
        SwapTo::Url(_) | SwapTo::Image(_) | SwapTo::InPlace(_) | SwapTo::Committed | SwapTo::Undone => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::definitions::Claim;
    use crate::operations::Apply;

    /// A process with the task `pay`, whose annotation goes on with `service` and `global`.
    fn definition(service: &str, global: &str) -> Definition {
        let xml = format!(
            "<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\"><process id=\"order\" isExecutable=\"true\">\
             <startEvent id=\"s\"/><serviceTask id=\"pay\"/><endEvent id=\"e\"/><sequenceFlow id=\"f\" sourceRef=\"s\" targetRef=\"pay\"/>\
             <sequenceFlow id=\"g\" sourceRef=\"pay\" targetRef=\"e\"/><textAnnotation id=\"t\"><text>rexflow:\n{service}</text></textAnnotation>\
             <association id=\"a\" sourceRef=\"pay\" targetRef=\"t\"/><textAnnotation id=\"o\"><text>rexflow_global_properties:\n{global}</text>\
             </textAnnotation></process></definitions>"
        );
        let checked = bpmn::check(xml.as_bytes(), &bpmn::Options { cluster: true, ..Default::default() }).unwrap();
        Definition::compiled(&checked.definitions[0], xml.into(), true).unwrap()
    }

    const OWN: &str = "  service:\n    host: till\n    port: 80\n    container: till:1";

    fn wish(workflow: &str, reach: Reach) -> Wish {
        Wish { workflow: workflow.to_owned(), reach, apply: Apply::default(), swaps: BTreeMap::new() }
    }

    fn shop() -> Reach {
        Reach::Within(BTreeSet::from(["shop".to_owned()]))
    }

    #[test]
    fn a_process_is_of_whoever_has_brought_it() {
        let deployment = |whose: Option<&str>| {
            let mut it = Deployment::new(Arc::new(definition(OWN, "")), BTreeMap::new(), false, 0);
            it.claim = whose.map(|it| Claim { workflow: it.to_owned(), ..Claim::default() });
            it
        };
        let new = definition(OWN, "  priority_class: high");
        let order = wish("shop/order", shop());
        free(&order, &new, &[]).unwrap();
        free(&order, &new, &[deployment(Some("shop/order"))]).unwrap();
        let another = free(&order, &new, &[deployment(Some("bank/order"))]).unwrap_err().to_string();
        assert!(another.contains("process order is of Workflow bank/order"), "{another}");
        let by_hand = free(&order, &new, &[deployment(None)]).unwrap_err().to_string();
        assert!(by_hand.contains("of flowctl"), "{by_hand}");
        free(&wish("rexflow/order", Reach::Everywhere), &new, &[deployment(None)]).unwrap();
        free(&wish("rexflow/order", Reach::Everywhere), &new, &[deployment(Some("shop/order"))]).unwrap_err();
        let very_same = definition(OWN, "");
        free(&order, &very_same, &[deployment(None), deployment(Some("shop/order"))]).unwrap_err();
    }

    #[test]
    fn nothing_is_brought_into_other_peoples_namespaces() {
        let order = wish("shop/order", shop());
        let shared = |namespace| definition(OWN, &format!("  namespace_shared: true\n  namespace: {namespace}"));
        let there = |namespace| {
            definition(
                &format!("  preexisting: true\n  service:\n    host: till\n    port: 80\n    namespace: {namespace}"),
                "",
            )
        };
        within(&order, &definition(OWN, "")).unwrap();
        within(&order, &shared("shop")).unwrap();
        within(&order, &there("shop")).unwrap();
        for it in [shared("kube-system"), there("bank")] {
            let why = within(&order, &it).unwrap_err().to_string();
            assert!(why.contains("task pay") && why.contains("rexflow.io/workflows-from=shop"), "{why}");
            within(&wish("rexflow/order", Reach::Everywhere), &it).unwrap();
        }
    }

    #[test]
    fn a_workflow_swaps_what_it_may_bring_or_use() {
        let own = definition(OWN, "");
        let image = SwapTo::Image("till:2".to_owned());
        let service = own.tasks.values().next().unwrap().service.to_string();
        for task in ["pay", "till", service.as_str()] {
            reachable(&shop(), task, &image, &[&own]).unwrap();
        }
        assert!(reachable(&shop(), "nobody", &image, &[&own]).unwrap_err().to_string().contains("nobody"));
        let typed =
            definition("  service:\n    host: till\n    port: 80\n    namespace: bank\n  preexisting: true", "");
        reachable(&shop(), "pay", &image, &[&typed]).unwrap_err();
        reachable(&Reach::Everywhere, "pay", &image, &[&typed]).unwrap();
        let to = |it: &str| reachable(&shop(), "pay", &SwapTo::Service(it.into(), 10), &[&own]);
        to("new.shop").unwrap();
        to("new.bank").unwrap_err();
        to("anybody").unwrap_err();
    }
}
