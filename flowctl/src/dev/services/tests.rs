use super::*;

/// A server in shell is not to be had on every machine, so this very test program serves as one.
const SERVE: &str = "FLOWCTL_TEST_SERVE";

/// Not a test of its own: the service that the tests below start.
#[test]
fn a_process_that_listens() {
    if std::env::var_os(SERVE).is_none() {
        return;
    }
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        drop(stream);
    }
}

fn folder(command: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("services:\n  - name: echo\n    command: {command}\n    env: {{{SERVE}: '1'}}\n{more}");
    std::fs::write(folder.path().join(FILE), text).unwrap();
    folder
}

fn own_program() -> String {
    let program = std::env::current_exe().unwrap();
    format!("['{}', dev::services::tests::a_process_that_listens, --exact, --nocapture]", program.display())
}

#[tokio::test]
async fn a_service_accepts_connections_until_it_is_stopped() {
    let folder = folder(&own_program(), "    bind: [a, b]\n    path: /run\n");
    let mut services = Services::start(folder.path()).await.unwrap();
    let url = services.bindings()["a"].clone();
    assert_eq!(services.bindings()["b"], url);
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/run")).unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap();
    services.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_service_that_ends_at_once_is_named() {
    let folder = folder("[sh, -c, 'exit 7']", "");
    let error = Services::start(folder.path()).await.expect_err("it cannot be ready");
    let message = format!("{error:#}");
    assert!(message.contains("`echo`") && message.contains("exit code 7"), "{message}");
}

#[tokio::test]
async fn a_service_that_never_listens_is_named() {
    let folder = folder("[sh, -c, 'sleep 600 & wait']", "    ready_timeout: 0\n");
    let error = Services::start(folder.path()).await.expect_err("it cannot be ready");
    assert!(format!("{error:#}").contains("does not accept connections"), "{error:#}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let folder = folder("[./no-such-program]", "");
    let error = Services::start(folder.path()).await.expect_err("it cannot start");
    assert!(format!("{error:#}").contains("no-such-program"), "{error:#}");
}

#[tokio::test]
async fn a_folder_without_the_file_has_no_services() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Services::start(folder.path()).await.unwrap().bindings().is_empty());
}
