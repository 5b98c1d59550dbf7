//! Tells the tests whether there is an etcd server to run them against: without one they are ignored, and
//! counted as such. `FLOW_REQUIRE_SERVERS` (set by the gate) makes a missing server a failure instead.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(no_etcd_server)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=FLOW_REQUIRE_SERVERS");
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join("etcd").is_file());
    if !found && env::var_os("FLOW_REQUIRE_SERVERS").is_none() {
        println!("cargo::rustc-cfg=no_etcd_server");
    }
}
