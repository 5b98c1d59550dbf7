//! The Gateway that ways in are reached through.

use serde_json::Value;

use super::super::{Verdict, Wrong, line};
use crate::cluster::{Cluster, Error, text};
use crate::install::kinds::GATEWAY_API;
use crate::output::check::Finding;

/// It is there, and whoever makes gateways of its class has made it.
pub(super) async fn look(cluster: &Cluster, (namespace, name): &(String, String)) -> Finding {
    let found = cluster.get(&format!("/apis/{GATEWAY_API}/v1/namespaces/{namespace}/gateways/{name}")).await;
    line("gateway", format!("gateway {namespace}/{name} takes requests"), is_programmed(found, namespace, name))
}

pub(super) fn is_programmed(found: Result<Option<Value>, Error>, namespace: &str, name: &str) -> Verdict {
    let Some(gateway) = found? else {
        return Err(Wrong::failed(
            "it is not there: nobody outside reaches what `flowctl update` has exposed",
            "make it, name another one with --set gateway.namespace=X,gateway.name=Y, or let the chart make it with --set gateway.create=true",
        ));
    };
    let conditions = gateway["status"]["conditions"].as_array().into_iter().flatten();
    let conditions = conditions.filter(|it| ["Accepted", "Programmed"].contains(&text(&it["type"])));
    let (fine, wrong): (Vec<&Value>, Vec<&Value>) = conditions.partition(|it| it["status"] == "True");
    let fix = format!("kubectl -n {namespace} describe gateway {name}");
    match (wrong.first(), fine.len()) {
        (Some(wrong), _) => {
            let said = format!("{} is {}: {}", text(&wrong["type"]), text(&wrong["reason"]), text(&wrong["message"]));
            Err(Wrong::warning(said, fix))
        }
        (None, 2) => {
            let addresses = gateway["status"]["addresses"].as_array().into_iter().flatten();
            Ok(addresses.map(|it| text(&it["value"])).collect::<Vec<_>>().join(", "))
        }
        (None, _) => {
            let class = text(&gateway["spec"]["gatewayClassName"]);
            Err(Wrong::failed(format!("nobody has made it: no controller looks after the class {class:?}"), fix))
        }
    }
}
