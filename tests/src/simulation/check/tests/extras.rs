//! Handwritten histories of questions, presence, limits, credentials and drains.

use std::time::Duration;

use rejoin_server::{CloseReason, DropReason};

use super::super::super::extras::Note;
use super::super::super::history::{
    Call, End, Entry, FrameNo, History, How, Numbers, Outcome, Tale, Way, What,
};
use super::super::{Property, check};
use super::{broken, call, concat, joined, over_by, rest, started, told};

fn note(note: Note) -> Vec<What> {
    vec![What::Note(note)]
}

/// The client asks, and the session answers with the next number.
fn asked(question: FrameNo, outcome: Outcome) -> Vec<What> {
    vec![
        What::Offered { frame: question, way: Way::ToServer(1), how: How::Ask },
        What::Callback { session: 1, call: Call::Message(question) },
        What::Note(Note::Answers { question, answer: question + 1 }),
        What::Offered { frame: question + 1, way: Way::ToClient(1), how: How::Wait },
        What::Accepted { frame: question + 1, session: 1 },
        What::Answered { frame: question + 1, outcome: Outcome::Accepted },
        What::Returned { session: 1 },
        What::Answered { frame: question, outcome },
    ]
}

fn replied(question: FrameNo, answer: FrameNo) -> Vec<What> {
    note(Note::Replied { question, answer })
}

#[test]
fn question_is_answered_once_and_with_its_answer() {
    let counts = Numbers { received: 1, accepted: 1, ..Numbers::default() };
    let history = |replies: Vec<What>, outcome| {
        concat([started(), joined(1), asked(1, outcome), replies, rest(1, true, counts)])
    };
    assert_eq!(broken(history(replied(1, 2), Outcome::Delivered)), []);
    let twice = concat([replied(1, 2), replied(1, 2)]);
    assert_eq!(broken(history(twice, Outcome::Delivered)), [Property::Answers]);
    assert_eq!(broken(history(replied(1, 3), Outcome::Delivered)), [Property::Answers]);
    assert_eq!(broken(history(vec![], Outcome::Unknown)), [Property::Answers], "the session lives");
    assert_eq!(broken(history(vec![], Outcome::Abandoned)), [Property::Answers]);
}

#[test]
fn question_of_the_server_is_answered() {
    let ask = vec![
        What::Offered { frame: 1, way: Way::ToClient(1), how: How::Ask },
        What::Accepted { frame: 1, session: 1 },
        What::Told { client: 1, tale: Tale::Message(1) },
        What::Note(Note::Answers { question: 1, answer: 2 }),
        What::Offered { frame: 2, way: Way::ToServer(1), how: How::Wait },
        What::Answered { frame: 2, outcome: Outcome::Accepted },
    ];
    let counts = Numbers { received: 1, accepted: 1, ..Numbers::default() };
    let answered = concat([replied(1, 2), vec![What::Answered { frame: 1, outcome: Outcome::Delivered }]]);
    let history =
        |end: Vec<What>, counts| concat([started(), joined(1), ask.clone(), end, rest(1, true, counts)]);
    assert_eq!(broken(history(answered, counts)), []);
    let strays = Numbers { strays: 1, ..counts };
    assert_eq!(broken(history(vec![], strays)), [Property::Answers], "the asker still waits");
}

#[test]
fn presence_comes_in_order_and_matches_the_members() {
    let join = |room| note(Note::Join { session: 1, room });
    let leave = |room| note(Note::Leave { session: 1, room });
    let presence = |away| note(Note::Presence { session: 1, away });
    let rooms = |rooms: &[(usize, bool)]| note(Note::Rooms { session: 1, rooms: rooms.to_vec() });
    let history = |parts: Vec<Vec<What>>| concat([started(), joined(1), parts.concat()]);
    let dropped = || call(1, Call::Drop("lost".into()));
    let end = || over_by(1, &"because", End::Other, [0; 4]);
    let valid = vec![
        join(0),
        rooms(&[(0, false)]),
        dropped(),
        presence(true),
        rooms(&[(0, true)]),
        call(1, Call::Restore),
        presence(false),
        leave(0),
        end(),
    ];
    assert_eq!(broken(history(valid)), []);
    for wrong in [
        vec![join(0), join(0)],
        vec![leave(0)],
        vec![presence(true)],
        vec![dropped(), presence(false)],
        vec![dropped(), presence(true), presence(true)],
        vec![join(0), rooms(&[])],
        vec![join(0), rooms(&[(0, true)])],
        vec![join(0), end()],
        vec![end(), join(0)],
    ] {
        assert_eq!(broken(history(wrong.clone())), [Property::Presence], "{wrong:?}");
    }
}

