//! [`DialTarget`]: the parts of a URL.

use http::Uri;

use crate::error::ConfigError;

/// The parts of a URL that a dial needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialTarget {
    /// Whether the dial uses TLS: `wss`, `https`.
    pub(crate) tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of the `Host` header: with the port, unless it is the scheme's default.
    pub(crate) authority: String,
    /// The target of the request line.
    pub(crate) path: String,
}

impl DialTarget {
    /// Parses a URL as text. Its fragment is dropped (RFC 6455 §3 allows none).
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let uri: Uri = url.parse().map_err(|error| ConfigError::Url { why: format!("{error}") })?;
        Self::new(&uri)
    }

    /// Takes the parts of a URL. `http` and `https` mean `ws` and `wss`.
    pub(crate) fn new(uri: &Uri) -> Result<Self, ConfigError> {
        let wrong = |why: &'static str| ConfigError::Url { why: why.into() };
        let scheme = uri.scheme_str().ok_or_else(|| wrong("it has no scheme"))?;
        // Schemes have no case (RFC 3986 §3.1); the crate `http` lowers only `http` and `https`.
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(wrong("its scheme is none of ws, wss, http, https")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user name or password: send them in a header"));
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(wrong("it has no host"));
        }
        if authority.port_u16().is_none() && authority.as_str().len() > host.len() {
            return Err(wrong("its port is not a number up to 65535"));
        }
        let default = if tls { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: bare.to_owned(),
            port,
            authority: if port == default { host.to_owned() } else { format!("{host}:{port}") },
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_has_the_parts_of_a_dial() {
        let target = DialTarget::parse("wss://chat.example.com:8443/ws?room=a").unwrap();
        assert!(target.tls);
        assert_eq!((target.host.as_str(), target.port), ("chat.example.com", 8443));
        assert_eq!(target.authority, "chat.example.com:8443");
        assert_eq!(target.path, "/ws?room=a");
    }

    #[test]
    fn http_means_ws_with_default_ports() {
        let plain = DialTarget::parse("http://example.com").unwrap();
        assert_eq!((plain.tls, plain.port, plain.path.as_str()), (false, 80, "/"));
        let secure = DialTarget::parse("https://example.com?a=1").unwrap();
        assert_eq!((secure.tls, secure.port, secure.path.as_str()), (true, 443, "/?a=1"));
        assert_eq!(secure.authority, "example.com");
    }

    #[test]
    fn schemes_have_no_case() {
        for (scheme, tls) in
            [("Ws", false), ("WS", false), ("HTTP", false), ("WSS", true), ("wSs", true), ("HTTPS", true)]
        {
            assert_eq!(DialTarget::parse(&format!("{scheme}://example.com/")).unwrap().tls, tls, "{scheme}");
        }
    }

    #[test]
    fn only_the_host_header_has_brackets() {
        let target = DialTarget::parse("ws://[::1]:9000/").unwrap();
        assert_eq!((target.host.as_str(), target.authority.as_str()), ("::1", "[::1]:9000"));
    }

    #[test]
    fn refuses_other_urls() {
        for url in
            ["", "example.com", "/ws", "ftp://example.com", "ws://", "ws://a:99999/", "ws://me:pw@host/"]
        {
            assert!(matches!(DialTarget::parse(url), Err(ConfigError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn error_names_the_mistake_in_the_url() {
        for (url, expected) in [
            ("/ws", "it has no scheme"),
            ("ftp://example.com", "its scheme is none of ws, wss, http, https"),
            ("ws://me@host/", "it has a user name or password: send them in a header"),
            ("ws://me:pw@host:80/", "it has a user name or password: send them in a header"),
            ("ws://host:/", "its port is not a number up to 65535"),
        ] {
            let Err(ConfigError::Url { why }) = DialTarget::parse(url) else { panic!("{url}") };
            assert_eq!(why, expected, "{url}");
        }
    }
}
