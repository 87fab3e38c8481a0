//! [`Cookies`]: cookies that a server or its load balancer sets, sent on later dials (RFC 6265).

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use rejoin_core::drive::now;
use serde::{Deserialize, Serialize};

use crate::target::DialTarget;

/// The cookies of one connection. A load balancer that assigns clients to servers recognises the next dial by them.
///
/// Each goes back only to the host that set it. A `Domain` attribute is checked, but does not add hosts, so no list of public
/// suffixes is needed.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cookies(Vec<Cookie>);

impl fmt::Debug for Cookies {
    /// Without names and values: they identify the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cookies").field(&self.0.len()).finish()
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Cookie {
    name: String,
    value: String,
    host: String,
    path: String,
    /// For `wss` alone.
    secure: bool,
    /// The time at which it ends; a session cookie ends with the connection.
    #[serde(with = "by_the_calendar")]
    expires: Option<Instant>,
}

/// Times in saved cookies, which another process reads.
mod by_the_calendar {
    use std::time::{Instant, SystemTime};

    use rejoin_core::drive::now;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Option<Instant>, to: S) -> Result<S::Ok, S::Error> {
        let until = |at: Instant| SystemTime::now().checked_add(at.saturating_duration_since(now()));
        at.and_then(until).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Instant>, D::Error> {
        let until = Option::<SystemTime>::deserialize(from)?;
        let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        Ok(left.and_then(|left| now().checked_add(left)))
    }
}

/// The most cookies that are kept; a further one displaces the oldest.
const MOST: usize = 32;

/// The longest cookie that is kept: name and value, in bytes (RFC 6265 §6.1).
const MAX_SIZE: usize = 4096;

impl Cookies {
    /// Takes the `Set-Cookie` headers of an answer from `target`.
    pub(crate) fn store(&mut self, target: &DialTarget, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Some(cookie) = line.to_str().ok().and_then(|line| Cookie::parse(line, target)) else {
                continue;
            };
            let is_same = |old: &Cookie| {
                (&old.name, &old.host, &old.path) == (&cookie.name, &cookie.host, &cookie.path)
            };
            self.0.retain(|old| !is_same(old));
            if !cookie.has_expired() {
                if self.0.len() == MOST {
                    self.0.remove(0);
                }
                self.0.push(cookie);
            }
        }
    }

    /// Adds the cookies for a dial of `target` to its headers. The application's own cookies are not replaced.
    pub(crate) fn add_to(&mut self, headers: &mut HeaderMap, target: &DialTarget) {
        self.0.retain(|cookie| !cookie.has_expired());
        let own: Vec<String> = headers
            .get_all(header::COOKIE)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .map(ToOwned::to_owned)
            .collect();
        let names: Vec<&str> = own
            .iter()
            .flat_map(|value| value.split(';'))
            .map(|pair| pair.split('=').next().unwrap_or_default().trim())
            .collect();
        let mut fitting: Vec<_> = self
            .0
            .iter()
            .filter(|cookie| cookie.is_for(target) && !names.contains(&cookie.name.as_str()))
            .collect();
        if fitting.is_empty() {
            return;
        }
        // Longer paths first (RFC 6265 §5.4).
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs = fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value));
        // One header, not several (RFC 6265 §5.4).
        let all = own.iter().cloned().chain(pairs).collect::<Vec<_>>().join("; ");
        if let Ok(mut value) = HeaderValue::try_from(all) {
            value.set_sensitive(true);
            headers.insert(header::COOKIE, value);
        }
    }
}

impl Cookie {
    /// Parses a `Set-Cookie` header (RFC 6265 §5.2); `None` if it must not be kept.
    fn parse(line: &str, target: &DialTarget) -> Option<Self> {
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > MAX_SIZE {
            return None;
        }
        let host = target.host.to_ascii_lowercase();
        let (mut path, mut domain, mut secure) = (None, None, false);
        let (mut max_age, mut expires) = (None, None);
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => path = Some(value),
                "domain" => domain = Some(value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase()),
                "secure" => secure = true,
                "max-age" => max_age = max_age_of(value).or(max_age),
                "expires" => expires = date_of(value).or(expires),
                _ => {}
            }
        }
        let is_whole = path == Some("/") && domain.is_none();
        if domain.is_some_and(|domain| !domain.is_empty() && !is_within(&host, &domain))
            // Secure cookies are neither set nor sent without TLS (RFC 6265bis §5.7).
            || secure && !target.tls
            || name.starts_with("__Secure-") && !secure
            || name.starts_with("__Host-") && !(secure && is_whole)
        {
            return None;
        }
        let time_left = |until: SystemTime| until.duration_since(SystemTime::now()).unwrap_or_default();
        // `Max-Age` has precedence over `Expires`. A time beyond the clock's range is no limit.
        let left: Option<Duration> = max_age.or_else(|| expires.map(time_left));
        let path = path.filter(|path| path.starts_with('/')).unwrap_or_else(|| default_path(target));
        Some(Self {
            name: name.to_owned(),
            value: value.to_owned(),
            host,
            path: path.to_owned(),
            secure,
            expires: left.and_then(|left| now().checked_add(left)),
        })
    }

    fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= now())
    }

    fn is_for(&self, target: &DialTarget) -> bool {
        let path = path_of(target);
        // RFC 6265 §5.1.4: the same path, or one below it.
        let below = path.strip_prefix(&*self.path);
        let fits =
            below.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        fits && self.host.eq_ignore_ascii_case(&target.host) && (target.tls || !self.secure)
    }
}

