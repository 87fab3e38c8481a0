//! The opening handshake: reads from an HTTP request what it asks for (RFC 6455 §4.2, PROTOCOL.md §1 and §5).

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, Version, header, request};
use rejoin_core::Token;
use sha1_smol::Sha1;

use crate::accept::host::Host;
use crate::accept::reject::Reject;
use crate::options::{Options, is_token};

/// A response of ours.
pub(crate) type HttpResponse = Response<bytes::Bytes>;

/// A well-formed upgrade request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// The value of `Sec-WebSocket-Accept` in the answer.
    pub(crate) accept: String,
    pub(crate) offer: Offer,
}

/// The offer that the subprotocols make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Plain mode, with the selected subprotocol of the application, if any.
    Plain { subprotocol: Option<Box<str>> },
    /// Session mode. `codecs` are the indexes of the supported codecs in the client's order, at least one. `max` is the largest
    /// message that the client accepts, in bytes, if it names one.
    Session { codecs: Vec<usize>, resume: Option<Resume>, max: Option<u64> },
}

/// The offer to resume a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) token: Token,
    /// The number of data frames that the client has received.
    pub(crate) received: u64,
}

/// Reads an upgrade request, as strictly as HTTP defines it: a request that two programs read differently can be used to get past
/// one of them.
///
/// # Errors
/// Fails with the refusal of anything else.
pub(crate) fn read(parts: &request::Parts, options: &Options) -> Result<Upgrade, Reject> {
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
    Ok(Upgrade { accept: accept_key(key.as_bytes()), offer })
}

/// Whether a request asks for an upgrade to WebSocket.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, "upgrade") && has_token(headers, &header::UPGRADE, "websocket")
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

//= PROTOCOL.md#1-two-modes
fn read_offer(headers: &HeaderMap, options: &Options) -> Result<Offer, Reject> {
    let mut codecs = Vec::new();
    let mut resume = None;
    let mut max = None;
    let mut ours = false;
    let mut subprotocol = None;
    for offer in subprotocols(headers)? {
        let Some(rest) = offer.strip_prefix("rejoin.") else {
            if subprotocol.is_none() {
                subprotocol = options.subprotocols.iter().find(|name| &***name == offer).cloned();
            }
            continue;
        };
        ours = true;
        if rest == "resume" || rest.starts_with("resume.") {
            let offer = rest.strip_prefix("resume.").unwrap_or_default();
            if resume.replace(read_resume(offer)?).is_some() {
                return Err(Reject::bad_request("more than one resume offer"));
            }
        } else if rest == "max" || rest.starts_with("max.") {
            let offer = rest.strip_prefix("max.").unwrap_or_default();
            if max.replace(read_max(offer)?).is_some() {
                return Err(Reject::bad_request("more than one offer of a largest message"));
            }
        } else if let Some(name) = rest.strip_prefix("v1.") {
            codecs.extend(options.codecs.iter().position(|codec| codec.name() == name));
        }
    }
    if !ours {
        return Ok(Offer::Plain { subprotocol });
    }
    if codecs.is_empty() {
        let names: Vec<_> =
            options.codecs.iter().map(|codec| format!("rejoin.v1.{}", codec.name())).collect();
        return Err(Reject::bad_request(format!(
            "no supported subprotocol; supported: {}",
            names.join(", ")
        )));
    }
    Ok(Offer::Session { codecs, resume, max })
}

/// `N` of an offer of a largest message (PROTOCOL.md §3).
fn read_max(offer: &str) -> Result<u64, Reject> {
    number(offer)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Reject::bad_request("the offer of a largest message is rejoin.max.N"))
}

/// A decimal number, of nothing but digits.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The offered subprotocols.
///
/// # Errors
/// Fails for a value that is not a list of tokens (RFC 6455 §11.3.4): an offer that is not understood must not turn session mode
/// into plain mode.
fn subprotocols(headers: &HeaderMap) -> Result<Vec<&str>, Reject> {
    let wrong = || Reject::bad_request("invalid Sec-WebSocket-Protocol (expected a list of tokens)");
    let mut offers = Vec::new();
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let members =
            value.to_str().map_err(|_| wrong())?.split(',').map(|offer| offer.trim_matches([' ', '\t']));
        for offer in members.filter(|offer| !offer.is_empty()) {
            offers.push(is_token(offer).then_some(offer).ok_or_else(wrong)?);
        }
    }
    Ok(offers)
}

