//! rejoin as one route among others: an axum app with state of its own, and HTTP routes that speak to the rooms.
//!
//! | route | what |
//! |---|---|
//! | `GET /` | what there is, as text |
//! | `GET /rooms/{room}` | who is there: `[{"id":…,"from":ADDRESS,"attached":BOOL}]` |
//! | `POST /rooms/{room}/announce` | broadcasts the body, answers `{"told":N}` |
//! | `/ws?room=…` | rejoin |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use rejoin_server::{ConnectRequest, Connection, Frame, Identity, Reject, Server, StatusCode};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long the sessions may take to end when the app is stopped.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What all routes share. A [`Server`] is a handle: clone it wherever something is to be said.
#[derive(Clone)]
struct App {
    server: Server,
    announcements: Arc<AtomicU64>,
}

/// Serves the app until `stop` is ready; then takes no more requests, answers those under way, delivers what the sessions
/// have accepted, and closes them. Returns when all of that is done: how many sessions were dropped where they stood, because
/// their handlers did not end in time.
///
/// # Errors
/// Fails when the listener does.
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
        .with_state(app)
        .route_service("/ws", server.service())
        // A service knows the peer's address only where the stack tells: `connect` finds it in the extensions.
        .into_make_service_with_connect_info::<SocketAddr>();
    // A frame is to leave when it is written, not when more have come: axum leaves that to us.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));

    // axum's own shutdown knows requests, not the sockets that were upgraded: those are rejoin's, and go at the same time.
    let (tell, told) = oneshot::channel::<()>();
    let http = axum::serve(listener, routes).with_graceful_shutdown(async { drop(told.await) });
    let sessions = async {
        stop.await;
        drop(tell);
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
        from: member.data().copied(),
        attached: member.is_attached(),
    });
    Json(members.collect::<Vec<_>>()).into_response()
}

#[derive(Serialize)]
struct Told {
    told: usize,
}

/// Who may announce is for a middleware of yours to say.
async fn announce(State(app): State<App>, Path(room): Path<String>, text: String) -> Response {
    let frame = Frame::new("announcement", &text).expect("a string has an image in JSON");
    match app.server.broadcast(&room, &frame) {
        Ok(told) => {
            app.announcements.fetch_add(1, Ordering::Relaxed);
            Json(Told { told }).into_response()
        }
        // It is shutting down: whoever asks again reaches its successor.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

// --- over WebSockets

/// Takes everybody in. `auth` is the example that does not.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let room = request.query("room").filter(|room| !room.is_empty());
    let room = room.ok_or_else(|| Reject::new(StatusCode::BAD_REQUEST, "which room? /ws?room=…"))?;
    let ConnectInfo(peer) = *request.extensions().get::<ConnectInfo<SocketAddr>>().expect("axum attaches it");
    Ok(Identity::room(room).with_data(peer))
}

async fn handle_message(me: Connection, frame: Frame) {
    me.server().broadcast(me.room(), &frame.with_id(me.id())).ok();
}
