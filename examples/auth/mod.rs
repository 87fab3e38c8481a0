//! Logins over HTTP, and connections that show what they got there: a signed token that does not hold for long.
//!
//! `POST /login` takes `{"user":…,"password":…}` and answers `{"token":…,"expires_in":SECONDS}`, and the same token as a
//! cookie. `/ws/ROOM` wants it back, in one of two ways:
//!
//! - a native client sends the header `Authorization: Bearer TOKEN`;
//! - a browser's `WebSocket` cannot set headers. It sends the cookie by itself, and as the cookie is `HttpOnly` no script can
//!   read it. Other pages could make the browser send it, too; that is why rejoin accepts pages of the server's own origin
//!   alone, unless told otherwise ([`Builder::allow_origin`](rejoin_server::Builder::allow_origin)), and the cookie is
//!   `SameSite=Strict`.
//!
//! Not in the query: URLs end in the access logs of every proxy on the way, and in the browser's history. A page of another
//! origin, which has no cookie of ours, can offer the token as a subprotocol beside rejoin's own
//! (`new WebSocket(url, ["rejoin.v1.json", "token." + token])`): it stays out of URLs, rejoin never selects it, and a
//! `ConnectFn` reads it from [`ConnectRequest::headers`]. `Sec-WebSocket-Protocol` must not be logged then; it must not anyway,
//! as it carries the tokens by which sessions are resumed.
//!
//! [`connect`] runs for every socket, those of a resume included. A client that comes back with a token that has expired
//! meanwhile is refused with 401. Where its `dial_headers` bring a fresh token it dials once more; otherwise it ends, logs in
//! again, and connects afresh. So let tokens hold for as long as such clients are to resume without asking their users.

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

/// How long a token holds, in seconds.
pub const LIFETIME: u64 = 300;

const COOKIE_NAME: &str = "rejoin_token";

/// How long the sessions may take to end when the server is stopped.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Stands for your database. There the passwords are hashes, by Argon2 or the like.
const USERS: [User; 2] = [
    User { name: "ada", password: "countess", rooms: &["lobby", "office"] },
    User { name: "ben", password: "franklin", rooms: &["lobby"] },
];

struct User {
    name: &'static str,
    password: &'static str,
    /// Which rooms they may enter. Looked up for each connection: a right that was taken away is not in some token still.
    rooms: &'static [&'static str],
}

/// Serves logins and connections until `stop` is ready.
///
/// # Errors
/// Fails when the listener does.
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

// --- logging in

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
        // The same for both: strangers need not learn who is a user here.
        return (StatusCode::UNAUTHORIZED, "no such user, or not this password").into_response();
    };
    let token = signer.sign(&Claims::new(user.name, now() + LIFETIME));
    // Add `; Secure` where the server is reached by TLS, which it should be: the token crosses the network in the clear.
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

/// Who is this, and may they enter?
///
/// # Errors
/// Refuses with 401 whoever is not known, and with 403 whoever is and may not enter.
pub async fn connect(signer: Arc<Signer>, request: ConnectRequest) -> Result<Identity, Reject> {
    let token = bearer(&request).or_else(|| cookie(&request));
    let token = token.ok_or_else(|| unauthorized("log in first, and send the token"))?;
    let claims = signer.check(token, now()).map_err(|error| unauthorized(error.to_string()))?;
    let user = user(&claims.user).ok_or_else(|| unauthorized("this user is no more"))?;
    let room = request.path().strip_prefix("/ws/").unwrap_or_default();
    if !user.rooms.contains(&room) {
        return Err(Reject::forbidden(format!("{} may not enter {room}", user.name)));
    }
    // The ID comes from what was signed, never from what was asked for: whoever claims an ID can end the session that has
    // it. A user has one session then, and logging in elsewhere ends it; for several devices, add the device's name.
    Ok(Identity::room(room).with_id(user.name).with_data(Member { user }))
}

/// What a connection carries: its identity's data.
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
    // RFC 9110 §11.6.1: a 401 says how to do better.
    Reject::unauthorized(why).with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

// --- and what they do once they are in

#[derive(Serialize)]
struct Welcome<'a> {
    you: &'a str,
    room: &'a str,
    rooms: &'a [&'a str],
}

async fn handle_join(me: Connection) {
    let Member { user } = me.data().expect("connect attaches it");
    let welcome = Welcome { you: user.name, room: me.room(), rooms: user.rooms };
    let welcome = Frame::new("welcome", &welcome).expect("strings have an image in JSON");
    me.send(&welcome).ok(); // the first frame finds room
}

/// Who says something need not say who they are: the connection knows.
async fn handle_message(me: Connection, message: Frame) {
    let said = message.with_id(me.id());
    me.server().broadcast(me.room(), &said).ok();
}
