//! [`Reject`]: the refusal of a connection, and [`OrReject`], which turns errors into refusals.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::accept::host::Host;

/// The refusal of a connection: an HTTP status, a text that gives the reason, and headers. Default headers: `Content-Type:
/// text/plain; charset=utf-8`.
///
/// ```
/// use rejoin_server::{Reject, StatusCode};
///
/// let later = Reject::new(StatusCode::SERVICE_UNAVAILABLE, "the room is full")
///     .with_header("retry-after".parse()?, "5".parse()?);
/// # let _ = later;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reject {
    pub(crate) status: StatusCode,
    /// Boxed, because headers are rare and large.
    pub(crate) headers: Option<Box<HeaderMap>>,
    pub(crate) body: Cow<'static, str>,
    /// Logged, but not sent.
    pub(crate) cause: Option<Cause>,
}

/// The part of a refusal that is logged, but not sent to the peer.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// The application's own error.
    Error(Box<str>),
    /// A page of another origin: more often a misconfiguration than an attack.
    Origin,
}

/// The number of characters of an `Origin` that a refusal repeats.
const MAX_ORIGIN: usize = 200;

impl Reject {
    /// Refuses with a 4xx or 5xx status. Any other status is answered as 500.
    ///
    /// On a reconnect, rejoin's client tries again after 404, 408, 421, 425, 429 and 5xx, and once after 401 if it has fresh
    /// credentials; any other status ends the client's connection (PROTOCOL.md §7).
    pub fn new(status: StatusCode, body: impl Into<Cow<'static, str>>) -> Self {
        let fits = status.is_client_error() || status.is_server_error();
        let status = if fits { status } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self { status, headers: None, body: body.into(), cause: None }
    }

    /// Refuses with 401: the client is not authenticated.
    pub fn unauthorized(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, body)
    }

    /// Refuses with 503: the server cannot decide at the moment. `Retry-After` asks for another attempt after 5 s.
    pub fn unavailable(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, body)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// Refuses with 403: the client is authenticated, and may not connect.
    pub fn forbidden(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, body)
    }

    /// Adds the error that caused the refusal. It is logged together with its sources, and not sent: at warn if the status is
    /// 5xx, otherwise at info.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(Cause::Error(chain(&*cause.into()).into()));
        self
    }

    /// Refuses a page of `origin` that may not connect to `host`.
    pub(crate) fn wrong_origin(origin: &str, host: &Host) -> Self {
        let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
        // A header can be up to 16 KiB long.
        let origin: String = origin.chars().take(MAX_ORIGIN).collect();
        let name = &host.name;
        let body = format!("pages of {origin} may not connect to {name}{port}: see `Builder::allow_origin`");
        Self { cause: Some(Cause::Origin), ..Self::forbidden(body) }
    }

    /// Adds a header. Two headers with the same name are both sent.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }
}

/// Joins the texts of an error and its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        write!(text, ": {error}").expect("writing to a string does not fail");
        source = error.source();
    }
    text
}

/// Turns the error of a `Result` into a [`Reject`] with a chosen status, inside [`ConnectFn`](crate::ConnectFn). The peer gets a
/// neutral text; the error itself goes to the log.
///
/// A bare `?` does not compile, because no status is right for every error: a client retries forever if an expired token is
/// answered with 503, and every client that reconnects during a short database outage is lost if that is answered with 401.
///
/// ```
/// use rejoin_server::{ConnectRequest, Identity, OrReject as _, Reject};
/// # fn verify(token: &str) -> Result<u64, std::num::ParseIntError> { token.parse() }
/// # async fn load(user: u64) -> std::io::Result<String> { Ok(user.to_string()) }
///
/// async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
///     let token = request.query("token").ok_or_else(|| Reject::unauthorized("token is missing"))?;
///     let user = verify(&token).or_unauthorized()?;
///     let name = load(user).await.or_unavailable()?;
///     Ok(Identity::new().with_room("lobby").with_id(name))
/// }
/// # let _ = rejoin_server::Server::builder(connect);
/// ```
///
/// ```compile_fail,E0277
/// # use rejoin_server::{ConnectRequest, Identity, Reject};
/// async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
///     let user: u64 = request.query("user").unwrap_or_default().parse()?;
///     Ok(Identity::new().with_room("lobby").with_id(user.to_string()))
/// }
/// ```
///
/// For any other status, use `map_err(|error| Reject::new(status, "text").with_cause(error))`.
pub trait OrReject<T>: Sized {
    /// Refuses with 401 `not authenticated`: the credentials are wrong. rejoin's client tries again if it has a source of fresh
    /// credentials, and otherwise gives up.
    ///
    /// # Errors
    /// Fails with the refusal if `self` is an error.
    fn or_unauthorized(self) -> Result<T, Reject>;

