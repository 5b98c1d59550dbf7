use serde_json::json;

use super::*;

fn asked(files: &[&str], set: &[&str], before: Value) -> anyhow::Result<Value> {
    let own = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    ValuesArgs { files: own(files), set: own(set) }.over(before)
}

#[test]
fn later_values_go_over_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, "replicas: 2\nstore: {etcd: 'etcd://a:1/x'}\nresources: {limits: {memory: 2Gi}}\n").unwrap();
    let file = file.display().to_string();
    let asked =
        asked(&[&file], &["replicas=3,log.level=debug"], json!({"traces": "http://j:4317", "replicas": 1})).unwrap();
    let all = complete(&asked).unwrap();
    assert_eq!(
        (&all["replicas"], &all["store"]["etcd"], &all["log"]["level"]),
        (&json!(3), &json!("etcd://a:1/x"), &json!("debug"))
    );
    assert_eq!(all["traces"], "http://j:4317", "what was asked for before stays");
    assert_eq!(all["store"]["persistence"]["size"], "8Gi", "defaults stay");
    assert_eq!(all["resources"]["limits"]["memory"], "2Gi");
}

#[test]
fn a_value_that_the_schema_does_not_know_is_named() {
    let asked = asked(&[], &["replicas=0", "stoer.etcd=x"], json!({})).unwrap();
    let error = complete(&asked).unwrap_err().to_string();
    assert!(error.contains("replicas: 0 is less than the minimum of 1"), "{error}");
    assert!(error.contains("'stoer'"), "{error}");
}

#[test]
fn a_file_that_is_no_object_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for text in ["- a\n", "a: [\n"] {
        std::fs::write(&file, text).unwrap();
        assert!(asked(&[&file.display().to_string()], &[], json!({})).is_err(), "{text}");
    }
}

#[test]
fn what_was_asked_for_is_kept_beside_flowd() {
    let flowd = json!({"metadata": {"annotations": {VALUES: "{\"replicas\":2}"}}});
    assert_eq!(kept(&flowd), json!({"replicas": 2}));
    assert_eq!(kept(&json!({"metadata": {}})), json!({}));
}
