//! What runs for a process: the workloads that its annotations ask for, in the terms of a cluster.
//!
//! A service that the model brings along (`service.container`) gets a namespace of the deployment's own, or, with `namespace_shared`, one that
//! others use too, where its name ends with the hash of the process; a pre-existing one stays where it is. In a cluster a service is known as
//! `<name>.<namespace>`, so that two processes may both have a `collect`. Pure: says what is to be there, makes nothing.

use std::collections::BTreeMap;

use routing::{DeploymentId, ElementId, ServiceName};

use crate::binding::{Annotations, Health, Service, safe_name};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{FlowNode, Process};
use crate::parse::{Limits, parse};

/// Where pre-existing services and shared namespaces are unless the model says otherwise.
const DEFAULT_NAMESPACE: &str = "default";

/// One service of a process, as it is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// How tables name it.
    pub service: ServiceName,
    /// The name of its objects, a DNS label.
    pub name: String,
    /// Where they are.
    pub namespace: String,
    /// Who brings it.
    pub origin: Origin,
    /// What callers use.
    pub port: u16,
    /// What its container listens on.
    pub target_port: u16,
    /// Its health check.
    pub health: Option<Health>,
    /// The tasks that it does, in document order.
    pub elements: Vec<ElementId>,
}

/// Where a workload comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is there already; nobody of us makes, changes or deletes it.
    Preexisting,
    /// The deployment brings it.
    Deployed {
        /// What its container is made of.
        image: String,
        /// Whether the namespace is the deployment's alone, and goes with it.
        own_namespace: bool,
        /// The Kubernetes priority class of its pods.
        priority_class: Option<String>,
    },
}

/// Where a service is: a name and a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Place {
    /// The place of the service of the node at `index`.
    pub(crate) fn of(annotations: &Annotations, index: usize, service: &Service, deployment: &DeploymentId) -> Self {
        let labels = &annotations.elements[index].labels;
        let given = |namespace: Option<&String>| namespace.map_or(DEFAULT_NAMESPACE, String::as_str).to_owned();
        if is_preexisting(annotations, index) {
            return Self { name: service.host.clone(), namespace: given(labels.get("namespace")) };
        }
        let global = &annotations.global;
        match global.namespace_shared {
            true => {
                let hash = deployment.as_str().rsplit('-').next().unwrap_or_default();
                let name = safe_name(&format!("{}-{hash}", service.host));
                Self { name, namespace: given(global.namespace.as_ref()) }
            }
            false => Self { name: safe_name(&service.host), namespace: safe_name(deployment.as_str()) },
        }
    }

    /// How tables name it: with the port where several services share a name.
    pub(crate) fn service(&self, port: Option<u16>) -> ServiceName {
        let Self { name, namespace } = self;
        ServiceName::from(match port {
            Some(port) => format!("{name}.{namespace}:{port}"),
            None => format!("{name}.{namespace}"),
        })
    }
}

fn is_preexisting(annotations: &Annotations, index: usize) -> bool {
    annotations.elements[index].labels.contains_key("preexisting")
}

fn image(annotations: &Annotations, index: usize) -> Option<&str> {
    annotations.elements[index].labels.get("container").map(|it| it.trim()).filter(|it| !it.is_empty())
}

/// What keeps a process from being run by an orchestrator.
pub(crate) fn findings(process: &Process, annotations: &Annotations, out: &mut Vec<Diagnostic>) {
    let mut images: BTreeMap<&str, (&str, &FlowNode)> = BTreeMap::new();
    for (index, node) in process.nodes.iter().enumerate() {
        let Some(service) = &annotations.elements[index].service else { continue };
        if is_preexisting(annotations, index) {
            continue;
        }
        let Some(image) = image(annotations, index) else {
            let message = format!(
                "the annotation of `{}` says nowhere what to run for its service `{}`: add `service.container: IMAGE`, or `preexisting: true` and \
                 `service.namespace`",
                node.id, service.host
            );
            out.push(Diagnostic::error(Rule::BindingMissing, node.position, message).on(node.id.as_str()));
            continue;
        };
        let (other, first) = *images.entry(&service.host).or_insert((image, node));
        if other != image {
            let message = format!(
                "service `{}` of `{}` is to run `{image}`, and for `{}` it is to run `{other}`: give one of them another host",
                service.host, node.id, first.id
            );
            out.push(Diagnostic::error(Rule::AnnotationValue, node.position, message).on(node.id.as_str()));
        }
    }
}

/// What is to run for the process `process` of a model that was accepted for a cluster as `deployment`; nothing if there is no such process.
pub fn workloads(xml: &[u8], process: &str, deployment: &DeploymentId) -> Vec<Workload> {
    let Ok(definitions) = parse(xml, Limits::default()) else { return Vec::new() };
    for drawn in &definitions.processes {
        let annotations = Annotations::read(&definitions, drawn, &mut Vec::new());
        if annotations.global.id.as_deref().unwrap_or(&drawn.id) == process {
            return of_process(drawn, &annotations, deployment);
        }
    }
    Vec::new()
}

