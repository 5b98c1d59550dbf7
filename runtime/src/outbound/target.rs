//! A URL as it is called: scheme, host, port, and the path with its query.

use http::Uri;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// With TLS.
    pub https: bool,
    /// Without brackets.
    pub host: String,
    /// From 1 to 65535.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

/// Characters of a URL at most.
const LONGEST: usize = 16 << 10;

impl Target {
    /// Reads a URL; what cannot stand in one (spaces, letters beyond ASCII) is percent-encoded, what is encoded stays.
    ///
    /// # Errors
    /// What is wrong, without the URL itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().split('#').next().unwrap_or_default();
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("the url is empty or longer than {LONGEST} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("the url holds control characters".to_owned());
        }
        let uri: Uri = encoded(text).parse().map_err(|_| "the url cannot be read".to_owned())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the url is not http:// or https://".to_owned()),
        };
        let authority = uri.authority().ok_or("the url has no host")?;
        if authority.as_str().contains('@') {
            return Err("the url holds credentials; a connector takes them as its authentication".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let plain = |it: char| it.is_ascii_alphanumeric() || "-._:".contains(it);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(
                "the url has no host of ASCII letters; write an international name in its `xn--` form".to_owned()
            );
        }
        let port = match (uri.port_u16(), authority.as_str() == uri.host().unwrap_or_default()) {
            (Some(port), _) if port > 0 => port,
            (None, true) => {
                if https {
                    443
                } else {
                    80
                }
            }
            _ => return Err("the url has no port from 1 to 65535".to_owned()),
        };
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { https, host, port, path })
    }

    /// Adds to the query.
    pub fn query(&mut self, name: &str, value: &str) {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&component(name));
        self.path.push('=');
        self.path.push_str(&component(value));
    }

    /// For the `host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Where a redirect leads, when what was sent may be sent there too: the same server, or the same host's usual one with TLS.
    #[must_use]
    pub fn redirected(&self, location: &str) -> Option<Self> {
        let target = if location.starts_with('/') && !location.starts_with("//") {
            let scheme = if self.https { "https" } else { "http" };
            Self::parse(&format!("{scheme}://{}{location}", self.authority())).ok()?
        } else {
            Self::parse(location).ok()?
        };
        let same = (target.https, target.port) == (self.https, self.port);
        let upgraded = (self.https, self.port, target.https, target.port) == (false, 80, true, 443);
        (target.host == self.host && (same || upgraded)).then_some(target)
    }
}

/// What people see of a URL: host and path, with placeholders for secrets; never the query, never credentials.
#[must_use]
pub fn shown(url: &str) -> String {
    let url = url.trim();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let path = rest[..end].find('/').unwrap_or(end);
    let host = rest[..path].rsplit('@').next().unwrap_or_default();
    let whole = format!("{host}{}", &rest[path..end]);
    whole.chars().filter(|it| !it.is_control()).take(200).collect()
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. | 0..=0x20 | 0x7f => {
                out.push_str(&format!("%{byte:02X}"));
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// Percent-encodes all but RFC 3986's unreserved characters.
#[must_use]
pub fn component(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_encoded_once() {
        let target = Target::parse(" https://API.example.com/a b/ü%20c?x={1}#frag ").unwrap();
        assert_eq!((target.https, target.host.as_str(), target.port), (true, "api.example.com", 443));
        assert_eq!(target.path, "/a%20b/%C3%BC%20c?x=%7B1%7D");
        let mut target = Target::parse("http://[::1]:8080").unwrap();
        assert_eq!(
            (target.host.as_str(), target.authority().as_str(), target.path.as_str()),
            ("::1", "[::1]:8080", "/")
        );
        target.query("a b", "c&d");
        target.query("n", "1");
        assert_eq!(target.path, "/?a%20b=c%26d&n=1");
        assert_eq!(Target::parse("http://h?q=1").unwrap().path, "/?q=1");
    }

    #[test]
    fn what_is_no_url_is_told_without_it() {
        for text in [
            "",
            "ftp://h",
            "h/p",
            "http://",
            "http://u:pw@h/",
            "http://h\u{fc}/",
            "http://h/\nx",
            "http://h:0/",
            "http://h:99999/",
        ] {
            let why = Target::parse(text).unwrap_err();
            assert!(!why.contains("pw"), "{why}");
        }
    }

    #[test]
    fn redirects_stay_with_their_host() {
        let from = Target::parse("https://h:8443/a").unwrap();
        assert_eq!(from.redirected("/b?c").unwrap().path, "/b?c");
        assert_eq!(from.redirected("https://h:8443/b").unwrap().path, "/b");
        let plain = Target::parse("http://h/a").unwrap();
        assert!(plain.redirected("https://h/a").unwrap().https);
        assert_eq!(plain.redirected("http://h:8080/a"), None);
        for location in ["http://h:8443/a", "https://other/a", "https://h/a", "//other/a", "file:///etc", "b"] {
            assert_eq!(from.redirected(location), None, "{location}");
        }
    }

    #[test]
    fn people_see_host_and_path() {
        assert_eq!(shown("https://u:p@h:1/a/b?key=x#y"), "h:1/a/b");
        assert_eq!(shown("{{secrets.URL}}"), "{{secrets.URL}}");
    }
}
