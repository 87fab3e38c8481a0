//! [`upgrade`]: upgrades a byte stream to a WebSocket by HTTP (RFC 6455 §4.1, PROTOCOL.md §1 and §5).
//!
//! No library does it, because HTTP and WebSocket clients either discard the body of a refusal, or log the request with the
//! session's token in it.

use std::fmt::Write;
use std::io;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, StatusCode, header};
use rejoin_core::Token;
use rejoin_core::text::prefix;
use sha1_smol::Sha1;
use tokio::io::AsyncWriteExt;

use crate::answer::{AnswerReader, Response, list};
use crate::cookies::Cookies;
use crate::error::{ConnectError, HandshakeError};
use crate::refusal::Refusal;
use crate::stream::BoxIo;
use crate::target::DialTarget;

/// The offer of a dial in session mode.
pub(crate) struct DialOffer<'a> {
    /// The codec's name.
    pub(crate) codec: &'a str,
    /// The session to resume: its token, and the number of data frames that have been received.
    pub(crate) resume: Option<(&'a Token, u64)>,
    /// The size of the largest message that is accepted, in bytes; `None` is unlimited.
    pub(crate) max_message: Option<usize>,
    /// The credentials.
    pub(crate) auth: Option<&'a Credentials>,
}

/// The credentials of a dial: an access token, as it is and as it is offered.
pub(crate) struct Credentials {
    token: String,
    encoded: String,
}

impl Credentials {
    /// # Errors
    /// Fails for a token that cannot be offered.
    pub(crate) fn new(token: String) -> io::Result<Self> {
        if token.is_empty() || token.len() > MAX_AUTH {
            let why = format!("{} bytes (expected 1 to {MAX_AUTH})", token.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Self { encoded: BASE64_URL_SAFE_NO_PAD.encode(&token), token })
    }
}

/// The longest access token, in bytes: in base64 it has 4,096 characters.
const MAX_AUTH: usize = 3072;

/// The largest message that a server may send to a client that announces no limit.
const ANY_MESSAGE: usize = 64 << 20;

/// The longest body of a refusal that is reported, in bytes.
const MAX_BODY: usize = 4 * 1024;

/// The longest token (PROTOCOL.md §5).
const MAX_TOKEN: usize = 64;

/// The constant that is hashed with the key (RFC 6455 §4.2.2).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Upgrades a stream. Returns the first bytes of the WebSocket, which were read with the head of the answer.
pub(crate) async fn upgrade(
    io: &mut BoxIo,
    target: &DialTarget,
    headers: &HeaderMap,
    offer: Option<&DialOffer<'_>>,
    cookies: Option<&mut Cookies>,
) -> Result<Vec<u8>, ConnectError> {
    let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
    let request = request(target, headers, offer, &key);
    io.write_all(&request).await.map_err(HandshakeError::Io)?;
    io.flush().await.map_err(HandshakeError::Io)?;
    let mut reader = AnswerReader::new(io);
    let response = reader.head().await?;
    if let Some(cookies) = cookies {
        // Refusals count, too: a load balancer may set a cookie with any answer.
        cookies.store(target, response.headers());
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Refused(read_refusal(reader, &response, offer).await));
    }
    check(&response, &key)?;
    check_subprotocol(&response, headers, offer)?;
    Ok(reader.into_rest())
}

/// Reads a refusal, and removes the tokens: a server that repeats the request must not bring it into error texts and
/// logs.
async fn read_refusal(
    reader: AnswerReader<'_>,
    response: &Response,
    offer: Option<&DialOffer<'_>>,
) -> Refusal {
    // Long enough to read a token to its end that begins in the reported part: otherwise it would not be found.
    let longest = MAX_TOKEN.max(offer.and_then(|offer| offer.auth).map_or(0, |auth| auth.encoded.len()));
    let body = reader.body(response, MAX_BODY + longest).await;
    let body = redact(String::from_utf8_lossy(&body).into_owned(), offer);
    let mut refusal =
        Refusal::new(response.status(), response.headers(), prefix(&body, MAX_BODY), SystemTime::now());
    refusal.location = refusal.location.map(|location| redact(location, offer));
    refusal
}

