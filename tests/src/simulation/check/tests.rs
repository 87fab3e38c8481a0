//! Handwritten histories: a valid one, and for each property one that violates only that property.

mod extras;

use std::time::Duration;

use rejoin_server::CloseReason;

use super::super::history::{
    Call, ClientNo, End, Entry, FrameNo, History, How, Numbers, Outcome, SessionNo, Tale, To, Way, What,
};
use super::{Property, check};

/// The properties that a history of these entries violates.
fn broken(entries: impl IntoIterator<Item = What>) -> Vec<Property> {
    let entries = entries.into_iter().map(|what| Entry { at: Duration::ZERO, what }).collect();
    let mut broken: Vec<_> = check(&History { entries }).into_iter().map(|v| v.property).collect();
    broken.dedup();
    broken
}

fn concat<const N: usize>(parts: [Vec<What>; N]) -> Vec<What> {
    parts.into_iter().flatten().collect()
}

fn started() -> Vec<What> {
    vec![What::ServerStarted { server: 0, max_retained: 1000, max_session: 100 }]
}

fn call(session: SessionNo, call: Call) -> Vec<What> {
    vec![What::Callback { session, call }, What::Returned { session }]
}

/// A client connects, and gets the session with the same number.
fn connected(number: u64, may_drop: bool, plain: bool) -> Vec<What> {
    let client = number as ClientNo;
    concat([
        vec![What::Asked { session: number, server: 0, client }, What::Connected { client, plain, may_drop }],
        call(number, Call::Connect { plain }),
    ])
}

fn joined(number: u64) -> Vec<What> {
    connected(number, false, false)
}

/// The server sends a frame, and the session accepts it.
fn to_client(session: SessionNo, frame: FrameNo, outcome: Outcome) -> Vec<What> {
    let how = if outcome == Outcome::Accepted { How::Send } else { How::Acked };
    vec![
        What::Offered { frame, way: Way::ToClient(session), how },
        What::Accepted { frame, session },
        What::Answered { frame, outcome },
    ]
}

fn to_server(client: ClientNo, frame: FrameNo, how: How, outcome: Outcome) -> Vec<What> {
    vec![What::Offered { frame, way: Way::ToServer(client), how }, What::Answered { frame, outcome }]
}

fn said(client: ClientNo, frame: FrameNo) -> Vec<What> {
    to_server(client, frame, How::Send, Outcome::Accepted)
}

fn told(client: ClientNo, tale: Tale) -> Vec<What> {
    vec![What::Told { client, tale }]
}

fn got(client: ClientNo, frame: FrameNo) -> Vec<What> {
    told(client, Tale::Message(frame))
}

fn heard(session: SessionNo, frame: FrameNo) -> Vec<What> {
    call(session, Call::Message(frame))
}

fn over(session: SessionNo, end: End, counts: [u64; 4]) -> Vec<What> {
    over_by(session, &"because", end, counts)
}

fn over_by(session: SessionNo, why: &impl ToString, end: End, counts: [u64; 4]) -> Vec<What> {
    let [received, accepted, dropped, unacknowledged] = counts;
    let counts = Numbers { received, accepted, dropped, unacknowledged, retained: 0, strays: 0 };
    call(session, Call::Disconnect { why: why.to_string(), end, counts })
}

fn ended(client: ClientNo, unacknowledged: u64, kept: &[FrameNo]) -> Vec<What> {
    vec![What::Left { client }, What::Ended { client, unacknowledged, kept: kept.to_vec() }]
}

/// The simulation comes to rest, with this session attached.
fn rest(number: u64, attached: bool, counts: Numbers) -> Vec<What> {
    let client = number as ClientNo;
    vec![
        What::Rest,
        What::QuietClient { client, connected: true },
        What::Quiet { session: number, attached, counts },
    ]
}

fn stopped() -> Vec<What> {
    vec![What::ServerEnded { server: 0, left: 0, crashed: false }, What::TasksLeft(0)]
}

