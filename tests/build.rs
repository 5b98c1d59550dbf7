//! Tells the tests which real servers there are to run against: without one, its tests are ignored, and counted as such.
//! `FLOW_REQUIRE_SERVERS` (set by the gate) makes a missing server a failure instead. `tests/servers/` installs them.

use std::env;
use std::path::PathBuf;

fn main() {
    for name in ["PATH", "HOME", "FLOW_SERVERS_DIR", "FLOW_REQUIRE_SERVERS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let servers = [
        ("etcd", in_path("etcd")),
        ("nats", in_path("nats-server")),
        ("kafka", in_path("java") && has_kafka()),
        ("prometheus", in_path("prometheus") && in_path("promtool")),
    ];
    for (server, found) in servers {
        println!("cargo::rustc-check-cfg=cfg(no_{server}_server)");
        if !found && env::var_os("FLOW_REQUIRE_SERVERS").is_none() {
            println!("cargo::rustc-cfg=no_{server}_server");
        }
    }
}

/// Where `kafka.sh install` puts it.
fn has_kafka() -> bool {
    let home = || env::var_os("HOME").map(|it| PathBuf::from(it).join(".cache/rexflow-servers"));
    let servers = env::var_os("FLOW_SERVERS_DIR").map(PathBuf::from).or_else(home);
    servers.is_some_and(|it| it.join("kafka/lib/complete").is_file())
}

/// Also where an account that is not root does not look.
fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.any(|folder| folder.join(program).is_file())
}
