//! What each service answers to a payload. Pure: no I/O, and the one random decision (does this
//! call of `unreliable-sauce` fail?) comes in as an argument.
//!
//! In the original's dialect an answer replaces the payload, so every service answers with what it
//! was sent, plus its own key: a chain of services gathers the keys of all of them.

use clap::ValueEnum;
use serde_json::{Map, Number, Value, json};

/// `payment` declines amounts above this one.
const CARD_LIMIT: f64 = 100.0;

/// The services, by the name under which `example-service` starts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Behaviour {
    /// `{"x": 5}` or `5` gives `{"x": 5, "result": 50}`: two times the square.
    Calc,
    /// Adds `"underpants": "Collected."`.
    Collect,
    /// Adds `"sauce": "Applied."`.
    SecretSauce,
    /// Adds `"cashflow": "Positive!"`.
    Profit,
    /// Adds one to `val`.
    Increment,
    /// Takes one from `val`.
    Decrement,
    /// `secret-sauce` that fails now and then with HTTP 500.
    UnreliableSauce,
    /// Adds `"cashflow": "Orz"`.
    Orz,
    /// Answers with what it was sent.
    Echo,
    /// Adds `"payment": "Paid."`; declines an `amount` above 100 with code `CARD_DECLINED`.
    Payment,
}

/// What goes back to the caller.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// 200 with JSON.
    Json(Value),
    /// A status from 400 on with `application/problem+json` (RFC 9457) that carries a code.
    Problem {
        /// The HTTP status.
        status: u16,
        /// The code by which a boundary event can catch it.
        code: &'static str,
        /// One sentence for people.
        title: &'static str,
    },
}

impl Behaviour {
    /// The answer to `body`; `fails` only matters to `unreliable-sauce`. An empty body is `{}`.
    pub(crate) fn answer(self, body: &[u8], fails: bool) -> Answer {
        let payload = if body.iter().all(u8::is_ascii_whitespace) {
            Value::Object(Map::new())
        } else {
            match serde_json::from_slice(body) {
                Ok(payload) => payload,
                Err(_) => return problem(400, "NOT_JSON", "The body is not JSON."),
            }
        };
        match self {
            Self::Calc => calc(&payload),
            Self::Collect => merged(payload, "underpants", "Collected."),
            Self::SecretSauce => merged(payload, "sauce", "Applied."),
            Self::Profit => merged(payload, "cashflow", "Positive!"),
            Self::Increment => added(payload, 1),
            Self::Decrement => added(payload, -1),
            Self::UnreliableSauce if fails => problem(500, "SAUCE_SPILLED", "The sauce was spilled; try again."),
            Self::UnreliableSauce => merged(payload, "sauce", "Applied."),
            Self::Orz => merged(payload, "cashflow", "Orz"),
            Self::Echo => Answer::Json(payload),
            Self::Payment => payment(payload),
        }
    }
}

fn problem(status: u16, code: &'static str, title: &'static str) -> Answer {
    Answer::Problem { status, code, title }
}

/// The object with one more key; anything but an object is the caller's mistake.
fn merged(payload: Value, key: &str, value: &str) -> Answer {
    match payload {
        Value::Object(mut object) => {
            object.insert(key.to_owned(), json!(value));
            Answer::Json(Value::Object(object))
        }
        _ => problem(400, "NOT_AN_OBJECT", "The body is not a JSON object."),
    }
}

fn calc(payload: &Value) -> Answer {
    let x = match payload {
        Value::Number(x) => x,
        Value::Object(object) => match object.get("x") {
            Some(Value::Number(x)) => x,
            _ => {
                return problem(400, "NO_NUMBER", "Send a number, or an object with a number x.");
            }
        },
        _ => {
            return problem(400, "NO_NUMBER", "Send a number, or an object with a number x.");
        }
    };
    match doubled_square(x) {
        Some(result) => Answer::Json(json!({ "x": x, "result": result })),
        None => problem(422, "OUT_OF_RANGE", "The result is too large."),
    }
}

/// 2x², exact as long as it fits an integer; `None` where even a float overflows.
fn doubled_square(x: &Number) -> Option<Number> {
    let exact = x.as_i64().and_then(|x| x.checked_mul(x)?.checked_mul(2));
    match exact {
        Some(result) => Some(result.into()),
        None => x.as_f64().and_then(|x| Number::from_f64(2.0 * x * x)),
    }
}