#[test]
fn valid_history_has_no_violations() {
    let counts = Numbers { received: 2, accepted: 2, ..Numbers::default() };
    let history = concat([
        started(),
        joined(1),
        to_client(1, 1, Outcome::Accepted),
        said(1, 2),
        heard(1, 2),
        got(1, 1),
        call(1, Call::Drop("lost".into())),
        told(1, Tale::Dropped("lost".into())),
        to_server(1, 3, How::Acked, Outcome::Delivered),
        to_client(1, 4, Outcome::Delivered),
        call(1, Call::Restore),
        heard(1, 3),
        told(1, Tale::Restored { resumed: true }),
        got(1, 4),
        rest(1, true, counts),
        ended(1, 0, &[]),
        over(1, End::Other, [2, 2, 0, 0]),
        stopped(),
    ]);
    assert_eq!(broken(history), []);
}

#[test]
fn delivery_of_unaccepted_frame_is_not_genuine() {
    let refused = vec![
        What::Offered { frame: 1, way: Way::ToServer(1), how: How::Send },
        What::Answered { frame: 1, outcome: Outcome::Refused },
    ];
    let history = concat([started(), joined(1), refused, heard(1, 1)]);
    assert_eq!(broken(history), [Property::Genuine]);
    let history = concat([started(), joined(1), got(1, 1)]);
    assert_eq!(broken(history), [Property::Genuine]);
    // For another.
    let history = concat([started(), joined(1), joined(2), said(1, 1), heard(2, 1)]);
    assert_eq!(broken(history), [Property::Genuine]);
    // Too early.
    let history = concat([started(), joined(1), heard(1, 1), said(1, 1)]);
    assert_eq!(broken(history), [Property::Genuine]);
}

#[test]
fn second_delivery_is_a_violation() {
    let history = concat([started(), joined(1), said(1, 1), heard(1, 1), heard(1, 1)]);
    assert_eq!(broken(history), [Property::Once]);
    let history = concat([started(), joined(1), to_client(1, 1, Outcome::Accepted), got(1, 1), got(1, 1)]);
    assert_eq!(broken(history), [Property::Once]);
}

#[test]
fn plain_frame_may_repeat_only_on_next_socket() {
    let begins =
        || concat([started(), connected(1, false, true), to_client(1, 1, Outcome::Accepted), got(1, 1)]);
    let away = concat([told(1, Tale::Dropped("lost".into())), told(1, Tale::Restored { resumed: false })]);
    assert_eq!(broken(concat([begins(), away, got(1, 1)])), []);
    assert_eq!(broken(concat([begins(), got(1, 1)])), [Property::Once]);
}

#[test]
fn delivery_out_of_order_is_a_violation() {
    let history = concat([started(), joined(1), said(1, 1), said(1, 2), heard(1, 2), heard(1, 1)]);
    // The number of missing frames would be negative, so the numbering is violated, too.
    assert!(broken(history).contains(&Property::Order));
    // The later session delivers a frame that was sent earlier.
    let lost = concat([told(1, Tale::Dropped("lost".into())), told(1, Tale::Lost(vec![]))]);
    let again = concat([
        vec![What::Asked { session: 2, server: 0, client: 1 }],
        call(2, Call::Connect { plain: false }),
    ]);
    let history =
        concat([started(), joined(1), said(1, 1), said(1, 2), heard(1, 2), lost, again, heard(2, 1)]);
    assert_eq!(broken(history), [Property::Order]);
    let both = concat([to_client(1, 1, Outcome::Accepted), to_client(1, 2, Outcome::Accepted)]);
    let plain = concat([started(), connected(1, false, true), both.clone(), got(1, 2), got(1, 1)]);
    assert_eq!(broken(plain), [Property::Order]);
    let gap = told(1, Tale::Gap(1, 1));
    let history = concat([started(), joined(1), both, gap, got(1, 2), got(1, 1)]);
    assert_eq!(broken(history), [Property::Order]);
}

