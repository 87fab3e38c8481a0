//! [`ConnectFn`]: the application's decision on a request, [`ConnectRequest`], which becomes an [`Identity`].

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crate::accept::auth_token::AuthToken;
use crate::accept::reject::Reject;
use crate::connection::{Connection, ConnectionHost};
use crate::fanout::rewind::Rewind;
use crate::session::belongings::Value;
use http::{Extensions, HeaderMap, Uri, request};
use rejoin_core::Payload;

/// Decides on every upgrade request: who the client is, its room, and its connection ID. Authentication belongs here.
///
/// An `async fn(ConnectRequest) -> Result<Identity, Reject>` implements it. It runs before the upgrade is answered, and also for
/// every resume (a token alone is not enough). It has to return within the handshake timeout.
///
/// **A client that you let claim a connection ID can end the session that has it** (see [`DuplicateId`](crate::DuplicateId)):
/// derive the ID from data that you have authenticated, or leave it out to get a random one.
///
/// ```
/// use rejoin_server::{ConnectRequest, Identity, Reject};
///
/// async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
///     let user = request.query("user").ok_or_else(|| Reject::unauthorized("who are you?"))?;
///     Ok(Identity::new().with_room("lobby").with_id(user))
/// }
/// # let _ = rejoin_server::Server::builder(connect);
/// ```
pub trait ConnectFn: Send + Sync + 'static {
    /// Accepts the request with an identity, or rejects it.
    fn connect(&self, request: ConnectRequest) -> impl Future<Output = Result<Identity, Reject>> + Send;
}

impl<F, Fut> ConnectFn for F
where
    F: Fn(ConnectRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, Reject>> + Send,
{
    fn connect(&self, request: ConnectRequest) -> impl Future<Output = Result<Identity, Reject>> + Send {
        self(request)
    }
}

/// The compiler's message for an argument of [`Server::builder`](crate::Server::builder) that is not a [`ConnectFn`].
pub(crate) mod diagnostic {
    /// Implemented for every [`ConnectFn`](super::ConnectFn). With two candidate implementations for each type, the compiler
    /// shows the notes below when neither applies. With only one, it would show which bound of that implementation fails instead.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot decide on connections",
        label = "expected an `async fn(ConnectRequest) -> Result<Identity, Reject>`",
        note = "pass an `async fn(ConnectRequest) -> Result<Identity, Reject>`, a closure that returns such a future, or a type that \
                implements `ConnectFn`",
        note = "the future has to be `Send`: no `Rc` and no guard of a `std` lock may live across an `.await` in it"
    )]
    #[allow(unnameable_types, reason = "it only carries the compiler's notes")]
    pub trait DecidesOnConnections<By> {}

    #[derive(Debug)]
    #[allow(unnameable_types, reason = "as above")]
    pub struct ConnectFn(());

    impl<T: super::ConnectFn> DecidesOnConnections<ConnectFn> for T {}

    #[derive(Debug)]
    #[allow(unnameable_types, reason = "as above")]
    pub struct Nothing(());

    /// No type implements it.
    #[allow(unnameable_types, reason = "as above")]
    pub trait Never {}

    impl<T: Never> DecidesOnConnections<Nothing> for T {}
}

pub(crate) type IdentityFuture<'a> = Pin<Box<dyn Future<Output = Result<Identity, Reject>> + Send + 'a>>;

/// The object-safe form of a [`ConnectFn`], which a server stores.
pub(crate) trait DynConnect: Send + Sync {
    fn connect(&self, request: ConnectRequest) -> IdentityFuture<'_>;
}

impl<T: ConnectFn> DynConnect for T {
    fn connect(&self, request: ConnectRequest) -> IdentityFuture<'_> {
        // `connect` is called when the future is polled, where panics are caught.
        Box::pin(async { ConnectFn::connect(self, request).await })
    }
}

/// The HTTP request that asks for a connection.
pub struct ConnectRequest {
    parts: Box<request::Parts>,
    remote_addr: Option<SocketAddr>,
    resumes: Option<Connection>,
    /// The credentials in the client's offer.
    auth: Option<AuthToken>,
    /// The server that asks; `None` only in tests of this module.
    host: Option<Arc<dyn ConnectionHost>>,
}

impl ConnectRequest {
    pub(crate) fn new(
        parts: Box<request::Parts>,
        remote_addr: Option<SocketAddr>,
        resumes: Option<Connection>,
    ) -> Self {
        Self { parts, remote_addr, resumes, auth: None, host: None }
    }

