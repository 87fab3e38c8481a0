//! Logins over HTTP that return short-lived signed tokens, and connections that present them.
//!
//! `POST /login` takes `{"user":…,"password":…}` and answers `{"token":…,"expires_in":SECONDS}`, and the same token as a
//! cookie. `/ws/ROOM` requires the token in one of two forms:
//!
//! - A native client sends the header `Authorization: Bearer TOKEN`.
//! - A browser's `WebSocket` cannot set headers. It sends the cookie by itself, and because the cookie is `HttpOnly`, no script
//!   can read it. Pages of other sites could make the browser send it too. Therefore the cookie is `SameSite=Strict`, and rejoin
//!   by default accepts only pages of the server's own origin
//!   ([`Builder::allow_origin`](rejoin_server::Builder::allow_origin)).
//!
//! The token is not in the query, because every proxy on the way writes URLs to its access log, and browsers keep them in their
//! history. A page of another origin has no cookie of ours; it can offer the token as a subprotocol beside rejoin's own
//! (`new WebSocket(url, ["rejoin.v1.json", "token." + token])`). The token then stays out of URLs, rejoin never selects that
//! subprotocol, and `ConnectFn` reads it from [`ConnectRequest::headers`]. Do not log `Sec-WebSocket-Protocol`: it also carries
//! the tokens that resume sessions.
//!
//! [`connect`] runs for every socket, including those of a resume. A client that reconnects with an expired token is refused
//! with 401. If its `dial_headers` provide a fresh token, it dials once more; otherwise the connection ends, and the application
//! has to log in and connect again. Choose a lifetime as long as clients should be able to resume without asking their users.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, SET_COOKIE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use rejoin_server::{ConnectRequest, Connection, Frame, Identity, Reject, Server, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

pub mod token;
pub mod tour;

use token::{Claims, Signer};

/// The lifetime of a token, in seconds.
pub const LIFETIME: u64 = 300;

const COOKIE_NAME: &str = "rejoin_token";

/// The deadline for sessions to end when the server stops.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Stands in for your database, which would store password hashes (Argon2 or similar).
const USERS: [User; 2] = [
    User { name: "ada", password: "countess", rooms: &["lobby", "office"] },
    User { name: "ben", password: "franklin", rooms: &["lobby"] },
];

struct User {
    name: &'static str,
    password: &'static str,
    /// The rooms that the user may enter. Looked up for each connection, so that a revoked right does not live on in a token.
    rooms: &'static [&'static str],
}

/// Serves logins and connections until `stop` is ready.
///
/// # Errors
/// Fails when the listener fails.
pub async fn serve(
    listener: TcpListener,
    signer: Arc<Signer>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let checks = signer.clone();
    let server = Server::builder(move |request| connect(checks.clone(), request))
        .on_connect(handle_join)
        .on_message(handle_message)
        .build()
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/login", post(login))
        .with_state(signer)
        .route_service("/ws/{room}", server.service());
    tokio::select! {
        result = axum::serve(listener, app) => result?,
        () = stop => drop(server.shutdown(SHUTDOWN).await),
    }
    Ok(())
}

// --- login

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

#[derive(Serialize)]
struct LoggedIn {
    token: String,
    expires_in: u64,
}

async fn login(State(signer): State<Arc<Signer>>, Json(login): Json<Login>) -> Response {
    let user = user(&login.user).filter(|user| user.password == login.password);
    let Some(user) = user else {
        // One answer for both cases, so that it does not reveal which users exist.
        return (StatusCode::UNAUTHORIZED, "no such user, or not this password").into_response();
    };
    let token = signer.sign(&Claims::new(user.name, now() + LIFETIME));
    // Add `; Secure` when the server is behind TLS, as it should be: without TLS the token crosses the network in the clear.
    let cookie = format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/ws; Max-Age={LIFETIME}");
    let headers = [(SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".into())];
    (headers, Json(LoggedIn { token, expires_in: LIFETIME })).into_response()
}

fn user(name: &str) -> Option<&'static User> {
    USERS.iter().find(|user| user.name == name)
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

// --- connecting

/// Authenticates the request and decides whether the user may enter the room.
///
/// # Errors
/// Refuses an unknown user with 401, and a known user without access to the room with 403.
pub async fn connect(signer: Arc<Signer>, request: ConnectRequest) -> Result<Identity, Reject> {
    let token = bearer(&request).or_else(|| cookie(&request));
    let token = token.ok_or_else(|| unauthorized("log in first, and send the token"))?;
    let claims = signer.check(token, now()).map_err(|error| unauthorized(error.to_string()))?;
    let user = user(&claims.user).ok_or_else(|| unauthorized("this user no longer exists"))?;
    let room = request.path().strip_prefix("/ws/").unwrap_or_default();
    if !user.rooms.contains(&room) {
        return Err(Reject::forbidden(format!("{} may not enter {room}", user.name)));
    }
    // The ID comes from the signed claims, never from the request, because a request that claims an ID can end the session
    // that has it. A user thus has one session, and logging in elsewhere ends it; for several devices, add the device's name.
    Ok(Identity::new().with_room(room).with_id(user.name).with_data(Member { user }))
}

/// The data attached to a connection through its identity.
struct Member {
    user: &'static User,
}

fn bearer(request: &ConnectRequest) -> Option<&str> {
    request.header(AUTHORIZATION.as_str())?.strip_prefix("Bearer ")
}

fn cookie(request: &ConnectRequest) -> Option<&str> {
    let mut cookies = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pair = cookies.find_map(|value| {
        let mut pairs = value.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == COOKIE_NAME)
    });
    pair.map(|(_, value)| value)
}

fn unauthorized(why: impl Into<std::borrow::Cow<'static, str>>) -> Reject {
    // RFC 9110 §11.6.1: a 401 names the authentication scheme.
    let challenged =
        Reject::unauthorized(why).with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    challenged.unwrap_or_else(Reject::from)
}

// --- messages

#[derive(Serialize)]
struct Welcome<'a> {
    you: &'a str,
    room: Option<&'a str>,
    rooms: &'a [&'a str],
}

async fn handle_join(me: Connection) {
    let member: Arc<Member> = me.data().expect("connect attaches it");
    let user = member.user;
    let welcome = Welcome { you: user.name, room: me.room(), rooms: user.rooms };
    let welcome = Frame::new("welcome", &welcome).expect("strings can be represented in JSON");
    me.send(&welcome).ok(); // the buffer of a new session is empty
}

/// Adds the sender to a message. The ID comes from the connection, so that a client cannot fake it.
async fn handle_message(me: Connection, message: Frame) {
    let said = message.with_id(me.id());
    me.broadcast(&said).ok();
}