fn added(payload: Value, step: i64) -> Answer {
    let Value::Object(mut object) = payload else {
        return problem(400, "NOT_AN_OBJECT", "The body is not a JSON object.");
    };
    let sum = match object.get("val") {
        Some(Value::Number(val)) => match val.as_i64().and_then(|val| val.checked_add(step)) {
            Some(sum) => Some(Number::from(sum)),
            None => val.as_f64().and_then(|val| Number::from_f64(val + if step < 0 { -1.0 } else { 1.0 })),
        },
        _ => return problem(400, "NO_NUMBER", "The object has no number val."),
    };
    match sum {
        Some(sum) => {
            object.insert("val".to_owned(), Value::Number(sum));
            Answer::Json(Value::Object(object))
        }
        None => problem(422, "OUT_OF_RANGE", "The result is too large."),
    }
}

fn payment(payload: Value) -> Answer {
    match payload.get("amount").and_then(Value::as_f64) {
        Some(amount) if amount > CARD_LIMIT => problem(402, "CARD_DECLINED", "The card does not cover this amount."),
        Some(amount) if amount > 0.0 => merged(payload, "payment", "Paid."),
        _ => problem(422, "BAD_AMOUNT", "The object has no amount above zero."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(answer: Answer) -> Value {
        match answer {
            Answer::Json(value) => value,
            Answer::Problem { code, .. } => panic!("answered with problem {code}"),
        }
    }

    fn code_of(answer: &Answer) -> (u16, &'static str) {
        match answer {
            Answer::Json(value) => panic!("answered with {value}"),
            Answer::Problem { status, code, .. } => (*status, code),
        }
    }

    #[test]
    fn a_chain_of_services_gathers_all_keys() {
        let mut body = Vec::new();
        for service in [Behaviour::Collect, Behaviour::SecretSauce, Behaviour::Profit] {
            body = json_of(service.answer(&body, false)).to_string().into_bytes();
        }
        let result: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(result, json!({"cashflow": "Positive!", "sauce": "Applied.", "underpants": "Collected."}));
    }

    #[test]
    fn calc_takes_an_object_or_a_bare_number() {
        let expected = json!({"x": 5, "result": 50});
        assert_eq!(json_of(Behaviour::Calc.answer(br#"{"x":5}"#, false)), expected);
        assert_eq!(json_of(Behaviour::Calc.answer(b"5", false)), expected);
        let large = json_of(Behaviour::Calc.answer(b"1e10", false));
        assert_eq!(large["result"].as_f64(), Some(2e20));
        assert_eq!(code_of(&Behaviour::Calc.answer(b"1e200", false)), (422, "OUT_OF_RANGE"));
        assert_eq!(code_of(&Behaviour::Calc.answer(b"\"x\"", false)), (400, "NO_NUMBER"));
    }

    #[test]
    fn increment_and_decrement_keep_the_other_keys() {
        let up = json_of(Behaviour::Increment.answer(br#"{"val":137,"cookie":"c"}"#, false));
        assert_eq!(up, json!({"val": 138, "cookie": "c"}));
        let down = json_of(Behaviour::Decrement.answer(br#"{"val":0}"#, false));
        assert_eq!(down, json!({"val": -1}));
        assert_eq!(code_of(&Behaviour::Increment.answer(b"{}", false)), (400, "NO_NUMBER"));
    }

    #[test]
    fn only_unreliable_sauce_fails() {
        assert_eq!(code_of(&Behaviour::UnreliableSauce.answer(b"{}", true)).0, 500);
        let applied = json!({"sauce": "Applied."});
        assert_eq!(json_of(Behaviour::UnreliableSauce.answer(b"{}", false)), applied);
        assert_eq!(json_of(Behaviour::SecretSauce.answer(b"{}", true)), applied);
    }

    #[test]
    fn payment_declines_with_a_code() {
        let paid = json_of(Behaviour::Payment.answer(br#"{"amount":100}"#, false));
        assert_eq!(paid, json!({"amount": 100, "payment": "Paid."}));
        let declined = Behaviour::Payment.answer(br#"{"amount":100.5}"#, false);
        assert_eq!(code_of(&declined), (402, "CARD_DECLINED"));
        assert_eq!(code_of(&Behaviour::Payment.answer(b"{}", false)), (422, "BAD_AMOUNT"));
        assert_eq!(code_of(&Behaviour::Payment.answer(b"[", false)), (400, "NOT_JSON"));
    }

    #[test]
    fn echo_takes_any_json() {
        assert_eq!(json_of(Behaviour::Echo.answer(b"[1,2]", false)), json!([1, 2]));
    }
}
