//! Lists and tokens in the headers of a request (RFC 9110 §5.6).

use http::{HeaderMap, HeaderName, header};

/// Whether a request asks for an upgrade to WebSocket.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, "upgrade") && has_token(headers, &header::UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    // Usually the token is the whole value.
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(token.as_bytes()))
        || tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a comma-separated list, over all headers of this name (RFC 9110 §5.6.1).
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim_ascii).filter(|token| !token.is_empty())
}

/// Whether `text` is a token of RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
