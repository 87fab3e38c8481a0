use std::time::Duration;

use super::*;
use crate::Audience;
use crate::context::ServerContext;
use crate::fanout::joining::{Overdue, Settled};
use crate::fanout::members::Joined;
use crate::fanout::room::Room;
use crate::testing::{connection, server};
use rejoin_core::drive::now;
use rejoin_core::{Codec, DecodeError, EncodeError, Message};

fn history(frames: usize, bytes: usize) -> RoomHistory {
    RoomHistory::new(History::new().frames(frames).bytes(bytes).age(Duration::from_secs(60)), Arc::default())
}

/// A frame whose encoding in JSON has `id` and this size.
fn record(history: &mut RoomHistory, context: &ServerContext, id: &str, at: Instant, is_encoded: bool) {
    let frame = Frame::event_only("e").with_id(id);
    let mut encoded = Encoded::new(&frame, context);
    if is_encoded {
        encoded.encode(0);
    }
    history.record(&encoded, at);
}

fn ids(history: &RoomHistory) -> Vec<&str> {
    history.entries.iter().map(|entry| entry.frame.id()).collect()
}

#[test]
fn the_oldest_frames_go_first() {
    let shared = server();
    let now = now();
    let mut history = history(3, 1000);
    for id in ["1", "2", "3", "4", "5"] {
        record(&mut history, &shared.context, id, now, true);
    }
    assert_eq!((ids(&history), history.first), (vec!["3", "4", "5"], 2));
    history.expire(now + Duration::from_secs(60));
    assert_eq!(history.entries.len(), 3);
    history.expire(now + Duration::from_secs(61));
    assert!(history.is_empty() && history.bytes == 0 && history.ends_at().is_none());
}

#[test]
fn bytes_of_the_encodings_count() {
    let shared = server();
    let mut history = history(100, 50);
    for id in ["1", "2", "3", "4", "5"] {
        record(&mut history, &shared.context, id, now(), true);
        assert!(history.bytes <= 50 && history.bytes > 0);
    }
    // `{"id":"1","event":"e"}` and two bytes of header.
    assert_eq!((ids(&history), history.bytes), (vec!["4", "5"], 48));
}

#[test]
fn frames_are_encoded_when_a_newcomer_asks() {
    let shared = server();
    let mut history = history(10, 1000);
    for id in ["1", "2", "3"] {
        record(&mut history, &shared.context, id, now(), id == "2");
    }
    assert!(history.wants(0) && !history.wants(1));
    let selection = history.select(&Rewind::Last(2), 0, now());
    assert_eq!(selection, Selection { offsets: 1..3, is_complete: true });
    history.select(&Rewind::Last(2), 3, now());
    assert!(history.wants(3) && !history.wants(1) && !history.wants(2), "the others have no newcomer");
    history.select(&Rewind::Last(2), 1, now());
    assert!(history.wants(1));
    let unencoded: Vec<_> = history.unencoded(&selection.offsets, 0);
    assert_eq!(unencoded.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [2]);
    history.add_encodings(0, vec![(2, Some(Bytes::from_static(b"three"))), (99, None)]);
    history.add_encodings(0, vec![(2, None)]);
    let spans = history.spans(&selection.offsets, 0);
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[1].as_ref().unwrap().message(0), "three", "the first encoding stays");
    assert_eq!(history.spans(&selection.offsets, 7).iter().flatten().count(), 0, "another codec");
}

#[test]
fn a_room_without_members_lives_while_its_history_does() {
    let shared = server();
    let room = |history| Room::new("room".into(), history, &Arc::default());
    let at = now();
    assert!(matches!(room(None).settle(None, at), Settled::Dead));
    let kept = room(Some(History::new()));
    let frame = Frame::event_only("e");
    let queueing = kept.queue(&mut Encoded::new(&frame, &shared.context), rejoin_core::Overflow::DropOldest);
    assert!(queueing.unwrap().unwrap().begins_keeping);
    assert!(matches!(kept.settle(None, at), Settled::Kept(until) if until >= at));
    assert!(matches!(kept.settle(None, at), Settled::Other), "it is kept already");
    let early = Some(Overdue::Ended);
    assert!(matches!(kept.settle(early, at), Settled::Kept(_)), "it got a frame since");
    let member = connection(&shared);
    kept.join(&member, &Arc::default(), None, &shared.context);
    assert!(matches!(kept.settle(early, at), Settled::Other));
    kept.leave(&member);
    assert!(!kept.is_dead());
    let too_many = Some(Overdue::TooMany);
    assert!(matches!(kept.settle(too_many, at), Settled::Dead) && kept.is_dead());
}

#[test]
fn few_rooms_without_members_are_kept() {
    let connect = async |_: crate::ConnectRequest| Ok::<_, crate::Reject>(crate::Identity::new());
    let server = crate::Server::builder(connect).history(History::new()).build().unwrap();
    let rooms = &server.shared().realm.rooms;
    for n in 0..10 {
        server.broadcast(&n.to_string(), &Frame::event_only("e")).unwrap();
        // Twice, but it is one room.
        server.broadcast(&n.to_string(), &Frame::event_only("e")).unwrap();
    }
    let mut names: Vec<_> = rooms.all().iter().map(|room| room.name().to_string()).collect();
    names.sort();
    assert_eq!(names, ["6", "7", "8", "9"], "those that were kept last");
    assert_eq!((rooms.len(), server.rooms().len(), server.stats().rooms), (0, 0, 0));
}

/// A codec that panics.
struct Breaks;

impl Codec for Breaks {
    fn name(&self) -> &str {
        "breaks"
    }

    fn encode(&self, _: &Frame) -> Result<Message, EncodeError> {
        panic!("as it is meant to")
    }

    fn decode(&self, _: Message) -> Result<Frame, DecodeError> {
        panic!("as it is meant to")
    }
}

#[test]
fn codec_panic_leaves_no_room_without_members() {
    let connect = async |_: crate::ConnectRequest| Ok::<_, crate::Reject>(crate::Identity::new());
    let builder = crate::Server::builder(connect).history(History::new());
    let server = builder.codec(Breaks).max_rooms(2).build().unwrap();
    for audience in [Audience::room("one"), Audience::rooms(["one", "two"])] {
        let broadcast = || server.broadcast(audience.clone(), &Frame::event_only("e"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(broadcast)).is_err());
        assert_eq!(server.shared().realm.rooms.all().len(), 0, "{audience:?}");
    }
    let member = connection(server.shared());
    for room in ["three", "four"] {
        assert_eq!(
            server.shared().realm.rooms.join(&member, &room.into()),
            Joined::Added,
            "no place is taken"
        );
    }
}
