//! [`AnswerReader`]: reads the server's answer to the upgrade, in every form that HTTP/1.1 allows (RFC 9112).

use std::ops::ControlFlow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::error::HandshakeError;
use crate::stream::BoxIo;

/// The head of an answer.
pub(crate) type Response = http::Response<()>;

/// The largest size of the heads, including interim answers.
const MAX_HEADS: usize = 64 * 1024;

/// The largest number of headers in one head.
const MAX_HEADERS: usize = 256;

/// The longest line that begins a chunk.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// The time limit of a body. The status is known by then, and only people read the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the answer to one request.
pub(crate) struct AnswerReader<'a> {
    io: &'a mut BoxIo,
    /// Bytes that were read and not yet parsed.
    buffer: Vec<u8>,
}

impl<'a> AnswerReader<'a> {
    pub(crate) fn new(io: &'a mut BoxIo) -> Self {
        Self { io, buffer: Vec::with_capacity(1024) }
    }

    /// Reads the head of the final answer. Skips interim answers (1xx except 101; RFC 9110 §15.2).
    pub(crate) async fn head(&mut self) -> Result<Response, HandshakeError> {
        let mut left = MAX_HEADS;
        loop {
            let size = self.read_head(left).await?;
            let response = parse(&self.buffer[..size])?;
            self.buffer.drain(..size);
            left -= size;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS || !status.is_informational() {
                return Ok(response);
            }
            tracing::trace!(status = status.as_u16(), "interim answer");
        }
    }

    /// Reads until the buffer begins with a complete head of at most `most` bytes, and returns its size. Each byte is scanned
    /// once, and the head is parsed once, however small the pieces in which it arrives.
    async fn read_head(&mut self, most: usize) -> Result<usize, HandshakeError> {
        let mut scanned = 0;
        loop {
            check_protocol(&self.buffer)?;
            if let Some(end) = end_of_head(&self.buffer, scanned) {
                return if end <= most { Ok(end) } else { Err(HandshakeError::TooLong) };
            }
            if self.buffer.len() >= most {
                return Err(HandshakeError::TooLong);
            }
            // The end of a head has up to three bytes.
            scanned = self.buffer.len().saturating_sub(2);
            if !self.fill().await? {
                return Err(HandshakeError::Ended);
            }
        }
    }

    /// Reads at most `most` bytes of the final answer's body: those that arrive within a second.
    pub(crate) async fn body(mut self, response: &Response, most: usize) -> Vec<u8> {
        let mut body = Vec::new();
        // After any error, the part that has arrived is reported.
        match Framing::of(response) {
            Framing::Length(length) => {
                let most = usize::try_from(length).unwrap_or(usize::MAX).min(most);
                timeout(BODY_TIMEOUT, self.take(most, &mut body)).await.ok();
            }
            Framing::UntilEnd => {
                timeout(BODY_TIMEOUT, self.take(most, &mut body)).await.ok();
            }
            Framing::Chunked => {
                timeout(BODY_TIMEOUT, self.take_chunks(most, &mut body)).await.ok();
            }
        }
        body
    }

    /// Returns the bytes that were read beyond the head.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.buffer
    }

    /// Reads more bytes; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, HandshakeError> {
        let read = self.io.read_buf(&mut self.buffer).await.map_err(HandshakeError::Io)?;
        Ok(read > 0)
    }

    /// Moves `count` bytes of the stream to `body`. Breaks when the stream ends first.
    async fn take(&mut self, count: usize, body: &mut Vec<u8>) -> ControlFlow<()> {
        let mut left = count;
        loop {
            let here = left.min(self.buffer.len());
            body.extend(self.buffer.drain(..here));
            left -= here;
            if left == 0 {
                return ControlFlow::Continue(());
            }
            let Ok(true) = self.fill().await else { return ControlFlow::Break(()) };
        }
    }

    /// Moves at most `most` bytes of a chunked body (RFC 9112 §7.1) to `body`.
    async fn take_chunks(&mut self, most: usize, body: &mut Vec<u8>) -> ControlFlow<()> {
        loop {
            let size = self.take_chunk_line().await?;
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(most - body.len());
            if size == 0 {
                return ControlFlow::Break(());
            }
            self.take(size, body).await?;
            // Skip the line end of the chunk.
            if body.len() < most {
                self.take(2, &mut Vec::new()).await?;
            }
        }
    }

    /// Reads the size of the next chunk.
    async fn take_chunk_line(&mut self) -> ControlFlow<(), u64> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((line, size))) => {
                    self.buffer.drain(..line);
                    return ControlFlow::Continue(size);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_CHUNK_LINE => {
                    let Ok(true) = self.fill().await else { return ControlFlow::Break(()) };
                }
                _ => return ControlFlow::Break(()),
            }
        }
    }
}

