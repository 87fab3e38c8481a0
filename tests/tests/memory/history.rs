//! A newcomer gets the last frames of a room, and then all later ones.

use std::time::Duration;

use rejoin_client::Connection;
use rejoin_server::{Audience, Builder, Frame, History, Identity, Rewind, Server};
use rejoin_tests::harness::{self, Heard, RESET, next, number, numbers, secs};
use rejoin_tests::network::Line;

use crate::{client, server};

/// A server whose rooms keep this history.
fn keeping(history: History) -> (Server, harness::Recorder) {
    server(|builder| builder.history(history))
}

fn say(server: &Server, room: &str, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        server.broadcast(room, &number(n)).unwrap();
    }
}

/// Joins, and checks the frames that the newcomer gets.
async fn rewinds(
    server: &Server,
    (id, client): (&str, &mut Connection),
    room: &str,
    rewind: impl Into<Rewind>,
    expected: &[u64],
    is_complete: bool,
) {
    let connection = server.connection(id).unwrap();
    let rewound = connection.join(room).rewind(rewind).await.unwrap();
    assert_eq!((rewound.is_new, rewound.frames, rewound.is_complete), (true, expected.len(), is_complete));
    assert_eq!(numbers(client, expected.len()).await, expected);
    connection.leave(room).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_the_last_frames_and_then_later_ones() {
    let (server, mut log) = keeping(History::new().frames(10));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    // Nobody is in the room yet.
    say(&server, "news", 1..=5);
    assert_eq!((server.rooms(), server.stats().rooms), (vec!["room".to_owned()], 1));
    let connection = server.connection("ada").unwrap();
    let rewound = connection.join("news").rewind(3).await.unwrap();
    assert_eq!((rewound.is_new, rewound.frames, rewound.is_complete), (true, 3, true));
    say(&server, "news", 6..=7);
    assert_eq!(numbers(&mut ada, 5).await, [3, 4, 5, 6, 7]);
    let again = connection.join("news").rewind(3).await.unwrap();
    assert_eq!((again.is_new, again.frames), (false, 0), "a member has them already");
    connection.send(&number(0)).unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_rewind_is_by_count_age_or_id() {
    let (server, mut log) = keeping(History::new().frames(6).age(secs(100)));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    for n in 1..=4 {
        server.broadcast("news", &number(n).with_id(format!("m-{n}"))).unwrap();
        tokio::time::sleep(secs(10)).await;
    }
    let ada = &mut ada;
    rewinds(&server, ("ada", ada), "news", 9, &[1, 2, 3, 4], true).await;
    rewinds(&server, ("ada", ada), "news", 0, &[], true).await;
    rewinds(&server, ("ada", ada), "news", secs(20), &[3, 4], true).await;
    rewinds(&server, ("ada", ada), "news", "m-3", &[4], true).await;
    rewinds(&server, ("ada", ada), "news", "m-4", &[], true).await;
    rewinds(&server, ("ada", ada), "news", "m-0", &[1, 2, 3, 4], false).await;
    say(&server, "news", 5..=8);
    rewinds(&server, ("ada", ada), "news", 6, &[3, 4, 5, 6, 7, 8], true).await;
    rewinds(&server, ("ada", ada), "news", 7, &[3, 4, 5, 6, 7, 8], false).await;
    rewinds(&server, ("ada", ada), "news", secs(35), &[3, 4, 5, 6, 7, 8], false).await;
    rewinds(&server, ("ada", ada), "news", secs(20), &[3, 4, 5, 6, 7, 8], true).await;
    tokio::time::sleep(secs(95)).await;
    rewinds(&server, ("ada", ada), "news", 9, &[5, 6, 7, 8], false).await;
    tokio::time::sleep(secs(10)).await;
    rewinds(&server, ("ada", ada), "news", 9, &[], false).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_limit_a_history() {
    let (server, mut log) = keeping(History::new().bytes(100));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    for n in 100..500 {
        say(&server, "room", [n]);
        assert_eq!(numbers(&mut ada, 1).await, [n]);
    }
    let mut ben = Line::to(&server).client("/?id=ben&rewind=10").connect().await.unwrap();
    assert_eq!(numbers(&mut ben, 3).await, [497, 498, 499]);
    tokio::time::sleep(secs(2)).await;
    let size = server.stats().retained_bytes;
    assert!((87..5000).contains(&size), "{size} bytes, with those that share a segment with them");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_of_history_leaves_room_for_the_rest() {
    let (server, mut log) = server(|builder| builder.send_buffer(4).history(History::new()));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.stall(rejoin_tests::network::Direction::ToClient);
    say(&server, "news", 1..=9);
    let rewound = server.connection("ada").unwrap().join("news").rewind(9).await.unwrap();
    assert_eq!((rewound.frames, rewound.is_complete), (4, false));
    say(&server, "news", 10..=13);
    line.release(rejoin_tests::network::Direction::ToClient);
    assert_eq!(numbers(&mut ada, 8).await, [6, 7, 8, 9, 10, 11, 12, 13]);
}

#[tokio::test(start_paused = true)]
async fn newcomers_rewind_their_home_room_once() {
    let (server, mut log) = keeping(History::new());
    let (ada, _) = client(&server, &mut log, "ada").await;
    say(&server, "room", 1..=3);
    server.broadcast(Audience::everyone(), &number(100)).unwrap();
    server.broadcast("room", &number(101).volatile()).unwrap();
    server.broadcast(Audience::room("room").except(&server.connection("ada").unwrap()), &number(4)).unwrap();
    let line = Line::to(&server);
    let mut ben = line.client("/?id=ben&rewind=3").connect().await.unwrap();
    assert_eq!(numbers(&mut ben, 2).await, [2, 3]);
    // A resume brings the rest of it, and no second rewind.
    line.cut();
    let mut told = Vec::new();
    while told.last() != Some(&Heard::Message(number(4))) {
        told.push(next(&mut ben).await);
    }
    let messages: Vec<_> = told.iter().filter(|told| matches!(told, Heard::Message(_))).collect();
    assert!(messages.iter().all(|told| **told == Heard::Message(number(4))), "{told:?}");
    say(&server, "room", [5]);
    loop {
        match next(&mut ben).await {
            Heard::Message(frame) => break assert_eq!(frame, number(5)),
            Heard::Disconnected(why) => assert_eq!(why, RESET),
            told => assert_eq!(told, Heard::Resumed),
        }
    }
    drop(ada);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_misses_nothing_while_others_speak() {
    let (server, mut log) = keeping(History::new());
    let (_ada, _) = client(&server, &mut log, "ada").await;
    let speaker = server.clone();
    let speaks = tokio::spawn(async move {
        for n in 1..=2000 {
            speaker.broadcast("room", &number(n)).unwrap();
            tokio::task::yield_now().await;
        }
    });
    for id in 0..40 {
        let mut late = Line::to(&server).client(&format!("/?id=late{id}&rewind=50")).connect().await.unwrap();
        let received: Vec<u64> = numbers(&mut late, 60).await;
        let first = received[0];
        assert_eq!(received, (first..first + 60).collect::<Vec<_>>(), "no gap and no repeat");
        late.close().await;
    }
    speaks.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn newcomers_with_another_codec_rewind_too() {
    fn codecs(builder: Builder) -> Builder {
        builder.codec(rejoin_server::JsonCodec).codec(rejoin_server::MsgpackCodec).history(History::new())
    }
    let (server, mut log) = server(codecs);
    let (_ada, _) = client(&server, &mut log, "ada").await;
    say(&server, "room", 1..=3);
    for id in ["ben", "eve"] {
        let line = Line::to(&server);
        let builder = line.client(&format!("/?id={id}&rewind=4")).codec(rejoin_codecs::MsgpackCodec);
        let mut late = builder.connect().await.unwrap();
        assert_eq!(numbers(&mut late, 3).await, [1, 2, 3], "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_room_may_have_its_own_history() {
    let of = |room: &str| if room == "news" { History::new() } else { History::none() };
    let (server, mut log) = server(|builder| builder.history_of(of));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    say(&server, "news", 1..=2);
    say(&server, "other", 1..=2);
    let ada = &mut ada;
    rewinds(&server, ("ada", ada), "news", 9, &[1, 2], true).await;
    let rewound = server.connection("ada").unwrap().join("other").rewind(9).await.unwrap();
    assert_eq!((rewound.is_new, rewound.frames, rewound.is_complete), (true, 0, false), "it keeps none");
}

#[tokio::test(start_paused = true)]
async fn a_history_outlives_its_members_until_it_is_too_old() {
    let (server, mut log) = keeping(History::new().age(secs(60)));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    connection.join("news").await.unwrap();
    say(&server, "news", 1..=2);
    assert_eq!(numbers(&mut ada, 2).await, [1, 2]);
    connection.leave("news").await.unwrap();
    assert_eq!(server.member_count("news"), 0);
    tokio::time::sleep(secs(59)).await;
    let ada = &mut ada;
    rewinds(&server, ("ada", ada), "news", 9, &[1, 2], true).await;
    tokio::time::sleep(secs(2)).await;
    // Another room is created.
    connection.join("side").await.unwrap();
    assert_eq!(server.stats().retained_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_history_gives_way_at_the_memory_limit() {
    let (server, mut log) =
        server(|builder| builder.max_retained_bytes(2000).history(History::new().bytes(100_000)));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let big = Frame::new("big", &"x".repeat(300)).unwrap();
    for _ in 0..50 {
        assert_eq!(server.broadcast("room", &big), Ok(1));
        assert_eq!(next(&mut ada).await, Heard::Message(big.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(server.stats().retained_bytes <= 2000 + 400, "{}", server.stats().retained_bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn histories_give_way_to_what_sessions_need() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(10_000).history(History::new()));
    let (ada, line) = client(&server, &mut log, "ada").await;
    let big = Frame::new("big", &"x".repeat(700)).unwrap();
    // Rooms without members fill the memory.
    for room in 0..12 {
        server.broadcast(&room.to_string(), &big).unwrap();
    }
    assert!(server.stats().retained_bytes > 8000);
    line.unplug();
    log.next().await;
    let connection = server.connection("ada").unwrap();
    for _ in 0..10 {
        connection.send(&big).unwrap();
    }
    assert!(connection.is_open() && server.stats().retained_bytes <= 10_000);
    drop(ada);
}

#[tokio::test(start_paused = true)]
async fn what_no_history_keeps_creates_no_room() {
    let (server, mut log) = server(|builder| builder.max_rooms(2).history(History::new()));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    for (name, frame) in [("a", number(1).volatile()), ("b", Frame::event_only("$mine"))] {
        server.broadcast(name, &frame).unwrap();
        server.broadcast(Audience::rooms([name, "c"]), &frame).unwrap();
    }
    say(&server, "news", [1]);
    server.broadcast("news", &Frame::event_only("$mine")).unwrap();
    // The two rooms that there may be are those with a member or a history.
    rewinds(&server, ("ada", &mut ada), "news", 9, &[1], true).await;
}

#[test]
fn an_identity_has_its_rewind() {
    assert!(format!("{:?}", Identity::new().with_rewind("m-1")).contains("After(\"m-1\")"));
}

#[tokio::test(start_paused = true)]
async fn a_history_keeps_only_the_events_that_it_is_for() {
    let (server, mut log) = keeping(History::new().frames(2).only(&["n", "edited"]));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    server.broadcast("empty", &Frame::event_only("joined")).unwrap();
    assert_eq!(server.stats().rooms, 1, "a room that keeps nothing of it is not made");
    for n in 1..=2 {
        say(&server, "news", [n]);
        server.broadcast("news", &Frame::event_only("joined")).unwrap();
        server.broadcast(Audience::rooms(["news", "empty"]), &Frame::event_only("left")).unwrap();
    }
    let ada = &mut ada;
    rewinds(&server, ("ada", ada), "news", 9, &[1, 2], true).await;
    server.connection("ada").unwrap().join("news").await.unwrap();
    server.broadcast("news", &Frame::event_only("joined")).unwrap();
    assert_eq!(harness::message(ada).await.event(), "joined", "a member gets it all the same");
}
