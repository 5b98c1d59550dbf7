//! `example-service` as a process: its `ready` line, its answers over HTTP, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_example-service"))
            .args(arguments)
            .env_remove("PORT")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the service starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line of output");
        let address = line.trim().strip_prefix("ready http://").expect("a ready line").to_owned();
        Self { child, output, address }
    }

    /// Status line and body of one request.
    fn send(&self, method: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the service accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
        write!(
            stream,
            "{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the request goes out");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a whole answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn answers_health_and_work() {
    let service = Running::start(&["calc"]);
    assert!(service.send("GET", "").0.starts_with("HTTP/1.1 200"));
    let (head, body) = service.send("POST", r#"{"x":5}"#);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, r#"{"x":5,"result":50}"#);
    assert!(service.send("DELETE", "").0.starts_with("HTTP/1.1 405"));
}

#[test]
fn a_refusal_is_a_problem_document_with_a_code() {
    let service = Running::start(&["payment"]);
    let (head, body) = service.send("POST", r#"{"amount":250}"#);
    assert!(head.starts_with("HTTP/1.1 402"), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(body.contains(r#""code":"CARD_DECLINED""#), "{body}");
}

#[test]
fn a_seed_repeats_the_failures() {
    let statuses = || -> Vec<String> {
        let arguments = ["unreliable-sauce", "--fail-percent", "50", "--seed", "7"];
        let service = Running::start(&arguments);
        (0..20).map(|_| service.send("POST", "{}").0[9..12].to_owned()).collect()
    };
    let first = statuses();
    assert_eq!(first, statuses());
    assert!(first.contains(&"200".to_owned()) && first.contains(&"500".to_owned()), "{first:?}");
}

#[test]
fn ends_cleanly_on_sigterm() {
    let mut service = Running::start(&["echo"]);
    let idle = TcpStream::connect(&service.address).unwrap();
    let pid = service.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // The end of its output is the end of the process: no polling.
    let mut rest = String::new();
    service.output.read_to_string(&mut rest).unwrap();
    assert!(service.child.wait().unwrap().success());
    drop(idle);
}