    /// Refuses with 403 `forbidden`: the credentials are valid, but not sufficient. rejoin's client gives up.
    ///
    /// # Errors
    /// Fails with the refusal if `self` is an error.
    fn or_forbidden(self) -> Result<T, Reject>;

    /// Refuses with 503 `try again later`: the server cannot decide at the moment. rejoin's client tries again, not before the 5
    /// s of `Retry-After`.
    ///
    /// # Errors
    /// Fails with the refusal if `self` is an error.
    fn or_unavailable(self) -> Result<T, Reject>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrReject<T> for Result<T, E> {
    fn or_unauthorized(self) -> Result<T, Reject> {
        self.map_err(|error| Reject::unauthorized("not authenticated").with_cause(error))
    }

    fn or_forbidden(self) -> Result<T, Reject> {
        self.map_err(|error| Reject::forbidden("forbidden").with_cause(error))
    }

    fn or_unavailable(self) -> Result<T, Reject> {
        self.map_err(|error| Reject::unavailable("try again later").with_cause(error))
    }
}

mod bare {
    /// The errors that a bare `?` can turn into a [`Reject`](super::Reject): none.
    // For a failing `?` the compiler shows the label and the name of the trait, but no note.
    #[diagnostic::on_unimplemented(
        message = "no HTTP status answers a `{Self}` by itself",
        label = "choose the status: `.or_unauthorized()?` (401), `.or_forbidden()?` (403) or `.or_unavailable()?` (503), with \
                 `use rejoin_server::OrReject as _`"
    )]
    #[allow(unnameable_types, reason = "it only carries the compiler's message")]
    pub trait HasStatus {}
}

/// Never applies. It makes the compiler explain why, and suggest what to write.
impl<E: bare::HasStatus> From<E> for Reject {
    fn from(_: E) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_becomes_refusal_with_neutral_body() {
        let fails = || Err::<(), _>(std::io::Error::other("db-7.internal: no route"));
        let cases = [
            (fails().or_unauthorized(), 401, "not authenticated", None),
            (fails().or_forbidden(), 403, "forbidden", None),
            (fails().or_unavailable(), 503, "try again later", Some("5")),
        ];
        for (result, status, body, retry_after) in cases {
            let reject = result.unwrap_err();
            assert_eq!((reject.status.as_u16(), &*reject.body), (status, body));
            let headers = reject.headers.unwrap_or_default();
            assert_eq!(headers.get("retry-after").map(|value| value.to_str().unwrap()), retry_after);
            assert!(
                matches!(reject.cause, Some(Cause::Error(error)) if &*error == "db-7.internal: no route")
            );
        }
    }

    #[test]
    fn cause_names_its_sources() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("invalid user id")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let reject = "x".parse::<u8>().map_err(Outer).or_forbidden().unwrap_err();
        let text = "invalid user id: invalid digit found in string";
        assert!(matches!(reject.cause, Some(Cause::Error(error)) if &*error == text));
    }

    #[test]
    fn status_outside_4xx_and_5xx_becomes_500() {
        for (status, answered) in [
            (101, 500),
            (200, 500),
            (302, 500),
            (399, 500),
            (400, 400),
            (499, 499),
            (500, 500),
            (599, 599),
            (600, 500),
        ] {
            let reject = Reject::new(StatusCode::from_u16(status).unwrap(), "no");
            assert_eq!(reject.status, answered, "{status}");
        }
    }

    #[test]
    fn repeated_headers_are_all_sent() {
        let name = HeaderName::from_static("www-authenticate");
        let [basic, bearer] = ["Basic", "Bearer"].map(HeaderValue::from_static);
        let reject = Reject::unauthorized("who?").with_header(name.clone(), basic).with_header(name, bearer);
        let headers = reject.headers.unwrap();
        assert_eq!(headers.get_all("www-authenticate").iter().collect::<Vec<_>>(), ["Basic", "Bearer"]);
    }

    #[test]
    fn refusal_quotes_200_characters_of_origin() {
        let host = Host::parse("api.test").unwrap();
        let body = |characters: usize| Reject::wrong_origin(&"ä".repeat(characters), &host).body;
        let rest = " may not connect to api.test: see `Builder::allow_origin`";
        for characters in [199, 200, 201, 1000] {
            let repeated = "ä".repeat(characters.min(200));
            assert_eq!(*body(characters), format!("pages of {repeated}{rest}"));
        }
    }
}
