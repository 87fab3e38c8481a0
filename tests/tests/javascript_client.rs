//! The script for pages in a browser against a server: behaviour that the vectors of `vectors/client` cannot cover.
//!
//! Needs Chromium and its driver: `apt-get install chromium chromium-driver`.

#![cfg(unix)] // ends browsers by their process group

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use fantoccini::Client;
use rejoin_server::{ConnectRequest, Connection, Frame, Identity, Reject, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod browser;
#[path = "javascript_client/readme.rs"]
mod readme;
use browser::{Driver, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn script_exchanges_frames_at_full_speed() {
    let driver = Driver::start().await;
    let page = open(&driver).await;

    // Frames that fill a buffer in bytes: with one acknowledgement per second, only 51 of them would pass.
    let outcome = works(&page, json!(["exchange", 400, 20_000])).await;
    assert_eq!((&outcome["back"], &outcome["wrong"]), (&json!(400), &json!(0)));
    assert!(outcome["ms"].as_f64().expect("a time") < 5_000.0, "8 MB there and back: {outcome}");

    // Frames that fill the client's own buffer of 8: with one acknowledgement per second, only 8 of them would pass.
    let outcome = works(&page, json!(["exchange", 100, 20, { "buffer": 8 }])).await;
    assert_eq!((&outcome["back"], &outcome["wrong"]), (&json!(100), &json!(0)));
    assert!(outcome["ms"].as_f64().expect("a time") < 5_000.0, "100 small frames: {outcome}");

    let outcome = works(&page, json!(["oversized"])).await;
    let expected =
        json!({ "refused": { "size": 100_029, "limit": 64 * 1024 }, "number": 1, "back": "after" });
    assert_eq!(outcome, expected);

    let outcome = works(&page, json!(["cut", 40, 10_000])).await;
    assert_eq!(outcome, json!({ "inOrder": true, "received": 40 }));

    let outcome = works(&page, json!(["renewed"])).await;
    assert_eq!(outcome, json!(["tökèn 1 ~~~ ???", "tökèn 2 ~~~ ???"]));
}

async fn open(driver: &Driver) -> Client {
    let port = start_server().await;
    let page = driver.open("page").await;
    page.goto(&format!("http://127.0.0.1:{port}/")).await.expect("the page loads");
    sees(&page, "return document.title", |title| title == "ready").await;
    page
}

/// Runs this on the page, and returns the result.
async fn works(page: &Client, work: Value) -> Value {
    let Value::Array(work) = work else { panic!("a name and its parameters") };
    page.execute("window.begin(...arguments)", work).await.expect("the page begins");
    sees(page, "return window.outcome", |outcome| !outcome.is_null()).await
}

async fn sees(page: &Client, script: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = page.execute(script, vec![]).await.expect("the page answers");
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{script}: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Accepts every client. Tokens live for half a second.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let identity = Identity::new().with_room("room");
    Ok(match request.token() {
        Some(token) => identity.with_fresh_data(token.to_owned()).expires_in(Duration::from_millis(500)),
        None => identity,
    })
}

/// Echoes, but answers `who` with the client's token.
async fn handle(connection: Connection, frame: Frame) {
    let reply = match connection.data::<String>() {
        Some(token) if frame.event() == "who" => Frame::new("who", &*token).expect("a text"),
        _ => frame,
    };
    connection.send_wait(&reply).await.ok();
}

/// Starts an echo server.
async fn start_server() -> u16 {
    let server = Server::builder(connect).on_message(handle);
    let server = server.build().expect("the options are in their ranges");
    let file = |kind, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
    let page = "<!doctype html><script type=module src=page.js></script>";
    let router = Router::new()
        .route("/", file("text/html", page))
        .route("/page.js", file("text/javascript", include_str!("javascript_client/page.js")))
        .route_service("/rejoin.js", Server::script())
        .route_service("/ws", server.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}
