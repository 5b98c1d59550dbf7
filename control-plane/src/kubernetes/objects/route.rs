//! Ways in, as routes of the Gateway API: an `HTTPRoute` for each, beside flowd, to flowd's HTTP port.
//!
//! A route matches a way in's exact paths and nothing below them, so a gateway opens nothing else of flowd. Host and path come to flowd as they
//! were asked for; flowd knows by them what they start.

use std::collections::{BTreeMap, BTreeSet};

use bpmn::binding::safe_name;
use routing::Digest;
use serde_json::{Value, json};

use super::{Applied, Key, Kind, Plan};
use crate::ingress::{ANY_HOST, Route};

/// Hosts and paths by the route that leads there.
pub(crate) type Routes = BTreeMap<Key, (String, String)>;

/// The port of flowd's Service that its HTTP is at.
const HTTP_PORT: u16 = 9002;

/// Plans the routes of all deployments, if a gateway is asked for.
pub(super) fn lead(plan: &mut Plan<'_>, applied: &[Applied<'_>]) -> Routes {
    let Some(gateway) = &plan.settings.gateway else { return Routes::new() };
    let mut routes = Routes::new();
    for deployment in applied {
        for route in deployment.ingress {
            let namespace = plan.settings.mesh.clone();
            let name = name(route);
            let hostnames = (route.host != ANY_HOST).then(|| json!([route.host]));
            let paths = route.paths();
            let matches: Vec<Value> = paths.iter().map(|it| json!({"path": {"type": "Exact", "value": it}})).collect();
            let mut body = json!({
                "metadata": plan.metadata(&namespace, &name, Some(&safe_name(deployment.deployment))),
                "spec": {
                    "parentRefs": [{"namespace": gateway.namespace, "name": gateway.name}],
                    "rules": [{
                        "matches": matches,
                        "backendRefs": [{"name": plan.settings.account, "port": HTTP_PORT}],
                    }],
                },
            });
            body["metadata"]["annotations"] = json!({START_EVENT: route.start_event.as_str()});
            if let Some(hostnames) = hostnames {
                body["spec"]["hostnames"] = hostnames;
            }
            plan.add(Kind::HttpRoute, (&namespace, &name), BTreeSet::new(), body);
            routes.insert(Key { kind: Kind::HttpRoute, namespace, name }, route.place());
        }
    }
    routes
}

/// The annotation with the start event that a route leads to.
const START_EVENT: &str = "rexflow.io/start-event";

/// The same for a host and path whoever has them, so that a route that moves to a newer version of its process is never away.
fn name(route: &Route) -> String {
    let digest = Digest::of(format!("{}{}", route.host, route.path).as_bytes()).to_string();
    let host = if route.host == ANY_HOST { "any" } else { &route.host };
    safe_name(&format!("flow-{}-{host}", &digest[..10]))
}

#[cfg(test)]
mod tests {
    use super::super::{Images, Object, Present, plan};
    use super::*;
    use crate::kubernetes::{CONTROL_PORT, Flags, Settings};

    fn settings(gateway: Option<&str>) -> Settings {
        let gateway = gateway.map(|it| it.parse().unwrap());
        Settings::of(&Flags { gateway, ..Flags::default() }, CONTROL_PORT)
    }

    fn route(host: &str, path: &str) -> Route {
        Route::new(host, path, "Start".into()).unwrap()
    }

    fn planned(deployments: &[(&str, &[Route])], settings: &Settings) -> (Vec<Object>, Routes) {
        let edges = BTreeSet::new();
        let applied: Vec<_> = (deployments.iter())
            .map(|(deployment, ingress)| Applied {
                deployment,
                workloads: &[],
                edges: &edges,
                connectors: false,
                ingress,
            })
            .collect();
        let planned = plan(&applied, &Present::new(), &Images::new(), settings);
        (planned.objects, planned.routes)
    }

    #[test]
    fn a_way_in_is_a_route_from_the_gateway_to_flowd_and_opens_its_own_paths_alone() {
        let routes = [route("shop.example", "/orders"), route("*", "/")];
        let (objects, places) = planned(&[("shop-1", &routes)], &settings(Some("edge/main")));
        let of = |place: (&str, &str)| {
            let is = |it: &&Object| places[&it.key] == (place.0.to_owned(), place.1.to_owned());
            &objects.iter().find(is).expect("a route").body
        };
        let orders = of(("shop.example", "/orders"));
        assert_eq!(
            (&orders["apiVersion"], &orders["kind"]),
            (&json!("gateway.networking.k8s.io/v1"), &json!("HTTPRoute"))
        );
        assert_eq!(orders["metadata"]["namespace"], "rexflow", "beside flowd: no grant is needed");
        assert_eq!(orders["metadata"]["labels"]["rexflow.io/deployment"], "shop-1");
        assert_eq!(orders["metadata"]["annotations"]["rexflow.io/start-event"], "Start");
        let matches =
            ["/orders", "/orders/", "/orders/wrapper"].map(|it| json!({"path": {"type": "Exact", "value": it}}));
        let rule = json!({
            "matches": matches,
            "backendRefs": [{"name": "flowd", "port": 9002}],
        });
        let spec = json!({"parentRefs": [{"namespace": "edge", "name": "main"}], "hostnames": ["shop.example"], "rules": [rule]});
        assert_eq!(orders["spec"], spec);
        let any = of(("*", "/"));
        assert!(any["spec"]["hostnames"].is_null(), "{any}");
        assert_eq!(any["spec"]["rules"][0]["matches"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_route_keeps_its_name_in_another_version_and_every_place_has_one_of_its_own() {
        let gateway = settings(Some("edge/main"));
        let key = |deployment, host: &str, path: &str| {
            let (_, places) = planned(&[(deployment, &[route(host, path)])], &gateway);
            places.into_keys().next().expect("a route").name
        };
        assert_eq!(key("shop-1", "shop.example", "/orders"), key("shop-2", "shop.example", "/orders"));
        let names: BTreeSet<String> = [("shop.example", "/orders"), ("shop.example", "/"), ("*", "/orders")]
            .map(|(host, path)| key("shop-1", host, path))
            .into();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(key("shop-1", &format!("{}.example", "x".repeat(200)), "/").len() <= 63);
    }

    #[test]
    fn without_a_gateway_there_is_no_route() {
        let (objects, places) = planned(&[("shop-1", &[route("shop.example", "/orders")])], &settings(None));
        assert_eq!((objects.len(), places.len()), (0, 0));
    }
}
