//! The page's files, which are part of the program.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::{MethodRouter, get};

pub(super) fn router() -> Router {
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("index.html")))
        .route("/chat.css", file("text/css; charset=utf-8", include_str!("chat.css")))
        .route("/chat.js", file("text/javascript; charset=utf-8", include_str!("chat.js")))
        .route("/rejoin.js", file("text/javascript; charset=utf-8", include_str!("rejoin.js")))
}

fn file(mime: &'static str, text: &'static str) -> MethodRouter {
    // Whoever edits the page and restarts the chat is not to see the old one.
    get(([(CONTENT_TYPE, mime), (CACHE_CONTROL, "no-store")], text))
}
