//! The benchmark program; see `flow_tests::bench` and `tests/bench/README.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flow_tests::bench::main()
}
