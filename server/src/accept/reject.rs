//! [`Reject`]: the refusal of a connection, and [`OrReject`], which turns errors into refusals.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// The refusal of a connection: an HTTP status, a text that gives the reason, and headers. Default headers: `Content-Type:
/// text/plain; charset=utf-8`.
///
/// ```
/// use rejoin_server::{InvalidReject, Reject, StatusCode};
/// use std::time::Duration;
///
/// const FULL: Reject = Reject::from_static(StatusCode::TOO_MANY_REQUESTS, "the room is full");
/// let later = FULL.with_retry_after(Duration::from_secs(5));
/// # let _ = later;
/// assert_eq!(Reject::new(StatusCode::OK, "").unwrap_err(), InvalidReject::Status(StatusCode::OK));
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

impl Reject {
    /// Refuses with this status.
    ///
    /// On a reconnect, rejoin's client tries again after 404, 408, 421, 425, 429 and 5xx, and once after 401 if it has fresh
    /// credentials; any other status ends the client's connection (PROTOCOL.md §7).
    ///
    /// # Errors
    /// [`InvalidReject::Status`] for a status other than 4xx and 5xx, which would not refuse the connection. In
    /// [`ConnectFn`](crate::ConnectFn), `?` turns the error into a refusal with 500, which is logged at warn.
    pub fn new(status: StatusCode, body: impl Into<Cow<'static, str>>) -> Result<Self, InvalidReject> {
        if refuses(status) { Ok(Self::checked(status, body)) } else { Err(InvalidReject::Status(status)) }
    }

    /// Refuses with a status and a text that are constants. In a `const`, the compiler checks the status.
    ///
    /// # Panics
    /// Where [`Self::new`] returns an error.
    pub const fn from_static(status: StatusCode, body: &'static str) -> Self {
        assert!(refuses(status), "status does not refuse a connection");
        Self { status, headers: None, body: Cow::Borrowed(body), cause: None }
    }

    /// The same as [`Self::new`], for a status that is known to be 4xx or 5xx.
    pub(crate) fn checked(status: StatusCode, body: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!(refuses(status), "{status} does not refuse a connection");
        Self { status, headers: None, body: body.into(), cause: None }
    }

    /// Refuses with 400: the request is wrong, and would be refused again.
    pub fn bad_request(body: impl Into<Cow<'static, str>>) -> Self {
        Self::checked(StatusCode::BAD_REQUEST, body)
    }

    /// Refuses with 401: the client is not authenticated.
    pub fn unauthorized(body: impl Into<Cow<'static, str>>) -> Self {
        Self::checked(StatusCode::UNAUTHORIZED, body)
    }

    /// Refuses with 403: the client is authenticated, and may not connect.
    pub fn forbidden(body: impl Into<Cow<'static, str>>) -> Self {
        Self::checked(StatusCode::FORBIDDEN, body)
    }

    /// Refuses with 503: the server cannot decide at the moment. `Retry-After` asks for another attempt after 5 s.
    pub fn unavailable(body: impl Into<Cow<'static, str>>) -> Self {
        Self::checked(StatusCode::SERVICE_UNAVAILABLE, body).with_retry_after(Duration::from_secs(5))
    }

    /// Adds the error that caused the refusal. It is logged together with its sources, and not sent: at warn if the status is
    /// 5xx, otherwise at info.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(Cause::Error(chain(&*cause.into()).into()));
        self
    }

    /// Adds a header. Two headers with the same name are both sent.
    ///
    /// # Errors
    /// [`InvalidReject::Header`] for `Connection`, `Content-Length` and `Transfer-Encoding`, which the server sets. `?` as for
    /// [`Self::new`].
    pub fn with_header(self, name: HeaderName, value: HeaderValue) -> Result<Self, InvalidReject> {
        if [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            return Err(InvalidReject::Header(name));
        }
        Ok(self.with_any_header(name, value))
    }

    /// Asks the client to wait this long before another attempt: `Retry-After`, in seconds, rounded up. A second call replaces
    /// the first.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        self.headers.get_or_insert_default().insert(header::RETRY_AFTER, seconds.into());
        self
    }

    pub(crate) fn with_any_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }
}

