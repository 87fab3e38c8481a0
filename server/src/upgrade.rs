//! The opening handshake: an HTTP request to what it asks for (RFC 6455 §4.2, PROTOCOL.md §1 and §5).

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request};
use rejoin_core::Token;
use sha1_smol::Sha1;

use crate::connect::Reject;
use crate::options::Options;

/// A response of ours.
pub(crate) type HttpResponse = Response<bytes::Bytes>;

/// An upgrade that is well-formed: what it offers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    pub(crate) offer: Offer,
}

/// What the subprotocols ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Plain mode; the application's own subprotocol that is selected, if any.
    Plain { subprotocol: Option<Box<str>> },
    /// Session mode. `codecs` are indexes of supported ones, in the client's order; there is at least one.
    Session { codecs: Vec<usize>, resume: Option<Resume> },
}

/// The offer to resume a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) token: Token,
    /// The data frames that the client has received.
    pub(crate) received: u64,
}

/// Reads an upgrade request.
///
/// # Errors
/// Refuses what is none, and says why.
pub(crate) fn read(parts: &request::Parts, options: &Options) -> Result<Upgrade, Reject> {
    if parts.method != Method::GET {
        let reject = Reject::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket upgrade is a GET request");
        return Err(reject.with_header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    if parts.version != Version::HTTP_11 {
        return Err(bad("a WebSocket upgrade is an HTTP/1.1 request"));
    }
    let headers = &parts.headers;
    let asks = has_token(headers, &header::CONNECTION, "upgrade")
        && has_token(headers, &header::UPGRADE, "websocket");
    if !asks {
        let reject =
            Reject::new(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket: ask for an upgrade");
        return Err(reject
            .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
            .with_header(header::CONNECTION, HeaderValue::from_static("upgrade")));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let reject = Reject::new(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version has to be 13");
        return Err(reject.with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| bad("Sec-WebSocket-Key is missing"))?;
    // A buffer for the 24 characters that it has to be.
    if !BASE64_STANDARD.decode_slice(key, &mut [0; 18]).is_ok_and(|length| length == 16) {
        return Err(bad("Sec-WebSocket-Key has to be 16 bytes in base64"));
    }
    if !options.origins.accepts(headers) {
        return Err(Reject::forbidden("pages of this origin may not connect"));
    }
    Ok(Upgrade { accept: accept_key(key.as_bytes()), offer: read_offer(headers, options)? })
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
    let mut ours = false;
    let mut subprotocol = None;
    for offer in tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL) {
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
                return Err(bad("more than one resume offer"));
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
        return Err(bad(format!("no supported subprotocol; supported: {}", names.join(", "))));
    }
    Ok(Offer::Session { codecs, resume })
}

/// `TOKEN.N` of a resume offer (PROTOCOL.md §5).
fn read_resume(offer: &str) -> Result<Resume, Reject> {
    let wrong = || bad("a resume offer is rejoin.resume.TOKEN.N");
    let (token, received) = offer.split_once('.').ok_or_else(wrong)?;
    let token = Token::parse(token).ok_or_else(wrong)?;
    if received.is_empty() || !received.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let received = received.parse().map_err(|_| wrong())?;
    Ok(Resume { token, received })
}

/// The tokens of the resume offers in these headers, well-formed or not: mostly none.
pub(crate) fn secrets(headers: &HeaderMap) -> Vec<String> {
    let offers = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offers.filter_map(|offer| offer.strip_prefix("rejoin.resume.")?.split('.').next());
    // What is too short to be any part of a token may stand in a text as a word.
    offered.filter(|token| token.len() >= 8).map(str::to_owned).collect()
}

/// A text without these.
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
    /// All that the answer says.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let subprotocol = self.subprotocol.as_deref().map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name));
        let headers = [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_ACCEPT, &*self.accept),
        ];
        headers.into_iter().chain(subprotocol)
    }

    /// For somebody else's HTTP server.
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

pub(crate) fn bad(why: impl Into<Cow<'static, str>>) -> Reject {
    Reject::new(StatusCode::BAD_REQUEST, why)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    // Mostly it is all there is.
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

    fn read_with(change: impl Fn(request::Builder) -> request::Builder) -> Result<Upgrade, Reject> {
        let request = http::Request::builder()
            .header("host", "example.org")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let parts = change(request).body(()).unwrap().into_parts().0;
        read(&parts, &Options::default().checked().unwrap())
    }

    #[test]
    fn answers_the_key_of_the_rfc() {
        assert_eq!(upgrade(&[]).unwrap().accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn is_plain_without_an_offer_of_ours() {
        let plain = Offer::Plain { subprotocol: None };
        assert_eq!(upgrade(&[]).unwrap().offer, plain);
        assert_eq!(upgrade(&["graphql-ws, mqtt"]).unwrap().offer, plain);
    }

    #[test]
    fn reads_offers_of_one_or_of_many_headers() {
        let offer = Offer::Session {
            codecs: vec![0],
            resume: Some(Resume { token: Token::parse(TOKEN).unwrap(), received: 7 }),
        };
        let resume = format!("rejoin.resume.{TOKEN}.7");
        assert_eq!(upgrade(&["rejoin.v1.other", "rejoin.v1.json", &resume]).unwrap().offer, offer);
        let one = format!("rejoin.v1.json ,{resume}");
        assert_eq!(upgrade(&[&one]).unwrap().offer, offer);
    }

    #[test]
    fn names_what_it_supports_when_nothing_fits() {
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
            assert!(!reject.body.contains(TOKEN), "a token is never told to anybody");
        }
    }

    #[test]
    fn a_text_that_quotes_the_request_is_logged_without_the_token() {
        let mut headers = HeaderMap::new();
        let offers = format!("rejoin.v1.json, rejoin.resume.{TOKEN}.7");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offers.parse().unwrap());
        let text = format!("no: {offers}");
        assert_eq!(redact(&text, &secrets(&headers)), "no: rejoin.v1.json, rejoin.resume.[token].7");
        assert_eq!(redact("no", &secrets(&headers)), "no");
        assert_eq!(redact(&text, &secrets(&HeaderMap::new())), text);
    }

    #[test]
    fn says_what_is_wrong_with_a_request() {
        type Change = fn(request::Builder) -> request::Builder;
        let cases: [(Change, u16); 4] = [
            (|r| r.method("POST"), 405),
            (|r| r.version(Version::HTTP_10), 400),
            (|r| r.header("sec-websocket-protocol", "rejoin.x"), 400),
            (|r| r.header("origin", "https://evil.example"), 403),
        ];
        for (change, status) in cases {
            let reject = read_with(change).unwrap_err();
            assert_eq!(reject.status, status);
            assert!(!reject.body.is_empty());
        }
    }
}