/// `TOKEN.N` of a resume offer (PROTOCOL.md §5).
fn read_resume(offer: &str) -> Result<Resume, Reject> {
    let wrong = || Reject::bad_request("a resume offer is rejoin.resume.TOKEN.N");
    let (token, received) = offer.split_once('.').ok_or_else(wrong)?;
    let token = Token::parse(token).ok_or_else(wrong)?;
    let received = number(received).ok_or_else(wrong)?;
    Ok(Resume { token, received })
}

/// The tokens of the resume offers in these headers, well-formed or not. Usually there is none.
pub(crate) fn secrets(headers: &HeaderMap) -> Vec<String> {
    let offers = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offers.filter_map(|offer| offer.strip_prefix("rejoin.resume.")?.split('.').next());
    // A shorter text cannot be a usable part of a token, and may occur in a log line as a word.
    offered.filter(|token| token.len() >= 8).map(str::to_owned).collect()
}

/// Replaces the secrets in a text.
pub(crate) fn redact<'a>(text: &'a str, secrets: &[String]) -> Cow<'a, str> {
    secrets.iter().fold(Cow::Borrowed(text), |text, secret| {
        if text.contains(secret) { Cow::Owned(text.replace(secret, "[token]")) } else { text }
    })
}

/// The answer that switches protocols.
#[derive(Debug)]
pub(crate) struct Switch {
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    pub(crate) subprotocol: Option<Box<str>>,
}

