//! The deterministic simulation, from the command line: `simulate --seed 7 [--count 1000] [--trace]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flow_tests::simulation::main()
}
