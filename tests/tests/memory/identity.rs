//! Decisions of `ConnectFn`, and connection IDs that are in use.

use std::future::Ready;
use std::time::Duration;

use rejoin_client::{ConnectError, Connection, LostReason};
use rejoin_server::{
    CloseReason, ConnectRequest, DropReason, DuplicateId, Identity, OrReject as _, Reject, Server, StatusCode,
};
use rejoin_tests::harness::{self, Ended, Heard, RESET, Recorder, What, next, number};
use rejoin_tests::network::{Direction, Line};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::{client, millis, raw, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn connect_fn_sees_resumable_session() {
    let (sees, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connect = move |request: ConnectRequest| {
        sees.send(request.resumes().cloned()).unwrap();
        harness::connect(request)
    };
    let (builder, mut log) = Recorder::of(Server::builder(connect));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut client = line.client("/?id=ada").connect().await.unwrap();
    let session = log.connected().await;
    assert_eq!(seen.recv().await, Some(None), "a fresh session");
    line.cut();
    while next(&mut client).await != Heard::Resumed {}
    assert_eq!(seen.recv().await, Some(Some(session.clone())), "a resume");
    line.unplug();
    session.closed().await;
    line.plug_in();
    while next(&mut client).await != Heard::Reconnected {}
    assert_eq!(seen.recv().await, Some(None), "a token of a session that has ended");
    shut_down(&server).await;
}

/// The refusal that a client gets from this `ConnectFn`: status, body, `Retry-After`.
async fn refusal<F, Fut>(connect: F) -> (u16, String, Option<Duration>)
where
    F: Fn(ConnectRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, Reject>> + Send + 'static,
{
    let (builder, mut log) = Recorder::of(Server::builder(connect));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let error = line.client("/").handshake_timeout(secs(60)).connect().await.unwrap_err();
    let ConnectError::Refused(refusal) = error else { panic!("not refused: {error}") };
    assert_eq!(line.dials(), 1, "a first dial that fails is an error at once");
    assert_eq!(server.stats().refused, 1);
    assert_eq!(log.try_next(), None, "a refused client causes no callback");
    shut_down(&server).await;
    (refusal.status, refusal.body, refusal.retry_after)
}

#[tokio::test(start_paused = true)]
async fn connect_fn_chooses_status_body_and_headers() {
    let refused = refusal(async |_| {
        let reject = Reject::new(StatusCode::TOO_MANY_REQUESTS, "come back later")?;
        Err(reject.with_header("retry-after".parse().unwrap(), "7".parse().unwrap())?)
    });
    assert_eq!(refused.await, (429, "come back later".into(), Some(secs(7))));
}

#[tokio::test(start_paused = true)]
async fn connect_fn_errors_have_the_chosen_status() {
    fn parse(request: &ConnectRequest) -> Result<Identity, std::num::ParseIntError> {
        request
            .query("number")
            .unwrap_or_default()
            .parse()
            .map(|number: u32| Identity::new().with_room(number.to_string()))
    }
    let refused = refusal(async |request| Ok(parse(&request).or_unauthorized()?));
    assert_eq!(refused.await, (401, "not authenticated".into(), None));
    let refused = refusal(async |request| parse(&request).or_forbidden());
    assert_eq!(refused.await, (403, "forbidden".into(), None));
    let refused = refusal(async |request| parse(&request).or_unavailable());
    assert_eq!(refused.await, (503, "try again later".into(), Some(secs(5))));
}

#[tokio::test(start_paused = true)]
async fn panic_in_connect_fn_answers_500() {
    let (status, body, _) = refusal(async |_| panic!("of no interest to strangers")).await;
    assert_eq!((status, body.as_str()), (500, "internal error"));
    // Panics before it has returned a future, too.
    let early = |_: ConnectRequest| -> Ready<Result<Identity, Reject>> { panic!("nor is this") };
    let (status, body, _) = refusal(early).await;
    assert_eq!((status, body.as_str()), (500, "internal error"));
}

#[tokio::test(start_paused = true)]
async fn hanging_connect_fn_answers_503_after_timeout() {
    let since = Instant::now();
    let (status, ..) = refusal(async |_| std::future::pending().await).await;
    assert_eq!(status, 503);
    assert!(since.elapsed() >= secs(10) && since.elapsed() < secs(11), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn slow_request_leaves_connect_fn_its_full_timeout() {
    let server = Server::builder(async |_: ConnectRequest| std::future::pending().await).build().unwrap();
    let mut io = Line::to(&server).dial().unwrap();
    io.write_all(b"GET / HTTP/1.1\r\nHost: server.test\r\n").await.unwrap();
    tokio::time::sleep(secs(6)).await;
    let rest = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    io.write_all(rest).await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn client_without_token_replaces_suspended_session() {
    let (server, mut log) = server(|builder| builder);
    let (_old, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    server.send("ada", &number(1)).unwrap();
    let mut new = connect_as(&server, "ada", false).await.unwrap();
    assert_eq!(
        log.next_sorted().await,
        [("ada", What::Connected), ("ada", What::Disconnected(CloseReason::Duplicate))]
    );
    server.send("ada", &number(2)).unwrap();
    assert_eq!(
        next(&mut new).await,
        Heard::Message(number(2)),
        "the ID alone reveals nothing of the old session"
    );
}

#[tokio::test(start_paused = true)]
async fn resume_policy_lets_plain_socket_take_over() {
    let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
    let mut old = connect_as(&server, "ada", true).await.unwrap();
    let session = log.connected().await;
    let mut new = connect_as(&server, "ada", true).await.unwrap();
    assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::TakenOver)));
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(next(&mut old).await, Heard::Closed(Ended::TakenOver));
    session.send(&number(1)).unwrap();
    assert_eq!(next(&mut new).await, Heard::Message(number(1)));
    assert_eq!(server.stats().resumed, 1);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn resume_policy_replaces_session_of_other_mode() {
    for (first, second) in [(false, false), (false, true), (true, false)] {
        let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
        let _old = connect_as(&server, "ada", first).await.unwrap();
        log.connected().await;
        let _new = connect_as(&server, "ada", second).await.unwrap();
        assert_eq!(
            log.next_sorted().await,
            [("ada", What::Connected), ("ada", What::Disconnected(CloseReason::Duplicate))],
            "plain: {first}, then {second}"
        );
    }
}

/// No client can have lost a session that has not had a socket yet.
#[tokio::test(start_paused = true)]
async fn plain_session_without_socket_is_replaced() {
    for policy in [DuplicateId::Replace, DuplicateId::Resume] {
        let (server, mut log) = server(|builder| builder.duplicate_id(policy));
        // The answer does not fit into the line, and is not read.
        let mut early = Line::to(&server).with_capacity(16).dial().unwrap();
        early.write_all(raw::request("/?id=ada", "").as_bytes()).await.unwrap();
        tokio::time::sleep(millis(1)).await;
        let old = server.connection("ada").unwrap();
        let since = Instant::now();
        let _new = connect_as(&server, "ada", true).await.unwrap();
        let new = log.connected().await;
        assert!(since.elapsed() <= secs(1), "before the other handshake ends");
        assert!(new != old && new.is_open() && !old.is_open());
        assert_eq!(server.connection("ada"), Some(new));
    }
}

#[tokio::test(start_paused = true)]
async fn reject_policy_answers_409() {
    for plain in [false, true] {
        let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Reject));
        let mut old = connect_as(&server, "ada", plain).await.unwrap();
        log.connected().await;
        let error = connect_as(&server, "ada", plain).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Refused(refusal) if refusal.status == 409), "{error}");
        server.send("ada", &number(1)).unwrap();
        assert_eq!(next(&mut old).await, Heard::Message(number(1)));
        assert_eq!(log.try_next(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn reject_policy_frees_id_when_session_closes() {
    let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Reject));
    let (_old, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    server.connection("ada").unwrap().close();
    let mut new = connect_as(&server, "ada", false).await.unwrap();
    server.send("ada", &number(1)).unwrap();
    assert_eq!(next(&mut new).await, Heard::Message(number(1)));
}

#[tokio::test(start_paused = true)]
async fn reject_policy_still_resumes_by_token() {
    let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Reject));
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(log.next().await, ("ada", What::Restored));
}

#[tokio::test(start_paused = true)]
async fn token_alone_is_not_enough_to_resume() {
    let (sender, allowed) = tokio::sync::watch::channel(true);
    let (builder, mut log) = Recorder::of(Server::builder(move |request| {
        let allowed = *allowed.borrow();
        async move { if allowed { harness::connect(request).await } else { Err(Reject::forbidden("no longer")) } }
    }));
    let server = builder.build().unwrap();
    let (mut client, line) = client(&server, &mut log, "ada").await;
    sender.send_replace(false);
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Refused(403));
    assert_eq!(next(&mut client).await, Heard::Closed(Ended::Refused(403)));
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
}

#[tokio::test(start_paused = true)]
async fn resume_with_other_id_opens_fresh_session() {
    let (sender, id) = tokio::sync::watch::channel("ada");
    let (builder, mut log) = Recorder::of(Server::builder(move |_| {
        let id = *id.borrow();
        async move { Ok::<_, Reject>(Identity::new().with_room("room").with_id(id)) }
    }));
    let server = builder.build().unwrap();
    let (mut client, line) = client(&server, &mut log, "ada").await;
    sender.send_replace("ben");
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::session_lost(LostReason::Identity));
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    assert_eq!(client.id().as_deref(), Some("ben"));
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(log.next().await, ("ben", What::Connected));
    assert!(server.connection("ada").is_some_and(|ada| !ada.is_attached()));
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
}