impl Switch {
    /// The headers of the answer.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let subprotocol = self.subprotocol.as_deref().map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name));
        let headers = [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_ACCEPT, &*self.accept),
        ];
        headers.into_iter().chain(subprotocol)
    }

    /// The answer as a response of an HTTP server other than ours.
    #[cfg(feature = "hyper")]
    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = Response::new(bytes::Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in self.headers() {
            let value = HeaderValue::from_str(value).expect("base64 and checked tokens are header values");
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The response to a request that is refused.
pub(crate) fn refuse(reject: Reject) -> HttpResponse {
    let mut response = Response::new(bytes::Bytes::from(reject.body.into_owned()));
    *response.status_mut() = reject.status;
    if let Some(headers) = reject.headers {
        *response.headers_mut() = *headers;
    }
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().entry(header::CONTENT_TYPE).or_insert(text);
    response
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    // Usually the token is the whole value.
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(token.as_bytes()))
        || tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a comma-separated list, over all headers of this name (RFC 9110 §5.6.1).
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuv";

    fn upgrade(protocols: &[&str]) -> Result<Upgrade, Reject> {
        read_with(|request| protocols.iter().fold(request, |r, p| r.header("sec-websocket-protocol", *p)))
    }

    fn request() -> request::Builder {
        http::Request::builder()
            .header("host", "example.org")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    fn read_with(change: impl Fn(request::Builder) -> request::Builder) -> Result<Upgrade, Reject> {
        let parts = change(request()).body(()).unwrap().into_parts().0;
        read(&parts, &Options::default().checked().unwrap())
    }

    #[test]
    fn answers_the_key_in_the_rfc() {
        assert_eq!(upgrade(&[]).unwrap().accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn plain_without_a_rejoin_offer() {
        let plain = Offer::Plain { subprotocol: None };
        assert_eq!(upgrade(&[]).unwrap().offer, plain);
        assert_eq!(upgrade(&["graphql-ws, mqtt"]).unwrap().offer, plain);
    }

    #[test]
    fn reads_offers_from_one_or_many_headers() {
        let offer = Offer::Session {
            codecs: vec![0],
            resume: Some(Resume { token: Token::parse(TOKEN).unwrap(), received: 7 }),
            max: None,
        };
        let resume = format!("rejoin.resume.{TOKEN}.7");
        assert_eq!(upgrade(&["rejoin.v1.other", "rejoin.v1.json", &resume]).unwrap().offer, offer);
        let one = format!("rejoin.v1.json ,{resume}");
        assert_eq!(upgrade(&[&one]).unwrap().offer, offer);
    }

    #[test]
    fn reads_offered_message_limit() {
        let offer = |max: &str| upgrade(&["rejoin.v1.json", max]).map(|upgrade| upgrade.offer);
        let offered = |max| Offer::Session { codecs: vec![0], resume: None, max: Some(max) };
        assert_eq!(offer("rejoin.max.1").unwrap(), offered(1));
        assert_eq!(offer("rejoin.max.9007199254740993").unwrap(), offered((1 << 53) + 1));
        for wrong in ["", ".", ".0", ".-1", ".+1", ".1.", ".1k", ".99999999999999999999", ".1, rejoin.max.1"]
        {
            assert_eq!(offer(&format!("rejoin.max{wrong}")).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn refusal_lists_supported_subprotocols() {
        let reject = upgrade(&["rejoin.v2.json"]).unwrap_err();
        assert_eq!(reject.status, 400);
        assert!(reject.body.contains("rejoin.v1.json"));
    }

    #[test]
    fn refuses_malformed_resume_offers() {
        let long = "a".repeat(65);
        for offer in [
            "rejoin.resume".to_owned(),
            "rejoin.resume.".to_owned(),
            "rejoin.resume.short.1".to_owned(),
            format!("rejoin.resume.{long}.1"),
            format!("rejoin.resume.{TOKEN}"),
            format!("rejoin.resume.{TOKEN}."),
            format!("rejoin.resume.{TOKEN}.-1"),
            format!("rejoin.resume.{TOKEN}.+1"),
            format!("rejoin.resume.{TOKEN}.1.2"),
            format!("rejoin.resume.{TOKEN}.99999999999999999999"),
            format!("rejoin.resume.{TOKEN}!.1"),
            format!("rejoin.resume.{TOKEN}.1, rejoin.resume.{TOKEN}.1"),
        ] {
            let reject = upgrade(&["rejoin.v1.json", &offer]).unwrap_err();
            assert_eq!(reject.status, 400, "{offer}");
            assert!(!reject.body.contains(TOKEN), "a token is never repeated");
        }
    }

    #[test]
    fn tokens_are_redacted_from_logged_texts() {
        let mut headers = HeaderMap::new();
        let offers = format!("rejoin.v1.json, rejoin.resume.{TOKEN}.7");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offers.parse().unwrap());
        let text = format!("no: {offers}");
        assert_eq!(redact(&text, &secrets(&headers)), "no: rejoin.v1.json, rejoin.resume.[token].7");
        assert_eq!(redact("no", &secrets(&headers)), "no");
        assert_eq!(redact(&text, &secrets(&HeaderMap::new())), text);
    }

    /// The refusal of the upgrade request of [`read_with`] after `change`.
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
            read(&parts, &Options::default().checked().unwrap()).unwrap_err().status.as_u16()
        };
        let missing = ["host", "connection", "upgrade", "sec-websocket-version", "sec-websocket-key"];
        assert_eq!(missing.map(without), [400, 426, 426, 400, 400]);
        let with = |name: &'static str, value: &'static str| {
            let (mut parts, ()) = request().body(()).unwrap().into_parts();
            parts.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            read(&parts, &Options::default().checked().unwrap()).unwrap_err()
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
    fn selects_first_known_subprotocol() {
        let parts = request().header("sec-websocket-protocol", "c, b, a").body(()).unwrap().into_parts().0;
        let options = Options { subprotocols: vec!["a".into(), "b".into()], ..Options::default() };
        let offer = read(&parts, &options.checked().unwrap()).unwrap().offer;
        assert_eq!(offer, Offer::Plain { subprotocol: Some("b".into()) });
    }

    #[test]
    fn refusals_spell_headers_as_the_rfc_does() {
        for (name, spelled) in
            [("sec-websocket-key", "Sec-WebSocket-Key"), ("sec-websocket-version", "Sec-WebSocket-Version")]
        {
            let (mut parts, ()) = request().body(()).unwrap().into_parts();
            let value = parts.headers.remove(name).unwrap();
            let body = |parts: &request::Parts| {
                read(parts, &Options::default().checked().unwrap()).unwrap_err().body.into_owned()
            };
            assert_eq!(body(&parts), format!("missing {spelled} (expected one)"));
            parts.headers.append(name, value.clone());
            parts.headers.append(name, value);
            assert_eq!(body(&parts), format!("invalid {spelled}: more than one (expected one)"));
        }
    }

    #[test]
    fn refusal_is_plain_text_by_default() {
        let content_type = |reject: Reject| refuse(reject).headers()[header::CONTENT_TYPE].clone();
        assert_eq!(content_type(Reject::bad_request("no")), "text/plain; charset=utf-8");
        let json = HeaderValue::from_static("application/json");
        assert_eq!(
            content_type(Reject::bad_request("{}").with_header(header::CONTENT_TYPE, json.clone()).unwrap()),
            json
        );
    }

    #[test]
    fn short_words_are_not_redacted() {
        let mut headers = HeaderMap::new();
        let offers =
            "rejoin.v1.json, rejoin.resume.1234567.0, rejoin.resume.12345678.0, rejoin.resume.abcdefghi";
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offers));
        let secrets = secrets(&headers);
        assert_eq!(secrets, ["12345678", "abcdefghi"]);
        assert_eq!(redact("with 12345678 and abcdefghi", &secrets), "with [token] and [token]");
        assert!(matches!(redact("with 1234567", &secrets), Cow::Borrowed("with 1234567")));
    }
}
