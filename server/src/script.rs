//! [`Script`]: the client for browsers as one file, for pages without a bundler.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};

use crate::accept::answer::HttpResponse;
use crate::accept::headers::asks_for_upgrade;

/// The client for browsers as one ES module, without dependencies: the npm package `rejoin`, minified, about 9 KB when it is
/// compressed. Its codec is JSON. A page needs one element:
///
/// ```html
/// <script type="module">
///   import { connect } from '/rejoin.js';
///   const room = connect('/ws?room=tea');
///   room.on('said', ({ payload }) => console.log(payload));
///   room.send('say', { text: 'hello' });
/// </script>
/// ```
///
/// The server's own listeners and [`Server::service`](crate::Server::service) serve it at [`Builder::script_path`](crate::Builder::script_path). With the
/// feature `hyper` it is a tower service as well, for a route of axum or hyper. Any other HTTP server can send [`Self::bytes`].
///
/// It answers GET and HEAD. Browsers store it, ask each time whether it has changed, and get 304 while it has not.
///
/// ```
/// # use rejoin_server::Server;
/// # #[cfg(feature = "axum")]
/// # fn app() {
/// let app: axum::Router = axum::Router::new().route_service("/rejoin.js", Server::script());
/// # let _ = app;
/// # }
/// assert!(Server::script().bytes().starts_with(b"/*"));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Script;

const FILE: &[u8] = include_bytes!("script/rejoin.js");

/// Identifies the contents of the file.
const ETAG: [u8; 18] = etag(FILE);

impl Script {
    /// Returns the file, text in UTF-8.
    pub fn bytes(self) -> &'static [u8] {
        FILE
    }

    /// Returns the value of the header `ETag` for the file, with its quotation marks. It differs between versions of the file.
    pub fn etag(self) -> &'static str {
        str::from_utf8(&ETAG).expect("the tag is hexadecimal")
    }

    fn answer(self, parts: &request::Parts) -> HttpResponse {
        let is_known = || {
            let known = parts.headers.get_all(header::IF_NONE_MATCH).iter();
            let mut tags = known.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
            tags.any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == self.etag())
        };
        let (status, file) = match parts.method {
            Method::GET | Method::HEAD if is_known() => (StatusCode::NOT_MODIFIED, &[][..]),
            Method::GET | Method::HEAD => (StatusCode::OK, FILE),
            _ => (StatusCode::METHOD_NOT_ALLOWED, &[][..]),
        };
        let mut response = Response::new(Bytes::from_static(file));
        *response.status_mut() = status;
        for (name, value) in [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"), // to store it, and to ask before each use
            (header::ETAG, self.etag()),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), // pages of other servers may load it
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::ALLOW, "GET, HEAD"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// The answer to a request for the script at its path. `None` for any other request.
pub(crate) fn answer(parts: &request::Parts, path: Option<&str>) -> Option<HttpResponse> {
    let is_for_script = path == Some(parts.uri.path())
        && matches!(parts.method, Method::GET | Method::HEAD)
        && !asks_for_upgrade(&parts.headers);
    is_for_script.then(|| Script.answer(parts))
}

/// FNV-1a in hexadecimal, between quotation marks.
const fn etag(data: &[u8]) -> [u8; 18] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < data.len() {
        hash = (hash ^ data[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    let mut tag = [b'"'; 18];
    let mut digit = 0;
    while digit < 16 {
        tag[digit + 1] = b"0123456789abcdef"[(hash >> (4 * digit)) as usize & 15];
        digit += 1;
    }
    tag
}

#[cfg(feature = "hyper")]
mod service {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use http::{Method, Request, Response};

    use super::Script;
    use crate::accept::ResponseBody;

    impl Script {
        fn respond<B>(self, request: Request<B>) -> Response<ResponseBody> {
            let parts = request.into_parts().0;
            let is_head = parts.method == Method::HEAD;
            self.answer(&parts).map(|file| if is_head { ResponseBody::default() } else { file.into() })
        }
    }

    impl<B> tower_service::Service<Request<B>> for Script {
        type Response = Response<ResponseBody>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<B>) -> Self::Future {
            ready(Ok(self.respond(request)))
        }
    }

    impl<B> hyper::service::Service<Request<B>> for Script {
        type Response = Response<ResponseBody>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn call(&self, request: Request<B>) -> Self::Future {
            ready(Ok(self.respond(request)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: request::Builder) -> request::Parts {
        request.uri("/rejoin.js").body(()).unwrap().into_parts().0
    }

    #[test]
    fn file_is_sent_until_the_browser_has_it() {
        let get = || http::Request::get("/");
        let full = Script.answer(&parts(get()));
        assert_eq!((full.status().as_u16(), full.body()), (200, &Bytes::from_static(FILE)));
        assert_eq!(full.headers()["content-type"], "text/javascript; charset=utf-8");
        let etag = Script.etag();
        assert_eq!(full.headers()["etag"], etag);
        for known in [etag.to_owned(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let answer = Script.answer(&parts(get().header("if-none-match", &known)));
            assert_eq!((answer.status().as_u16(), answer.body().len()), (304, 0), "{known}");
            assert_eq!(answer.headers()["etag"], etag);
        }
        let other = Script.answer(&parts(get().header("if-none-match", "\"other\"")));
        assert_eq!(other.status(), 200);
        assert_eq!(Script.answer(&parts(http::Request::post("/"))).status(), 405);
    }

    #[test]
    fn tag_depends_on_every_byte() {
        assert_ne!(etag(b"ab"), etag(b"ba"));
        assert_ne!(etag(b"a"), etag(b"a\0"));
        assert_eq!(Script.etag().len(), 18);
    }

    #[test]
    fn only_plain_requests_at_the_path_are_for_the_script() {
        let is_for = |request, path| answer(&parts(request), path).is_some();
        assert!(is_for(http::Request::get("/"), Some("/rejoin.js")));
        assert!(!is_for(http::Request::get("/"), Some("/other.js")));
        assert!(!is_for(http::Request::get("/"), None));
        assert!(!is_for(http::Request::post("/"), Some("/rejoin.js")));
        let upgrade = http::Request::get("/").header("connection", "upgrade").header("upgrade", "websocket");
        assert!(!is_for(upgrade, Some("/rejoin.js")));
    }

    #[cfg(feature = "hyper")]
    #[tokio::test]
    async fn a_mounted_script_leaves_its_bytes_out_for_head() {
        use http_body::Body as _;

        for (method, bytes) in [(Method::GET, FILE.len()), (Method::HEAD, 0), (Method::POST, 0)] {
            let request = || http::Request::builder().method(&method).body(()).unwrap();
            let below_hyper = hyper::service::Service::call(&Script, request()).await.unwrap();
            let below_tower = tower_service::Service::call(&mut { Script }, request()).await.unwrap();
            for answer in [below_hyper, below_tower] {
                assert_eq!(answer.body().size_hint().exact(), Some(bytes as u64), "{method}");
                assert_eq!(answer.headers()["etag"], Script.etag());
            }
        }
    }
}
