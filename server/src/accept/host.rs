//! [`Host`]: the host that a request is addressed to (RFC 9110 §7.2, RFC 9112 §3.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{header, request};

use crate::accept::reject::Reject;

/// A host, with its port if one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// In lower case, an IPv6 address in its shortest form, so that two spellings of one host compare equal.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl Host {
    /// Parses `uri-host [ ":" port ]`. `None` for anything else, including user information and an empty name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name_ends = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at(name_ends);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            // RFC 3986 §3.2.3: an empty port is the scheme's own.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self { name: canonical(name)?, port })
    }

    /// The host of a request: the authority of a target in absolute form, otherwise `Host`. `None` if an HTTP/1.0 request names
    /// none.
    ///
    /// # Errors
    /// Refuses a request whose `Host` is missing, repeated or malformed, and a target with user information.
    pub(crate) fn of(parts: &request::Parts) -> Result<Option<Self>, Reject> {
        let mut lines = parts.headers.get_all(header::HOST).into_iter();
        let first = lines.next();
        if lines.next().is_some() {
            return Err(Reject::bad_request("invalid Host: more than one (expected one)"));
        }
        if first.is_none() && parts.version == http::Version::HTTP_11 {
            return Err(Reject::bad_request("missing Host (expected one)"));
        }
        let host = match first {
            None => None,
            Some(value) => {
                let host = value.to_str().ok().and_then(Self::parse);
                Some(host.ok_or_else(|| Reject::bad_request("invalid Host (expected host or host:port)"))?)
            }
        };
        // A target in absolute form takes precedence over `Host` (RFC 9112 §3.2.2).
        let Some(authority) = parts.uri.authority() else { return Ok(host) };
        let wrong = || Reject::bad_request("invalid request target (expected host or host:port in it)");
        Self::parse(authority.as_str()).map(Some).ok_or_else(wrong)
    }
}

/// A host's name in the form that is compared; `None` if it is invalid (RFC 3986 §3.2.2).
fn canonical(name: &str) -> Option<String> {
    if let Some(address) = name.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Some(address.to_string());
    }
    let fits = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte));
    fits.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_addresses_and_ports() {
        let cases = [
            ("example.org", "example.org", None),
            ("Example.ORG:8080", "example.org", Some(8080)),
            ("example.org:", "example.org", None),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535)),
            ("[::1]:80", "[::1]", Some(80)),
            ("[0:0:0:0:0:0:0:1]", "[::1]", None),
            ("a_b.internal", "a_b.internal", None),
        ];
        for (text, name, port) in cases {
            assert_eq!(Host::parse(text), Some(Host { name: name.into(), port }), "{text}");
        }
    }

    #[test]
    fn refuses_invalid_hosts() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@example.org",
            "user:pass@example.org",
            "example.org:65536",
            "example.org:+1",
            "example.org:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[example.org]",
            "bücher.example",
            "a,b@",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }

    fn host(target: &str, version: http::Version, lines: &[&[u8]]) -> Result<Option<String>, u16> {
        let mut request = http::Request::get(target).version(version);
        for line in lines {
            request = request.header("host", *line);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        match Host::of(&parts) {
            Ok(host) => Ok(host.map(|host| host.name)),
            Err(reject) => Err(reject.status.as_u16()),
        }
    }

    #[test]
    fn request_must_name_one_valid_host() {
        let named = |name: &str| Ok(Some(name.to_owned()));
        let (new, old) = (http::Version::HTTP_11, http::Version::HTTP_10);
        assert_eq!(host("/", new, &[b"a"]), named("a"));
        assert_eq!(host("http://b:81/", new, &[b"a"]), named("b"), "absolute form");
        let wrong: [&[&[u8]]; 7] =
            [&[], &[b""], &[b"a", b"a"], &[b"a", b"b"], &[b"u@a"], &[b"a b"], &[b"\xc3\xa4"]];
        for lines in wrong {
            assert_eq!(host("/", new, lines), Err(400), "{lines:?}");
            assert_eq!(host("http://b/", new, lines), Err(400), "{lines:?} in absolute form");
        }
        assert_eq!(host("http://u@b/", new, &[b"b"]), Err(400), "user information");
        assert_eq!(host("/", old, &[]), Ok(None), "HTTP/1.0 need not name one");
        assert_eq!(host("/", old, &[b"a", b"a"]), Err(400));
    }
}
