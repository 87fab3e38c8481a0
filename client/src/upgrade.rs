//! [`upgrade`]: from a byte stream to a WebSocket, by HTTP (RFC 6455 §4.1, PROTOCOL.md §1 and §5).
//!
//! Written out here, because a client of HTTP or of WebSockets either loses the body of a refusal, or logs the request with
//! the session's token in it.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rejoin_core::Token;
use sha1_smol::Sha1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::dial::BoxIo;
use crate::error::{ConnectError, Refusal};
use crate::target::Target;

/// What is asked for in session mode.
pub(crate) struct Offer<'a> {
    /// The codec's name.
    pub(crate) codec: &'a str,
    /// The session that is to go on: its token, and how many data frames have been received.
    pub(crate) resume: Option<(&'a Token, u64)>,
}

/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// The longest body of a refusal that is reported.
const MAX_BODY: usize = 4 * 1024;

/// The most headers of an answer.
const MAX_HEADERS: usize = 128;

/// What the key is hashed with (RFC 6455 §4.2.2).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The head of the server's answer.
type Response = http::Response<()>;

/// How long the body of a refusal may take: the status is known, and not worth waiting.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// Asks for a WebSocket. Returns what was read beyond the answer's head: the first bytes of the WebSocket.
pub(crate) async fn upgrade(
    io: &mut BoxIo,
    target: &Target,
    headers: &HeaderMap,
    offer: Option<&Offer<'_>>,
) -> Result<Vec<u8>, ConnectError> {
    let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
    let request = request(target, headers, offer, &key);
    io.write_all(&request).await.map_err(|error| broken(&error))?;
    io.flush().await.map_err(|error| broken(&error))?;
    let (response, tail) = read_head(io).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let mut refusal = read_refusal(io, &response, tail).await;
        refusal.body = redact(refusal.body, offer);
        return Err(ConnectError::Refused(refusal));
    }
    check(&response, &key)?;
    check_subprotocol(&response, headers, offer)?;
    Ok(tail)
}

fn request(target: &Target, headers: &HeaderMap, offer: Option<&Offer<'_>>, key: &str) -> Vec<u8> {
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
        //= PROTOCOL.md#5-resuming: after its codecs, the subprotocol `rejoin.resume.TOKEN.N`
        if let Some((token, received)) = offer.resume {
            write!(protocols, ", rejoin.resume.{}.{received}", token.as_str())
                .expect("writing to a string does not fail");
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

async fn read_head(io: &mut BoxIo) -> Result<(Response, Vec<u8>), ConnectError> {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        let before = buffer.len();
        if io.read_buf(&mut buffer).await.map_err(|error| broken(&error))? == 0 {
            return Err(ConnectError::Handshake("the stream ended before the answer did".into()));
        }
        // The head is parsed once, when its end is there, however small the pieces are in which it comes.
        let new = before.saturating_sub(3);
        if buffer[new..].windows(4).any(|end| end == b"\r\n\r\n") {
            let (size, response) = parse(&buffer).map_err(ConnectError::Handshake)?;
            return Ok((response, buffer.split_off(size)));
        }
        if buffer.len() > MAX_HEAD {
            return Err(ConnectError::Handshake("the answer's head is longer than 16 KiB".into()));
        }
    }
}

/// The head in `buffer`, and how long it is.
fn parse(buffer: &[u8]) -> Result<(usize, Response), String> {
    let malformed = || "the answer's head is malformed".to_owned();
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let status = head.parse(buffer).map_err(|error| format!("the answer's head is malformed: {error}"))?;
    let httparse::Status::Complete(size) = status else { return Err(malformed()) };
    let mut response = Response::new(());
    let code = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    *response.status_mut() = code.ok_or_else(malformed)?;
    for header in head.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| malformed())?;
        response.headers_mut().append(name, value);
    }
    Ok((size, response))
}

/// What a server that has read our key answers (RFC 6455 §4.2.2).
fn accept_of(key: &str) -> String {
    let mut sha1 = Sha1::from(key);
    sha1.update(GUID);
    BASE64_STANDARD.encode(sha1.digest().bytes())
}

async fn read_refusal(io: &mut BoxIo, response: &Response, mut body: Vec<u8>) -> Refusal {
    let length: usize =
        text(response, &header::CONTENT_LENGTH).and_then(|text| text.parse().ok()).unwrap_or(MAX_BODY);
    let wanted = length.min(MAX_BODY);
    timeout(BODY_PATIENCE, async {
        while body.len() < wanted && io.read_buf(&mut body).await.is_ok_and(|read| read > 0) {}
    })
    .await
    .ok();
    body.truncate(wanted);
    let retry_after = text(response, &header::RETRY_AFTER).and_then(|text| text.parse().ok());
    Refusal {
        status: response.status().as_u16(),
        body: String::from_utf8_lossy(&body).trim().to_owned(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// RFC 6455 §4.1: what the server's answer has to be.
fn check(response: &Response, key: &str) -> Result<(), ConnectError> {
    let has = |name: &HeaderName, token: &str| {
        text(response, name)
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    let wrong = |why: &str| Err(ConnectError::Handshake(why.to_owned()));
    if !has(&header::UPGRADE, "websocket") {
        return wrong("it does not say upgrade: websocket");
    }
    if !has(&header::CONNECTION, "upgrade") {
        return wrong("it does not say connection: upgrade");
    }
    if text(response, &header::SEC_WEBSOCKET_ACCEPT) != Some(accept_of(key).as_str()) {
        return wrong("its sec-websocket-accept does not belong to our key");
    }
    if response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return wrong("it selects an extension, and none was offered");
    }
    Ok(())
}

fn check_subprotocol(
    response: &Response,
    headers: &HeaderMap,
    offer: Option<&Offer<'_>>,
) -> Result<(), ConnectError> {
    let selected = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let selected =
        selected.map(|value| redact(String::from_utf8_lossy(value.as_bytes()).into_owned(), offer));
    let own = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered = offer.map_or_else(|| own.collect::<Vec<_>>().join(", "), |offer| subprotocol(offer.codec));
    let fits = match &selected {
        Some(selected) => offered.split(',').any(|protocol| protocol.trim() == selected),
        // A server that knows none of an application's subprotocols may go on without.
        None => offer.is_none(),
    };
    if fits { Ok(()) } else { Err(ConnectError::Subprotocol { offered, selected }) }
}

/// A server that repeats what it was sent must not bring the token into error texts and logs.
fn redact(text: String, offer: Option<&Offer<'_>>) -> String {
    match offer.and_then(|offer| offer.resume) {
        Some((token, _)) if text.contains(token.as_str()) => text.replace(token.as_str(), "[token]"),
        _ => text,
    }
}

fn text<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn broken(error: &std::io::Error) -> ConnectError {
    ConnectError::Handshake(format!("the stream failed: {error}"))
}
