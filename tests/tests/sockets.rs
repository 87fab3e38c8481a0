//! The main promises over sockets other than plain TCP: TLS, Unix, axum, and a line that fails on demand.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod certificate;

use std::net::SocketAddr;

use axum::Router;
use futures_util::{SinkExt as _, StreamExt as _};
use rejoin_client::{Client, ClientBuilder, ConnectError, Connection, SendError};
use rejoin_server::{Builder, Server};
use rejoin_tests::harness::{
    self, END_OF_STREAM, Heard, Recorder, What, millis, next, number, numbers, shut_down, within,
};
use rejoin_tests::network::Line;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// Starts a listening server, with a recorder of its callbacks.
async fn server(configure: impl FnOnce(Builder) -> Builder) -> (Server, SocketAddr, Recorder) {
    let (builder, recorder) = harness::builder();
    let server = configure(builder).build().unwrap();
    let listening = server.listen("127.0.0.1:0").await.unwrap();
    (server, listening.local_addr(), recorder)
}

/// Starts a server with a line to it, and connects a client on that.
async fn on_a_line(
    configure: impl FnOnce(Builder) -> Builder,
    client_options: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Server, Line, Recorder, Connection) {
    let (server, addr, mut log) = server(configure).await;
    let line = Line::to(addr);
    line.listen().unwrap();
    let client = line.client("/?id=ada").reconnect(millis(1), millis(20));
    let connection = client_options(client).connect().await.unwrap();
    assert_eq!(log.next().await, ("ada", What::Connected));
    (server, line, log, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_frames_survive_a_hundred_cuts() {
    const CUTS: usize = 100;
    let seed = 7;
    let (server, line, mut log, mut client) = on_a_line(
        |builder| builder.heartbeat(millis(100), millis(400)),
        |builder| builder.heartbeat(millis(100), millis(400)).handshake_timeout(millis(1000)),
    )
    .await;
    let connection = server.connection("ada").unwrap();
    line.cut_at_random(seed, 1200);
    let sender = client.sender();
    // Each dial but the first follows a cut.
    let enough = || line.dials() > CUTS;
    let says = says_until(enough, async |frame| sender.send_wait(frame).await);
    let answers = says_until(enough, async |frame| connection.send_wait(frame).await);
    let client_hears = async {
        let mut heard = 0;
        while numbers(&mut client, 1).await == [heard + 1] {
            heard += 1;
        }
        heard
    };
    let server_hears = async {
        let mut heard = 0;
        while log.numbers_over_drops(1).await == [heard + 1] {
            heard += 1;
        }
        heard
    };
    let (said, answered, at_client, at_server) = tokio::join!(says, answers, client_hears, server_hears);
    println!("{said} frames to the server, {answered} to the client, {CUTS} cuts");
    assert_eq!((at_server, at_client), (said, answered), "seed {seed}");
    let stats = server.stats();
    assert_eq!((stats.frames_in, stats.frames_out, stats.dropped), (said + 1, answered + 1, 0));
    // The close goes over a connection that does not fail.
    line.heal();
    line.finish();
    assert_eq!(client.close().await.unacknowledged, 0);
    shut_down(&server).await;
}

/// Sends 1, 2, 3…, at least two thousand numbers, and as many more as needed; then 0. Returns the last number before the 0.
async fn says_until(
    enough: impl Fn() -> bool,
    send: impl AsyncFn(&rejoin_client::Frame) -> Result<(), SendError>,
) -> u64 {
    let patiently = async |n| {
        while let Err(error) = send(&number(n)).await {
            assert_eq!(error, SendError::Timeout);
        }
    };
    let mut said = 0;
    while said < 2000 || !enough() {
        said += 1;
        patiently(said).await;
    }
    patiently(0).await;
    said
}

#[tokio::test]
async fn axum_mount_serves_all_clients() {
    let echo = harness::echo(Server::builder(harness::connect));
    let server = echo.build().unwrap();
    let app = Router::new()
        .route("/", axum::routing::get(async || "a page"))
        .nest("/chat", Router::new().route_service("/ws", server.service()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let ours = Client::builder(format!("ws://{addr}/chat/ws?id=ada&room=lobby"));
    let mut ours = ours.connect().await.unwrap();
    assert_eq!((ours.id().as_deref(), ours.room().as_deref()), (Some("ada"), Some("lobby")));
    ours.send(&number(1)).unwrap();
    assert_eq!(next(&mut ours).await, Heard::Message(number(1)));
    server.cut("ada").unwrap();
    assert_eq!(next(&mut ours).await, Heard::Disconnected(END_OF_STREAM));
    assert_eq!(next(&mut ours).await, Heard::Resumed);

    let url = format!("ws://{addr}/chat/ws?id=ben&room=lobby");
    let (mut theirs, response) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert!(response.headers().get("sec-websocket-protocol").is_none());
    let text = r#"{"id":"7","event":"n","payload":{"x":1.0}}"#;
    theirs.send(Message::text(text)).await.unwrap();
    assert_eq!(within("echo", theirs.next()).await.unwrap().unwrap(), Message::text(text));
    assert_eq!(server.broadcast("lobby", &number(2)), Ok(2));
    assert_eq!(next(&mut ours).await, Heard::Message(number(2)));
    let broadcast = within("broadcast", theirs.next()).await.unwrap().unwrap();
    assert_eq!(broadcast, Message::text(r#"{"event":"n","payload":2}"#));

    let error = Client::builder(format!("ws://{addr}/")).connect().await.unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(refusal) if refusal.status == 200), "{error}");
    theirs.close(None).await.unwrap();
    assert_eq!(ours.close().await.unacknowledged, 0);
    shut_down(&server).await;
}

#[tokio::test]
async fn own_accept_loop_passes_peer_address() {
    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = server.clone();
    tokio::spawn(async move {
        while let Ok((tcp, peer)) = listener.accept().await {
            serving.spawn_connection(tcp, Some(peer));
        }
    });
    let client = Client::builder(format!("ws://127.0.0.1:{port}/?id=ada"));
    let mut client = client.reconnect(millis(1), millis(20)).connect().await.unwrap();
    let connection = log.connected().await;
    assert_eq!(connection.remote_addr().map(|peer| peer.ip()), Some(std::net::Ipv4Addr::LOCALHOST.into()));
    talks_over_a_cut(&server, &mut client, &mut log).await;
}

#[tokio::test]
async fn runs_over_tls() {
    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let (acceptor, config) = certificate::localhost();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = server.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (server, acceptor) = (serving.clone(), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    server.serve_connection(tls).await;
                }
            });
        }
    });
    let client = Client::builder(format!("wss://localhost:{port}/?id=ada")).tls(config);
    let mut client = client.reconnect(millis(1), millis(20)).connect().await.unwrap();
    log.connected().await;
    talks_over_a_cut(&server, &mut client, &mut log).await;
}

