//! Limits on connections and rooms, each reached.

use rejoin_client::{ConnectError, Connection, Refusal};
use rejoin_server::{Builder, CloseReason, ConnectRequest, Identity, JoinError, Reject, Server, StatusCode};
use rejoin_tests::harness::{Heard, MetricsLog, RESET, Recorder, What, next};
use rejoin_tests::network::Line;

use crate::{millis, secs, shut_down};

/// A server whose query sets `id`, `user`, `room` and further `rooms`, with these options, and its metrics.
fn start(configure: impl FnOnce(Builder) -> Builder) -> (Server, Recorder, MetricsLog) {
    let connect = |request: ConnectRequest| {
        let query = |name: &str| request.query(name).unwrap_or_default();
        let rooms = query("rooms");
        let rooms = rooms.split(',').map(str::to_owned);
        let identity = Identity::new().with_id(query("id")).with_user(query("user")).with_room(query("room"));
        std::future::ready(Ok::<_, Reject>(identity.with_further_rooms(rooms)))
    };
    let metrics = MetricsLog::default();
    let (builder, log) = Recorder::of(Server::builder(connect).metrics(metrics.clone()));
    (configure(builder).build().unwrap(), log, metrics)
}

async fn dial(server: &Server, query: &str) -> Result<Connection, Refusal> {
    match Line::to(server).client(&format!("/?{query}")).connect().await {
        Ok(connection) => Ok(connection),
        Err(ConnectError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("{error}"),
    }
}

/// The status of the refusal of a newcomer, which names a time after which to try again.
async fn refused(server: &Server, query: &str) -> u16 {
    let refusal = dial(server, query).await.expect_err("a refusal");
    assert!(refusal.retry_after == Some(secs(5)) || refusal.status == 403, "{refusal:?}");
    refusal.status
}

fn reached(metrics: &MetricsLog, limit: &str) -> usize {
    let line = format!("limit reached: {limit}");
    metrics.happened().iter().filter(|happened| **happened == line).count()
}

#[tokio::test(start_paused = true)]
async fn connections_are_limited_with_suspended_ones() {
    let (server, mut log, metrics) = start(|builder| builder.max_connections(2));
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").reconnect(millis(1), millis(1)).connect().await.unwrap();
    let ben = dial(&server, "id=ben").await.unwrap();
    assert_eq!(refused(&server, "id=eve").await, 503);
    assert_eq!(reached(&metrics, "connections"), 1);
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(refused(&server, "id=eve").await, 503, "it is suspended");
    line.plug_in();
    assert_eq!(next(&mut ada).await, Heard::Resumed, "its session counts already");
    let ben_at_server = server.connection("ben").unwrap();
    ben.close().await;
    ben_at_server.closed().await;
    let eve = dial(&server, "id=eve").await.unwrap();
    assert_eq!(refused(&server, "id=ben").await, 503);
    server.kick("eve").await.unwrap();
    dial(&server, "id=ben").await.expect("a kick frees the place at once");
    drop(eve);
    while log.try_next().is_some() {}
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_free_their_places() {
    let (server, mut log, _) = start(|builder| builder.max_connections(1).resume_window(secs(1)));
    let line = Line::to(&server);
    let _ada = line.client("/?id=ada").no_reconnect().connect().await.unwrap();
    log.connected().await;
    line.cut();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(refused(&server, "id=ben").await, 503);
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
    dial(&server, "id=ben").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn successor_takes_the_place_of_its_predecessor() {
    let (server, _log, metrics) = start(|builder| {
        builder
            .max_connections(1)
            .max_connections_per_user(1)
            .max_connections_per_address(1)
            .client_address(|headers| headers.get("x-client")?.to_str().ok()?.parse().ok())
    });
    let dial = async |query: &str| {
        let client = Line::to(&server).client(&format!("/?{query}"));
        client.header("x-client", "192.0.2.1").no_reconnect().connect().await
    };
    for _ in 0..3 {
        dial("id=ada&user=ada").await.unwrap();
    }
    assert!(dial("id=ben&user=ben").await.is_err());
    assert_eq!(reached(&metrics, "connections"), 1);
    server.kick("ada").await.unwrap();
    dial("id=ben&user=ben").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn newcomers_at_the_same_time_share_the_places() {
    let (server, _log, _) = start(|builder| builder.max_connections(5).max_connections_per_user(3));
    let dials = (0..20).map(|n| {
        let server = server.clone();
        let user = if n % 2 == 0 { "ada" } else { "ben" };
        tokio::spawn(async move { dial(&server, &format!("user={user}")).await })
    });
    let dials: Vec<_> = dials.collect();
    let mut accepted = Vec::new();
    for dial in dials {
        accepted.extend(dial.await.unwrap());
    }
    assert_eq!(accepted.len(), 5);
    let counts = ["ada", "ben"].map(|user| server.user(user).connections().len());
    assert!(counts.iter().all(|count| (2..=3).contains(count)), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_user_are_limited() {
    let (server, mut log, metrics) = start(|builder| builder.max_connections_per_user(2));
    let _ada = [dial(&server, "user=ada").await.unwrap(), dial(&server, "user=ada").await.unwrap()];
    assert_eq!(refused(&server, "user=ada").await, 429);
    let _others = [dial(&server, "").await.unwrap(), dial(&server, "id=ben&user=ben").await.unwrap()];
    let ben = server.connection("ben").unwrap();
    assert!(!ben.set_user(Some("ada")));
    assert_eq!(ben.user().as_deref(), Some("ben"), "nothing has changed");
    assert_eq!(reached(&metrics, "connections_per_user"), 2);
    assert!(ben.set_user(Some("ben")), "it is this user already");
    let one = log.connected().await;
    assert!(one.set_user(None));
    assert!(ben.set_user(Some("ada")));
    assert_eq!(refused(&server, "user=ada").await, 429);
}

#[tokio::test(start_paused = true)]
async fn connections_of_an_address_are_limited() {
    let (server, _log, metrics) = start(|builder| {
        builder.max_connections_per_address(1).client_address(|headers| {
            let text = headers.get("x-client")?.to_str().unwrap();
            assert!(text != "panic", "a panic of the application");
            text.parse().ok()
        })
    });
    let dial = async |address: &str| {
        let client = Line::to(&server).client("/").header("x-client", address);
        match client.connect().await {
            Ok(connection) => Ok(connection),
            Err(ConnectError::Refused(refusal)) => Err(refusal.status),
            Err(error) => panic!("{error}"),
        }
    };
    let one = dial("192.0.2.1").await.unwrap();
    assert_eq!(dial("192.0.2.1").await.err(), Some(429));
    let _others = [dial("192.0.2.2").await.unwrap(), dial("2001:db8::1").await.unwrap()];
    assert_eq!(dial("2001:db8::2").await.err(), Some(429), "the same network");
    assert_eq!(reached(&metrics, "connections_per_address"), 2);
    // The peer has no address in memory.
    let _unknown = [dial("unknown").await.unwrap(), dial("panic").await.unwrap()];
    one.close().await;
    while dial("192.0.2.1").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_of_a_connection_are_limited() {
    let (server, mut log, metrics) = start(|builder| builder.max_rooms_per_connection(2).max_rooms(4));
    let _ada = dial(&server, "room=home").await.unwrap();
    let ada = log.connected().await;
    assert_eq!(ada.join("a").await, Ok(true));
    assert_eq!(ada.join("b").await, Err(JoinError::TooManyRooms));
    assert_eq!((ada.join("a").await, ada.rooms()), (Ok(false), vec!["home".to_owned(), "a".to_owned()]));
    assert_eq!(server.rooms().len(), 2);
    assert_eq!(server.join("home", "b").await, Ok(0));
    assert_eq!(reached(&metrics, "rooms_per_connection"), 2);
    ada.leave("a").await.unwrap();
    assert_eq!(ada.join("b").await, Ok(true));
    // A connection without a home may be in as many.
    let _ben = dial(&server, "rooms=a,b").await.unwrap();
    assert_eq!(log.connected().await.join("c").await, Err(JoinError::TooManyRooms));
    assert_eq!(refused(&server, "room=home&rooms=a,b").await, StatusCode::FORBIDDEN);
    assert_eq!((server.stats().memberships, log.try_next()), (4, None));
    // A refused join leaves no room behind, which would count as the fourth.
    let _eve = dial(&server, "room=d").await.unwrap();
    assert_eq!(server.rooms().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_room_are_limited() {
    let (server, mut log, metrics) = start(|builder| builder.max_members(2));
    let _members =
        [dial(&server, "id=ada&room=full").await.unwrap(), dial(&server, "room=full").await.unwrap()];
    assert_eq!(refused(&server, "room=full").await, 503);
    assert!((server.stats().connections, server.member_count("full")) == (2, 2));
    for _ in 0..3 {
        dial(&server, "").await.expect("connections without a room are in none");
    }
    let [_, _, ben] = [log.connected().await, log.connected().await, log.connected().await];
    assert_eq!(ben.join("full").await, Err(JoinError::RoomFull));
    assert_eq!(reached(&metrics, "members"), 2);
    server.kick("ada").await.unwrap();
    assert_eq!(ben.join("full").await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn rooms_of_the_server_are_limited() {
    let (server, mut log, metrics) = start(|builder| builder.max_rooms(2));
    let _ada = dial(&server, "id=ada&room=a").await.unwrap();
    let ada = log.connected().await;
    assert_eq!(ada.join("b").await, Ok(true));
    assert_eq!(ada.join("c").await, Err(JoinError::ServerFull));
    let _ben = dial(&server, "room=a").await.expect("the room exists");
    assert_eq!(refused(&server, "room=c").await, 503);
    assert_eq!(reached(&metrics, "rooms"), 2);
    for _ in 0..3 {
        ada.leave("b").await.unwrap();
        assert_eq!(ada.join("c").await, Ok(true));
        ada.leave("c").await.unwrap();
        assert_eq!(ada.join("b").await, Ok(true));
    }
    assert_eq!(server.rooms().len(), 2);
}
