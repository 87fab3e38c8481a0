//! What an [`Identity`] brings beyond names: data that a resume replaces, headers, handlers.

use std::any::Any;
use std::sync::Arc;

use http::{HeaderMap, header};

use crate::accept::connect::Identity;
use crate::session::handlers::{Handler, OwnHandler};

impl Identity {
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
