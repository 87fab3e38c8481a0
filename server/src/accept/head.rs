//! Reads the head of a request from a byte stream, and writes the answer (RFC 9112): all the HTTP/1.1 that an upgrade needs.
//!
//! A WebSocket connection has one request, without a body. Reading it here costs one task and two buffers that are freed
//! afterwards; the connection of an HTTP server is made for many requests.

use std::io;
use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header, request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::accept::answer::{HttpResponse, Switch};
use crate::accept::reject::Reject;

/// The most headers of a request whose head may have up to 16 KiB. A longer limit allows one more for each further 256 bytes.
const MAX_HEADERS: usize = 64;

/// A buffer size into which most heads fit, in bytes.
const USUAL_HEAD: usize = 1024;

/// The head that a peer has sent.
pub(crate) enum Asked {
    /// A request, and the bytes that were read beyond its head: the first ones of the WebSocket.
    Request(Box<request::Parts>, Bytes),
    /// Bytes that are not a request, with the refusal.
    Nonsense(Reject),
    /// Nothing: the peer has gone.
    Nothing,
}

/// Reads the head of a request, of at most `most` bytes. The caller bounds the time.
///
/// # Errors
/// Fails when the stream fails.
pub(crate) async fn read(io: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Asked> {
    let mut buffer = Vec::with_capacity(USUAL_HEAD);
    loop {
        let before = buffer.len();
        if io.read_buf(&mut buffer).await? == 0 {
            return Ok(Asked::Nothing);
        }
        // Parsed after the first read, to refuse anything that is not HTTP at once, and again when the head is complete. Small
        // pieces in between cost no further attempts.
        if before == 0 || has_end(&buffer[before.saturating_sub(2)..]) {
            let text = Bytes::from(buffer);
            match parse(&text, most) {
                Ok(Some((length, _))) if length > most => return Ok(Asked::Nonsense(too_long(most))),
                Ok(Some((length, parts))) => {
                    return Ok(Asked::Request(Box::new(parts), text.slice(length..)));
                }
                // No other handle shares the bytes, so this conversion does not copy.
                Ok(None) => buffer = Vec::from(text),
                Err(reject) => return Ok(Asked::Nonsense(reject)),
            }
        }
        if buffer.len() > most {
            return Ok(Asked::Nonsense(too_long(most)));
        }
    }
}

/// Whether the text contains the empty line that ends a head.
fn has_end(text: &[u8]) -> bool {
    text.windows(2).any(|two| two == b"\n\n") || text.windows(3).any(|three| three == b"\n\r\n")
}

/// Parses a head. Returns its length with the parsed request; `None` while its end is missing.
fn parse(text: &Bytes, most: usize) -> Result<Option<(usize, request::Parts)>, Reject> {
    let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let mut parsed = head.parse_with_uninit_headers(text, &mut headers);
    let max_headers = MAX_HEADERS.max(most / 256);
    let mut more_headers = Vec::new();
    if max_headers > MAX_HEADERS && matches!(parsed, Err(httparse::Error::TooManyHeaders)) {
        more_headers.resize(max_headers, MaybeUninit::uninit());
        parsed = head.parse_with_uninit_headers(text, &mut more_headers);
    }
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(too_large(format!("the request has more than {max_headers} headers")));
        }
        Err(error) => return Err(Reject::bad_request(format!("not an HTTP/1.1 request: {error}"))),
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    let malformed = || Reject::bad_request("not an HTTP/1.1 request: invalid method or target");
    parts.method = head.method.unwrap_or_default().parse().map_err(|_| malformed())?;
    // Shares the memory of the text, like the values of the headers.
    let target = text.slice_ref(head.path.unwrap_or_default().as_bytes());
    parts.uri = Uri::from_maybe_shared(target).map_err(|_| malformed())?;
    parts.version = if head.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.headers.reserve(head.headers.len());
    for field in head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Reject::bad_request("not an HTTP/1.1 request: invalid header"));
        };
        parts.headers.append(name, value);
    }
    Ok(Some((length, parts)))
}

