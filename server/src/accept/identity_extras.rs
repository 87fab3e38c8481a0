//! What an [`Identity`] brings beyond its names: a realm, data that a resume replaces, headers, handlers.

use std::any::Any;
use std::sync::Arc;

use http::{HeaderMap, header};

use crate::accept::connect::Identity;
use crate::session::handlers::{Handler, OwnHandler};

impl Identity {
    /// Puts the connection into a realm, for example that of a customer (a tenant) of your service. Default, also for an empty name:
    /// the realm of the handle whose listener has accepted the request, which is the server's default realm unless that is
    /// [another](crate::Server::realm). A second call replaces the first. [`Connection::realm`](crate::Connection::realm) returns it.
    ///
    /// Whatever has a name belongs to one realm: connection IDs, rooms with their members and histories, users. The same names in two
    /// realms are two rooms, two users, two connections, and no broadcast of one realm, not even to everyone, reaches another. The
    /// handle that a connection gives to its [server](crate::Connection::server) speaks to its own realm, so handlers need not know that
    /// there are others. What [limits](crate::Builder::max_connections) all connections or rooms of the server limits those of all realms
    /// together; what limits a user, a room or a connection limits each of them.
    ///
    /// On a resume, the session keeps its realm if it is left out here. A different one opens a fresh session there, and the client is
    /// told that the old one is lost; so name the realm in each request, if the client's right to it may end.
    ///
    /// Costs about 2 KiB while a realm has connections, and nothing for each connection; with a [store](crate::Builder::store), a log, as
    /// [`Server::realm`](crate::Server::realm) explains.
    ///
    /// ```
    /// use rejoin_server::{ConnectRequest, Identity, Reject};
    ///
    /// async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    ///     // Whose token it is: `customer_of` is yours.
    ///     let customer = request.token().and_then(customer_of).ok_or_else(|| Reject::unauthorized("no such customer"))?;
    ///     Ok(Identity::new().with_realm(customer).with_room("lobby"))
    /// }
    /// # fn customer_of(token: &str) -> Option<String> { Some(token.to_owned()) }
    /// # let _ = rejoin_server::Server::builder(connect);
    /// ```
    #[must_use]
    pub fn with_realm(mut self, name: impl Into<Box<str>>) -> Self {
        self.realm = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Like [`Self::with_data`], but a session that the request resumes takes this data instead of its own, once its socket is
    /// attached and before `on_transport_restore`: for a user's rights, which may have changed. Handles to the old data stay valid.
    #[must_use]
    pub fn with_fresh_data<T: Any + Send + Sync>(mut self, data: T) -> Self {
        self.refreshes_data = true;
        self.with_data(data)
    }

    /// Keeps the request's headers, for [`Connection::headers`](crate::Connection::headers). They replace those of an earlier
    /// request of the session. Default: headers are dropped when the request is answered. Costs their size for each connection.
    ///
    /// Leaves out `Sec-WebSocket-Protocol`, `Authorization` and `Cookie`, which contain secrets that nobody needs afterwards.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject};
    /// async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    ///     Ok(Identity::new().keep_headers(request.headers()))
    /// }
    /// # let _ = rejoin_server::Server::builder(connect);
    /// ```
    #[must_use]
    pub fn keep_headers(mut self, headers: &HeaderMap) -> Self {
        let mut kept = headers.clone();
        for secret in [header::SEC_WEBSOCKET_PROTOCOL, header::AUTHORIZATION, header::COOKIE] {
            kept.remove(secret);
        }
        self.headers = Some(Arc::new(kept));
        self
    }

    /// Gives the connection handlers of its own, which take the place of all callbacks of the server: one server can thus serve
    /// several paths with different protocols. A [`Router`](crate::Router) is a handler, too. Default: the server's callbacks. A
    /// resumed session keeps the handlers that it has.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rejoin_server::{ConnectRequest, Connection, Frame, Handler, Identity, Reject, Router, Server, router::Decoded};
    ///
    /// struct Chat;
    ///
    /// impl Handler for Chat {
    ///     async fn on_message(&self, connection: &Connection, frame: Frame) {
    ///         connection.broadcast(&frame).ok();
    ///     }
    /// }
    ///
    /// async fn add(Decoded(numbers): Decoded<Vec<i64>>) -> Result<Frame, rejoin_server::PayloadError> {
    ///     Frame::new("sum", &numbers.iter().sum::<i64>())
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = Arc::new(Chat);
    /// let calculator = Arc::new(Router::builder().on("add", add).build()?);
    /// let connect = move |request: ConnectRequest| {
    ///     let identity = match request.path() {
    ///         "/chat" => Ok(Identity::new().with_room("lobby").with_handler(chat.clone())),
    ///         "/calculator" => Ok(Identity::new().with_handler(calculator.clone())),
    ///         _ => Err(Reject::forbidden("no such service")),
    ///     };
    ///     async { identity }
    /// };
    /// let server = Server::builder(connect).build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    ///
    /// Handlers live in the process. After a restart, or a move to another server of the same [store](crate::Builder::store), the
    /// request that resumes the session brings them again, and callbacks that are due wait for it. If that request brings none,
    /// the server's handlers are called from then on. If none comes within the resume window, no callback is called; the hook
    /// [`on_expired`](crate::Builder::on_expired) reports the session.
    #[must_use]
    pub fn with_handler<H: Handler>(mut self, handler: Arc<H>) -> Self {
        self.handler = Some(Arc::new(OwnHandler(handler)));
        self
    }
}