#[test]
fn missing_frame_without_gap_breaks_numbering() {
    let both = || concat([to_client(1, 1, Outcome::Accepted), to_client(1, 2, Outcome::Accepted)]);
    let history = concat([started(), joined(1), both(), got(1, 2)]);
    assert_eq!(broken(history), [Property::Numbering]);
    let gap = told(1, Tale::Gap(1, 1));
    assert_eq!(broken(concat([started(), joined(1), both(), gap, got(1, 2)])), []);
    // A gap that is too large, and one that begins at the wrong count.
    let gap = told(1, Tale::Gap(1, 3));
    assert_eq!(broken(concat([started(), joined(1), both(), gap])), [Property::Numbering]);
    let gap = told(1, Tale::Gap(2, 2));
    assert_eq!(broken(concat([started(), joined(1), both(), gap])), [Property::Numbering]);
    let three = || concat([said(1, 1), said(1, 2), said(1, 3), heard(1, 1)]);
    let history = concat([started(), connected(1, true, false), three(), heard(1, 3)]);
    assert_eq!(broken(history), [Property::Numbering]);
    let history =
        concat([started(), connected(1, true, false), three(), call(1, Call::Gap(2, 3)), heard(1, 3)]);
    assert_eq!(broken(history), [Property::Numbering]);
}

#[test]
fn acked_send_is_accepted_between_call_and_return() {
    let waits = vec![What::Offered { frame: 1, way: Way::ToServer(1), how: How::Acked }];
    let answered = vec![What::Answered { frame: 1, outcome: Outcome::Delivered }];
    let history = concat([started(), joined(1), waits, said(1, 2), heard(1, 2), heard(1, 1), answered]);
    assert_eq!(broken(history), []);
}

#[test]
fn unreported_missing_frame_is_a_silent_loss() {
    let history = concat([started(), joined(1), said(1, 1), ended(1, 0, &[])]);
    assert_eq!(broken(history), [Property::NothingLostSilently]);
    assert_eq!(broken(concat([started(), joined(1), said(1, 1), ended(1, 1, &[1])])), []);
    let lost = concat([told(1, Tale::Dropped("lost".into())), told(1, Tale::Lost(vec![1]))]);
    assert_eq!(broken(concat([started(), joined(1), said(1, 1), lost, ended(1, 0, &[])])), []);
    // Received and then discarded, because the application had closed the session; or not.
    let history =
        |end| concat([started(), joined(1), said(1, 1), ended(1, 0, &[]), over(1, end, [1, 0, 0, 0])]);
    assert_eq!(broken(history(End::Deaf)), []);
    assert_eq!(broken(history(End::Other)), [Property::NothingLostSilently]);
    // To a client.
    let history = |unacknowledged| {
        concat([
            started(),
            joined(1),
            to_client(1, 1, Outcome::Accepted),
            over(1, End::Other, [0, 1, 0, unacknowledged]),
        ])
    };
    assert_eq!(broken(history(1)), []);
    assert_eq!(broken(history(0)), [Property::NothingLostSilently]);
}

#[test]
fn gap_without_dropped_frames_is_a_violation() {
    let history = |may_drop| {
        concat([
            started(),
            connected(1, may_drop, false),
            said(1, 1),
            said(1, 2),
            call(1, Call::Gap(1, 1)),
            heard(1, 2),
        ])
    };
    assert_eq!(broken(history(true)), []);
    assert_eq!(broken(history(false)), [Property::Gaps]);
    let history = |dropped| {
        concat([
            started(),
            joined(1),
            to_client(1, 1, Outcome::Accepted),
            to_client(1, 2, Outcome::Accepted),
            told(1, Tale::Gap(1, 1)),
            got(1, 2),
            over(1, End::Other, [0, 2, dropped, 0]),
        ])
    };
    assert_eq!(broken(history(1)), []);
    assert_eq!(broken(history(0)), [Property::Gaps]);
}

#[test]
fn acknowledgement_without_delivery_is_a_violation() {
    let history = concat([started(), joined(1), to_server(1, 1, How::Acked, Outcome::Delivered)]);
    assert_eq!(broken(history), [Property::Receipts]);
    let dropped = to_server(1, 1, How::Acked, Outcome::Dropped);
    assert_eq!(broken(concat([started(), joined(1), dropped, heard(1, 1)])), [Property::Receipts]);
    let history = concat([started(), joined(1), to_client(1, 1, Outcome::Delivered)]);
    assert_eq!(broken(history), [Property::Receipts]);
    let history = concat([started(), joined(1), to_client(1, 1, Outcome::Dropped), got(1, 1)]);
    assert_eq!(broken(history), [Property::Receipts]);
}