    pub(crate) fn with_auth(mut self, auth: Option<AuthToken>) -> Self {
        self.auth = auth;
        self
    }

    pub(crate) fn with_host(mut self, host: Arc<dyn ConnectionHost>) -> Self {
        self.host = Some(host);
        self
    }

    pub(crate) fn host(&self) -> Option<&Arc<dyn ConnectionHost>> {
        self.host.as_ref()
    }

    /// The request's target as the client sent it. The query may contain secrets.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The path, still percent-encoded. If the service is nested in a router that strips a prefix, the path lacks the prefix.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The first value of this parameter in the query, percent-decoded, with `+` as a space; bytes that are not UTF-8 are
    /// replaced. Empty for a parameter without a value, `None` for a missing one. Costs a pass over the query.
    pub fn query(&self, name: &str) -> Option<String> {
        let is_plain = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b'%' | b'+'));
        let pairs =
            self.parts.uri.query()?.as_bytes().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        // Most parameters are compared or returned without decoding them.
        pairs.into_iter().find_map(|pair| {
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (key, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
            if is_plain(key) && key != name.as_bytes() {
                return None;
            }
            if is_plain(pair) {
                return Some(String::from_utf8_lossy(value).into_owned());
            }
            let (key, value) = form_urlencoded::parse(pair).next()?;
            (key == name).then(|| value.into_owned())
        })
    }

    /// The token that the client offers with the subprotocol `rejoin.auth.TOKEN`, which pages can send although they cannot set
    /// headers (PROTOCOL.md §1): an access token, a ticket, a JWT. `None` if there is none, or if it is not UTF-8. Verify it: the
    /// server has decoded it, and nothing more. The server neither logs it nor sends it back.
    pub fn token(&self) -> Option<&str> {
        self.auth.as_ref()?.text()
    }

    /// The same as bytes, for tokens that are not text.
    pub fn token_bytes(&self) -> Option<&[u8]> {
        self.auth.as_ref().map(AuthToken::bytes)
    }

    /// The request's headers. Do not log `Sec-WebSocket-Protocol`: it contains the client's token, and that of its session.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header's first value; `None` if the header is missing, or is not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The peer's address, if the listener knows it: with [`Server::listen`](crate::Server::listen) and
    /// [`Server::serve`](crate::Server::serve). Behind a proxy, it is the proxy's address.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    /// The session that the request resumes if the returned identity has the same realm, room and ID, or leaves them out: the client has
    /// shown its token (PROTOCOL.md §5). `None` for a fresh session, for a token that is unknown or expired, and always in plain
    /// mode, which resumes by ID. A limit on connections must accept such a request, because its session is already counted.
    pub fn resumes(&self) -> Option<&Connection> {
        self.resumes.as_ref()
    }

    /// Whether the client offers to resume a session that exists: [`Self::resumes`] is not `None`.
    pub fn is_resume(&self) -> bool {
        self.resumes.is_some()
    }

    /// Values that middleware in front of the service has attached, for example an authenticated user or axum's `ConnectInfo`.
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }
}

impl fmt::Debug for ConnectRequest {
    /// Omits headers and query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("path", &self.path())
            .field("remote_addr", &self.remote_addr)
            .finish_non_exhaustive()
    }
}

/// The identity of a connection: its ID, its user, its rooms, and application data, all optional.
///
/// On a resume, the session keeps a realm, a home room, an ID or a user that is left out here. A different one opens a fresh session.
///
/// ```
/// # use rejoin_server::Identity;
/// # struct User { name: String }
/// # let user = User { name: "ada".into() };
/// let identity = Identity::new().with_room("lobby").with_id(user.name.clone()).with_data(user);
/// # let _ = identity;
/// ```
#[derive(Clone, Default)]
pub struct Identity {
    pub(crate) room: Option<Box<str>>,
    pub(crate) further_rooms: Vec<Box<str>>,
    pub(crate) rewind: Option<Rewind>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) realm: Option<Box<str>>,
    pub(crate) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) expires: Option<Instant>,
    pub(crate) presence: Option<Payload>,
    /// Whether a resumed session takes the data.
    pub(crate) refreshes_data: bool,
    pub(crate) headers: Option<Arc<HeaderMap>>,
    pub(crate) handler: Option<Value>,
}

