//! Volatile frames and latest values, and frames that name their room.

use rejoin_client::{DeliveryError, Event, Frame};
use rejoin_server::Audience;
use rejoin_tests::harness::{Heard, RESET, What, next, next_event, number, numbers};
use rejoin_tests::network::Direction;

use crate::{client, server};

#[tokio::test(start_paused = true)]
async fn volatile_frames_come_in_order_without_a_number() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    connection.send(&number(1)).unwrap();
    connection.send(&number(2).volatile()).unwrap();
    assert_eq!(server.broadcast("room", &number(3).latest("key")), Ok(1));
    server.broadcast("room", &number(4)).unwrap();
    assert_eq!(connection.send_acked(&number(5).volatile()).await, Err(DeliveryError::Volatile));
    connection.send_acked(&number(6)).await.unwrap();
    for (n, is_volatile) in [(1, false), (2, true), (3, true), (4, false), (6, false)] {
        assert_eq!(next(&mut ada).await, Heard::Message(number(n).with_volatile(is_volatile)));
    }
    assert_eq!(connection.counts().accepted, 3);
    assert_eq!(server.stats().volatile_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn an_absent_member_gets_no_volatile_frame() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    line.unplug();
    log.next().await;
    server.broadcast("room", &number(1)).unwrap();
    server.broadcast("room", &number(2).volatile()).unwrap();
    server.broadcast(Audience::id("ada").and(Audience::id("ben")), &number(3).volatile()).unwrap();
    assert_eq!(numbers(&mut ben, 3).await, [1, 2, 3]);
    assert_eq!(server.stats().volatile_dropped, 2);
    line.plug_in();
    for told in [Heard::Disconnected(RESET), Heard::Resumed, Heard::Message(number(1))] {
        assert_eq!(next(&mut ada).await, told);
    }
    server.broadcast("room", &number(4)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(number(4)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_latest_of_each_key() {
    const ROUNDS: u64 = 10_000;
    let (server, mut log) = server(|builder| builder.send_buffer(8));
    let (mut slow, line) = client(&server, &mut log, "slow").await;
    let (mut fast, _) = client(&server, &mut log, "fast").await;
    line.stall(Direction::ToClient);
    for n in 0..ROUNDS {
        let key = if n % 2 == 0 { "even" } else { "odd" };
        server.broadcast("room", &number(n).latest(key)).unwrap();
        assert_eq!(next(&mut fast).await, Heard::Message(number(n).with_volatile(true)));
    }
    server.broadcast("room", &number(ROUNDS)).unwrap();
    line.release(Direction::ToClient);
    let mut received = Vec::new();
    while received.last() != Some(&ROUNDS) {
        received.extend(numbers(&mut slow, 1).await);
    }
    assert!(received.len() <= 2 * 64 + 1, "the client keeps the newest of those that the socket had taken");
    assert_eq!(received[received.len() - 3..], [ROUNDS - 2, ROUNDS - 1, ROUNDS]);
    assert!(received.is_sorted());
    assert!(server.stats().volatile_dropped > ROUNDS / 2, "the others were never written");
}

#[tokio::test(start_paused = true)]
async fn a_client_sends_volatile_frames() {
    let (server, mut log) = server(|builder| builder);
    let (ada, line) = client(&server, &mut log, "ada").await;
    ada.send(&number(1).volatile()).unwrap();
    ada.send_acked(&number(2)).await.unwrap();
    assert_eq!(server.stats().frames_in, 1, "a volatile frame has no number");
    for n in 1..=2 {
        assert_eq!(log.next().await, ("ada", What::Message(number(n).with_volatile(n == 1))));
    }
    line.unplug();
    log.next().await;
    ada.send(&number(3).volatile()).expect("it is dropped, which is no error");
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_names_the_room_of_each_receiver() {
    let (server, mut log) = server(|builder| builder.name_rooms(true));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    server.connection("ben").unwrap().join("side").await.unwrap();
    server.connection("ben").unwrap().set_user(Some("user"));
    let room = |frame: Frame, room: &str| Heard::Message(frame.with_room(room));

    assert_eq!(server.broadcast("side", &number(1)), Ok(1));
    assert_eq!(next(&mut ben).await, room(number(1), "side"));
    // Through the first of its rooms, once.
    assert_eq!(server.broadcast(Audience::rooms(["side", "room"]), &number(2)), Ok(2));
    assert_eq!(next(&mut ada).await, room(number(2), "room"));
    assert_eq!(next(&mut ben).await, room(number(2), "room"));
    assert_eq!(server.broadcast(Audience::room("room").except_room("side"), &number(3)), Ok(1));
    assert_eq!(next(&mut ada).await, room(number(3), "room"));
    assert_eq!(server.broadcast(Audience::user("user"), &number(4)), Ok(1));
    assert_eq!(next(&mut ben).await, Heard::Message(number(4)));
    assert_eq!(server.broadcast(Audience::everyone(), &number(5)), Ok(2));
    assert_eq!(next(&mut ben).await, Heard::Message(number(5)));
    assert_eq!(next(&mut ada).await, Heard::Message(number(5)));
    assert_eq!(server.broadcast(Audience::room("room").name_rooms(false), &number(6)), Ok(2));
    assert_eq!(next(&mut ben).await, Heard::Message(number(6)));
    // Each through its own room.
    server.connection("ada").unwrap().join("attic").await.unwrap();
    assert_eq!(server.broadcast(Audience::rooms(["attic", "side"]), &number(8)), Ok(2));
    assert_eq!(next(&mut ben).await, room(number(8), "side"));
    let audience = Audience::user("user").and(Audience::room("room"));
    assert_eq!(server.broadcast(audience, &number(7)), Ok(2));
    assert_eq!(next(&mut ben).await, room(number(7), "room"));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_named_only_where_asked_for() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    server.broadcast("room", &number(1)).unwrap();
    server.broadcast(Audience::room("room").name_rooms(true), &number(2)).unwrap();
    let mut rooms = Vec::new();
    for _ in 0..2 {
        let Event::Message(frame) = next_event(&mut ada).await else { panic!("a message") };
        rooms.push(frame.room().to_owned());
    }
    assert_eq!(rooms, ["", "room"]);
}
