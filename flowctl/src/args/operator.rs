//! Who does something, and why, for the instance's record.

use clap::Args;

use crate::client::Operator;

/// `--by` and `--reason`.
#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// Who does it, for the record; your user name if nothing is said
    #[arg(long, value_name = "WHO")]
    by: Option<String>,

    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

impl OperatorArgs {
    /// As flowd records it.
    pub(crate) fn operator(self) -> Operator {
        Operator { who: self.by.unwrap_or_else(user), why: self.reason }
    }
}

/// The name of who runs this program, as the system has it.
pub(crate) fn user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default()
}
