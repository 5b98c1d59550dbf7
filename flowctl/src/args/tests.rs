use super::*;
use clap::CommandFactory as _;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    let words = shell(line).into_iter().map(std::ffi::OsString::from);
    Cli::try_parse_from(words::settle_output(words))
}

/// Splits at spaces; `'…'` stays one word.
fn shell(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Command lines of the original's scripts.
#[test]
fn command_lines_of_old_scripts_are_understood() {
    for line in [
        "flowctl --flowd_host 10.1.2.3 --flowd_port 9001 --log_level 10 ps",
        "flowctl apply -o order.bpmn",
        "flowctl apply --stopped a.bpmn b.bpmn",
        "flowctl run -o order-1a2b3c4d '{}'",
        "flowctl run order -o '{\"x\": 5}'",
        "flowctl run --stopped -s begin order 42",
        "flowctl run --start_event_id begin order",
        "flowctl ps -k DEPLOYMENT order-1a2b3c4d -o",
        "flowctl ps -d",
        "flowctl ps -o",
        "flowctl start -k INSTANCE order-1a2b3c4d-01",
        "flowctl stop -d --force order-1a2b3c4d",
        "flowctl delete -d order-1a2b3c4d",
        "flowctl probe -o order-1a2b3c4d",
        "flowctl update -o ingress.yaml",
        "flowctl modify order-1 --move a=b --move c=d --data {} --by ann --reason why",
        "flowctl migrate order-1 --to order --map a=b --map c=d --by ann --reason why",
        "flowctl set order-1 --data {} --scope ship --by ann --reason why",
        "flowctl start order-1 --by ann --reason why",
        "flowctl validate --include_kubernetes -o order.bpmn",
        "flowctl run -m '{\"a\": \"b\"}' order",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[cfg(feature = "kubernetes")]
#[test]
fn one_token_is_shown_at_most() {
    for line in ["--kube-token", "--kube-account shop/app", "--token f", "-n mesh --kube-account app"] {
        assert!(parse(&format!("flowctl {line} ps")).is_ok(), "{line}");
    }
    for line in ["--kube-token --token f", "--kube-account a --token f", "--kube-account a --kube-token"] {
        assert!(parse(&format!("flowctl {line} ps")).is_err(), "{line}");
    }
}

#[test]
fn new_command_lines_are_understood() {
    for line in [
        "flowctl run order --wait --timeout 30s -o json",
        "flowctl run order -d @in.json -w",
        "flowctl run order -",
        "flowctl run order -5",
        "flowctl ps -wo json",
        "flowctl ps deployment/order-1a2b3c4d",
        "flowctl describe order-1a2b3c4d",
        "flowctl trace order-1a2b3c4d-01 -o json",
        "flowctl apply -f -",
        "flowctl apply order.bpmn --bind '*=http://127.0.0.1:7000/{type}'",
        "flowctl swap charge --url http://127.0.0.1:7002/ --deployment order-1a2b3c4d",
        "flowctl swap charge --undo",
        "flowctl swap charge --image registry.example/charge:2",
        "flowctl swap charge --service charge-next.shop --weight 10",
        "flowctl swap charge --history",
        "flowctl import camunda7 order.bpmn -o json",
        "flowctl import rexflow order.bpmn -o out.bpmn",
        "flowctl import camunda8 - out.bpmn -o yaml",
        "flowctl version --client",
        "flowctl completion bash",
        "flowctl eval '1 + 1' -d '{}'",
        "flowctl dev examples/underpants --port 0 --http-port 0 --data-dir data",
        "flowctl dev --data-dir data",
        "flowctl ps --flowd_port tcp://10.1.2.3:9001",
        "flowctl ps -n mesh --kubeconfig admin.conf --kube-context prod",
        "flowctl -n mesh ps",
        "flowctl check -n mesh --kube-context prod",
        "flowctl eval x --context '{\"x\":1}'",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    for line in [
        "flowctl",
        "flowctl fly",
        "flowctl ps -d -i",
        "flowctl ps -k pod",
        "flowctl start",
        "flowctl import order.bpmn",
        "flowctl swap charge",
        "flowctl swap charge --undo --url http://x/",
        "flowctl swap charge --image charge:2 --url http://x/",
        "flowctl swap charge --image charge:2 --undo",
        "flowctl swap charge --url http://x/ --weight 10",
        "flowctl swap charge --service x --weight 0",
        "flowctl run",
        "flowctl run order '{}' -d '{}'",
        "flowctl run order --timeout 30s",
        "flowctl ps -o=xml",
        "flowctl ps --flowd_port x",
    ] {
        assert!(parse(line).is_err(), "{line} was understood");
    }
}

#[test]
fn the_word_after_o_is_a_form_or_an_argument() {
    let format = |line: &str| match parse(line).map(|cli| cli.verb) {
        Ok(Verb::Run(run)) => run.format(),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(format("flowctl run -o order '{}'"), Some(Format::Original));
    assert_eq!(format("flowctl run order '{}' -o"), Some(Format::Original));
    assert_eq!(format("flowctl run order '{}' -o json"), Some(Format::Json));
    assert_eq!(format("flowctl run order '{}'"), None);
}

/// The lines of the documentation's blocks that begin with `flowctl`, without their comments.
fn documented() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md")];
    for folder in ["docs", "examples"] {
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "md") {
                    files.push(path);
                }
            }
        }
    }
    let mut lines = Vec::new();
    for file in files {
        let (text, mut block) = (std::fs::read_to_string(&file).unwrap(), false);
        for line in text.lines() {
            let line = line.trim_start();
            if line.starts_with("```") {
                block = !block;
            } else if block && line.starts_with("flowctl ") && !line.contains('─') {
                let line = line.split(" #").next().unwrap_or_default().trim_end();
                lines.push((file.display().to_string(), line.to_owned()));
            }
        }
    }
    lines
}

#[test]
fn every_command_of_the_documentation_is_understood() {
    let lines = documented();
    assert!(lines.len() > 15, "{lines:?}");
    for (file, line) in lines {
        if let Err(error) = parse(&line) {
            panic!("{file}: {line}: {error}");
        }
    }
}

#[cfg(feature = "kubernetes")]
#[test]
fn what_was_said_decides_where_to_look_for_flowd() {
    let host = |host: &str| Flowd { flowd_host: Some(host.to_owned()), ..Flowd::default() };
    let port = |port: &str| Flowd { flowd_port: port.parse().ok(), ..Flowd::default() };
    let mesh = |mesh: Mesh| Flowd { mesh, ..Flowd::default() };
    let prod = Mesh { namespace: Some("prod".to_owned()), ..Mesh::default() };
    let context = Mesh { context: Some("prod".to_owned()), ..Mesh::default() };
    let kubeconfig = Mesh { kubeconfig: Some("admin.conf".into()), ..Mesh::default() };
    let localhost = Address::new(None, None);
    let cases = [
        (Flowd::default(), Look::Around(localhost.clone())),
        (host(""), Look::Around(localhost.clone())),
        (port("9001"), Look::At(localhost.clone())),
        (port("tcp://10.1.2.3:9001"), Look::At(Address::new(Some("10.1.2.3"), None))),
        (host("flowd.mesh"), Look::At(Address::new(Some("flowd.mesh"), None))),
        (Flowd { mesh: prod.clone(), ..host("flowd.mesh") }, Look::At(Address::new(Some("flowd.mesh"), None))),
        (Flowd { tls_ca: Some("ca.pem".into()), ..Flowd::default() }, Look::At(localhost)),
        (mesh(prod), Look::Cluster),
        (mesh(context), Look::Cluster),
        (mesh(kubeconfig), Look::Cluster),
    ];
    for (said, wanted) in cases {
        assert_eq!(said.look(), wanted, "{said:?}");
    }
}
