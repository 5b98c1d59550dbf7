//! Evaluates expressions for the tables of the other modules.

use flow_feel as feel;

/// The moment all cases are evaluated at: 2024-05-17T12:34:56Z.
pub(crate) fn env() -> feel::Env {
    feel::Env::at("2024-05-17T12:34:56Z".parse().expect("a timestamp"))
}

/// What an expression answers over JSON variables.
pub(crate) fn evaluate(source: &str, variables: &serde_json::Value) -> feel::Evaluated {
    let expression = feel::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    expression.evaluate(variables, &env()).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// Checks a table: each expression and the JSON of its value.
pub(crate) fn table(variables: serde_json::Value, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (source, expected) in cases {
        let expected: serde_json::Value =
            serde_json::from_str(expected).unwrap_or_else(|error| panic!("{source}: expected {expected}: {error}"));
        let found = match feel::parse(source) {
            Ok(expression) => expression
                .evaluate(&variables, &env())
                .map(|evaluated| evaluated.value.to_json())
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if found.as_ref() != Ok(&expected) {
            wrong.push(format!("{source}\n   expected {expected}\n   found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Checks a table of expressions without variables.
pub(crate) fn constants(cases: &[(&str, &str)]) {
    table(serde_json::json!({}), cases);
}
