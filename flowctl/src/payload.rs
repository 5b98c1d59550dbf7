//! Payloads on the command line: `JSON`, `@FILE` or `-` for standard input.
//!
//! A payload is opaque bytes with a content type. Without one it has to be JSON, so that a typing mistake is
//! found here and not in the middle of a process.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::exit::{Exit, Failure};

/// The content type of a payload nobody described.
pub(crate) const JSON: &str = "application/json";

/// Largest payload flowctl reads, in bytes; flowd has a limit of its own, by default 1 MiB.
const LIMIT: u64 = 64 << 20;

/// Bytes and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: String,
}

/// Reads a payload argument; the content type, if given, switches the check for JSON off unless it is JSON too.
pub(crate) fn read(argument: &str, content_type: Option<&str>) -> anyhow::Result<Payload> {
    let bytes = match argument.strip_prefix('@') {
        Some(path) => from_file(Path::new(path))?,
        None if argument == "-" => from_reader(std::io::stdin().lock(), "standard input")?,
        None => argument.as_bytes().to_vec(),
    };
    let content_type = content_type.unwrap_or(JSON).to_owned();
    if is_json(&content_type) {
        check_json(&bytes, argument)?;
    }
    Ok(Payload { bytes, content_type })
}

/// Whether a content type names JSON (`application/json`, `…+json`, with or without parameters).
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == JSON || essence.ends_with("+json")
}

/// Reads a whole file or, for `-`, standard input.
pub(crate) fn read_source(name: &str) -> anyhow::Result<Vec<u8>> {
    if name == "-" {
        return from_reader(std::io::stdin().lock(), "standard input");
    }
    from_file(Path::new(name))
}

fn from_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    from_reader(file, &path.display().to_string())
}

fn from_reader(reader: impl std::io::Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::new(Exit::Error, format!("{name} is larger than {} MiB", LIMIT >> 20)).into());
    }
    Ok(bytes)
}

fn check_json(bytes: &[u8], argument: &str) -> anyhow::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map(drop).map_err(|error| {
        let name = if argument.starts_with('@') || argument == "-" { argument } else { "the payload" };
        Failure::usage(format!("{name} is not JSON: {error}"))
            .hint("quote it for the shell, as in '{\"x\": 5}', or name another --content-type")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::code_of;
    use std::io::Write as _;

    #[test]
    fn a_word_is_the_payload_itself() {
        let payload = read(r#"{"x": 5}"#, None).unwrap();
        assert_eq!(payload, Payload { bytes: br#"{"x": 5}"#.to_vec(), content_type: JSON.to_owned() });
    }

    #[test]
    fn a_file_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"[1, 2]").unwrap();
        let payload = read(&format!("@{}", file.path().display()), None).unwrap();
        assert_eq!(payload.bytes, b"[1, 2]");
    }

    #[test]
    fn what_is_not_json_is_a_usage_error() {
        let error = read("{x: 5}", None).expect_err("it is not JSON");
        assert_eq!(code_of(&error), Exit::Usage);
    }

    #[test]
    fn another_content_type_is_opaque() {
        assert_eq!(read("{x: 5}", Some("text/plain")).unwrap().content_type, "text/plain");
        assert!(read("{x: 5}", Some("application/problem+json; charset=utf-8")).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read("@/nowhere/in.json", None).expect_err("there is no such file");
        assert!(format!("{error:#}").contains("/nowhere/in.json"), "{error:#}");
    }
}
