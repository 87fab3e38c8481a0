//! [`Offer`]: the request that is encoded in the subprotocols (PROTOCOL.md §1 and §5).

use http::{HeaderMap, header};
use rejoin_core::Token;

use crate::accept::auth_token::AuthToken;
use crate::accept::headers::is_token;
use crate::accept::reject::Reject;
use crate::options::ServerOptions;

/// The offer that the subprotocols make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Plain mode, with the selected subprotocol of the application, if any.
    Plain { subprotocol: Option<Box<str>> },
    /// Session mode. `codecs` are the indexes of the supported codecs in the client's order, at least one. `max` is the largest
    /// message that the client accepts, in bytes, if it names one; `auth` are its credentials, if it sends them this way.
    Session { codecs: Vec<usize>, resume: Option<Resume>, max: Option<u64>, auth: Option<AuthToken> },
}

/// The offer to resume a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) token: Token,
    /// The number of data frames that the client has received.
    pub(crate) received: u64,
}

impl Offer {
    /// The client's credentials.
    pub(crate) fn auth(&self) -> Option<&AuthToken> {
        match self {
            Self::Plain { .. } => None,
            Self::Session { auth, .. } => auth.as_ref(),
        }
    }
}

//= PROTOCOL.md#1-two-modes
pub(crate) fn read_offer(headers: &HeaderMap, options: &ServerOptions) -> Result<Offer, Reject> {
    let mut codecs = Vec::new();
    let mut resume = None;
    let mut max = None;
    let mut auth = None;
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
        } else if rest == "auth" || rest.starts_with("auth.") {
            let token = AuthToken::parse(rest.strip_prefix("auth.").unwrap_or_default())
                .ok_or_else(|| Reject::bad_request("an offer of credentials is rejoin.auth.TOKEN"))?;
            if auth.replace(token).is_some() {
                return Err(Reject::bad_request("more than one offer of credentials"));
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
    Ok(Offer::Session { codecs, resume, max, auth })
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuv";

    fn read(protocols: &[&str]) -> Result<Offer, Reject> {
        read_with(protocols, ServerOptions::default())
    }

    fn read_with(protocols: &[&str], options: ServerOptions) -> Result<Offer, Reject> {
        let mut headers = HeaderMap::new();
        for protocol in protocols {
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
        }
        read_offer(&headers, &options.checked().unwrap())
    }

    #[test]
    fn plain_without_a_rejoin_offer() {
        let plain = Offer::Plain { subprotocol: None };
        assert_eq!(read(&[]).unwrap(), plain);
        assert_eq!(read(&["graphql-ws, mqtt"]).unwrap(), plain);
    }

    #[test]
    fn selects_first_known_subprotocol() {
        let options =
            ServerOptions { subprotocols: vec!["a".into(), "b".into()], ..ServerOptions::default() };
        let offer = read_with(&["c, b, a"], options).unwrap();
        assert_eq!(offer, Offer::Plain { subprotocol: Some("b".into()) });
    }

    #[test]
    fn reads_offers_from_one_or_many_headers() {
        let offer = Offer::Session {
            codecs: vec![0],
            resume: Some(Resume { token: Token::parse(TOKEN).unwrap(), received: 7 }),
            max: None,
            auth: None,
        };
        let resume = format!("rejoin.resume.{TOKEN}.7");
        assert_eq!(read(&["rejoin.v1.other", "rejoin.v1.json", &resume]).unwrap(), offer);
        let one = format!("rejoin.v1.json ,{resume}");
        assert_eq!(read(&[&one]).unwrap(), offer);
    }

    #[test]
    fn reads_offered_message_limit() {
        let offer = |max: &str| read(&["rejoin.v1.json", max]);
        let offered = |max| Offer::Session { codecs: vec![0], resume: None, max: Some(max), auth: None };
        assert_eq!(offer("rejoin.max.1").unwrap(), offered(1));
        assert_eq!(offer("rejoin.max.9007199254740993").unwrap(), offered((1 << 53) + 1));
        for wrong in ["", ".", ".0", ".-1", ".+1", ".1.", ".1k", ".99999999999999999999", ".1, rejoin.max.1"]
        {
            assert_eq!(offer(&format!("rejoin.max{wrong}")).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn reads_offered_credentials() {
        let offer = read(&["rejoin.v1.json", "rejoin.auth.aGVsbG8"]).unwrap();
        assert_eq!(offer.auth().and_then(AuthToken::text), Some("hello"));
        assert_eq!(read(&["rejoin.v1.json"]).unwrap().auth(), None);
        for wrong in ["", ".", ".aGVsbG8=", ".aGVsb", ".a.b", ".aGVsbG8, rejoin.auth.aGVsbG8"] {
            let offer = format!("rejoin.v1.json, rejoin.auth{wrong}");
            assert_eq!(read(&[&offer]).unwrap_err().status, 400, "{wrong}");
        }
        assert_eq!(read(&["rejoin.auth.aGVsbG8"]).unwrap_err().status, 400, "without a codec");
    }

    //= PROTOCOL.md#R1.5: MUST ignore other `rejoin.*` offers that it does not know
    #[test]
    fn ignores_offers_of_later_clients() {
        let known = read(&["rejoin.v1.json"]).unwrap();
        assert_eq!(read(&["rejoin.v1.json, rejoin.later, rejoin.later, rejoin.later.7"]).unwrap(), known);
    }

    #[test]
    fn refusal_lists_supported_subprotocols() {
        let reject = read(&["rejoin.v2.json"]).unwrap_err();
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
            let reject = read(&["rejoin.v1.json", &offer]).unwrap_err();
            assert_eq!(reject.status, 400, "{offer}");
            assert!(!reject.body.contains(TOKEN), "a token is never repeated");
        }
    }
}