/// Where a body ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    /// At the end of the stream.
    UntilEnd,
}

impl Framing {
    fn of(response: &Response) -> Self {
        let headers = response.headers();
        if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self::Length(0);
        }
        if headers.contains_key(header::TRANSFER_ENCODING) {
            let last = list(headers, &header::TRANSFER_ENCODING).last();
            return match last {
                Some(last) if last.eq_ignore_ascii_case("chunked") => Self::Chunked,
                _ => Self::UntilEnd,
            };
        }
        if !headers.contains_key(header::CONTENT_LENGTH) {
            return Self::UntilEnd;
        }
        let mut lengths = list(headers, &header::CONTENT_LENGTH).map(|length| length.parse().ok());
        match lengths.next() {
            // A repeated length must be the same.
            Some(Some(length)) if lengths.all(|other| other == Some(length)) => Self::Length(length),
            // It is unknown which bytes are the body.
            _ => Self::Length(0),
        }
    }
}

/// The elements of a list header, which may be spread over several lines (RFC 9110 §5.3, §5.6.1).
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

/// Fails as soon as the first bytes show that this is not HTTP: some servers would wait for more bytes of the client.
fn check_protocol(buffer: &[u8]) -> Result<(), HandshakeError> {
    const HTTP: &[u8] = b"HTTP/";
    // A TLS record: an alert or a handshake, of TLS 1.x (RFC 8446 §5.1).
    if let [0x15 | 0x16, 0x03, ..] = buffer {
        return Err(HandshakeError::Tls);
    }
    let here = buffer.len().min(HTTP.len());
    if buffer[..here] == HTTP[..here] || buffer == [0x15] || buffer == [0x16] {
        Ok(())
    } else {
        Err(HandshakeError::NotHttp)
    }
}

/// The length of the head at the start of `buffer`, including its empty line. Bytes before `from` have been scanned already.
fn end_of_head(buffer: &[u8], from: usize) -> Option<usize> {
    (from..buffer.len()).filter(|&at| buffer[at] == b'\n').find_map(|at| match &buffer[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn parse(head: &[u8]) -> Result<Response, HandshakeError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let mut config = httparse::ParserConfig::default();
    // Obsolete forms, which a client has to understand (RFC 9112 §5.1, §5.2).
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    match config.parse_response(&mut parsed, head) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err(HandshakeError::Malformed),
    }
    let mut response = Response::new(());
    let code = parsed.code.ok_or(HandshakeError::Malformed)?;
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| HandshakeError::Malformed)?;
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| HandshakeError::Malformed)?;
        let value = HeaderValue::from_bytes(header.value).or_else(|_| unfolded(header.value));
        let value = value.map_err(|_| HandshakeError::Malformed)?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// A value on several lines: line ends become spaces (RFC 9112 §5.2).
