//! The test server's control port: HTTP in, JSON out.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rejoin_server::{ConnectionError, Pace, Server, ServerState};
use serde_json::{Value, json};

use super::TestServer;
use super::events::stored_sink;

pub(super) fn router(test_server: Arc<TestServer>) -> Router {
    Router::new()
        .route("/health", get(async || ok()))
        .route("/kick", post(kick))
        .route("/forbid", post(forbid))
        .route("/drop", post(drop_socket))
        .route("/shutdown", post(shutdown))
        .route("/restart", post(restart))
        .route("/sink", get(sink))
        .route("/stats", get(stats))
        .route("/drain", post(drain))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || failed(StatusCode::NOT_FOUND, "no such command"))
        .method_not_allowed_fallback(async || failed(StatusCode::METHOD_NOT_ALLOWED, "not this method"))
        .with_state(test_server)
}

type TestServerState = State<Arc<TestServer>>;

async fn kick(State(test): TestServerState, RawQuery(query): RawQuery) -> Response {
    if let Some(user) = parameter(query.as_deref(), "user") {
        let Some(server) = test.server() else { return failed(StatusCode::CONFLICT, "server is shut down") };
        return match server.user(&user).kick().await {
            0 => failed(StatusCode::NOT_FOUND, "user has no connection"),
            _ => ok(),
        };
    }
    match target(&test, query.as_deref()) {
        Ok((server, id)) => answer(server.kick(&id).await),
        Err(response) => *response,
    }
}

async fn forbid(State(test): TestServerState, RawQuery(query): RawQuery) -> Response {
    match target(&test, query.as_deref()) {
        Ok((server, id)) => answer(server.forbid(&id).await),
        Err(response) => *response,
    }
}

async fn drop_socket(State(test): TestServerState, RawQuery(query): RawQuery) -> Response {
    match target(&test, query.as_deref()) {
        Ok((server, id)) => {
            has_had_a_socket(&server, &id).await;
            answer(server.cut(&id))
        }
        Err(response) => *response,
    }
}

/// Waits until the session has had a socket: in plain mode a client reads the 101 shortly before its socket is attached.
async fn has_had_a_socket(server: &Server, id: &str) {
    let Some(connection) = server.connection(id) else { return };
    while connection.is_open() && !connection.is_attached() && connection.counts().drops == 0 {
        tokio::task::yield_now().await;
    }
}

async fn shutdown(State(test): TestServerState) -> Response {
    test.shutdown().await;
    ok()
}

async fn restart(State(test): TestServerState) -> Response {
    match test.restart().await {
        Ok(()) => ok(),
        Err(error) => failed(StatusCode::CONFLICT, &error.to_string()),
    }
}

/// Begins to drain, and answers at once.
async fn drain(State(test): TestServerState, RawQuery(query): RawQuery) -> Response {
    let Some(server) = test.server() else { return failed(StatusCode::CONFLICT, "server is shut down") };
    let pace = match parameter(query.as_deref(), "per_second").map(|pace| pace.parse()) {
        None => Pace::default(),
        Some(Ok(pace @ 1..)) => Pace::per_second(pace),
        Some(_) => return failed(StatusCode::BAD_REQUEST, "per_second is a number of at least 1"),
    };
    drop(server.drain(pace));
    ok()
}

async fn livez(State(test): TestServerState) -> Response {
    let body = match test.server() {
        Some(server) => json!({"ok": true, "health": server.health()}),
        None => json!({"ok": true}),
    };
    respond(StatusCode::OK, &body)
}

async fn readyz(State(test): TestServerState) -> Response {
    let state = test.server().map_or(ServerState::ShutDown, |server| server.state());
    match test.server() {
        Some(server) if state == ServerState::Running => {
            respond(StatusCode::OK, &json!({"ok": true, "health": server.health()}))
        }
        _ => failed(StatusCode::SERVICE_UNAVAILABLE, state.as_str()),
    }
}

async fn sink(State(test): TestServerState, RawQuery(query): RawQuery) -> Response {
    let Some(id) = id(query.as_deref()) else { return missing_id() };
    match test
        .server()
        .and_then(|server| stored_sink(&server.connection(&id)?))
        .or_else(|| test.sinks.of(&id))
    {
        Some(sink) => respond(StatusCode::OK, &json!(sink)),
        // The session exists but has no counts yet, or it does not exist.
        None if test.server().is_some_and(|server| server.connection(&id).is_some()) => {
            respond(StatusCode::OK, &json!({"received": 0, "errors": 0}))
        }
        None => failed(StatusCode::NOT_FOUND, "unknown id"),
    }
}

async fn stats(State(test): TestServerState) -> Response {
    let stats = test.server().map(|server| server.stats()).unwrap_or_default();
    let body = json!({
        "connections": stats.connections,
        "suspended": stats.suspended,
        "rooms": stats.rooms,
        "memberships": stats.memberships,
        "users": stats.users,
        "handlers_running": stats.handlers_running,
        "frames_in": stats.frames_in,
        "frames_out": stats.frames_out,
        "dropped": stats.dropped,
        "volatile_dropped": stats.volatile_dropped,
        "resumed": stats.resumed,
        "refused": stats.refused,
        "retained_bytes": stats.retained_bytes,
    });
    respond(StatusCode::OK, &body)
}

/// The server and the ID to which a command refers.
fn target(test: &TestServer, query: Option<&str>) -> Result<(Server, String), Box<Response>> {
    let id = id(query).ok_or_else(missing_id)?;
    let server = test.server().ok_or_else(|| failed(StatusCode::CONFLICT, "server is shut down"))?;
    Ok((server, id))
}

fn id(query: Option<&str>) -> Option<String> {
    parameter(query, "id")
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn missing_id() -> Response {
    failed(StatusCode::BAD_REQUEST, "id is missing")
}

fn answer(result: Result<(), ConnectionError>) -> Response {
    match result {
        Ok(()) => ok(),
        Err(error @ ConnectionError::NotAttached) => failed(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => failed(StatusCode::NOT_FOUND, &error.to_string()),
    }
}

fn ok() -> Response {
    respond(StatusCode::OK, &json!({"ok": true}))
}

fn failed(status: StatusCode, error: &str) -> Response {
    respond(status, &json!({"ok": false, "error": error}))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
