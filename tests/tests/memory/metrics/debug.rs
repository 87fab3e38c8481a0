//! The sums of `DebugMetrics`, and how they print.

use rejoin_server::{Audience, DebugMetrics, Identity, JoinError, Limit, Metrics, Overflow, Reject, Server};
use rejoin_tests::harness::{Heard, RESET, connect, next, number, numbers, secs, within};
use rejoin_tests::network::Line;

use crate::{raw, shut_down};

#[tokio::test(start_paused = true)]
async fn debug_metrics_print_their_sums() {
    let metrics = DebugMetrics::new();
    let server = Server::builder(connect)
        .send_buffer(2)
        .before_join(|_, room| async move { if room == "secret" { Err(JoinError::Refused) } else { Ok(()) } })
        .on_message(|me, frame| async move {
            assert!(frame.event() != "boom", "the handler panics on purpose");
            me.send_wait(&frame).await.ok();
        })
        .metrics(metrics.clone())
        .build()
        .unwrap();
    assert_eq!(metrics.snapshot().to_string(), "");
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    let connection = server.connection("ada").unwrap();
    connection.join("side").await.unwrap();
    connection.join("attic").await.unwrap();
    connection.leave("attic").await.unwrap();
    connection.join("secret").await.unwrap_err();
    ada.send(&number(1)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    tokio::time::sleep(secs(1)).await;
    for n in 2..=4 {
        server.broadcast_with("room", &number(n), Overflow::DropOldest).unwrap();
    }
    line.plug_in();
    while !matches!(next(&mut ada).await, Heard::Gap(_)) {}
    assert_eq!(numbers(&mut ada, 2).await, [3, 4]);
    tokio::time::sleep(secs(2)).await;
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.connections(), snapshot.rooms, snapshot.memberships), (1, 2, 2));
    assert_eq!((snapshot.joins, snapshot.joins_refused), (3, 1));
    let printed = snapshot.to_string();
    for line in [
        "connections: 1",
        "rooms: 2",
        "memberships: 2",
        "joins: 3",
        "joins refused: 1",
        "restores: 1",
        "received frames: 1",
        "sent frames: 3",
        "dropped frames: 1",
        "gap frames sent: 1",
        "broadcasts: 3",
        "broadcast receivers: 3",
        "sockets lost, io: 1",
        "fullest send buffer: 100 %",
        "callback message: 1 in 0ns, the longest 0ns",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} in\n{printed}");
    }
    assert!(!printed.contains(": 0"), "{printed}");

    // A panic, a request without an upgrade, and the end of all.
    ada.send(&rejoin_client::Frame::event_only("boom")).unwrap();
    within("end", connection.closed()).await;
    assert_eq!(raw::dial(&Line::to(&server), "eve", "rejoin.v9.json").await.err(), Some(400));
    drop(ada);
    shut_down(&server).await;
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.connections(), snapshot.rooms, snapshot.memberships), (0, 0, 0));
    assert_eq!(snapshot.retained_bytes, 0);
    assert_eq!(snapshot.closed["handler_panicked"], 1);
    assert_eq!(snapshot.errors["callback_panicked"], 1);
    assert_eq!(snapshot.upgrades_refused[&400], 1);
    assert!(snapshot.to_string().contains("connections closed, handler_panicked: 1\n"));
}

#[tokio::test(start_paused = true)]
async fn memberships_add_up_whatever_ends_them() {
    let metrics = DebugMetrics::new();
    let connect = async |request| {
        let identity: Identity = connect(request).await?;
        Ok::<_, Reject>(identity.with_further_rooms(["side"]))
    };
    let server = Server::builder(connect).metrics(metrics.clone()).build().unwrap();
    let _clients = [
        Line::to(&server).client("/?id=ada").connect().await.unwrap(),
        Line::to(&server).client("/?id=ben").connect().await.unwrap(),
        // Replaces the first.
        Line::to(&server).client("/?id=ada").connect().await.unwrap(),
    ];
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.joins, snapshot.memberships, snapshot.rooms), (6, 4, 2));
    server.kick("ben").await.unwrap();
    assert_eq!(metrics.snapshot().memberships, 2);
    shut_down(&server).await;
    assert_eq!((metrics.snapshot().memberships, metrics.snapshot().rooms), (0, 0));
    metrics.error("accept");
    metrics.limit_reached(Limit::Members);
    assert!(metrics.snapshot().to_string().contains("limits reached, members: 1\n"));
    assert_eq!(metrics.snapshot().to_string().matches("errors, accept: 1\n").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_broadcast_are_those_of_all_its_encodings() {
    let metrics = DebugMetrics::new();
    let server = Server::builder(connect).name_rooms(true).metrics(metrics.clone()).build().unwrap();
    let _ada = Line::to(&server).client("/?id=ada").connect().await.unwrap();
    let _ben = Line::to(&server).client("/?id=ben").connect().await.unwrap();
    server.connection("ben").unwrap().join("side").await.unwrap();
    let bytes_of = |audience: Audience<'_>| {
        let before = metrics.snapshot().broadcast_bytes;
        server.broadcast(audience, &number(1)).unwrap();
        metrics.snapshot().broadcast_bytes - before
    };
    let [room, side] = ["room", "side"].map(|room| bytes_of(Audience::room(room)));
    assert_eq!(room, side, "of equally long names");
    // One gets it through a room, and one without.
    let unnamed = bytes_of(Audience::room("room").name_rooms(false));
    assert!(0 < unnamed && unnamed < room, "{unnamed} of {room}");
    server.connection("ada").unwrap().join("attic").await.unwrap();
    let attic = bytes_of(Audience::room("attic"));
    assert_eq!(bytes_of(Audience::rooms(["attic", "side"])), attic + side);
}
