//! [`Upgrade`]: answers upgrades in a handler of axum.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::Response;
use http::request;
use hyper::upgrade::OnUpgrade;

use crate::accept::answer::HttpResponse;
use crate::accept::connect::Identity;
use crate::accept::logged_request::LoggedRequest;
use crate::accept::reject::Reject;
use crate::accept::upgrade::UpgradeRequest;
use crate::accept::{admission, decide, upgraded};
use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::server::Server;

/// An upgrade request, as an extractor of axum: the handler decides on it, with the app's other extractors, instead of
/// [`ConnectFn`](crate::ConnectFn), which is not called.
///
/// The [`Server`] comes from the app's state: it is the state, or a part of it (`FromRef`). Before the handler runs, the server checks
/// the request, its origin included, and refuses what is no upgrade with 4xx; extractors in front of this one run earlier. The
/// server counts and logs refusals, except those of other extractors. The time that a handler takes is up to the app:
/// [`Builder::handshake_timeout`](crate::Builder::handshake_timeout) does not bound it, and a panic is the app's, too.
///
/// ```
/// use axum::extract::Path;
/// use axum::response::Response;
/// use rejoin_server::{ConnectRequest, Identity, Reject, Server, Upgrade};
///
/// async fn ws(Path(room): Path<String>, upgrade: Upgrade) -> Response {
///     if room.len() > 64 {
///         return upgrade.refuse(Reject::bad_request("the name of the room is too long"));
///     }
///     upgrade.accept(Identity::new().with_room(room)).await
/// }
///
/// // Decides on requests that come another way, such as `Server::listen`. In this app there is none.
/// async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
///     Err(Reject::forbidden("connect at /rooms/{room}"))
/// }
///
/// let server = Server::builder(connect).build()?;
/// let app = axum::Router::new().route("/rooms/{room}", axum::routing::any(ws)).with_state(server);
/// # let _: axum::Router = app;
/// # Ok::<(), rejoin_server::ConfigError>(())
/// ```
///
/// Authenticate every request, also one that resumes a session: the client may have lost its right since then.
#[must_use = "accept or refuse it; a request that is dropped is answered with whatever the handler returns"]
pub struct Upgrade {
    shared: Arc<ServerInner>,
    request: UpgradeRequest,
    asked: LoggedRequest,
    socket: OnUpgrade,
    resumes: Option<Connection>,
}

impl Upgrade {
    /// Sets the peer's address, for [`Connection::remote_addr`] of a fresh session and for the log. Default: `None`, because
    /// the listener is the app's; axum has it in `ConnectInfo`.
    pub fn with_remote_addr(mut self, addr: SocketAddr) -> Self {
        self.asked.peer = Some(addr);
        self
    }

    /// The session that the request resumes if the identity has the same room and ID, or leaves them out: as
    /// [`ConnectRequest::resumes`](crate::ConnectRequest::resumes).
    pub fn resumes(&self) -> Option<&Connection> {
        self.resumes.as_ref()
    }

    /// Whether [`Self::resumes`] is not `None`.
    pub fn is_resume(&self) -> bool {
        self.resumes.is_some()
    }

    /// The token that the client offers with `rejoin.auth.TOKEN`: as [`ConnectRequest::token`](crate::ConnectRequest::token).
    pub fn token(&self) -> Option<&str> {
        self.request.offer.auth()?.text()
    }

    /// Accepts the request with this identity, and returns the answer. The socket is attached to its session after the handler has
    /// returned the answer.
    ///
    /// The server may still refuse the request, and then returns the refusal: if it is shutting down, if the ID is taken and
    /// [`DuplicateId::Reject`](crate::DuplicateId::Reject) is the policy, and for a resume offer with an impossible count.
    pub async fn accept(self, identity: Identity) -> Response {
        let Self { shared, request, asked, socket, .. } = self;
        match decide::settle(&shared, request, identity, &asked).await {
            Ok((admission, switch)) => {
                shared.spawn(upgraded::attach(shared.clone(), socket, admission));
                respond(switch.into_response())
            }
            Err(reject) => respond(decide::refuse(&shared, reject, &asked)),
        }
    }

    /// Refuses the request, and returns the answer.
    pub fn refuse(self, reject: Reject) -> Response {
        respond(decide::refuse(&self.shared, reject, &self.asked))
    }
}

impl<S> FromRequestParts<S> for Upgrade
where
    S: Send + Sync,
    Server: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Response> {
        let shared = Server::from_ref(state).shared().clone();
        shared.runtimes.note();
        let asked = decide::logged(&shared, parts, None);
        let socket = parts.extensions.remove::<OnUpgrade>();
        let checked = decide::check(&shared, parts, socket);
        let (request, socket) = checked.map_err(|reject| respond(decide::refuse(&shared, reject, &asked)))?;
        let resumes = admission::resumable(&shared, &request.offer);
        Ok(Self { shared, request, asked, socket, resumes })
    }
}

fn respond(answer: HttpResponse) -> Response {
    answer.map(Body::from)
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("path", &self.asked.path())
            .field("resumes", &self.resumes)
            .finish_non_exhaustive()
    }
}
