//! The benchmark program itself: it runs without the other sides, and says what it left out.

use std::process::Command;

#[test]
fn bench_mesh_measures_the_sides_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench-mesh"))
        .args(["--rounds", "1", "--seconds", "0.2", "--assert"])
        .arg("--bin-dir")
        .arg(folder.path())
        .arg("--data-dir")
        .arg(folder.path())
        .output()
        .unwrap();
    let (figures, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{figures}{notes}");
    let direct: Vec<&str> = figures.lines().filter(|line| line.starts_with("direct")).collect();
    assert_eq!(direct.len(), 2, "at 1 and at 32 in flight: {figures}");
    assert!(figures.contains("PASS every answer is right: 0 were not"), "{figures}");
    assert!(figures.contains("SKIP an idle sidecar holds at most 12 MiB"), "{figures}");
    assert!(notes.contains("without the mesh"), "{notes}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "its data folder is gone");
}
