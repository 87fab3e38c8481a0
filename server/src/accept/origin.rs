//! [`Origins`]: the pages that may connect (PROTOCOL.md §9).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::{HeaderMap, header};

use crate::accept::host::Host;
use crate::accept::reject::{Cause, Reject};
use crate::error::ConfigError;

/// The accepted `Origin`s: always that of the request's own host, others only if the application allows them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    /// The allowed origins as the application wrote them.
    allowed: Vec<String>,
    /// The same, parsed by [`Self::check`].
    patterns: Vec<Pattern>,
    any: bool,
    custom: Custom,
}

type Accepts = dyn Fn(&str, &HeaderMap) -> bool + Send + Sync;

/// The application's own decision on an origin.
#[derive(Clone, Default)]
struct Custom(Option<Arc<Accepts>>);

impl Custom {
    fn accepts(&self, origin: &str, headers: &HeaderMap) -> bool {
        let Some(function) = &self.0 else { return false };
        catch_unwind(AssertUnwindSafe(|| function(origin, headers))).unwrap_or_else(|_| {
            tracing::error!("origin_fn panicked");
            false
        })
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Custom").field(&self.0.is_some()).finish()
    }
}

impl Origins {
    pub(crate) fn allow(&mut self, origin: String) {
        self.allowed.push(origin);
    }

    pub(crate) fn allow_by(&mut self, accepts: impl Fn(&str, &HeaderMap) -> bool + Send + Sync + 'static) {
        self.custom = Custom(Some(Arc::new(accepts)));
    }

    pub(crate) fn allow_any(&mut self) {
        self.any = true;
    }

    /// Parses the allowed origins. Fails for one that no browser sends.
    pub(crate) fn check(&mut self) -> Result<(), ConfigError> {
        let parsed = self.allowed.iter().map(|text| {
            Pattern::parse(text).ok_or_else(|| ConfigError {
                option: "allow_origin",
                value: format!("{text:?}"),
                range: "scheme://host, scheme://host:port, scheme://*.domain, file:// or null, in ASCII; of pages, so http \
                        and https instead of ws and wss",
            })
        });
        self.patterns = parsed.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Checks whether the page of a request may connect to this host.
    ///
    /// # Errors
    /// Fails with 403 and a text that names the origin and the host, and with 400 if there are several origins.
    //= PROTOCOL.md#R9.1: an `http` or `https` origin with the host and port of the request
    pub(crate) fn check_request(&self, headers: &HeaderMap, host: &Host) -> Result<(), Reject> {
        let mut lines = headers.get_all(header::ORIGIN).into_iter();
        // A request without Origin does not come from a browser.
        let Some(origin) = lines.next() else { return Ok(()) };
        if lines.next().is_some() {
            return Err(Reject::bad_request("invalid Origin: more than one (expected one)"));
        }
        if self.any {
            return Ok(());
        }
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let accepted = Origin::parse(&origin).is_some_and(|origin| {
            origin.is_of(host) || self.patterns.iter().any(|pattern| pattern.matches(&origin))
        });
        if accepted || self.custom.accepts(&origin, headers) {
            Ok(())
        } else {
            Err(wrong_origin(&origin, host))
        }
    }
}

/// The number of characters of an `Origin` that a refusal repeats.
const MAX_ORIGIN: usize = 200;

/// Refuses a page of `origin` that may not connect to `host`.
fn wrong_origin(origin: &str, host: &Host) -> Reject {
    let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
    // A header can be up to 16 KiB long.
    let origin: String = origin.chars().take(MAX_ORIGIN).collect();
    let name = &host.name;
    let body = format!("pages of {origin} may not connect to {name}{port}: see `Builder::allow_origin`");
    Reject { cause: Some(Cause::Origin), ..Reject::forbidden(body) }
}

/// An origin as a browser sends it (RFC 6454 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// `null`: a page without an origin.
    Null,
    /// `file://`: a page from a file, for example in Electron.
    File,
    /// `scheme://host` or `scheme://host:port`. Without a port it has the scheme's default.
    Page { scheme: String, host: Host },
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "null" => return Some(Self::Null),
            "file://" => return Some(Self::File),
            _ => {}
        }
        let (scheme, host) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let fits = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !fits || host.ends_with(':') {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let mut host = Host::parse(host)?;
        host.port = host.port.or_else(|| default_port(&scheme));
        Some(Self::Page { scheme, host })
    }

    /// Whether this is a page of the host. A host without a port has the default port of the page's scheme.
    fn is_of(&self, target: &Host) -> bool {
        let Self::Page { scheme, host } = self else { return false };
        let Some(port) = default_port(scheme) else { return false };
        host.name == target.name && host.port == Some(target.port.unwrap_or(port))
    }
}

