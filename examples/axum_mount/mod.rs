//! rejoin as one route of an axum app with its own state, and HTTP routes that read and message rooms.
//!
//! | route | purpose |
//! |---|---|
//! | `GET /` | counts, as text |
//! | `GET /rooms/{room}` | lists the members: `[{"id":…,"from":ADDRESS,"attached":BOOL}]` |
//! | `POST /rooms/{room}/announce` | broadcasts the body, answers `{"receivers":N}` |
//! | `/rooms/{room}/ws` | rejoin |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRef, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use rejoin_server::{ConnectRequest, Connection, Frame, Identity, Reject, Server, StatusCode, Upgrade};
use serde::Serialize;
use tokio::net::TcpListener;

/// The deadline for sessions to end when the app stops.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// The state that all routes share. A [`Server`] is a cheap handle: clone it wherever you send from.
#[derive(Clone)]
struct App {
    server: Server,
    announcements: Arc<AtomicU64>,
}

/// Where [`Upgrade`] finds the server. An app whose state is the server itself needs no such line.
impl FromRef<App> for Server {
    fn from_ref(app: &App) -> Self {
        app.server.clone()
    }
}

/// Serves the app until `stop` is ready. Then it accepts no more requests, answers the running ones, delivers the frames that
/// sessions have accepted, and closes the sessions. Returns the number of sessions that had to be dropped because their handlers
/// did not end in time.
///
/// # Errors
/// Fails when the listener fails.
pub async fn serve(
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<usize> {
    let server = Server::builder(connect).on_message(handle_message).build().map_err(io::Error::other)?;
    let app = App { server: server.clone(), announcements: Arc::default() };
    let routes = Router::new()
        .route("/", get(index))
        .route("/rooms/{room}", get(members))
        .route("/rooms/{room}/announce", post(announce))
        .route("/rooms/{room}/ws", any(ws))
        .with_state(app)
        // For `ConnectInfo`: only axum knows the peer's address.
        .into_make_service_with_connect_info::<SocketAddr>();

    // axum's graceful shutdown covers requests but not upgraded sockets. rejoin owns those and closes them at the same time.
    let http = axum::serve(listener, routes).with_graceful_shutdown(server.shutting_down());
    let sessions = async {
        stop.await;
        server.shutdown(SHUTDOWN).await
    };
    let (served, left) = tokio::join!(http.into_future(), sessions);
    served.map(|()| left)
}

// --- over HTTP

async fn index(State(app): State<App>) -> String {
    let stats = app.server.stats();
    let made = app.announcements.load(Ordering::Relaxed);
    format!("{} connected, {} rooms, {made} announcements made\n", stats.connections, stats.rooms)
}

#[derive(Serialize)]
struct Member {
    id: String,
    from: Option<SocketAddr>,
    attached: bool,
}

async fn members(State(app): State<App>, Path(room): Path<String>) -> Response {
    let members = app.server.connections(&room);
    let members = members.iter().map(|member| Member {
        id: member.id().into(),
        from: member.remote_addr(),
        attached: member.is_attached(),
    });
    Json(members.collect::<Vec<_>>()).into_response()
}

#[derive(Serialize)]
struct Announced {
    receivers: usize,
}

/// Broadcasts the body to a room. A real app protects this route with its own middleware.
async fn announce(State(app): State<App>, Path(room): Path<String>, text: String) -> Response {
    let frame = Frame::new("announcement", &text).expect("a string can be represented in JSON");
    match app.server.broadcast(&room, &frame) {
        Ok(receivers) => {
            app.announcements.fetch_add(1, Ordering::Relaxed);
            Json(Announced { receivers }).into_response()
        }
        // The server is shutting down; a retry reaches its successor.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

// --- over WebSockets

/// Accepts every client. To check who may connect, let axum extract the credentials; the example `auth` shows what to check.
async fn ws(
    Path(room): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
) -> Response {
    upgrade.with_remote_addr(peer).accept(Identity::new().with_room(room)).await
}

/// Decides on requests that no handler decides on. This app has none.
async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
    Err(Reject::forbidden("connect at /rooms/{room}/ws"))
}

async fn handle_message(me: Connection, frame: Frame) {
    me.broadcast(&frame.with_id(me.id())).ok();
}
