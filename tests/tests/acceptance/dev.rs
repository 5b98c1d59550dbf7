//! `flowctl dev`: everything in one process, as the README has it.

use flow_tests::harness::{Flowctl, Model, PATIENCE, Process, Service, Signal, eventually, free_port};
use serde_json::{Value, json};

/// `flowctl dev WORDS` on ports of its own, ready.
struct Dev {
    process: Process,
    flowctl: Flowctl,
    http: u16,
}

impl Dev {
    async fn start(words: &[&str]) -> Self {
        let (port, http) = (free_port(), free_port());
        let flowctl = Flowctl::new(port);
        let ports = ["--port", &port.to_string(), "--http-port", &http.to_string()].map(str::to_owned);
        let mut all = vec!["dev"];
        all.extend(words);
        all.extend(ports.iter().map(String::as_str));
        let process = Process::start("dev", flowctl.command(&all)).await;
        Self { process, flowctl, http }
    }

    async fn complete(&self, id: &str, payload: &Value) -> Value {
        let words = ["run", id, &payload.to_string(), "--wait", "--timeout", "60s", "-o", "json"];
        self.flowctl.json(&words).await
    }
}

#[tokio::test]
async fn dev_says_ready_once_and_a_star_binds_every_type() {
    let service = Service::adding("done", true).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.bpmn");
    std::fs::write(&file, Model::row("two", &["one", "other"]).xml()).unwrap();
    let bind = format!("*={}/{{type}}", service.url());
    let mut dev = Dev::start(&[&file.display().to_string(), "--bind", &bind]).await;
    assert_eq!(dev.complete("two", &json!({"n": 1})).await["result"], json!({"n": 1, "done": true}));
    let paths: Vec<String> = service.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/one", "/other"]);
    let url = format!("http://127.0.0.1:{}/start/two?wait=30s", dev.http);
    let reply = flow_tests::harness::post(&url, &[], &json!({})).await.unwrap();
    assert_eq!((reply.status, reply.json()), (200, json!({"done": true})));
    let said = dev.process.stdout();
    assert_eq!(said.lines().filter(|line| line.starts_with("ready")).count(), 1, "{said}");

    // Sidecars come with apply and go with delete, while it runs.
    let more = folder.path().join("more.bpmn");
    std::fs::write(&more, Model::row("more", &["later"]).xml()).unwrap();
    let more = more.display().to_string();
    dev.flowctl.run(&["apply", &more, "--bind", &bind]).await.expect_code(0);
    eventually("the new deployment to run", PATIENCE, async || {
        let ran = dev.flowctl.run(&["run", "more", "{}", "--wait", "-o", "json"]).await;
        if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
    })
    .await;
    assert_eq!(service.calls().last().unwrap().path, "/later");
    assert!(dev.process.terminate().await.success(), "it ends cleanly on SIGTERM");
}

#[tokio::test]
async fn dev_applies_a_file_again_when_it_changes_and_ends_cleanly_on_sigint() {
    let service = Service::adding("done", true).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edited.bpmn");
    let model = Model::row("edited", &["task"]).xml();
    std::fs::write(&file, &model).unwrap();
    let bind = format!("task={}", service.url());
    let mut dev = Dev::start(&[&file.display().to_string(), "--bind", &bind]).await;
    let deployments = async || dev.flowctl.json(&["ps", "-d", "-o", "json"]).await.as_array().unwrap().len();
    assert_eq!(deployments().await, 1);
    // A model that is broken while it is edited replaces nothing.
    std::fs::write(&file, "<broken").unwrap();
    eventually("the finding to be told", PATIENCE, async || {
        let said = dev.process.stderr();
        if said.contains("truncated") || said.contains("not-xml") { Ok(()) } else { Err(said) }
    })
    .await;
    assert_eq!(deployments().await, 1);
    std::fs::write(&file, model.replace("name=\"task\"", "name=\"renamed\"")).unwrap();
    eventually("the second deployment", PATIENCE, async || {
        let count = deployments().await;
        if count == 2 { Ok(()) } else { Err(format!("{count} deployments")) }
    })
    .await;
    eventually("the newest to run", PATIENCE, async || {
        let ran = dev.flowctl.run(&["run", "edited", "{}", "--wait", "-o", "json"]).await;
        if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
    })
    .await;
    dev.process.signal(Signal::INT);
    assert!(dev.process.ended().await.success(), "it ends cleanly on SIGINT");
}

#[tokio::test]
async fn dev_without_files_goes_on_with_what_its_folder_holds() {
    let mut service = Service::adding("done", true).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.bpmn");
    std::fs::write(&file, Model::row("kept", &["task"]).xml()).unwrap();
    let data = folder.path().join("data").display().to_string();
    let bind = format!("task={}", service.url());
    let mut dev = Dev::start(&[&file.display().to_string(), "--bind", &bind, "--data-dir", &data]).await;
    let before = dev.complete("kept", &json!({"n": 1})).await;
    service.stop().await;
    let started = dev.flowctl.json(&["run", "kept", r#"{"n":2}"#, "-o", "json"]).await;
    dev.process.kill().await;

    let mut dev = Dev::start(&["--data-dir", &data]).await;
    let kept = dev.flowctl.json(&["ps", "-i", before["id"].as_str().unwrap(), "-o", "json"]).await;
    assert_eq!(kept, json!([before]), "what was completed is told as before");
    service.resume().await;
    let id = started["id"].as_str().unwrap();
    let result = eventually("the waiting instance to complete", PATIENCE, async || {
        let instance = dev.flowctl.json(&["ps", "-i", id, "-o", "json"]).await[0].clone();
        if instance["state"] == "COMPLETED" { Ok(instance["result"].clone()) } else { Err(instance.to_string()) }
    });
    assert_eq!(result.await, json!({"n": 2, "done": true}));
    assert_eq!(dev.complete("kept", &json!({"n": 3})).await["result"], json!({"n": 3, "done": true}));
    assert!(dev.process.terminate().await.success());

    let nothing = Flowctl::new(1).run(&["dev"]).await.expect_code(2);
    nothing.says(&["--data-dir"]);
}
