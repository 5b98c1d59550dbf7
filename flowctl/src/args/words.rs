//! The `-o` rule, as a pass over the words of the command line before clap sees them.
//!
//! In old scripts `-o` takes no value (`run -o ID '{}'`), in kubectl's manner it takes one (`-o json`). So a
//! word after `-o` that names a form is its value, and any other word is an argument of its own. clap then
//! only has to know `-o` and `-o=FORM`.

use std::ffi::{OsStr, OsString};

/// The forms a word after `-o` may name.
const FORMS: [&str; 5] = ["json", "yaml", "wide", "name", "sarif"];

/// Short flags without a value that may stand before `o` in one word, as in `ps -wo json`.
const FLAGS: &[u8] = b"dfiw";

/// Joins every `-o` with the form that follows it: `-o json` becomes `-o=json`. Nothing behind `--` is touched.
pub(crate) fn settle_output(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut settled: Vec<OsString> = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            settled.push(word);
            settled.extend(words);
            break;
        }
        if asks_for_output(&word) && words.peek().is_some_and(|next| is_form(next)) {
            let form = words.next().unwrap_or_default();
            settled.push(joined(&word, &form));
        } else if let Some(form) = attached_form(&word) {
            settled.push(OsString::from(format!("-o={form}")));
        } else {
            settled.push(word);
        }
    }
    settled
}

/// `-o`, `--output`, or a group of short flags that ends in `o`.
fn asks_for_output(word: &OsStr) -> bool {
    if word == "--output" {
        return true;
    }
    match word.as_encoded_bytes() {
        [b'-', flags @ .., b'o'] => flags.iter().all(|flag| FLAGS.contains(flag)),
        _ => false,
    }
}

fn is_form(word: &OsStr) -> bool {
    FORMS.iter().any(|form| word == *form)
}

/// The form in `-ojson`.
fn attached_form(word: &OsStr) -> Option<&'static str> {
    let form = word.to_str()?.strip_prefix("-o")?;
    FORMS.into_iter().find(|known| *known == form)
}

fn joined(option: &OsStr, form: &OsStr) -> OsString {
    let mut word = option.to_owned();
    word.push("=");
    word.push(form);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(line: &str) -> String {
        let words = settle_output(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_form_after_it_is_its_value() {
        assert_eq!(settled("flowctl ps -o json"), "flowctl ps -o=json");
        assert_eq!(settled("flowctl ps --output yaml x"), "flowctl ps --output=yaml x");
        assert_eq!(settled("flowctl -o wide ps"), "flowctl -o=wide ps");
        assert_eq!(settled("flowctl ps -o name"), "flowctl ps -o=name");
    }

    #[test]
    fn any_other_word_is_an_argument() {
        assert_eq!(settled("flowctl run -o ID {}"), "flowctl run -o ID {}");
        assert_eq!(settled("flowctl apply --output jsonx"), "flowctl apply --output jsonx");
        assert_eq!(settled("flowctl run ID {} -o"), "flowctl run ID {} -o");
        assert_eq!(settled("flowctl run -o -s json"), "flowctl run -o -s json");
    }

    #[test]
    fn attached_and_grouped_forms_work() {
        assert_eq!(settled("flowctl ps -ojson"), "flowctl ps -o=json");
        assert_eq!(settled("flowctl ps -wo json"), "flowctl ps -wo=json");
        assert_eq!(settled("flowctl ps -do"), "flowctl ps -do");
        assert_eq!(settled("flowctl ps -o=json"), "flowctl ps -o=json");
    }

    #[test]
    fn words_behind_two_dashes_are_left_alone() {
        assert_eq!(settled("flowctl run -- -o json"), "flowctl run -- -o json");
    }

    #[test]
    fn a_group_with_an_option_that_takes_a_value_is_left_alone() {
        assert_eq!(settled("flowctl run -so json"), "flowctl run -so json");
    }
}