const fn refuses(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400..=599)
}

/// A part of a [`Reject`] that cannot be sent. Nothing was refused.
///
/// In [`ConnectFn`](crate::ConnectFn), `?` turns it into a refusal with 500; the log names the part, at warn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidReject {
    /// This status does not refuse a connection.
    Status(StatusCode),
    /// The server sets this header.
    Header(HeaderName),
}

impl fmt::Display for InvalidReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "invalid status of a refusal: {} (expected 400 to 599)", status.as_u16())
            }
            Self::Header(name) => write!(f, "invalid header of a refusal: {name} (the server sets it)"),
        }
    }
}

impl Error for InvalidReject {}

impl From<InvalidReject> for Reject {
    fn from(invalid: InvalidReject) -> Self {
        Self::checked(StatusCode::INTERNAL_SERVER_ERROR, "internal error").with_cause(invalid)
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
/// For any other status, use `map_err(|error| Reject::from_static(status, "text").with_cause(error))`.
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
        Self::checked(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
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
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn status_outside_4xx_and_5xx_is_an_error() {
        for status in [100, 101, 200, 302, 399, 400, 404, 499, 500, 599, 600, 999] {
            let status = StatusCode::from_u16(status).unwrap();
            let made = Reject::new(status, "no").map(|reject| reject.status);
            let fits = (400..600).contains(&status.as_u16());
            assert_eq!(made, if fits { Ok(status) } else { Err(InvalidReject::Status(status)) });
        }
        let text = InvalidReject::Status(StatusCode::FOUND).to_string();
        assert_eq!(text, "invalid status of a refusal: 302 (expected 400 to 599)");
    }

    #[test]
    #[should_panic(expected = "status does not refuse a connection")]
    fn static_status_that_does_not_refuse_panics() {
        let _ = Reject::from_static(StatusCode::OK, "welcome");
    }

    #[test]
    fn headers_that_the_server_sets_are_errors() {
        for name in ["connection", "content-length", "transfer-encoding"] {
            let name = HeaderName::from_static(name);
            let made = Reject::forbidden("no").with_header(name.clone(), HeaderValue::from_static("1"));
            assert_eq!(made.unwrap_err(), InvalidReject::Header(name));
        }
        let text = InvalidReject::Header(header::CONNECTION).to_string();
        assert_eq!(text, "invalid header of a refusal: connection (the server sets it)");
    }

    #[test]
    fn invalid_refusal_becomes_500_with_its_cause() {
        let reject = || Ok::<_, Reject>(Reject::new(StatusCode::OK, "welcome")?);
        let reject = reject().unwrap_err();
        assert_eq!((reject.status.as_u16(), &*reject.body), (500, "internal error"));
        let cause = InvalidReject::Status(StatusCode::OK).to_string();
        assert!(matches!(reject.cause, Some(Cause::Error(error)) if *error == *cause));
    }

    #[test]
    fn retry_after_has_whole_seconds_and_replaces() {
        let value = |wait| {
            let headers = Reject::unavailable("later").with_retry_after(wait).headers.unwrap();
            let values: Vec<_> = headers.get_all("retry-after").iter().cloned().collect();
            values
        };
        for (wait, seconds) in [
            (Duration::ZERO, "0"),
            (Duration::from_nanos(1), "1"),
            (Duration::from_secs(7), "7"),
            (Duration::from_millis(7001), "8"),
            (Duration::MAX, "18446744073709551615"),
        ] {
            assert_eq!(value(wait), [seconds], "{wait:?}");
        }
    }

    #[test]
    fn repeated_headers_are_all_sent() {
        let name = HeaderName::from_static("www-authenticate");
        let mut reject = Reject::unauthorized("who?");
        for scheme in ["Basic", "Bearer"] {
            reject = reject.with_header(name.clone(), HeaderValue::from_static(scheme)).unwrap();
        }
        let headers = reject.headers.unwrap();
        assert_eq!(headers.get_all("www-authenticate").iter().collect::<Vec<_>>(), ["Basic", "Bearer"]);
    }
}
