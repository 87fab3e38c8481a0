//! HTTP on the chat's port: the page's files, which are compiled into the program, and `/ws` and `/rejoin.js`, which rejoin serves.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rejoin_server::{ResponseBody, Server, Service};
use tokio::net::TcpListener;

/// The delay after a failed accept, which usually means that too many sockets are open.
const ACCEPT_DELAY: Duration = Duration::from_millis(250);

/// Serves HTTP/1.1 on the listener.
pub(super) async fn serve(listener: TcpListener, websocket: Service) {
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_DELAY).await;
                continue;
            }
        };
        // Without TCP_NODELAY a small frame waits for the acknowledgement of the previous one.
        socket.set_nodelay(true).ok();
        let websocket = websocket.clone();
        let service = service_fn(move |request| answer(request, websocket.clone()));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()); // closes connections whose request head arrives too late
        let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn answer(
    request: Request<Incoming>,
    websocket: Service,
) -> Result<Response<ResponseBody>, Infallible> {
    let (mime, text) = match request.uri().path() {
        "/ws" => return websocket.call(request).await,
        "/rejoin.js" => return Server::script().call(request).await,
        "/" => ("text/html; charset=utf-8", include_str!("index.html")),
        "/chat.css" => ("text/css; charset=utf-8", include_str!("chat.css")),
        "/chat.js" => ("text/javascript; charset=utf-8", include_str!("chat.js")),
        _ => return Ok(response(StatusCode::NOT_FOUND, (CONTENT_TYPE, "text/plain"), "not found")),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(response(StatusCode::METHOD_NOT_ALLOWED, (ALLOW, "GET, HEAD"), "expected GET"));
    }
    Ok(response(StatusCode::OK, (CONTENT_TYPE, mime), text))
}

fn response(
    status: StatusCode,
    header: (HeaderName, &'static str),
    text: &'static str,
) -> Response<ResponseBody> {
    let response = Response::builder().status(status).header(header.0, header.1);
    // The browser must load an edited page after a restart.
    let response = response.header(CACHE_CONTROL, "no-store").body(text.into());
    response.expect("header names and values are constants")
}
