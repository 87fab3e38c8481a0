//! The opening handshake: reads from an HTTP request what it asks for (RFC 6455 §4.2, PROTOCOL.md §1 and §5).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, request};
use sha1_smol::Sha1;

use crate::accept::headers::asks_for_upgrade;
use crate::accept::host::Host;
use crate::accept::offer::{Offer, read_offer};
use crate::accept::reject::Reject;
use crate::options::ServerOptions;

/// A well-formed upgrade request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UpgradeRequest {
    /// The value of `Sec-WebSocket-Accept` in the answer.
    pub(crate) accept: String,
    pub(crate) offer: Offer,
}

/// Reads an upgrade request, as strictly as HTTP defines it: a request that two programs read differently can be used to get past
/// one of them.
///
/// # Errors
/// Fails with the refusal of anything else.
pub(crate) fn read(parts: &request::Parts, options: &ServerOptions) -> Result<UpgradeRequest, Reject> {
    if parts.method != Method::GET {
        let reject = Reject::checked(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket upgrade is a GET request");
        return Err(reject.with_any_header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    if !matches!(parts.version, Version::HTTP_10 | Version::HTTP_11) {
        return Err(Reject::bad_request("a WebSocket upgrade is an HTTP/1.1 request"));
    }
    let headers = &parts.headers;
    check_content(headers)?;
    check_target(&parts.uri)?;
    let host = Host::of(parts)?;
    let Some(host) = host.filter(|_| parts.version == Version::HTTP_11) else {
        return Err(upgrade_required(
            "a WebSocket upgrade is an HTTP/1.1 request, and this one is HTTP/1.0: configure proxies in between for HTTP/1.1",
        ));
    };
    if !asks_for_upgrade(headers) {
        return Err(upgrade_required("this address speaks WebSocket: ask for an upgrade"));
    }
    let supported = HeaderValue::from_static("13");
    let version = only(headers, &header::SEC_WEBSOCKET_VERSION)
        .map_err(|reject| reject.with_any_header(header::SEC_WEBSOCKET_VERSION, supported.clone()))?;
    if version != supported {
        return Err(upgrade_required("unsupported Sec-WebSocket-Version (expected 13)")
            .with_any_header(header::SEC_WEBSOCKET_VERSION, supported));
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY)?;
    // A buffer for the 24 characters that a valid key has.
    if !BASE64_STANDARD.decode_slice(key, &mut [0; 18]).is_ok_and(|length| length == 16) {
        return Err(Reject::bad_request("invalid Sec-WebSocket-Key (expected 16 bytes in base64)"));
    }
    let offer = read_offer(headers, options)?;
    options.origins.check_request(headers, &host)?;
    Ok(UpgradeRequest { accept: accept_key(key.as_bytes()), offer })
}

fn upgrade_required(why: &'static str) -> Reject {
    Reject::checked(StatusCode::UPGRADE_REQUIRED, why)
        .with_any_header(header::UPGRADE, HeaderValue::from_static("websocket"))
        .with_any_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
}

/// Refuses a request with content: the content would be read as WebSocket frames.
fn check_content(headers: &HeaderMap) -> Result<(), Reject> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Reject::bad_request("unexpected Transfer-Encoding (expected a request without content)"));
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).into_iter();
    let Some(length) = lengths.next().map(HeaderValue::as_bytes) else { return Ok(()) };
    if lengths.next().is_some() || length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(Reject::bad_request("invalid Content-Length (expected one number)"));
    }
    let none = length.iter().all(|digit| *digit == b'0');
    if none {
        Ok(())
    } else {
        Err(Reject::bad_request("unexpected Content-Length (expected a request without content)"))
    }
}

/// Refuses a target that is neither a path nor an absolute URI of HTTP (RFC 9112 §3.2, RFC 6455 §4.2.1).
fn check_target(target: &Uri) -> Result<(), Reject> {
    let fits = match target.scheme_str() {
        None => target.authority().is_none() && target.path().starts_with('/'),
        Some(scheme) => ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)),
    };
    if fits {
        Ok(())
    } else {
        Err(Reject::bad_request("invalid request target (expected a path or an absolute http URI)"))
    }
}

/// The value of a header that a request must have exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, Reject> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Reject::bad_request(format!("missing {} (expected one)", spelled(name)))),
        (Some(_), Some(_)) => {
            Err(Reject::bad_request(format!("invalid {}: more than one (expected one)", spelled(name))))
        }
    }
}

/// A header's name as RFC 6455 spells it.
fn spelled(name: &HeaderName) -> &str {
    match name {
        name if name == header::SEC_WEBSOCKET_KEY => "Sec-WebSocket-Key",
        name if name == header::SEC_WEBSOCKET_VERSION => "Sec-WebSocket-Version",
        name => name.as_str(),
    }
}