/// An origin, or a group of origins, that the application allows.
#[derive(Debug, Clone)]
enum Pattern {
    One(Origin),
    /// `scheme://*.domain`: every host below the domain.
    Below {
        scheme: String,
        /// The domain with a leading dot.
        suffix: String,
        port: Option<u16>,
    },
}

impl Pattern {
    /// Parses a pattern. `None` for an origin that no browser sends: accepting it would have no effect.
    fn parse(text: &str) -> Option<Self> {
        let one = |text: &str| Origin::parse(text).filter(|_| !text.contains(['*', '%']));
        let Some((scheme, domain)) = text.split_once("://*.") else {
            let origin = one(text)?;
            let of_a_socket =
                matches!(&origin, Origin::Page { scheme, .. } if matches!(&**scheme, "ws" | "wss"));
            return (!of_a_socket).then_some(Self::One(origin));
        };
        let Origin::Page { scheme, host } = one(&format!("{scheme}://{domain}"))? else { return None };
        // An IP address has no hosts below it, and `https://*.:8443` names no domain.
        let is_domain = host.name.bytes().any(|byte| byte.is_ascii_alphabetic())
            && !host.name.starts_with(['.', '['])
            && !matches!(&*scheme, "ws" | "wss");
        is_domain.then(|| Self::Below { scheme, suffix: format!(".{}", host.name), port: host.port })
    }

    fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::One(allowed), origin) => allowed == origin,
            (Self::Below { scheme, suffix, port }, Origin::Page { scheme: other, host }) => {
                scheme == other
                    && *port == host.port
                    && host.name.len() > suffix.len()
                    && host.name.ends_with(suffix.as_str())
            }
            _ => false,
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(allowed: &[&str]) -> Result<Origins, ConfigError> {
        let mut origins = Origins::default();
        allowed.iter().for_each(|origin| origins.allow((*origin).to_owned()));
        origins.check().map(|()| origins)
    }

    fn accepts(origins: &Origins, host: &str, origin: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        let checked = origins.check_request(&headers, &Host::parse(host).unwrap());
        assert!(checked.as_ref().err().is_none_or(|reject| reject.status == 403));
        checked.is_ok()
    }

    #[test]
    fn accepts_only_the_requests_own_host() {
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
            "https://user@example.org",
            "app://example.org",
            "file://",
            "null",
            "https://example.org/",
            "https://example.org https://evil.org",
            "example.org",
        ] {
            assert!(!accepts(&origins, "example.org", origin), "{origin}");
        }
    }

    #[test]
    fn accepts_allowed_origins() {
        let mut origins = origins(&["https://App.example:443", "app://-"]).unwrap();
        assert!(accepts(&origins, "api.example", "https://app.example"));
        assert!(accepts(&origins, "api.example", "https://app.example:443"));
        assert!(accepts(&origins, "api.example", "app://-"));
        for origin in ["http://app.example", "https://app.example:444", "null", "file://"] {
            assert!(!accepts(&origins, "api.example", origin), "{origin}");
        }
        origins.allow_any();
        assert!(accepts(&origins, "api.example", "null"));
    }

    #[test]
    fn null_and_file_are_allowed_separately() {
        for (allowed, other) in [("null", "file://"), ("file://", "null")] {
            let origins = origins(&[allowed]).unwrap();
            assert!(accepts(&origins, "api.example", allowed));
            assert!(!accepts(&origins, "api.example", other));
            assert!(!accepts(&origins, "api.example", "https://evil.org"));
        }
    }

    #[test]
    fn pattern_accepts_every_host_below_domain() {
        let origins = origins(&["https://*.example.com", "http://*.local.test:3000"]).unwrap();
        for origin in ["https://a.example.com", "https://a.b.EXAMPLE.com:443", "http://x.local.test:3000"] {
            assert!(accepts(&origins, "api.test", origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.org",
            "http://x.local.test",
        ] {
            assert!(!accepts(&origins, "api.test", origin), "{origin}");
        }
    }

    #[test]
    fn refuses_patterns_that_never_match() {
        for wrong in [
            "",
            "app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?q",
            "https://user@app.example",
            "https://app.example:99999",
            "https://app.example:*",
            "https://app.example:",
            "https://*",
            "https://*.",
            "https://*.*.example",
            "https://a*.example",
            "https://app.*",
            "https://*.10.0.0.1",
            "*",
            "*.example",
            "://app.example",
            "wss://app.example",
            "ws://*.example",
            "https://bücher.example",
            "file:///path",
            "NULL",
        ] {
            let error = origins(&["https://app.example", wrong]).expect_err(wrong);
            assert_eq!((error.option, error.value), ("allow_origin", format!("{wrong:?}")));
        }
    }

    #[test]
    fn refuses_more_than_one_origin() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, "https://api.test".parse().unwrap());
        headers.append(header::ORIGIN, "https://evil.org".parse().unwrap());
        let mut origins = Origins::default();
        origins.allow_any();
        let reject = origins.check_request(&headers, &Host::parse("api.test").unwrap()).unwrap_err();
        assert_eq!(reject.status, 400);
    }

    #[test]
    fn refusal_names_origin_and_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, "https://app.example:8443".parse().unwrap());
        let host = Host::parse("api.example:9000").unwrap();
        let reject = Origins::default().check_request(&headers, &host).unwrap_err();
        let text = "pages of https://app.example:8443 may not connect to api.example:9000: see `Builder::allow_origin`";
        assert_eq!((reject.status.as_u16(), &*reject.body), (403, text));
    }

    #[test]
    fn refusal_quotes_200_characters_of_origin() {
        let host = Host::parse("api.test").unwrap();
        let body = |characters: usize| wrong_origin(&"ä".repeat(characters), &host).body;
        let rest = " may not connect to api.test: see `Builder::allow_origin`";
        for characters in [199, 200, 201, 1000] {
            let repeated = "ä".repeat(characters.min(200));
            assert_eq!(*body(characters), format!("pages of {repeated}{rest}"));
        }
    }

    #[test]
    fn function_decides_on_other_origins() {
        let mut origins = Origins::default();
        origins.allow("https://app.example".to_owned());
        origins.allow_by(|origin, headers| {
            assert!(origin != "https://panic.example", "a panic of the application");
            origin == "https://shop.example" || headers.contains_key("x-internal")
        });
        origins.check().unwrap();
        let host = Host::parse("api.example").unwrap();
        let status = |origin: &str, internal: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            if internal {
                headers.insert("x-internal", "1".parse().unwrap());
            }
            origins.check_request(&headers, &host).map_or_else(|reject| reject.status.as_u16(), |()| 101)
        };
        for (origin, internal, expected) in [
            ("https://shop.example", false, 101),
            ("https://other.example", false, 403),
            ("https://other.example", true, 101),
            ("https://app.example", false, 101),
            ("https://api.example", false, 101),
            ("https://panic.example", false, 403),
        ] {
            assert_eq!(status(origin, internal), expected, "{origin}");
        }
    }
}
