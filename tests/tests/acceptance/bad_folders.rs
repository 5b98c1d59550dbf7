//! Ports in use, folders that cannot be written, damaged journals and stores: flowd and sidecars say what is wrong,
//! with which file, and what to do; they never go on as if nothing were.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flow_tests::harness::{Mesh, Model, Process, Programs, Service, free_port};
use serde_json::json;
use tokio::process::Command;

fn flowd(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(Programs::get().flowd());
    command.arg("--data-dir").arg(folder).args(["--port", &port.to_string(), "--http-port", "0"]);
    command
}

fn sidecar(folder: &Path, hop: &str) -> Command {
    let mut command = Command::new(Programs::get().sidecar());
    command.args(["--flowd", "127.0.0.1:9", "--serve", "task=http://127.0.0.1:9", "--hop", hop, "--data-dir"]);
    command.arg(folder);
    command
}

/// It does not start, and says all of `words`.
async fn assert_refuses(name: &str, command: Command, words: &[&str]) {
    let mut process = Process::spawn(name, command);
    let status = process.ended().await;
    assert!(!status.success(), "{name} ended with {status}");
    // Its output is read by a task of its own, which may be a moment behind.
    let said = flow_tests::harness::eventually("what it says", flow_tests::harness::PATIENCE, async || {
        let said = process.stderr();
        if words.iter().all(|word| said.contains(word)) { Ok(said) } else { Err(format!("{words:?} in {said:?}")) }
    })
    .await;
    assert!(!said.contains("panicked"), "{said}");
    assert!(!process.stdout().contains("ready"));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    assert_refuses("flowd", flowd(folder.path(), address.port()), &[&port, "in use", "--port"]).await;
    let hop = address.to_string();
    assert_refuses("flow-sidecar", sidecar(folder.path(), &hop), &[&port, "in use", "--hop"]).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A file where a folder should be: also root, who may write everywhere, cannot use it.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let inside = file.join("data");
    let name = file.display().to_string();
    assert_refuses("flowd", flowd(&inside, 0), &[&name, "--data-dir"]).await;
    assert_refuses("flow-sidecar", sidecar(&inside, "127.0.0.1:0"), &[&name]).await;

    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_err() {
        let name = closed.display().to_string();
        assert_refuses("flowd", flowd(&closed, 0), &[&name, "--data-dir"]).await;
        assert_refuses("flow-sidecar", sidecar(&closed, "127.0.0.1:0"), &[&name]).await;
    }
}

#[tokio::test]
async fn a_folder_in_use_is_named() {
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", "http://127.0.0.1:9")]).await;
    assert_refuses("flowd", flowd(&mesh.flowd_folder(), 0), &["in use by another process", "--data-dir"]).await;
    let folder = mesh.sidecars[0].folder().to_owned();
    assert_refuses("flow-sidecar", sidecar(&folder, "127.0.0.1:0"), &["in use by another process"]).await;
}

/// Files below a folder whose name passes, largest first.
fn files(folder: &Path, passes: impl Fn(&str) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, passes));
        } else if passes(&path.file_name().unwrap().to_string_lossy()) {
            found.push(path);
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().len()));
    found
}

/// Turns around the bytes of a file where `wanted` stands first.
fn damage(file: &Path, wanted: &[u8]) -> bool {
    let mut content = Vec::new();
    let mut opened = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    opened.read_to_end(&mut content).unwrap();
    let Some(at) = content.windows(wanted.len()).position(|bytes| bytes == wanted) else { return false };
    opened.seek(SeekFrom::Start(at as u64)).unwrap();
    opened.write_all(&wanted.iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
    true
}

#[tokio::test]
async fn a_damaged_journal_record_is_named_and_quarantine_goes_on() {
    let service = Service::adding("done", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &service.url())]).await;
    let id = mesh.deploy(Model::row("journal", &["task"]).xml()).await;
    mesh.complete(&id, &json!({"mark": "the-first-record"})).await;
    for n in 0..20 {
        mesh.complete(&id, &json!({"n": n})).await;
    }
    mesh.sidecars[0].process.kill().await;
    let folder = mesh.sidecars[0].folder().to_owned();
    let damaged = files(&folder, |_| true).into_iter().find(|file| damage(file, b"the-first-record"));
    let damaged = damaged.expect("the payload of a token is in the journal");

    let name = damaged.file_name().unwrap().to_string_lossy().into_owned();
    assert_refuses("flow-sidecar", sidecar(&folder, "127.0.0.1:0"), &["damaged", &name, "at byte", "quarantine"]).await;
    let mut command = sidecar(&folder, "127.0.0.1:0");
    command.arg("--quarantine");
    Process::start("flow-sidecar", command).await.terminate().await;
}

#[tokio::test]
async fn a_damaged_store_is_named_and_flowd_does_not_begin_an_empty_one() {
    let service = Service::adding("done", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &service.url())]).await;
    let id = mesh.deploy(Model::row("store", &["task"]).xml()).await;
    mesh.complete(&id, &json!({})).await;
    assert!(mesh.flowd.terminate().await.success());
    let store =
        files(&mesh.flowd_folder(), |name| name == "store.redb").into_iter().next().expect("the store has a file");
    let length = std::fs::metadata(&store).unwrap().len();
    let whole = std::fs::read(&store).unwrap();
    // Nothing of a store: its very beginning overwritten.
    let mut broken = whole.clone();
    broken[..512].fill(0xa5);
    std::fs::write(&store, &broken).unwrap();
    let name = store.file_name().unwrap().to_string_lossy().into_owned();
    assert_refuses("flowd", flowd(&mesh.flowd_folder(), 0), &["damaged", &name, "backup"]).await;
    // Cut off.
    std::fs::write(&store, &whole[..(length / 3) as usize]).unwrap();
    assert_refuses("flowd", flowd(&mesh.flowd_folder(), 0), &["damaged", &name]).await;
    // Put back, everything is there.
    std::fs::write(&store, &whole).unwrap();
    mesh.start_flowd_again().await;
    assert_eq!(mesh.instances().await.len(), 1);
    mesh.until_deployment(&id, "RUNNING").await;
}

#[tokio::test]
async fn a_port_of_zero_is_told_in_the_ready_line() {
    let folder = tempfile::tempdir().unwrap();
    let flowd = Process::start("flowd", flowd(folder.path(), 0)).await;
    for name in ["grpc", "http"] {
        let address: std::net::SocketAddr = flowd.ready_value(name).parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    }
    let mut sidecar = sidecar(&folder.path().join("sidecar"), "127.0.0.1:0");
    sidecar.args(["--flowd", &format!("127.0.0.1:{}", free_port())]);
    drop(sidecar);
}