fn of_process(process: &Process, annotations: &Annotations, deployment: &DeploymentId) -> Vec<Workload> {
    let names = crate::compile::Names::of(process, annotations, Some(deployment));
    let mut workloads: Vec<Workload> = Vec::new();
    for (index, node) in process.nodes.iter().enumerate() {
        let annotation = &annotations.elements[index];
        let Some(service) = &annotation.service else { continue };
        let name = names.name(index, service);
        if let Some(there) = workloads.iter_mut().find(|it| it.service == name) {
            there.elements.push(ElementId::from(node.id.as_str()));
            there.health = there.health.take().or_else(|| annotation.health.clone());
            continue;
        }
        let place = Place::of(annotations, index, service, deployment);
        let origin = match image(annotations, index) {
            Some(image) if !is_preexisting(annotations, index) => Origin::Deployed {
                image: image.to_owned(),
                own_namespace: !annotations.global.namespace_shared,
                priority_class: annotations.global.priority_class.clone(),
            },
            _ => Origin::Preexisting,
        };
        workloads.push(Workload {
            service: name,
            name: place.name,
            namespace: place.namespace,
            origin,
            port: service.port,
            target_port: service.target_port,
            health: annotation.health.clone(),
            elements: vec![ElementId::from(node.id.as_str())],
        });
    }
    workloads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, check};

    fn model(global: &str, tasks: &[(&str, &str)]) -> String {
        let mut nodes = String::from("<startEvent id=\"s\"/><endEvent id=\"e\"/>");
        let mut last = "s";
        for (number, (id, annotation)) in tasks.iter().enumerate() {
            nodes += &format!(
                "<serviceTask id=\"{id}\"/><sequenceFlow id=\"f{number}\" sourceRef=\"{last}\" targetRef=\"{id}\"/>\
                 <textAnnotation id=\"t{number}\"><text>rexflow:\n{annotation}</text></textAnnotation>\
                 <association id=\"a{number}\" sourceRef=\"{id}\" targetRef=\"t{number}\"/>"
            );
            last = id;
        }
        format!(
            "<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\"><process id=\"shop\" isExecutable=\"true\">{nodes}\
             <sequenceFlow id=\"last\" sourceRef=\"{last}\" targetRef=\"e\"/>\
             <textAnnotation id=\"g\"><text>rexflow_global_properties:\n{global}</text></textAnnotation></process></definitions>"
        )
    }

    fn service(host: &str, more: &str) -> String {
        format!("  service:\n    host: {host}\n    port: 80\n    targetPort: 5000\n{more}")
    }

    fn applied(xml: &str) -> (crate::ProcessDefinition, Vec<Workload>) {
        let options = Options { cluster: true, ..Options::default() };
        let definition = check(xml.as_bytes(), &options).unwrap().definitions.remove(0);
        let workloads = workloads(xml.as_bytes(), definition.process.as_str(), &definition.deployment);
        (definition, workloads)
    }

    #[test]
    fn a_deployment_has_a_namespace_of_its_own_and_a_preexisting_service_stays_where_it_is() {
        let collect = service("collect", "    container: img:1\n");
        let sauce = service("sauce", "    namespace: kitchen\n  preexisting: true\n");
        let xml = model("  id: shop\n", &[("a", &collect), ("b", &sauce), ("c", &collect)]);
        let (definition, workloads) = applied(&xml);
        let own = definition.deployment.as_str();
        assert_eq!(workloads.len(), 2, "{workloads:?}");
        assert_eq!(workloads[0].service.as_str(), format!("collect.{own}"));
        assert_eq!((workloads[0].namespace.as_str(), workloads[0].elements.len()), (own, 2));
        assert!(
            matches!(&workloads[0].origin, Origin::Deployed { image, own_namespace: true, .. } if image == "img:1")
        );
        assert_eq!((workloads[1].service.as_str(), &workloads[1].origin), ("sauce.kitchen", &Origin::Preexisting));
        let served: Vec<_> = definition.services().into_keys().map(|it| it.as_str().to_owned()).collect();
        assert_eq!(served, [format!("collect.{own}"), "sauce.kitchen".to_owned()], "the tables name the same");
    }

    #[test]
    fn a_shared_namespace_tells_deployments_apart_by_the_hash_in_the_name() {
        let collect = service("collect", "    container: img:1\n");
        let xml = model("  id: shop\n  namespace_shared: true\n  namespace: pantry\n", &[("a", &collect)]);
        let (definition, workloads) = applied(&xml);
        let hash = definition.deployment.as_str().strip_prefix("shop-").unwrap().to_owned();
        assert_eq!(workloads[0].service.as_str(), format!("collect-{hash}.pantry"));
        assert!(matches!(workloads[0].origin, Origin::Deployed { own_namespace: false, .. }));
    }

    #[test]
    fn what_cannot_be_run_is_refused_in_a_cluster_alone() {
        let nothing = model("  id: shop\n", &[("a", &service("collect", ""))]);
        let cluster = Options { cluster: true, ..Options::default() };
        assert!(check(nothing.as_bytes(), &Options::default()).is_ok());
        let refused = check(nothing.as_bytes(), &cluster).unwrap_err();
        assert!(refused.iter().any(|it| it.message.contains("service.container")), "{refused:?}");
        let one = |image: &str| service("collect", &format!("    container: {image}\n"));
        let two = model("  id: shop\n", &[("a", &one("img:1")), ("b", &one("img:2"))]);
        let refused = check(two.as_bytes(), &cluster).unwrap_err();
        assert!(refused.iter().any(|it| it.message.contains("another host")), "{refused:?}");
    }
}