#[tokio::test(start_paused = true)]
async fn resume_without_room_keeps_the_sessions_room() {
    let (sender, rooms) = tokio::sync::watch::channel(Some("library"));
    let (builder, mut log) = Recorder::of(Server::builder(move |_| {
        let room = *rooms.borrow();
        async move {
            let identity = Identity::new();
            Ok::<_, Reject>(if let Some(room) = room { identity.with_room(room) } else { identity })
        }
    }));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut client = line.client("/").connect().await.unwrap();
    let connection = log.connected().await;
    sender.send_replace(None);
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!((connection.room(), client.room().as_deref()), (Some("library"), Some("library")));
}

#[tokio::test(start_paused = true)]
async fn resume_into_other_room_opens_fresh_session() {
    let (sender, room) = tokio::sync::watch::channel("library");
    let (builder, mut log) = Recorder::of(Server::builder(move |_| {
        let room = *room.borrow();
        async move { Ok::<_, Reject>(Identity::new().with_room(room).with_id("ada")) }
    }));
    let server = builder.build().unwrap();
    let (mut client, line) = client(&server, &mut log, "ada").await;
    sender.send_replace("garden");
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::session_lost(LostReason::Identity));
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    assert_eq!(client.room().as_deref(), Some("garden"));
    assert_eq!((server.connections("library").len(), server.connections("garden").len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn truncated_or_extended_token_does_not_resume() {
    let (server, _log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    let token = raw::token(&open);
    let (all_but_one, last) = token.split_at(token.len() - 1);
    let another = if last == "A" { "E" } else { "A" };
    for guess in [format!("{}{}", &token[..16], "x".repeat(27)), format!("{all_but_one}{another}")] {
        let offer = format!("rejoin.v1.json, rejoin.resume.{guess}.0");
        let mut stranger = raw::dial(&line, "ada", &offer).await.unwrap();
        let open = raw::read(&mut stranger).await;
        assert!(open.contains(r#""resumed":false"#) && open.contains(r#""lost":"unknown""#), "{open}");
    }
}

#[tokio::test(start_paused = true)]
async fn resume_policy_replaces_session_in_other_room() {
    let (server, mut log) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
    let line = Line::to(&server);
    let _old = line.client("/?id=ada&room=library").plain().connect().await.unwrap();
    log.connected().await;
    let _new = line.client("/?id=ada&room=garden").plain().connect().await.unwrap();
    assert_eq!(
        log.next_sorted().await,
        [("ada", What::Connected), ("ada", What::Disconnected(CloseReason::Duplicate))]
    );
    assert_eq!(server.connection("ada").unwrap().room(), Some("garden"));
}

#[tokio::test(start_paused = true)]
async fn resumed_session_keeps_its_original_data() {
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let (builder, mut log) = Recorder::of(Server::builder(move |_| {
        let nth = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move { Ok::<_, Reject>(Identity::new().with_room("room").with_id("ada").with_data(nth)) }
    }));
    let server = builder.build().unwrap();
    let (mut client, line) = client(&server, &mut log, "ada").await;
    tokio::time::sleep(millis(1)).await;
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(line.dials(), 2);
    assert_eq!(server.connection("ada").unwrap().data::<usize>().as_deref(), Some(&0));
}

async fn connect_as(server: &Server, id: &str, plain: bool) -> Result<Connection, ConnectError> {
    let builder = Line::to(server).client(&format!("/?id={id}"));
    if plain { builder.plain().connect().await } else { builder.connect().await }
}
