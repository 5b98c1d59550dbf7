//! The decision of a task that is a connector: its error expression speaks first, at every attempt; else 2xx is a result and everything
//! else a failed attempt.

use serde_json::Value;

use super::{Activation, Activity, Effect, complete, incident, kept, leave};
use crate::connector::{self, Ended, Verdict};
use crate::evaluate::Variables;
use crate::failure::{Failure, FailureCode, Resume};
use crate::mapping::Answer;
use crate::payload::Payload;
use crate::table::Connector;
use crate::token::Token;

/// The code of an error without a response, as connectors have it: the status that stands for a time-out.
const NO_RESPONSE: &str = "408";

impl Activation<'_> {
    pub(super) fn responded(&self, activity: &Activity, connector: &Connector, answer: &Answer) -> Vec<Effect> {
        let response = answer.payload.to_json().unwrap_or_default();
        let called = answer.called.clone().unwrap_or_default();
        let ended = match answer.status {
            200..=299 => Ended::Well(&response),
            status => Ended::Badly { code: status.to_string(), message: &called.reason, response: Some(&response) },
        };
        let verdict = match self.judged(activity, connector, &ended) {
            Ok(verdict) => verdict,
            // it has answered: what is repeated is what is made of the answer, unless that was no success
            Err(why) => return self.unjudged(activity, &why, answer),
        };
        match (verdict, &ended) {
            (Verdict::Usual, Ended::Well(_)) => {
                let answered = (&answer.payload, Some(answer.status));
                complete(self.table, self.node, self.token, activity.attempts, answered, self.now)
            }
            (Verdict::Usual, Ended::Badly { .. }) => {
                let why = format!("{} answered {} {}", called.call, answer.status, called.reason);
                let at_least = connector.retry_backoff.max(answer.retry_after.unwrap_or(0));
                self.attempt_failed(activity, why.trim_end().to_owned(), Some(answer), Some(at_least))
            }
            (verdict, _) => self.follow(activity, connector, verdict, Some(answer)),
        }
    }

    pub(super) fn unanswered(&self, activity: &Activity, call: &str, why: &str) -> Vec<Effect> {
        let crate::table::DataMapping::Connector(connector) = &self.task.data else {
            return self.attempt_failed(activity, format!("{call}: {why}"), None, None);
        };
        let ended = Ended::Badly { code: NO_RESPONSE.to_owned(), message: why, response: None };
        match self.judged(activity, connector, &ended) {
            Ok(Verdict::Usual) => {
                self.attempt_failed(activity, format!("{call}: {why}"), None, Some(connector.retry_backoff))
            }
            Ok(verdict) => self.follow(activity, connector, verdict, None),
            Err(wrong) => {
                let failure = Failure::new(FailureCode::ExpressionFailed, &self.token.element, wrong);
                incident(self.table, self.node, self.token, activity, failure)
            }
        }
    }

    fn judged(&self, activity: &Activity, connector: &Connector, ended: &Ended<'_>) -> Result<Verdict, String> {
        let left = self.task.retry.attempts.saturating_sub(activity.attempts.saturating_sub(1));
        connector::judge(self.table, connector, ended, left, self.now)
    }

    fn unjudged(&self, activity: &Activity, why: &str, answer: &Answer) -> Vec<Effect> {
        let message = format!("judge the response of {}: {why}", self.element().name);
        let failure = Failure {
            status: Some(answer.status),
            output: Some(kept(&answer.payload)),
            ..Failure::new(FailureCode::ExpressionFailed, &self.token.element, message)
        };
        incident(self.table, self.node, self.token, activity, failure)
    }

    fn follow(
        &self,
        activity: &Activity,
        connector: &Connector,
        verdict: Verdict,
        answer: Option<&Answer>,
    ) -> Vec<Effect> {
        match verdict {
            Verdict::Usual => Vec::new(),
            Verdict::Ignored(variables) => self.ignored(activity, connector, variables),
            Verdict::Error { code, message, variables } => self.thrown(activity, &code, &message, variables, answer),
            Verdict::Failed { message, retries, backoff } => {
                let left = retries.unwrap_or_else(|| self.task.retry.attempts.saturating_sub(activity.attempts));
                if left > 0 {
                    return self.again(activity, Some(backoff.unwrap_or(connector.retry_backoff)));
                }
                let failure = Failure {
                    status: answer.map(|answer| answer.status),
                    output: answer.map(|answer| kept(&answer.payload)),
                    ..Failure::new(
                        FailureCode::FailedTask,
                        &self.token.element,
                        format!("{}: {message}, after {} attempts", self.element().name, activity.attempts),
                    )
                };
                incident(self.table, self.node, self.token, activity, failure)
            }
        }
    }

    /// The task is done, with these variables instead of a response.
    fn ignored(&self, activity: &Activity, connector: &Connector, variables: Variables) -> Vec<Effect> {
        let mut leaving = self.token.clone();
        let before = &self.token.payload;
        match connector::keep(self.table, connector, before, &mut leaving.written, variables, self.now) {
            Ok(payload) => leave(self.table, self.node, Token { payload, ..leaving }, activity.attempts, self.now),
            Err((code, why)) => {
                let failure = Failure::new(code, &self.token.element, why);
                incident(self.table, self.node, self.token, activity, failure)
            }
        }
    }

    /// A BPMN error; its variables go to whoever catches it.
    fn thrown(
        &self,
        activity: &Activity,
        code: &str,
        message: &str,
        variables: Variables,
        answer: Option<&Answer>,
    ) -> Vec<Effect> {
        if let Some(boundary) = self.catching(code, true) {
            let mut token = self.token.clone();
            if let Some(Value::Object(mut payload)) = token.payload.to_json() {
                for (key, value) in variables {
                    token.written.key(&key);
                    payload.insert(key, value);
                }
                token.payload = Payload::json(&Value::Object(payload));
            }
            return self.leave_by(activity, boundary, &token, format!("error {code}"));
        }
        let name = &self.element().name;
        let said = if message.is_empty() { String::new() } else { format!(" ({message})") };
        let failure = Failure {
            error_code: Some(code.to_owned()),
            status: answer.map(|answer| answer.status),
            // what is caught further out gets these variables
            output: Some(Payload::json(&Value::Object(variables))),
            resume: Resume::Call,
            ..Failure::new(
                FailureCode::UncaughtError,
                &self.token.element,
                format!("{name} ends with error {code}{said}, which nothing catches"),
            )
        };
        incident(self.table, self.node, self.token, activity, failure)
    }
}
