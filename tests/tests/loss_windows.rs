//! `docs/loss-windows.md` is true as far as this can be read: every place where the original lost something is there, with tests that exist.

use std::path::Path;

/// Places where the original lost something.
const WINDOWS: usize = 15;

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn exists(root: &Path, test: &str) -> bool {
    let Some((file, name)) = test.split_once("::") else { return false };
    let places = [root.join("tests/tests").join(file), root.join(file)];
    let source = places.iter().find_map(|it| std::fs::read_to_string(it).ok());
    source.is_some_and(|it| it.contains(&format!("fn {name}(")))
}

#[test]
fn each_window_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/loss-windows.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|it| it.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), WINDOWS, "{rows:#?}");
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, _, evidence] = cells[..] else { panic!("not three cells: {row}") };
        if quoted(evidence).next().is_none() {
            wrong.push(format!("{what}: names no test"));
        }
        wrong.extend(quoted(evidence).filter(|it| !exists(&root, it)).map(|it| format!("{what}: there is no {it}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
