//! [`Origins`]: whose pages may connect (PROTOCOL.md §9).

use http::uri::{Authority, Uri};
use http::{HeaderMap, header};

use crate::options::ConfigError;

/// Which `Origin`s are accepted: that of the request's own `Host` always, others by choice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    allowed: Vec<String>,
    any: bool,
}

impl Origins {
    pub(crate) fn allow(&mut self, origin: String) {
        self.allowed.push(origin);
    }

    pub(crate) fn allow_any(&mut self) {
        self.any = true;
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self.allowed.iter().find(|origin| *origin != "null" && parse(origin).is_none()) {
            None => Ok(()),
            Some(wrong) => Err(ConfigError {
                option: "allow_origin",
                value: format!("{wrong:?}"),
                range: "scheme://host or scheme://host:port",
            }),
        }
    }

    //= PROTOCOL.md#9-origin
    pub(crate) fn accepts(&self, headers: &HeaderMap) -> bool {
        // Without Origin it is no browser.
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        if self.any {
            return true;
        }
        let Ok(origin) = origin.to_str() else { return false };
        if self.allowed.iter().any(|allowed| same_origin(allowed, origin)) {
            return true;
        }
        let Some((_, host, port)) = parse(origin) else { return false };
        let target = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        // A Host without a port means the default one of the scheme in which the page came.
        target.is_some_and(|target| {
            target.host().eq_ignore_ascii_case(&host)
                && target.port_u16().or_else(|| default_port(origin)) == port
        })
    }
}

fn same_origin(allowed: &str, origin: &str) -> bool {
    allowed == origin || parse(allowed).is_some_and(|allowed| parse(origin) == Some(allowed))
}

/// Scheme, host and port of a serialized origin (RFC 6454 §6.2).
fn parse(origin: &str) -> Option<(String, String, Option<u16>)> {
    let uri: Uri = origin.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    // Uri adds the path "/" by itself; anything else is no origin.
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") || origin.ends_with('/') {
        return None;
    }
    Some((scheme, host, uri.port_u16().or_else(|| default_port(origin))))
}

fn default_port(origin: &str) -> Option<u16> {
    match origin.split_once("://")?.0.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(origins: &Origins, host: &str, origin: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        origins.accepts(&headers)
    }

    #[test]
    fn accepts_the_requests_own_host_and_no_other() {
        let origins = Origins::default();
        assert!(accepts(&origins, "example.org", "https://example.org"));
        assert!(accepts(&origins, "example.org:443", "https://example.org"));
        assert!(accepts(&origins, "Example.ORG:8080", "http://example.org:8080"));
        assert!(accepts(&origins, "[::1]:8080", "http://[::1]:8080"));
        for origin in [
            "https://evil.org",
            "https://example.org.evil.org",
            "https://example.org:8443",
            "http://example.org:443",
            "null",
            "https://example.org/",
            "example.org",
        ] {
            assert!(!accepts(&origins, "example.org", origin), "{origin}");
        }
    }

    #[test]
    fn accepts_what_the_application_allowed() {
        let mut origins = Origins::default();
        origins.allow("https://app.example".into());
        origins.check().unwrap();
        assert!(accepts(&origins, "api.example", "https://app.example"));
        assert!(accepts(&origins, "api.example", "https://app.example:443"));
        assert!(!accepts(&origins, "api.example", "http://app.example"));
        origins.allow_any();
        assert!(accepts(&origins, "api.example", "null"));
    }

    #[test]
    fn refuses_an_allowed_origin_that_is_none() {
        for wrong in ["app.example", "https://app.example/path", ""] {
            let mut origins = Origins::default();
            origins.allow(wrong.into());
            assert!(origins.check().is_err(), "{wrong:?}");
        }
    }
}