impl Identity {
    /// Creates an identity with a random connection ID, without a room and without data. On a resume, it stands for the session's
    /// own identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the connection a member of this room for its whole life: its home room, which [`Connection::room`] returns and
    /// `$open` names (PROTOCOL.md §3). A room exists while it has members. Any non-empty text is a valid name; the empty text means
    /// no room. Default: no home room. A second call replaces the first.
    #[must_use]
    pub fn with_room(mut self, room: impl Into<Box<str>>) -> Self {
        self.room = Some(room.into()).filter(|room| !room.is_empty());
        self
    }

    /// Makes the connection a member of further rooms, which it may leave later. Default: none. Further calls add to the list. A
    /// resumed session keeps the rooms that it is in.
    ///
    /// ```
    /// # use rejoin_server::Identity;
    /// let identity = Identity::new().with_room("game-7").with_further_rooms(["news", "team-red"]);
    /// # let _ = identity;
    /// ```
    #[must_use]
    pub fn with_further_rooms<R: Into<Box<str>>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        self.further_rooms.extend(rooms.into_iter().map(Into::into).filter(|room| !room.is_empty()));
        self
    }

    /// Sends a newcomer frames of its home room's [history](crate::History) first: the last `50`, those of a time, or those after the
    /// frame with an ID. Default: none. A resumed session gets what it has missed anyway, and nothing of the history. See
    /// [`Join::rewind`](crate::Join::rewind), also for other rooms.
    #[must_use]
    pub fn with_rewind(mut self, rewind: impl Into<Rewind>) -> Self {
        self.rewind = Some(rewind.into());
        self
    }

    /// Sets the user, who may have several connections at a time ([`Server::user`](crate::Server::user)). Default, also for an
    /// empty name: none. A second call replaces the first. [`Connection::set_user`] sets it later.
    ///
    /// A resume by another user opens a fresh session.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<Box<str>>) -> Self {
        self.user = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Sets the connection's presence in lists of members, as [`Connection::set_presence`] does later. Default: none. A second call
    /// replaces the first. A resumed session keeps its presence.
    #[must_use]
    pub fn with_presence(mut self, presence: Payload) -> Self {
        self.presence = Some(presence);
        self
    }

    /// Sets the connection ID, which is unique in a [realm](Self::with_realm) of a server. Default, also for an empty ID: a random UUID. A second call replaces
    /// the first.
    ///
    /// [`DuplicateId`](crate::DuplicateId) sets what happens to a session that already has the ID.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into()).filter(|id| !id.is_empty());
        self
    }

    /// Attaches application data, which handlers get from [`Connection::data`](crate::Connection::data). A resumed session keeps
    /// its original data; [`Self::with_fresh_data`] replaces it.
    ///
    /// The data is dropped with the last handle to the connection. If it contains a [`Connection`] that leads
    /// back to its owner, the two keep each other alive, and neither is ever dropped. Store a
    /// [`WeakConnection`](crate::WeakConnection) instead:
    ///
    /// ```
    /// use rejoin_server::{ConnectRequest, Identity, Reject, Server, WeakConnection};
    /// use std::sync::{Arc, OnceLock};
    ///
    /// #[derive(Default)]
    /// struct Player {
    ///     connection: OnceLock<WeakConnection>,
    /// }
    ///
    /// async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
    ///     Ok(Identity::new().with_room("lobby").with_data(Player::default()))
    /// }
    ///
    /// let server = Server::builder(connect).on_connect(|connection| async move {
    ///     let player: Arc<Player> = connection.data().expect("connect attaches it");
    ///     player.connection.set(connection.downgrade()).ok();
    /// });
    /// # server.build()?;
    /// # Ok::<(), rejoin_server::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_data<T: Any + Send + Sync>(mut self, data: T) -> Self {
        self.data = Some(Arc::new(data));
        self
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("room", &self.room)
            .field("id", &self.id)
            .field("realm", &self.realm)
            .field("user", &self.user)
            .field("further_rooms", &self.further_rooms)
            .field("rewind", &self.rewind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_finds_first_value_in_any_encoding() {
        let uri = "/ws?a=1&&b&a=2&c%64=%C3%A9+x&=none&e=f=g&%zz=h&a%2bb=%ff&+=plus";
        let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        let request = ConnectRequest::new(Box::new(parts), None, None);
        let cases = [
            ("a", Some("1")),
            ("b", Some("")),
            ("cd", Some("é x")),
            ("c%64", None),
            ("", Some("none")),
            ("e", Some("f=g")),
            ("%zz", Some("h")),
            ("a+b", Some("\u{fffd}")),
            (" ", Some("plus")),
            ("A", None),
        ];
        for (name, value) in cases {
            assert_eq!(request.query(name).as_deref(), value, "{name}");
        }
    }
}