#[test]
fn callbacks_must_come_in_order() {
    let begins = |rest: Vec<What>| concat([started(), joined(1), rest]);
    let asked = vec![What::Asked { session: 1, server: 0, client: 1 }];
    let drop = || call(1, Call::Drop("lost".into()));
    let end = || over(1, End::Other, [0; 4]);
    let histories = [
        concat([started(), asked, drop()]),
        begins(call(1, Call::Connect { plain: false })),
        begins(concat([drop(), drop()])),
        begins(call(1, Call::Restore)),
        begins(concat([said(1, 1), drop(), heard(1, 1)])),
        begins(concat([end(), drop()])),
        begins(concat([end(), end()])),
        // Without an end.
        begins(stopped()),
        // After the end of everything.
        begins(concat([stopped(), end()])),
        begins(concat([said(1, 1), vec![What::Kicked { session: 1 }], heard(1, 1)])),
        // Two overlapping callbacks.
        begins(vec![
            What::Callback { session: 1, call: Call::Drop("lost".into()) },
            What::Callback { session: 1, call: Call::Restore },
        ]),
    ];
    for (index, history) in histories.into_iter().enumerate() {
        assert_eq!(broken(history), [Property::Callbacks], "history {index}");
    }
}

#[test]
fn kick_may_hit_next_owner_of_id() {
    // The second session takes the ID of the first, and the kick that is meant for the first ends the second.
    let history = |kicked, last_words: SessionNo| {
        concat([
            started(),
            joined(1),
            joined(2),
            said(1, 1),
            said(2, 2),
            vec![What::Kicked { session: kicked }],
            heard(last_words, last_words),
            over_by(1, &CloseReason::Duplicate, End::Other, [u64::from(last_words == 1), 0, 0, 0]),
            over_by(2, &CloseReason::Kicked, End::Deaf, [1, 0, 0, 0]),
        ])
    };
    // The first session still delivers the frames that it had received; the second delivers no more.
    assert_eq!(broken(history(1, 1)), []);
    assert_eq!(broken(history(2, 1)), []);
    assert_eq!(broken(history(2, 2)), [Property::Callbacks]);
    // No session took its ID, so the kick ended the first.
    let kicked = |last_words| {
        let end = over_by(1, &CloseReason::Kicked, End::Deaf, [1, 0, 0, 0]);
        concat([started(), joined(1), said(1, 1), vec![What::Kicked { session: 1 }], last_words, end])
    };
    assert_eq!(broken(kicked(vec![])), []);
    assert_eq!(broken(kicked(heard(1, 1))), [Property::Callbacks]);
}

#[test]
fn client_events_must_come_in_order() {
    let dropped = || told(1, Tale::Dropped("lost".into()));
    let closed = || told(1, Tale::Closed { why: "because".into(), end: End::Other });
    let message = || concat([to_client(1, 1, Outcome::Accepted), got(1, 1)]);
    let histories = [
        concat([dropped(), dropped()]),
        told(1, Tale::Restored { resumed: true }),
        concat([dropped(), told(1, Tale::Restored { resumed: false })]),
        concat([dropped(), told(1, Tale::Lost(vec![])), told(1, Tale::Restored { resumed: true })]),
        told(1, Tale::Lost(vec![])),
        concat([dropped(), message()]),
        concat([closed(), message()]),
        concat([closed(), closed()]),
        concat([ended(1, 0, &[]), message()]),
    ];
    for (index, history) in histories.into_iter().enumerate() {
        assert_eq!(broken(concat([started(), joined(1), history])), [Property::Tales], "history {index}");
    }
}