fn request(target: &DialTarget, headers: &HeaderMap, offer: Option<&DialOffer<'_>>, key: &str) -> Vec<u8> {
    let mut head = format!("GET {} HTTP/1.1\r\n", target.path);
    if !headers.contains_key(header::HOST) {
        push(&mut head, "Host", &target.authority);
    }
    push(&mut head, "Connection", "Upgrade");
    push(&mut head, "Upgrade", "websocket");
    push(&mut head, "Sec-WebSocket-Version", "13");
    push(&mut head, "Sec-WebSocket-Key", key);
    if let Some(offer) = offer {
        let mut protocols = subprotocol(offer.codec);
        //= PROTOCOL.md#R5.1: after its codecs, the subprotocol `rejoin.resume.TOKEN.N`
        if let Some((token, received)) = offer.resume {
            write!(protocols, ", rejoin.resume.{}.{received}", token.as_str())
                .expect("writing to a string does not fail");
        }
        //= PROTOCOL.md#R3.15: A client that accepts less than 64 MiB… MUST offer… `rejoin.max.N`
        if let Some(bytes) = offer.max_message.filter(|bytes| *bytes < ANY_MESSAGE) {
            write!(protocols, ", rejoin.max.{bytes}").expect("writing to a string does not fail");
        }
        //= PROTOCOL.md#R1.21: offer, after its codecs, the subprotocol `rejoin.auth.TOKEN`
        if let Some(auth) = offer.auth {
            protocols.push_str(", rejoin.auth.");
            protocols.push_str(&auth.encoded);
        }
        push(&mut head, "Sec-WebSocket-Protocol", &protocols);
    }
    let mut request = head.into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn push(head: &mut String, name: &str, value: &str) {
    head.push_str(name);
    head.push_str(": ");
    head.push_str(value);
    head.push_str("\r\n");
}

fn subprotocol(codec: &str) -> String {
    format!("rejoin.v1.{codec}")
}

/// The answer of a server that has read the key (RFC 6455 §4.2.2).
pub(crate) fn accept_of(key: &str) -> String {
    let mut sha1 = Sha1::from(key);
    sha1.update(GUID);
    BASE64_STANDARD.encode(sha1.digest().bytes())
}

/// Checks the headers of an upgrade (RFC 6455 §4.1).
fn check(response: &Response, key: &str) -> Result<(), HandshakeError> {
    let headers = response.headers();
    let has = |name, token| list(headers, name).any(|element| element.eq_ignore_ascii_case(token));
    let once = |name: &HeaderName| headers.get_all(name).iter().count() <= 1;
    let wrong = |name, expected| Err(HandshakeError::Header { name, expected });
    if !has(&header::UPGRADE, "websocket") {
        return wrong("upgrade", "websocket");
    }
    if !has(&header::CONNECTION, "upgrade") {
        return wrong("connection", "upgrade");
    }
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes());
    if !once(&header::SEC_WEBSOCKET_ACCEPT) || accept != Some(accept_of(key).as_bytes()) {
        return wrong("sec-websocket-accept", "the value for the key of the request");
    }
    if list(headers, &header::SEC_WEBSOCKET_EXTENSIONS).next().is_some() {
        return wrong("sec-websocket-extensions", "none, because none was offered");
    }
    if !once(&header::SEC_WEBSOCKET_PROTOCOL) {
        return wrong("sec-websocket-protocol", "at most one");
    }
    Ok(())
}

fn check_subprotocol(
    response: &Response,
    headers: &HeaderMap,
    offer: Option<&DialOffer<'_>>,
) -> Result<(), ConnectError> {
    let selected = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let selected =
        selected.map(|value| redact(String::from_utf8_lossy(value.as_bytes()).into_owned(), offer));
    let own = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered = offer.map_or_else(|| own.collect::<Vec<_>>().join(", "), |offer| subprotocol(offer.codec));
    let fits = match &selected {
        Some(selected) => offered.split(',').any(|protocol| protocol.trim() == selected),
        // A server that supports none of the application's subprotocols may continue without.
        None => offer.is_none(),
    };
    if fits { Ok(()) } else { Err(ConnectError::Subprotocol { offered, selected }) }
}

/// Removes the session's token and the credentials from a text of the server: they must not come into error texts and logs.
fn redact(mut text: String, offer: Option<&DialOffer<'_>>) -> String {
    let resume = offer.and_then(|offer| offer.resume).map(|(token, _)| token.as_str());
    let auth = offer.and_then(|offer| offer.auth);
    // Very short credentials are no secret, and may occur as a part of a word.
    let auth = auth.filter(|auth| auth.token.len() >= 8).map(|auth| [&*auth.token, &*auth.encoded]);
    for secret in resume.into_iter().chain(auth.into_iter().flatten()) {
        if text.contains(secret) {
            text = text.replace(secret, "[token]");
        }
    }
    text
}
