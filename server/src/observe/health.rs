//! Answers to a load balancer's health checks ([`Builder::health_path`](crate::Builder::health_path)).

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};

use crate::accept::answer::HttpResponse;
use crate::accept::headers::asks_for_upgrade;
use crate::state::ServerState;

/// The answer to a health check: 200, or 503 once a drain or a shutdown has begun, and while the store is down. `None` if the request
/// is not a check. A check is a GET, HEAD or OPTIONS of HTTP/1.0 or 1.1 at the health path; a request for an upgrade is not one.
pub(crate) fn answer(
    parts: &request::Parts,
    path: Option<&str>,
    state: ServerState,
    store_is_down: bool,
) -> Option<HttpResponse> {
    let is_check = path == Some(parts.uri.path())
        && [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method)
        && !asks_for_upgrade(&parts.headers);
    if !is_check {
        return None;
    }
    let (status, text) = match state {
        ServerState::Running if store_is_down => (StatusCode::SERVICE_UNAVAILABLE, "store unavailable\n"),
        ServerState::Running => (StatusCode::OK, "ok\n"),
        ServerState::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        ServerState::ShutDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ALLOW, "GET, HEAD, OPTIONS"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

/// Whether a request can have this path: it begins with `/`, and has neither query nor fragment.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_none() && uri.path() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str, state: ServerState) -> Option<u16> {
        let request = http::Request::builder().method(method).uri(path).version(http::Version::HTTP_10);
        let parts = request.body(()).unwrap().into_parts().0;
        answer(&parts, Some("/healthz"), state, false).map(|answer| answer.status().as_u16())
    }

    #[test]
    fn answers_checks_only_at_its_path() {
        use ServerState::{Draining, Running, ShutDown};
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(status(method, "/healthz", Running), Some(200));
            assert_eq!(status(method, "/healthz?probe=1", Running), Some(200));
            assert_eq!([Draining, ShutDown].map(|state| status(method, "/healthz", state)), [Some(503); 2]);
            assert_eq!(status(method, "/healthz/", Running), None);
        }
        assert_eq!(status("POST", "/healthz", Running), None);
        let parts = http::Request::get("/healthz").body(()).unwrap().into_parts().0;
        assert!(answer(&parts, None, Running, false).is_none());
    }

    #[test]
    fn upgrade_at_health_path_is_not_a_check() {
        let request = http::Request::get("/").header("connection", "Upgrade").header("upgrade", "websocket");
        let parts = request.body(()).unwrap().into_parts().0;
        assert!(answer(&parts, Some("/"), ServerState::Running, false).is_none());
    }

    #[test]
    fn health_path_must_be_a_valid_path() {
        assert!(is_path("/") && is_path("/healthz") && is_path("/a/b%20c"));
        for wrong in ["", "healthz", "/a?b", "/a#b", "/a b", "*", "http://a/b"] {
            assert!(!is_path(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn answer_is_an_uncached_text() {
        for (state, text) in [
            (ServerState::Running, "ok\n"),
            (ServerState::Draining, "draining\n"),
            (ServerState::ShutDown, "shutting down\n"),
        ] {
            let parts = http::Request::get("/").body(()).unwrap().into_parts().0;
            let answer = answer(&parts, Some("/"), state, false).unwrap();
            assert_eq!(*answer.body(), text);
            let headers =
                ["content-type", "cache-control", "allow"].map(|name| answer.headers()[name].clone());
            assert_eq!(headers, ["text/plain; charset=utf-8", "no-store", "GET, HEAD, OPTIONS"]);
        }
    }
}
