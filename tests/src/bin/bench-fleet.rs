//! flowd with a thousand sidecars; see `flow_tests::bench::fleet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flow_tests::bench::fleet::main()
}
