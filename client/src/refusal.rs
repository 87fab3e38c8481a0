//! [`Refusal`]: an answer that refuses the upgrade, and whether another dial can help.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, header};

/// An answer that refuses the upgrade, from the server or from a proxy before it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The answer's body as text: at most its first 4 KiB, without surrounding white space.
    pub body: String,
    /// The `Location` of a redirect (RFC 9110 §10.2.2), as the server wrote it. A redirect is never followed: headers with
    /// credentials, and the session's token, would go to a server that the application did not choose.
    pub location: Option<String>,
    /// The time for which `Retry-After` (RFC 9110 §10.2.3) asks, in seconds or as a date, counted from this answer.
    pub retry_after: Option<Duration>,
}

/// The consequence of a refused reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Another dial, after the backoff.
    Retry,
    /// One more dial with fresh credentials.
    FreshCredentials,
    /// The end: another dial cannot help.
    None,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &str, now: SystemTime) -> Self {
        Self {
            status: status.as_u16(),
            body: body.trim().to_owned(),
            location: text(headers, &header::LOCATION).map(ToOwned::to_owned),
            retry_after: retry_after(headers, now),
        }
    }

    /// The consequence if this answer refused a reconnect.
    //= PROTOCOL.md#R7.21: On a reconnect
    pub(crate) fn remedy(&self) -> Remedy {
        match self.status {
            401 => Remedy::FreshCredentials,
            404 | 408 | 421 | 425 | 429 | 500..=599 => Remedy::Retry,
            _ => Remedy::None,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A date counts from the server's `Date`, if there is one, so that the client's clock need not be right.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = text(headers, &header::RETRY_AFTER)?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let date = text(headers, &header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(until.duration_since(date.unwrap_or(now)).unwrap_or_default())
}

impl fmt::Display for Refusal {
    /// Omits the query of the `Location`, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server answered with http status {}", self.status)?;
        if let Some(location) = &self.location {
            let public = location.find(['?', '#']).map_or(&**location, |end| &location[..end]);
            write!(f, ", location {public}")?;
        }
        if !self.body.is_empty() {
            write!(f, ": {}", self.body)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(HeaderName, &str)]) -> Refusal {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        Refusal::new(status.try_into().unwrap(), &map, " \n", now)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value| refusal(503, &[(header::RETRY_AFTER, value)]).retry_after;
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Sunday, 06-Nov-94 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Sun Nov  6 08:50:37 1994"), Some(Duration::from_secs(60)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO), "in the past");
        for nonsense in ["", "-1", "1.5", "soon", "+7"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn date_counts_from_the_servers_clock() {
        let until = (header::RETRY_AFTER, "Sat, 28 Nov 2026 10:00:09 GMT");
        let date = (header::DATE, "Sat, 28 Nov 2026 10:00:00 GMT");
        assert_eq!(refusal(503, &[until, date]).retry_after, Some(Duration::from_secs(9)));
    }

    #[test]
    fn statuses_determine_the_remedy() {
        for status in 200..=599 {
            let expected = match status {
                401 => Remedy::FreshCredentials,
                404 | 408 | 421 | 425 | 429 | 500.. => Remedy::Retry,
                _ => Remedy::None,
            };
            assert_eq!(refusal(status, &[]).remedy(), expected, "{status}");
        }
    }

    #[test]
    fn display_omits_the_query_of_a_redirect() {
        let redirect = refusal(302, &[(header::LOCATION, "https://login.test/in?token=secret#a")]);
        assert_eq!(redirect.location.as_deref(), Some("https://login.test/in?token=secret#a"));
        assert_eq!(
            redirect.to_string(),
            "server answered with http status 302, location https://login.test/in"
        );
    }
}