#[test]
fn limits_hold_and_spare_resumes() {
    let limits = || note(Note::Limits { server: 0, most: [2, usize::MAX, usize::MAX] });
    let census = |found| note(Note::Census { server: 0, found: [found, 9, 9] });
    let limited = |resumed| note(Note::Limited { limit: "connections", resumed });
    assert_eq!(broken(concat([started(), limits(), census(2), limited(None)])), []);
    assert_eq!(broken(concat([started(), limits(), census(3)])), [Property::Limits]);
    assert_eq!(broken(concat([started(), limits(), limited(Some(1))])), [Property::Limits]);
}

/// The properties that these entries violate, one second after the other.
fn broken_over_time(entries: Vec<What>) -> Vec<Property> {
    let at = (0..).map(Duration::from_secs);
    let entries = at.zip(entries).map(|(at, what)| Entry { at, what }).collect();
    let mut broken: Vec<_> = check(&History { entries }).into_iter().map(|v| v.property).collect();
    broken.dedup();
    broken
}

#[test]
fn credentials_end_on_time() {
    let valid =
        |until| note(Note::Valid { session: 1, until: Some(Duration::from_secs(until)), resumable: true });
    let attached = || note(Note::Attached { session: 1 });
    let expired = DropReason::CredentialsExpired;
    let dropped = || call(1, Call::Drop(expired.to_string()));
    // Four entries come before these.
    let history = |parts: Vec<Vec<What>>| broken_over_time(concat([started(), joined(1), parts.concat()]));
    assert_eq!(history(vec![valid(7), attached(), dropped()]), []);
    assert_eq!(history(vec![valid(5), attached(), attached()]), [Property::Credentials], "too late");
    assert_eq!(history(vec![valid(60), dropped()]), [Property::Credentials], "too early");
    let asked_again = note(Note::Reauthenticated { session: 1 });
    assert_eq!(history(vec![valid(60), asked_again, dropped()]), []);
    let forbidden = || note(Note::Forbidden { session: 1 });
    let ends = |why: CloseReason| over_by(1, &why, End::Deaf, [0; 4]);
    assert_eq!(history(vec![forbidden(), ends(CloseReason::Forbidden)]), []);
    assert_eq!(history(vec![forbidden(), ends(CloseReason::Normal)]), [Property::Credentials]);
    assert_eq!(history(vec![ends(CloseReason::Forbidden)]), [Property::Credentials]);
    let lost = ends(CloseReason::TransportLost(expired));
    assert_eq!(history(vec![valid(7), lost]), [Property::Credentials], "its window has not passed");
    let back = told(1, Tale::Dropped("closed by the peer with 3003 forbidden".into()));
    assert_eq!(history(vec![back]), [Property::Credentials]);
}

#[test]
fn drain_opens_and_ends_no_session() {
    let draining = || note(Note::Draining { server: 0 });
    let drained = |attached| note(Note::Drained { server: 0, attached });
    let end = |why: &str| over_by(1, &why, End::Other, [0; 4]);
    assert_eq!(broken(concat([started(), joined(1), draining(), drained(0), end("because")])), []);
    assert_eq!(broken(concat([started(), draining(), joined(1)])), [Property::Drain]);
    assert_eq!(broken(concat([started(), joined(1), draining(), drained(1)])), [Property::Drain]);
    let ended = end("closed with 1012 retry in 500 ms");
    assert_eq!(broken(concat([started(), joined(1), draining(), ended])), [Property::Drain]);
}