#[cfg(unix)]
#[tokio::test]
async fn runs_over_a_unix_socket() {
    use tokio::net::{UnixListener, UnixStream};

    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let path = std::env::temp_dir().join(format!("rejoin-{}.sock", std::process::id()));
    std::fs::remove_file(&path).ok();
    let listener = UnixListener::bind(&path).unwrap();
    let serving = server.clone();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let server = serving.clone();
            tokio::spawn(async move { server.serve_connection(io).await });
        }
    });
    let dialled = path.clone();
    let client =
        Client::builder("ws://localhost/?id=ada").connector(move || UnixStream::connect(dialled.clone()));
    let mut client = client.reconnect(millis(1), millis(20)).connect().await.unwrap();
    log.connected().await;
    talks_over_a_cut(&server, &mut client, &mut log).await;
    std::fs::remove_file(&path).unwrap();
}

/// Sends a thousand frames in each direction, with a cut in the middle.
async fn talks_over_a_cut(server: &Server, client: &mut Connection, log: &mut Recorder) {
    let connection = server.connection("ada").unwrap();
    let sender = client.sender();
    let says = async {
        for n in 0..1000 {
            sender.send_wait(&number(n)).await.unwrap();
            connection.send_wait(&number(n)).await.unwrap();
            if n == 500 {
                server.cut("ada").unwrap();
            }
        }
    };
    let ((), at_client, at_server) = tokio::join!(says, numbers(client, 1000), log.numbers_over_drops(1000));
    assert_eq!(at_client, Vec::from_iter(0..1000));
    assert_eq!(at_server, Vec::from_iter(0..1000));
    assert_eq!(server.stats().resumed, 1);
    assert_eq!(client.close().await.unacknowledged, 0);
    shut_down(server).await;
}