#[test]
fn members_must_see_broadcasts_in_one_order() {
    let broadcast = |frame| What::Broadcast { frame, to: To::Everyone };
    let accepted = |session, frame| What::Accepted { frame, session };
    // The second member has them in the opposite order.
    let queued =
        vec![broadcast(1), broadcast(2), accepted(1, 1), accepted(1, 2), accepted(2, 2), accepted(2, 1)];
    let history =
        concat([started(), joined(1), joined(2), queued, got(1, 1), got(1, 2), got(2, 2), got(2, 1)]);
    assert_eq!(broken(history), [Property::Broadcasts]);
}

#[test]
fn broadcasts_must_reach_their_audience() {
    let accepted = |frame| What::Accepted { frame, session: 1 };
    let missed = |frame| What::Missed { frame, session: 1 };
    let enters = What::Joined { session: 1, room: 1 };
    let leaves = What::LeftRoom { session: 1, room: 1 };
    let inside = [To::Room(1), To::Rooms(0, 1), To::Others(1, 2), To::Everyone];
    let outside = [To::Room(0), To::Rooms(0, 2), To::Others(1, 1), To::Outside(1)];
    let run = |to, has_left: bool, is_missed| {
        let what = if is_missed { vec![missed(1)] } else { concat([vec![accepted(1)], got(1, 1)]) };
        let members = if has_left { vec![enters.clone(), leaves.clone()] } else { vec![enters.clone()] };
        broken(concat([started(), joined(1), members, vec![What::Broadcast { frame: 1, to }], what]))
    };
    for to in inside {
        assert_eq!(
            (run(to, false, false), run(to, false, true)),
            (vec![], vec![Property::Audiences]),
            "{to:?}"
        );
    }
    for to in outside {
        assert_eq!(
            (run(to, false, true), run(to, false, false)),
            (vec![], vec![Property::Audiences]),
            "{to:?}"
        );
    }
    assert_eq!(run(To::Room(1), true, false), [Property::Audiences]);
}

#[test]
fn retaining_too_much_is_a_violation() {
    let sample = |retained, most| vec![What::Sample { server: 0, retained, busy: 0, most }];
    let busy = vec![What::Sample { server: 0, retained: 1500, busy: 500, most: 100 }];
    assert_eq!(broken(concat([started(), busy])), []);
    assert_eq!(broken(concat([started(), sample(1000, 100)])), []);
    assert_eq!(broken(concat([started(), sample(1001, 100)])), [Property::Bounds]);
    assert_eq!(broken(concat([started(), sample(1000, 101)])), [Property::Bounds]);
}

#[test]
fn counts_must_agree_when_quiet() {
    let fine = Numbers::default();
    let history = |attached, counts| concat([started(), joined(1), rest(1, attached, counts)]);
    assert_eq!(broken(history(true, fine)), []);
    assert_eq!(broken(history(false, fine)), [Property::Agreement]);
    assert_eq!(broken(history(true, Numbers { received: 1, ..fine })), [Property::Agreement]);
    assert_eq!(broken(history(true, Numbers { unacknowledged: 1, ..fine })), [Property::Agreement]);
    assert_eq!(broken(history(true, Numbers { retained: 1, ..fine })), [Property::Agreement]);
    let away = vec![What::Rest, What::QuietClient { client: 1, connected: false }];
    assert_eq!(broken(concat([started(), joined(1), away])), [Property::Agreement]);
    assert_eq!(broken(concat([started(), joined(1), ended(1, 1, &[])])), [Property::Agreement]);
}

#[test]
fn protocol_errors_are_violations() {
    let history = concat([started(), joined(1), over(1, End::Accused, [0; 4])]);
    assert_eq!(broken(history), [Property::Accusations]);
    let closed = told(1, Tale::Closed { why: "because".into(), end: End::Accused });
    assert_eq!(broken(concat([started(), joined(1), closed])), [Property::Accusations]);
}

#[test]
fn everything_must_end() {
    assert_eq!(broken(vec![What::TasksLeft(1)]), [Property::End]);
    assert_eq!(broken(vec![What::Stuck("here")]), [Property::End]);
    let left = vec![What::ServerEnded { server: 0, left: 1, crashed: false }];
    assert_eq!(broken(concat([started(), left])), [Property::End]);
}
