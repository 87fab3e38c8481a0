//! The server's HTTP edge over real TCP: its own listener, and its service under axum and under hyper.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[path = "../certificate/mod.rs"]
mod certificate;
mod content;
mod extractor;
mod handshakes;
mod health;
mod last_words;
#[cfg(unix)] // two of three kinds
mod listeners;
#[cfg(unix)] // passes its listener to the proxy, and ends it by its process group
mod proxies;
mod refusals;
mod tls;

use std::net::SocketAddr;

use axum::Router;
use rejoin_server::{Builder, Server};
use rejoin_tests::harness::{self, Recorder, within};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The HTTP server that reads the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    Listener,
    Axum,
    Hyper,
}

const FRONTS: [Front; 3] = [Front::Listener, Front::Axum, Front::Hyper];

/// Starts a server behind this front.
async fn serve(front: Front, server: &Server) -> SocketAddr {
    if front == Front::Listener {
        return server.listen("127.0.0.1:0").await.unwrap().local_addr();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = server.service();
    if front == Front::Axum {
        let app = Router::new().fallback_service(service);
        tokio::spawn(async move { axum::serve(listener, app).await });
    } else {
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let http = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(tcp), service.clone());
                tokio::spawn(http.with_upgrades());
            }
        });
    }
    addr
}

/// Starts a server with these options behind this front, with a recorder of its callbacks.
async fn start(front: Front, configure: impl FnOnce(Builder) -> Builder) -> (Server, SocketAddr, Recorder) {
    let (builder, log) = harness::builder();
    let server = configure(builder).build().unwrap();
    let addr = serve(front, &server).await;
    (server, addr, log)
}

/// An upgrade request with these additional lines.
fn upgrade(lines: &str) -> String {
    format!(
        "GET /?id=ada HTTP/1.1\r\nhost: server.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// A masked frame, with the mask 0.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

async fn dial(addr: SocketAddr) -> TcpStream {
    within("dial", TcpStream::connect(addr)).await.unwrap()
}

/// Reads up to the end of the head of an answer.
async fn read_head(tcp: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = within("head", tcp.read_u8()).await.expect("an answer has a head");
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Sends these bytes, then reads to the end. The answer has to end the connection.
async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut tcp = dial(addr).await;
    within("request", tcp.write_all(request)).await.unwrap();
    let mut answer = Vec::new();
    within("answer", tcp.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    // hyper answers HTTP/1.0 requests with HTTP/1.0.
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}