/// Encodes the answer that switches protocols.
pub(crate) fn switch(answer: &Switch) -> Vec<u8> {
    let mut head = begin(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in answer.headers() {
        push(&mut head, &name, value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Encodes any other answer. It is the last one on its connection. The answer to `HEAD` has no body (RFC 9110 §9.3.2).
pub(crate) fn answer(answer: &HttpResponse, method: &Method) -> Vec<u8> {
    let mut head = begin(answer.status());
    for (name, value) in answer.headers() {
        push(&mut head, name, value.as_bytes());
    }
    push(&mut head, &header::CONNECTION, b"close");
    // A 304 has no content, and its length would be that of the 200 (RFC 9110 §8.6).
    if answer.status() != StatusCode::NOT_MODIFIED {
        push(&mut head, &header::CONTENT_LENGTH, answer.body().len().to_string().as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    if method != Method::HEAD {
        head.extend_from_slice(answer.body());
    }
    head
}

fn begin(status: StatusCode) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    let reason = status.canonical_reason().unwrap_or_default();
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    head
}

fn push(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// Writes an answer.
///
/// # Errors
/// Fails when the stream fails.
pub(crate) async fn write(io: &mut (impl AsyncWrite + Unpin), answer: &[u8]) -> io::Result<()> {
    io.write_all(answer).await?;
    io.flush().await
}

fn too_long(most: usize) -> Reject {
    too_large(format!("the head of the request is longer than {most} bytes"))
}

fn too_large(why: String) -> Reject {
    Reject::checked(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    const MAX_HEAD: usize = 16 * 1024;

    async fn asked(pieces: &[&[u8]]) -> Asked {
        asked_within(MAX_HEAD, pieces).await
    }

    async fn asked_within(most: usize, pieces: &[&[u8]]) -> Asked {
        let mut pieces = Pieces(pieces.iter().copied().collect());
        read(&mut pieces, most).await.unwrap()
    }

    /// A stream that returns at most one piece with each read.
    struct Pieces<'a>(VecDeque<&'a [u8]>);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.pop_front() {
                let (now, later) = piece.split_at(piece.len().min(buffer.remaining()));
                buffer.put_slice(now);
                if !later.is_empty() {
                    self.0.push_front(later);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn head_may_end_in_bare_line_feeds() {
        let request = b"GET / HTTP/1.1\nhost: x\n\n";
        for size in 1..=request.len() {
            let asked = asked(&request.chunks(size).collect::<Vec<_>>()).await;
            assert!(matches!(asked, Asked::Request(..)), "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn reads_request_in_pieces_and_keeps_the_rest() {
        let request = b"GET /chat?room=a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\n\r\n\x81\x00";
        for size in 1..=request.len() {
            let Asked::Request(parts, rest) = asked(&request.chunks(size).collect::<Vec<_>>()).await else {
                panic!("no request in pieces of {size}");
            };
            assert_eq!((parts.method.as_str(), parts.uri.query()), ("GET", Some("room=a")));
            assert_eq!(parts.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
            assert_eq!(rest, request[request.len() - 2..][..rest.len()], "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn names_the_fault_of_malformed_requests() {
        let many = [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(65), b"\r\n".to_vec()].concat();
        let long = [b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; MAX_HEAD]].concat();
        let cases: [(&[u8], u16, &str); 7] = [
            (b"\x16\x03\x01\x02\x00\x01", 400, "not an HTTP/1.1 request: invalid token"),
            (b"GET / SIP/2.0\r\n\r\n", 400, "not an HTTP/1.1 request: invalid HTTP version"),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "not an HTTP/1.1 request: invalid header name"),
            (b"GET / HTTP/1.1\r\na: \x00\r\n\r\n", 400, "not an HTTP/1.1 request: invalid header value"),
            (b"GET http:// HTTP/1.1\r\n\r\n", 400, "not an HTTP/1.1 request: invalid method or target"),
            (&many, 431, "the request has more than 64 headers"),
            (&long, 431, "the head of the request is longer than 16384 bytes"),
        ];
        for (text, status, why) in cases {
            let Asked::Nonsense(reject) = asked(&[text]).await else { panic!("accepted: {why}") };
            assert_eq!((reject.status.as_u16(), &*reject.body), (status, why));
        }
    }

    #[tokio::test]
    async fn limits_of_head_and_headers_are_configurable() {
        let head = |filler: usize| {
            [b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; filler], b"\r\n\r\n".to_vec()].concat()
        };
        for most in [1024, 20_000] {
            // 19 bytes before the filler, 4 behind it.
            let (fits, does_not) = (head(most - 23), head(most - 22));
            for size in [fits.len(), 7] {
                let asked = asked_within(most, &fits.chunks(size).collect::<Vec<_>>()).await;
                assert!(matches!(asked, Asked::Request(..)), "{most} in pieces of {size}");
                let asked = asked_within(most, &does_not.chunks(size).collect::<Vec<_>>()).await;
                let Asked::Nonsense(reject) = asked else { panic!("too long: {most} in pieces of {size}") };
                assert_eq!(reject.status, 431);
            }
        }
        let headers =
            |count| [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(count), b"\r\n".to_vec()].concat();
        assert!(matches!(asked_within(32 * 1024, &[&headers(128)]).await, Asked::Request(..)));
        let Asked::Nonsense(reject) = asked_within(32 * 1024, &[&headers(129)]).await else { panic!() };
        assert_eq!(&*reject.body, "the request has more than 128 headers");
    }

    #[tokio::test]
    async fn incomplete_head_is_not_a_request() {
        for text in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            assert!(matches!(asked(&[text]).await, Asked::Nothing));
        }
    }

    #[test]
    fn answer_closes_connection_unless_it_switches_protocols() {
        let mut reject = HttpResponse::new(Bytes::from_static(b"who?"));
        *reject.status_mut() = StatusCode::UNAUTHORIZED;
        reject.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"));
        assert_eq!(
            String::from_utf8(answer(&reject, &Method::GET)).unwrap(),
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\nconnection: close\r\ncontent-length: 4\r\n\r\nwho?"
        );
        assert!(answer(&reject, &Method::HEAD).ends_with(b"content-length: 4\r\n\r\n"));
        let mut unchanged = HttpResponse::new(Bytes::new());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        assert_eq!(
            String::from_utf8(answer(&unchanged, &Method::GET)).unwrap(),
            "HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n"
        );
        let accepted = Switch { accept: "abc=".into(), subprotocol: Some("rejoin.v1.json".into()) };
        assert_eq!(
            String::from_utf8(switch(&accepted)).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: abc=\r\nsec-websocket-protocol: rejoin.v1.json\r\n\r\n"
        );
    }
}