/// `Sec-WebSocket-Accept` (RFC 6455 §4.2.2).
fn accept_key(key: &[u8]) -> String {
    let mut sha1 = Sha1::from(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(sha1.digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> request::Builder {
        http::Request::builder()
            .header("host", "example.org")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    fn read_with(change: impl Fn(request::Builder) -> request::Builder) -> Result<UpgradeRequest, Reject> {
        let parts = change(request()).body(()).unwrap().into_parts().0;
        read(&parts, &ServerOptions::default().checked().unwrap())
    }

    #[test]
    fn answers_the_key_in_the_rfc() {
        assert_eq!(read_with(|request| request).unwrap().accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    /// The refusal of [`read_with`]'s upgrade request after `change`.
    fn refused(change: impl Fn(request::Builder) -> request::Builder) -> Reject {
        read_with(change).expect_err("the request is wrong")
    }

    #[test]
    fn each_malformed_request_has_its_status() {
        type Change = fn(request::Builder) -> request::Builder;
        let cases: [(&str, u16, Change); 31] = [
            ("another method", 405, |r| r.method("POST")),
            ("HEAD", 405, |r| r.method("HEAD")),
            ("another method with content", 405, |r| r.method("POST").header("content-length", "5")),
            ("another method with two hosts", 405, |r| r.method("PUT").header("host", "b")),
            ("another method of HTTP/1.0", 405, |r| r.method("OPTIONS").version(Version::HTTP_10)),
            ("HTTP/1.0", 426, |r| r.version(Version::HTTP_10)),
            ("HTTP/1.0 with two hosts", 400, |r| r.version(Version::HTTP_10).header("host", "b")),
            ("HTTP/2", 400, |r| r.version(Version::HTTP_2)),
            ("two hosts", 400, |r| r.header("host", "b")),
            ("one host twice", 400, |r| r.header("host", "example.org")),
            ("content", 400, |r| r.header("content-length", "37")),
            ("a length that is none", 400, |r| r.header("content-length", "abc")),
            ("an empty length", 400, |r| r.header("content-length", "")),
            ("a signed length", 400, |r| r.header("content-length", "+0")),
            ("two lengths", 400, |r| r.header("content-length", "0").header("content-length", "0")),
            ("a list of lengths", 400, |r| r.header("content-length", "0, 0")),
            ("chunked content", 400, |r| r.header("transfer-encoding", "chunked")),
            ("an unknown coding", 400, |r| r.header("transfer-encoding", "identity")),
            ("announced content", 400, |r| r.header("expect", "100-continue").header("content-length", "1")),
            ("user information", 400, |r| r.uri("http://user@example.org/")),
            ("a host for a target", 400, |r| r.uri("example.org:80")),
            ("an asterisk for a target", 400, |r| r.uri("*")),
            ("another scheme", 400, |r| r.uri("ftp://example.org/")),
            ("two keys", 400, |r| r.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")),
            ("two versions", 400, |r| r.header("sec-websocket-version", "13")),
            ("no token", 400, |r| r.header("sec-websocket-protocol", "rejoin.v1.json, a b")),
            ("a separator", 400, |r| r.header("sec-websocket-protocol", "a/b")),
            ("an unknown codec", 400, |r| r.header("sec-websocket-protocol", "rejoin.x")),
            ("another origin", 403, |r| r.header("origin", "https://evil.example")),
            ("two origins", 400, |r| {
                r.header("origin", "https://example.org").header("origin", "https://evil.example")
            }),
            ("the origin of Host in absolute form", 403, |r| {
                r.uri("http://other.example/").header("origin", "https://example.org")
            }),
        ];
        for (fault, status, change) in cases {
            let reject = refused(change);
            assert_eq!(reject.status, status, "{fault}: {}", reject.body);
            assert!(!reject.body.is_empty());
        }
        // `request::Builder` adds headers only.
        let without = |name: &str| {
            let (mut parts, ()) = request().body(()).unwrap().into_parts();
            parts.headers.remove(name).unwrap();
            read(&parts, &ServerOptions::default().checked().unwrap()).unwrap_err().status.as_u16()
        };
        let missing = ["host", "connection", "upgrade", "sec-websocket-version", "sec-websocket-key"];
        assert_eq!(missing.map(without), [400, 426, 426, 400, 400]);
        let with = |name: &'static str, value: &'static str| {
            let (mut parts, ()) = request().body(()).unwrap().into_parts();
            parts.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            read(&parts, &ServerOptions::default().checked().unwrap()).unwrap_err()
        };
        let old = with("sec-websocket-version", "12");
        assert_eq!(old.status, 426);
        assert_eq!(old.headers.unwrap()["sec-websocket-version"], "13");
        assert_eq!(with("sec-websocket-key", "c2hvcnQ=").status, 400);
        assert_eq!(with("host", "").status, 400);
        assert_eq!(with("host", "a b").status, 400);
        assert_eq!(
            with("sec-websocket-protocol", "rejoin.v1.json, \u{e4}").status,
            400,
            "a byte beyond ASCII"
        );
    }

    #[test]
    fn accepts_what_http_allows() {
        type Change = fn(request::Builder) -> request::Builder;
        let cases: [(&str, Change); 7] = [
            ("absolute form", |r| r.uri("http://other.example/x").header("origin", "http://other.example")),
            ("a content length of zero", |r| r.header("content-length", "0")),
            ("an expectation without content", |r| r.header("expect", "100-continue")),
            ("empty members of a list", |r| r.header("sec-websocket-protocol", ", ,a,, \tb,")),
            ("an empty list", |r| r.header("sec-websocket-protocol", "")),
            ("a list of two lines", |r| r.header("connection", "close")),
            ("its own origin", |r| r.header("origin", "https://example.org")),
        ];
        for (what, change) in cases {
            assert!(read_with(change).is_ok(), "{what}: {:?}", read_with(change));
        }
    }

    #[test]
    fn refusals_spell_headers_as_the_rfc_does() {
        for (name, spelled) in
            [("sec-websocket-key", "Sec-WebSocket-Key"), ("sec-websocket-version", "Sec-WebSocket-Version")]
        {
            let (mut parts, ()) = request().body(()).unwrap().into_parts();
            let value = parts.headers.remove(name).unwrap();
            let body = |parts: &request::Parts| {
                read(parts, &ServerOptions::default().checked().unwrap()).unwrap_err().body.into_owned()
            };
            assert_eq!(body(&parts), format!("missing {spelled} (expected one)"));
            parts.headers.append(name, value.clone());
            parts.headers.append(name, value);
            assert_eq!(body(&parts), format!("invalid {spelled}: more than one (expected one)"));
        }
    }
}
