//! Values that an application keeps with a connection, and handlers of one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_client::Frame;
use rejoin_server::router::Router;
use rejoin_server::{CloseReason, ConnectRequest, Connection, Handler, Identity, Reject, Server};
use rejoin_tests::harness::{Heard, RESET, Recorder, What, next, number};
use rejoin_tests::network::Line;
use tokio::sync::mpsc;

use crate::shut_down;

/// The number of a request, which each resume increases.
fn numbered(fresh: bool) -> (Server, Recorder) {
    let counter = AtomicUsize::new(0);
    let connect = move |request: ConnectRequest| {
        let nth = counter.fetch_add(1, Ordering::Relaxed);
        let identity = Identity::new().with_id("ada").keep_headers(request.headers());
        let identity = if fresh { identity.with_fresh_data(nth) } else { identity.with_data(nth) };
        std::future::ready(Ok::<_, Reject>(identity))
    };
    let (builder, log) = Recorder::of(Server::builder(connect));
    (builder.build().unwrap(), log)
}

#[tokio::test(start_paused = true)]
async fn resume_replaces_data_and_headers_on_request() {
    for fresh in [false, true] {
        for plain in [false, true] {
            let (server, mut log) = numbered(fresh);
            let line = Line::to(&server);
            let builder = line.client("/").header("x-device", "phone").header("authorization", "secret");
            let builder = if plain { builder.plain() } else { builder };
            let mut client = builder.connect().await.unwrap();
            let session = log.connected().await;
            session.set("kept");
            let old = session.data::<usize>().unwrap();
            line.cut();
            assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
            log.dropped("ada").await;
            assert_eq!(session.data::<usize>().as_deref(), Some(&0), "until another socket is attached");
            let back = if plain { Heard::Reconnected } else { Heard::Resumed };
            assert_eq!(next(&mut client).await, back);
            assert_eq!(log.next().await, ("ada", What::Restored));
            let expected = usize::from(fresh);
            assert_eq!((session.data::<usize>().as_deref(), *old), (Some(&expected), 0), "fresh: {fresh}");
            assert_eq!(session.get::<&str>().as_deref(), Some(&"kept"));
            let headers = session.headers().unwrap();
            assert_eq!(headers["x-device"], "phone");
            for secret in ["authorization", "sec-websocket-protocol"] {
                assert!(!headers.contains_key(secret), "{secret}");
            }
            shut_down(&server).await;
        }
    }
}

/// Reports its callbacks.
struct Reports(mpsc::UnboundedSender<(&'static str, String)>);

impl Handler for Reports {
    async fn on_connect(&self, connection: &Connection) {
        self.0.send(("connect", connection.id().to_owned())).unwrap();
    }

    async fn on_message(&self, connection: &Connection, frame: Frame) {
        self.0.send(("message", frame.event().to_owned())).unwrap();
        connection.send(&frame).unwrap();
    }

    async fn on_join(&self, _: &Connection, room: &str) {
        self.0.send(("join", room.to_owned())).unwrap();
    }

    async fn on_disconnect(&self, connection: &Connection, _: CloseReason) {
        self.0.send(("disconnect", connection.id().to_owned())).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_server_has_handlers_for_several_paths() {
    let (reports, mut reported) = mpsc::unbounded_channel();
    let own = Arc::new(Reports(reports));
    let router = Router::builder().on("add", async || Frame::new("added", &1)).build().unwrap();
    let router = Arc::new(router);
    let connect = move |request: ConnectRequest| {
        let identity = Identity::new().with_id(request.path().trim_start_matches('/'));
        std::future::ready(Ok::<_, Reject>(match request.path() {
            "/own" => identity.with_handler(own.clone()),
            "/router" => identity.with_handler(router.clone()),
            _ => identity,
        }))
    };
    let (builder, mut log) = Recorder::of(Server::builder(connect));
    let server = builder.build().unwrap();
    let lines = ["/own", "/router", "/"].map(|path| (path, Line::to(&server)));
    let mut clients = Vec::new();
    for (path, line) in &lines {
        clients.push(line.client(path).connect().await.unwrap());
    }
    for client in &clients {
        client.send(&Frame::new("add", &1).unwrap()).unwrap();
    }
    let [own, router, _] = &mut clients[..] else { unreachable!() };
    assert_eq!(next(own).await, Heard::Message(Frame::new("add", &1).unwrap()));
    assert_eq!(next(router).await, Heard::Message(Frame::new("added", &1).unwrap()));
    let rest = log.connected().await;
    assert_eq!(log.next().await.what, What::Message(Frame::new("add", &1).unwrap()));
    // A resume keeps the handlers, and values of the application do not replace them.
    let session = server.connection("own").unwrap();
    session.set(number(1));
    lines[0].1.cut();
    assert_eq!(next(own).await, Heard::Disconnected(RESET));
    assert_eq!(next(own).await, Heard::Resumed);
    own.send(&Frame::event_only("again")).unwrap();
    assert_eq!(next(own).await, Heard::Message(Frame::event_only("again")));
    // The server itself has no callback for joins.
    session.join("tea").await.unwrap();
    own.send(&Frame::event_only("once more")).unwrap();
    assert_eq!(next(own).await, Heard::Message(Frame::event_only("once more")));
    server.kick("own").await.unwrap();
    for expected in [
        ("connect", "own"),
        ("message", "add"),
        ("message", "again"),
        ("join", "tea"),
        ("message", "once more"),
        ("disconnect", "own"),
    ] {
        let (callback, text) = reported.recv().await.unwrap();
        assert_eq!((callback, text.as_str()), expected);
    }
    assert_eq!(log.try_next(), None, "the server's callbacks are for {} alone", rest.id());
    shut_down(&server).await;
}