fn unfolded(value: &[u8]) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let space = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    HeaderValue::from_bytes(&value.iter().map(space).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn head(text: &str) -> Response {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn finds_the_end_of_a_split_head() {
        for text in ["HTTP/1.1 101 Ok\r\nA: b\r\n\r\nrest", "HTTP/1.1 101 Ok\nA: b\n\nrest"] {
            let end = text.len() - "rest".len();
            for from in 0..end - 3 {
                assert_eq!(end_of_head(text.as_bytes(), from), Some(end), "{from}");
            }
            for size in 0..end {
                assert_eq!(end_of_head(&text.as_bytes()[..size], 0), None, "{size}");
            }
        }
    }

    #[test]
    fn lists_may_span_lines_and_have_empty_elements() {
        let response = head("HTTP/1.1 101 Ok\r\nConnection: keep-alive,,\r\nConnection: , Upgrade \r\n\r\n");
        let elements: Vec<_> = list(response.headers(), &header::CONNECTION).collect();
        assert_eq!(elements, ["keep-alive", "Upgrade"]);
    }

    #[test]
    fn reads_obsolete_forms_of_headers() {
        let response = head("HTTP/1.0  503\r\nRetry-After : 7\r\nX-Long: one\r\n\t two\r\n\r\n");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "7");
        let long = response.headers()["x-long"].to_str().unwrap();
        assert_eq!(long.split_whitespace().collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn headers_determine_the_end_of_a_body() {
        let framing = |headers: &str| Framing::of(&head(&format!("HTTP/1.1 400 No\r\n{headers}\r\n")));
        assert_eq!(framing(""), Framing::UntilEnd);
        assert_eq!(framing("Content-Length: 5\r\n"), Framing::Length(5));
        assert_eq!(framing("Content-Length: 5, 5\r\nContent-Length: 5\r\n"), Framing::Length(5));
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 6\r\n"), Framing::Length(0));
        assert_eq!(framing("Content-Length: abc\r\n"), Framing::Length(0));
        assert_eq!(framing("Content-Length: -1\r\n"), Framing::Length(0));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n"), Framing::Chunked);
        assert_eq!(framing("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), Framing::Chunked);
        assert_eq!(framing("Transfer-Encoding: gzip\r\n"), Framing::UntilEnd);
        for status in [204, 304] {
            let response = head(&format!("HTTP/1.1 {status} No\r\nContent-Length: 5\r\n\r\n"));
            assert_eq!(Framing::of(&response), Framing::Length(0));
        }
    }

    /// Reads a chunk whose first line has this length.
    async fn chunk_line_of(len: usize) -> ControlFlow<(), u64> {
        // Byte by byte: a line that arrives at once is read at once.
        let (mut theirs, ours) = tokio::io::duplex(1);
        let line = format!("7;{}\r\n", "x".repeat(len - 4));
        tokio::spawn(async move { theirs.write_all(line.as_bytes()).await });
        AnswerReader::new(&mut (Box::new(ours) as BoxIo)).take_chunk_line().await
    }

    #[tokio::test]
    async fn chunk_lines_have_a_size_limit() {
        assert_eq!(chunk_line_of(MAX_CHUNK_LINE).await, ControlFlow::Continue(7));
        assert_eq!(chunk_line_of(MAX_CHUNK_LINE + 1).await, ControlFlow::Break(()));
    }

    #[test]
    fn detects_tls_and_other_protocols() {
        assert!(matches!(check_protocol(&[0x15, 0x03, 0x03, 0, 2]), Err(HandshakeError::Tls)));
        assert!(matches!(check_protocol(b"SSH"), Err(HandshakeError::NotHttp)));
        for begin in ["", "H", "HTTP", "HTTP/", "HTTP/1.1 200"] {
            assert!(check_protocol(begin.as_bytes()).is_ok(), "{begin}");
        }
        assert!(check_protocol(&[0x15]).is_ok(), "undecided");
    }

    #[test]
    fn protocol_is_decided_by_the_first_bytes() {
        let is_tls = |buffer: &[u8]| match check_protocol(buffer) {
            Ok(()) => None,
            Err(error) => Some(matches!(error, HandshakeError::Tls)),
        };
        for undecided in [&b""[..], b"H", b"HTTP/", b"HTTP/1.1 101", b"\x15", b"\x16"] {
            assert_eq!(is_tls(undecided), None, "{undecided:?}");
        }
        for tls in [&b"\x15\x03"[..], b"\x16\x03\x01"] {
            assert_eq!(is_tls(tls), Some(true), "{tls:?}");
        }
        for other in [
            &b"\x14"[..],
            b"\x14\x03",
            b"\x17",
            b"\x17\x03",
            b"\x15\x02",
            b"\x16\x04",
            b"HTTP\x15",
            b"SSH-2.0",
        ] {
            assert_eq!(is_tls(other), Some(false), "{other:?}");
        }
    }
}
