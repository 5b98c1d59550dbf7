//! Real models: those of the original, where `REXFLOW_MODELS` says they are.

use std::path::PathBuf;

use flow_bpmn::{Options, check, parse};

#[test]
#[ignore = "needs the original's models: REXFLOW_MODELS=FOLDER cargo test -p flow-bpmn -- --ignored"]
fn the_originals_models_are_read_and_judged() {
    let folder = std::env::var_os("REXFLOW_MODELS").map(PathBuf::from).expect("REXFLOW_MODELS names a folder");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "bpmn"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no models", folder.display());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let xml = std::fs::read(&file).unwrap();
        let options = Options::default();
        parse(&xml, options.limits).unwrap_or_else(|it| panic!("{name}: {it}"));
        let findings = match check(&xml, &options) {
            Ok(checked) => {
                println!("{name}: accepted as {}", checked.definitions[0].deployment);
                checked.warnings
            }
            Err(findings) => {
                println!("{name}: refused");
                let accounted = ["annotation-unsupported", "event-reference-missing", "missing-incoming"];
                for finding in findings.iter().filter(|it| it.is_error()) {
                    assert!(accounted.contains(&finding.rule), "{name}: {finding}");
                }
                findings
            }
        };
        for finding in findings {
            println!("  {finding}");
        }
    }
}