/// Whether a host belongs to a domain (RFC 6265 §5.1.3). An address matches only itself.
fn is_within(host: &str, domain: &str) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    host == domain || !is_address && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn path_of(target: &DialTarget) -> &str {
    target.path.split('?').next().unwrap_or("/")
}

/// The default path of a cookie: the directory of the request's path (RFC 6265 §5.1.4).
fn default_path(target: &DialTarget) -> &str {
    let path = path_of(target);
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// Parses seconds; 0 or less mean that the cookie has expired.
fn max_age_of(value: &str) -> Option<Duration> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if value.starts_with('-') {
        return Some(Duration::ZERO);
    }
    Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

/// Parses an HTTP date, or one in the obsolete form `Wed, 21-Oct-2026 07:28:00 GMT`.
fn date_of(value: &str) -> Option<SystemTime> {
    let parse = |text: &str| httpdate::parse_http_date(text).ok();
    parse(value).or_else(|| parse(&value.replace('-', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> DialTarget {
        DialTarget::parse(url).unwrap()
    }

    fn set(cookies: &mut Cookies, url: &str, lines: &[&str]) {
        let lines = lines.iter().map(|line| (header::SET_COOKIE, line.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        cookies.store(&target(url), &headers);
    }

    /// Returns the `Cookie` header of a dial.
    fn sent(cookies: &mut Cookies, url: &str) -> String {
        let mut headers = HeaderMap::new();
        cookies.add_to(&mut headers, &target(url));
        headers.get(header::COOKIE).map_or("", |value| value.to_str().unwrap()).to_owned()
    }

    /// Returns the cookies that are sent to `url` after it has set one.
    fn after(url: &str, line: &str) -> String {
        let mut cookies = Cookies::default();
        set(&mut cookies, url, &[line]);
        sent(&mut cookies, url)
    }

    #[test]
    fn cookies_are_sent_back_and_replaced() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "ws://a.test/ws", &["route=1; Path=/; HttpOnly", " b = \"x=y\" "]);
        assert_eq!(sent(&mut cookies, "ws://A.test/ws?x=1"), "route=1; b=\"x=y\"");
        set(&mut cookies, "ws://a.test/ws", &["route=2; path=/"]);
        assert_eq!(sent(&mut cookies, "ws://a.test/"), "b=\"x=y\"; route=2");
        for nonsense in ["", "=", "=x", "novalue", ";"] {
            assert_eq!(after("ws://a.test/", nonsense), "", "{nonsense:?}");
        }
    }

    #[test]
    fn only_the_host_gets_its_cookies() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "ws://a.test/", &["route=1; Domain=test", "b=2"]);
        assert_eq!(sent(&mut cookies, "ws://a.test:8080/"), "route=1; b=2", "on any port");
        assert_eq!(sent(&mut cookies, "ws://b.test/"), "");
        assert_eq!(sent(&mut cookies, "ws://x.a.test/"), "");
    }

    #[test]
    fn cookies_of_foreign_domains_are_refused() {
        assert_eq!(after("ws://a.b.test/", "c=1; Domain=.b.Test"), "c=1");
        assert_eq!(after("ws://a.b.test/", "c=1; Domain="), "c=1");
        for domain in ["c.test", "x.a.b.test", "b.tes", ".test.", "a.b.test.x"] {
            assert_eq!(after("ws://a.b.test/", &format!("c=1; Domain={domain}")), "", "{domain}");
        }
        assert_eq!(after("ws://ab.test/", "c=1; Domain=b.test"), "");
        assert_eq!(after("ws://127.0.0.1/", "c=1; Domain=0.0.1"), "");
        assert_eq!(after("ws://127.0.0.1/", "c=1; Domain=127.0.0.1"), "c=1");
    }

    #[test]
    fn cookies_match_by_path() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "ws://a.test/chat/ws", &["a=1", "b=2; Path=/chat/", "c=3; Path=x", "d=4; Path=/"]);
        assert_eq!(sent(&mut cookies, "ws://a.test/chat/ws"), "b=2; a=1; c=3; d=4");
        assert_eq!(sent(&mut cookies, "ws://a.test/chat"), "a=1; c=3; d=4");
        assert_eq!(sent(&mut cookies, "ws://a.test/chatter"), "d=4");
        assert_eq!(sent(&mut cookies, "ws://a.test/"), "d=4");
    }

    #[test]
    fn secure_cookies_need_tls() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "wss://a.test/", &["a=1; Secure", "__Host-b=2; Secure; Path=/", "__Secure-c=3"]);
        assert_eq!(sent(&mut cookies, "wss://a.test/"), "a=1; __Host-b=2");
        assert_eq!(sent(&mut cookies, "ws://a.test/"), "");
        assert_eq!(after("ws://a.test/", "a=1; secure"), "");
        assert_eq!(after("wss://a.test/", "__Host-b=2; Secure; Path=/ws"), "");
        assert_eq!(after("wss://a.test/", "__Host-b=2; Secure; Path=/; Domain=a.test"), "");
    }

    #[tokio::test(start_paused = true)]
    async fn expired_cookies_are_not_sent() {
        const URL: &str = "ws://a.test/";
        let mut cookies = Cookies::default();
        set(&mut cookies, URL, &["a=1; Max-Age=10", "b=2; Max-Age=99999999999999999999", "c=3; Max-Age=x"]);
        set(&mut cookies, URL, &["d=4; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(sent(&mut cookies, URL), "a=1; b=2; c=3; d=4");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sent(&mut cookies, URL), "b=2; c=3");
        set(&mut cookies, URL, &["b=; Max-Age=0", "c=; Expires=Thu, 01-Jan-1970 00:00:00 GMT"]);
        assert_eq!(sent(&mut cookies, URL), "");
        for (date, kept) in [
            ("Max-Age=-1", ""),
            ("Max-Age=-", "e=5"),
            ("Max-Age=-1x", "e=5"),
            ("Max-Age=0", ""),
            ("Max-Age=x; Expires=Wed, 21 Oct 2015 07:28:00 GMT", ""),
            ("Max-Age=; Expires=Wed, 21 Oct 2015 07:28:00 GMT", ""),
            ("Expires=Wed, 21 Oct 2015 07:28:00 GMT", ""),
            ("Expires=Thu, 21-Oct-2100 07:28:00 GMT", "e=5"),
            ("Expires=soon", "e=5"),
        ] {
            assert_eq!(after(URL, &format!("e=5; {date}")), kept, "{date}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn saved_cookies_expire_by_the_calendar() {
        const URL: &str = "ws://a.test/";
        let mut cookies = Cookies::default();
        set(&mut cookies, URL, &["a=1; Max-Age=100", "b=2"]);
        let mut saved = serde_json::to_value(&cookies).unwrap();
        let restored = |saved: &serde_json::Value| serde_json::from_value::<Cookies>(saved.clone()).unwrap();
        assert_eq!(sent(&mut restored(&saved), URL), "a=1; b=2");
        let mut kept = restored(&saved);
        tokio::time::advance(Duration::from_secs(101)).await;
        assert_eq!(sent(&mut kept, URL), "b=2", "the time that is left");
        saved[0]["expires"]["secs_since_epoch"] = 1.into();
        assert_eq!(sent(&mut restored(&saved), URL), "b=2", "while no process ran");
    }

    #[test]
    fn applications_own_cookies_are_not_replaced() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "ws://a.test/", &["route=1", "login=theirs"]);
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "login=ours; x=y".parse().unwrap());
        headers.append(header::COOKIE, "z=1".parse().unwrap());
        cookies.add_to(&mut headers, &target("ws://a.test/"));
        let sent: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(sent, ["login=ours; x=y; z=1; route=1"]);
        assert!(sent[0].is_sensitive());
    }

    #[test]
    fn cookies_have_limits() {
        let mut cookies = Cookies::default();
        for n in 0..100 {
            set(&mut cookies, "ws://a.test/", &[&format!("c{n}=x")]);
        }
        let sent = sent(&mut cookies, "ws://a.test/");
        assert_eq!(sent.split("; ").count(), MOST);
        assert!(sent.ends_with("c99=x"), "{sent}");
        assert_eq!(after("ws://a.test/", &format!("a={}", "x".repeat(MAX_SIZE - 1))).len(), MAX_SIZE + 1);
        assert_eq!(after("ws://a.test/", &format!("a={}", "x".repeat(MAX_SIZE))), "");
    }
}
