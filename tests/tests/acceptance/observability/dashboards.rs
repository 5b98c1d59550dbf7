//! The dashboards and alert rules of the chart, as files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

/// Where the chart has them.
pub(super) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/istio/observability"))
}

/// A query of a panel or of a rule, and where it stands.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) place: String,
    pub(super) expression: String,
}

/// The dashboards by file name.
fn dashboards() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "json"));
    let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(path))).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every query of every panel, with Grafana's variables as written.
pub(super) fn panels() -> Vec<Query> {
    let mut all = Vec::new();
    for (file, board) in dashboards() {
        for panel in list(&board["panels"]) {
            for target in list(&panel["targets"]) {
                let place =
                    format!("{file}: {} {}", panel["title"].as_str().unwrap(), target["refId"].as_str().unwrap());
                all.push(Query { place, expression: target["expr"].as_str().unwrap().to_owned() });
            }
        }
    }
    all
}

#[test]
fn panels_say_what_they_show_in_which_unit() {
    let boards = dashboards();
    let uids: BTreeSet<&str> = boards.iter().map(|(_, board)| board["uid"].as_str().unwrap()).collect();
    assert_eq!(uids, BTreeSet::from(["rexflow-overview", "rexflow-workflow"]));
    for (file, board) in &boards {
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for panel in list(&board["panels"]) {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: the id of {title} is taken");
            if panel["type"] == "row" {
                continue;
            }
            assert!(titles.insert(title), "{file}: two panels {title}");
            let text = panel["description"].as_str().unwrap_or_default();
            assert!(text.ends_with('.'), "{file}: {title} has no description");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{file}: {title} has no unit");
            let targets = list(&panel["targets"]);
            assert!(!targets.is_empty(), "{file}: {title} shows nothing");
            for target in targets {
                assert!(
                    !target["legendFormat"].as_str().unwrap_or_default().is_empty(),
                    "{file}: {title} has no legend"
                );
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{file}: {title}");
            }
            let place = &panel["gridPos"];
            assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{file}: {title} is too wide");
        }
    }
}
