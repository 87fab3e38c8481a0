//! The chat in the README of the npm package: its server and its page, in two windows. `build.rs` extracts them.

use std::net::SocketAddr;
use std::sync::OnceLock;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use rejoin_server::Server;
use serde_json::json;
use tokio::net::TcpListener;

use super::browser::Driver;
use super::sees;

mod package_server {
    include!(concat!(env!("OUT_DIR"), "/package-server.rs"));

    /// Runs the program. It has a runtime of its own.
    pub(super) fn run() {
        main().expect("the README's server runs");
    }
}

static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// Listens on a free port instead of 8080.
async fn serve(server: &Server) -> std::io::Result<()> {
    let listening = server.listen("127.0.0.1:0").await?;
    ADDRESS.set(listening.local_addr()).expect("the program runs once");
    listening.closed().await;
    Ok(())
}

/// The address of another server, which sends the page.
async fn page_server(chat: SocketAddr) -> SocketAddr {
    let page = include_str!(concat!(env!("OUT_DIR"), "/package-page.html"));
    assert_eq!(page.matches("127.0.0.1:8080").count(), 2, "the client and its server");
    let page = page.replace("127.0.0.1:8080", &chat.to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/", get(async move || Html(page)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_of_the_readme_loses_no_line() {
    std::thread::spawn(package_server::run);
    let driver = Driver::start().await;
    let url = format!("http://{}/", page_server(*ADDRESS.wait()).await);
    let (one, other) = tokio::join!(driver.open("one"), driver.open("other"));
    for window in [&one, &other] {
        window.goto(&url).await.expect("the page loads");
        sees(window, "return window.room?.status.state", |state| state == "open").await;
    }
    let say = "find = (id) => document.getElementById(id);
        for (const text of arguments) { find('text').value = text; find('say').requestSubmit(); }";
    one.execute("room.cut(600_000)", vec![]).await.expect("the page cuts");
    one.execute(say, vec![json!("one"), json!("two")]).await.expect("the page sends");
    let state = "return document.getElementById('state').textContent";
    sees(&one, state, |state| state == "away, 2 on their way").await;
    other.execute(say, vec![json!("three")]).await.expect("the page sends");
    sees(&other, "return document.querySelectorAll('li').length", |count| *count == 1).await;
    one.execute("room.retry()", vec![]).await.expect("the page dials");
    let lines = "return [...document.querySelectorAll('li')].map((line) => line.textContent)";
    for window in [&one, &other] {
        let seen = sees(window, lines, |lines| lines.as_array().is_some_and(|lines| lines.len() >= 3)).await;
        assert_eq!(seen, json!(["three", "one", "two"]));
    }
}
