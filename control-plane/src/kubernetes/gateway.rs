//! The Gateway that leads requests from outside to the ways in of deployments, and what it says of their routes. Pure: no API server is asked.
//!
//! Each way in is an `HTTPRoute` in flowd's namespace that names the Gateway as its parent; the Gateway's controller writes into its status whether
//! it takes it. Whose Gateway that is, and whether it is there at all, is not ours to know: a route that nobody takes says so.

use std::str::FromStr;

use serde_json::Value;

use crate::ingress::Lead;

/// A Gateway of the Gateway API, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where it is.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
}

impl FromStr for Gateway {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} names no Gateway: write NAMESPACE/NAME")),
        }
    }
}

impl std::fmt::Display for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Lead {
    /// Where no Gateway is named.
    pub(crate) fn none() -> Self {
        let message =
            "no gateway leads here: name one with the chart's gateway.name, or lead the host to flowd's HTTP port";
        Self { gateway: String::new(), message: message.to_owned() }
    }

    /// Where the route could not be written.
    pub(crate) fn failed(gateway: &Gateway, why: &str) -> Self {
        Self { gateway: gateway.to_string(), message: why.to_owned() }
    }

    /// What the status of a route says; `object` is all of it, or nothing if it was not seen yet.
    pub(crate) fn seen(gateway: &Gateway, object: &Value) -> Self {
        Self { gateway: gateway.to_string(), message: refusal(gateway, object).unwrap_or_default() }
    }
}

/// Why the Gateway does not lead there, if it does not.
fn refusal(gateway: &Gateway, object: &Value) -> Option<String> {
    let ours = |it: &&Value| {
        let parent = &it["parentRef"];
        let namespace = parent["namespace"].as_str().or(object["metadata"]["namespace"].as_str());
        parent["name"] == gateway.name.as_str() && namespace == Some(&gateway.namespace)
    };
    let parents = object["status"]["parents"].as_array().into_iter().flatten().filter(ours);
    let told = parents.map(|it| refused(it, object["metadata"]["generation"].as_i64()));
    match told.min_by_key(Option::is_some) {
        Some(told) => told,
        None => {
            let Gateway { namespace, name } = gateway;
            Some(format!(
                "no gateway has taken it yet: `kubectl -n {namespace} get gateway {name}` must show one that is programmed"
            ))
        }
    }
}

/// What one controller has against it.
fn refused(parent: &Value, generation: Option<i64>) -> Option<String> {
    let conditions = parent["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for wanted in ["Accepted", "ResolvedRefs"] {
        let current = |it: &&Value| it["type"] == wanted && it["observedGeneration"].as_i64() >= generation;
        match conditions.iter().find(current) {
            Some(it) if it["status"] == "True" => {}
            Some(it) => {
                let said = |name: &str| it[name].as_str().unwrap_or_default();
                return Some(format!(
                    "the gateway does not take it: {wanted} is {}: {}",
                    said("reason"),
                    said("message")
                ));
            }
            None => return Some(format!("the gateway has not said yet whether it is {wanted}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gateway() -> Gateway {
        "edge/main".parse().unwrap()
    }

    fn route(parents: &Value) -> Value {
        json!({"metadata": {"namespace": "rexflow", "generation": 2}, "status": {"parents": parents}})
    }

    fn condition(kind: &str, status: &str, observed: u64) -> Value {
        json!({"type": kind, "status": status, "observedGeneration": observed, "reason": "NotAllowedByListeners", "message": "not from there"})
    }

    #[test]
    fn a_gateway_is_named_with_its_namespace() {
        assert_eq!(gateway().to_string(), "edge/main");
        for wrong in ["", "main", "/main", "edge/", "a/b/c"] {
            assert!(wrong.parse::<Gateway>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_route_leads_there_once_its_gateway_says_so_of_what_it_is_now() {
        let parent = |accepted: Value, resolved: Value| {
            let lead = json!({"parentRef": {"namespace": "edge", "name": "main"}, "conditions": [accepted, resolved]});
            Lead::seen(&gateway(), &route(&json!([lead]))).message
        };
        let fine = |kind| condition(kind, "True", 2);
        assert_eq!(parent(fine("Accepted"), fine("ResolvedRefs")), "");
        let refused = parent(condition("Accepted", "False", 2), fine("ResolvedRefs"));
        assert!(refused.contains("Accepted is NotAllowedByListeners: not from there"), "{refused}");
        assert!(parent(fine("Accepted"), condition("ResolvedRefs", "False", 2)).contains("ResolvedRefs is"));
        assert!(
            parent(condition("Accepted", "True", 1), fine("ResolvedRefs")).contains("not said yet"),
            "of an older one"
        );
    }

    #[test]
    fn what_no_gateway_or_another_one_has_taken_does_not_lead_there() {
        let other = json!([{"parentRef": {"name": "main"}, "conditions": [condition("Accepted", "True", 2)]}]);
        for parents in [json!(null), json!([]), other] {
            let message = Lead::seen(&gateway(), &route(&parents)).message;
            assert!(message.contains("kubectl -n edge get gateway main"), "{parents}: {message}");
        }
        let two = json!([
            {"parentRef": {"namespace": "edge", "name": "main"}, "conditions": [condition("Accepted", "False", 2)]},
            {"parentRef": {"namespace": "edge", "name": "main"}, "conditions": [condition("Accepted", "True", 2), condition("ResolvedRefs", "True", 2)]},
        ]);
        assert_eq!(Lead::seen(&gateway(), &route(&two)).message, "", "one controller of several is enough");
    }
}
