//! What became of a swap: `swap`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Show, table};
use crate::exit::Exit;

/// One sidecar that calls the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Sidecar {
    /// Id of its journal.
    pub(crate) incarnation: String,
    pub(crate) hop_address: String,
    /// Name of the service it stands beside.
    pub(crate) service: String,
    /// Where that service is now.
    pub(crate) url: String,
    /// Why the sidecar does not have the new URL yet, which it takes before it takes work again; else empty.
    pub(crate) error: String,
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swap {
    /// The element or service, as named on the command line.
    pub(crate) task: String,
    pub(crate) sidecars: Vec<Sidecar>,
}

impl Swap {
    /// 1 if a sidecar could not be reached.
    pub(crate) fn exit(&self) -> Exit {
        if self.unreached().next().is_none() { Exit::Ok } else { Exit::Error }
    }

    /// Sidecars that do not have the new URL yet.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = &Sidecar> {
        self.sidecars.iter().filter(|sidecar| !sidecar.error.is_empty())
    }
}

impl Show for Swap {
    fn json(&self) -> Value {
        json!({ "task": self.task, "sidecars": self.sidecars })
    }

    fn names(&self) -> Vec<String> {
        self.sidecars.iter().map(|sidecar| format!("sidecar/{}", sidecar.incarnation)).collect()
    }

    fn text(&self, wide: bool, _now: Timestamp) -> String {
        let state = |sidecar: &Sidecar| if sidecar.error.is_empty() { "ok" } else { "error" }.to_owned();
        let sidecars = self.sidecars.iter();
        if wide {
            let rows = sidecars.map(|sidecar| {
                let [address, service, url] = [&sidecar.hop_address, &sidecar.service, &sidecar.url].map(Clone::clone);
                [address, service, url, state(sidecar), sidecar.incarnation.clone(), sidecar.error.clone()]
            });
            return table::render(["SIDECAR", "SERVICE", "URL", "STATUS", "INCARNATION", "ERROR"], rows);
        }
        let rows = sidecars
            .map(|sidecar| [sidecar.hop_address.clone(), sidecar.service.clone(), sidecar.url.clone(), state(sidecar)]);
        table::render(["SIDECAR", "SERVICE", "URL", "STATUS"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn a_swap_in_every_form() {
        let sidecar = |address: &str, error: &str| Sidecar {
            incarnation: format!("incarnation-of-{address}"),
            hop_address: address.into(),
            service: "charge-service".into(),
            url: "http://127.0.0.1:7002/".into(),
            error: error.into(),
        };
        let sidecars = vec![sidecar("127.0.0.1:41001", ""), sidecar("127.0.0.1:41002", "no connection since 12:00")];
        let swap = Swap { task: "charge".into(), sidecars };
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }
}
