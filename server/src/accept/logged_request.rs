//! [`LoggedRequest`]: the part of a request that the log shows.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header, request};

use crate::accept::auth_token::AuthToken;
use crate::accept::headers::tokens;
use crate::session::handle::{self, SessionHandle};

/// The part of a refused request, or refused resume, that is logged. The query is left out, because it may contain secrets.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoggedRequest {
    /// Later requests have greater numbers. `None` if it could not be read.
    pub(crate) number: Option<u64>,
    uri: Uri,
    pub(crate) peer: Option<SocketAddr>,
    /// The client's address according to a proxy.
    forwarded: Option<IpAddr>,
    /// The tokens of its offers: those of sessions, and credentials.
    secrets: Vec<String>,
}

/// The number of characters of a path that are logged.
const MAX_PATH: usize = 200;

impl LoggedRequest {
    pub(crate) fn new(parts: &request::Parts, peer: Option<SocketAddr>) -> Self {
        Self {
            number: Some(handle::next_number()),
            uri: parts.uri.clone(),
            peer,
            forwarded: None,
            secrets: secrets(&parts.headers),
        }
    }

    /// Adds the client's address, as a proxy has reported it.
    pub(crate) fn with_forwarded(self, forwarded: Option<IpAddr>) -> Self {
        Self { forwarded, ..self }
    }

    /// The client's address: the one that a proxy has reported, or else the peer's.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.forwarded.or_else(|| self.peer.map(|peer| peer.ip()))
    }

    /// Whether a later request has opened this session.
    pub(crate) fn is_before(&self, session: &SessionHandle) -> bool {
        self.number.is_some_and(|number| session.is_later_than(number))
    }

    /// A request that could not be read.
    pub(crate) fn unreadable(peer: Option<SocketAddr>) -> Self {
        Self { peer, ..Self::default() }
    }

    pub(crate) fn path(&self) -> &str {
        let path = self.uri.path();
        // A path is visible ASCII, so each byte is a character.
        &path[..path.len().min(MAX_PATH)]
    }

    /// Replaces the secrets of this request in a text.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        redact(text, &self.secrets)
    }
}

/// The tokens of the offers in these headers, well-formed or not; credentials as offered, and decoded. Usually there is none.
//= PROTOCOL.md#R1.25: MUST NOT log
fn secrets(headers: &HeaderMap) -> Vec<String> {
    let mut secrets = Vec::new();
    for offer in tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL) {
        if let Some(resume) = offer.strip_prefix("rejoin.resume.") {
            secrets.extend(resume.split('.').next().map(str::to_owned));
        } else if let Some(auth) = offer.strip_prefix("rejoin.auth.") {
            secrets.push(auth.to_owned());
            secrets.extend(AuthToken::parse(auth).and_then(|token| token.text().map(str::to_owned)));
        }
    }
    // A shorter text cannot be a usable part of a token, and may occur in a log line as a word.
    secrets.retain(|token| token.len() >= 8);
    secrets
}

/// Replaces the secrets in a text.
fn redact<'a>(text: &'a str, secrets: &[String]) -> Cow<'a, str> {
    secrets.iter().fold(Cow::Borrowed(text), |text, secret| {
        if text.contains(secret) { Cow::Owned(text.replace(secret, "[token]")) } else { text }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuv";

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

    #[test]
    fn credentials_are_redacted_in_both_forms() {
        let mut headers = HeaderMap::new();
        let offers = "rejoin.v1.json, rejoin.auth.c2VjcmV0LXRva2Vu, rejoin.auth.not_of.this-form";
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offers));
        let text = format!("secret-token of {offers}");
        let redacted = "[token] of rejoin.v1.json, rejoin.auth.[token], rejoin.auth.[token]";
        assert_eq!(redact(&text, &secrets(&headers)), redacted);
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
