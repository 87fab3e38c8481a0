//! Questions and answers (PROTOCOL.md §11). In the scripts `?q` is a question with the id `q`, `+q` an answer that others follow,
//! and `=q` a last answer.

use std::task::Poll;
use std::time::Instant;

use super::pair::Pair;
use super::socket::other;
use super::{SECOND, control, data};
use crate::session::*;
use crate::{Control, Event};
use Side::{Client, Server};

const SIDES: [Side; 2] = [Server, Client];

/// The application of `side` asks.
fn ask(pair: &mut Pair, side: Side, id: &str) {
    assert!(pair.session(side).open_question(id));
    pair.send(side, &format!("?{id}"));
}

/// The next result of the question.
fn answer(pair: &mut Pair, side: Side, id: &str) -> Option<String> {
    match pair.session(side).poll_answer(id) {
        Poll::Ready(Answer::Frame(frame)) => Some(frame.event().to_owned()),
        Poll::Ready(end) => Some(format!("{end:?}")),
        Poll::Pending => None,
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()))
}

#[test]
fn an_answer_reaches_its_question_and_no_other() {
    for side in SIDES {
        let mut pair = Pair::connected(8);
        ask(&mut pair, side, "a");
        ask(&mut pair, side, "b");
        pair.run();
        assert_eq!(pair.take_events(other(side)), ["?a", "?b"]);
        pair.send(other(side), "+b");
        pair.send(other(side), "=b");
        pair.run();
        assert_eq!(answer(&mut pair, side, "a"), None);
        assert_eq!([(); 3].map(|()| answer(&mut pair, side, "b")), texts(["+b", "=b", "Ended"]));
        pair.send(other(side), "=a");
        pair.run();
        assert_eq!(answer(&mut pair, side, "a"), Some("=a".into()));
        assert_eq!(pair.take_events(side), [""; 0]);
        assert_eq!(pair.session(side).counts().received, 3, "answers count");
        pair.wait(SECOND);
        assert_eq!(pair.session(other(side)).counts().unacknowledged, 0);
    }
}

#[test]
fn open_questions_have_different_ids() {
    let mut pair = Pair::connected(8);
    ask(&mut pair, Client, "a");
    assert!(!pair.client.open_question("a"));
    pair.client.close_question("a", true);
    assert!(pair.client.open_question("a"));
}

//= PROTOCOL.md#R11.9: even if messages before it still wait for the application
#[test]
fn an_answer_passes_waiting_messages() {
    for side in SIDES {
        let mut pair = Pair::new(|c| c.inbox_frames = 4, |c| c.inbox_frames = 4);
        pair.connect();
        pair.run();
        pair.skip_events();
        ask(&mut pair, side, "a");
        pair.run();
        for text in ["1", "2", "3", "=a", "4"] {
            pair.send(other(side), text);
        }
        pair.run();
        assert_eq!(answer(&mut pair, side, "a"), Some("=a".into()));
        assert_eq!(pair.take_events(side), ["1", "2", "3", "4"]);
    }
}

//= PROTOCOL.md#R11.10: An answer behind more than R4.28 reads ahead waits
#[test]
fn an_answer_behind_uncounted_messages_waits() {
    for side in SIDES {
        let mut pair = Pair::new(|c| c.inbox_frames = 2, |c| c.inbox_frames = 2);
        pair.connect();
        pair.run();
        pair.skip_events();
        ask(&mut pair, side, "a");
        pair.run();
        for text in ["1", "2", "3", "=a"] {
            pair.send(other(side), text);
        }
        pair.run();
        assert_eq!(answer(&mut pair, side, "a"), None);
        assert!(pair.session(side).poll_event().is_some());
        assert_eq!(answer(&mut pair, side, "a"), None, "the third message takes the place of the first");
        assert!(pair.session(side).poll_event().is_some());
        assert_eq!(answer(&mut pair, side, "a"), Some("=a".into()));
    }
}

#[test]
fn the_peer_waits_while_answers_are_not_taken() {
    for side in SIDES {
        let mut pair = Pair::new(|c| c.inbox_frames = 2, |c| c.inbox_frames = 2);
        pair.connect();
        pair.run();
        pair.skip_events();
        ask(&mut pair, side, "a");
        pair.run();
        for text in ["+a", "+a", "1", "=a"] {
            pair.send(other(side), text);
        }
        pair.run();
        assert_eq!(pair.session(side).counts().received, 2);
        assert_eq!(pair.take_events(side), [""; 0]);
        assert_eq!(answer(&mut pair, side, "a"), Some("+a".into()));
        assert_eq!(pair.take_events(side), ["1"]);
        assert_eq!([(); 2].map(|()| answer(&mut pair, side, "a")), texts(["+a", "=a"]));
        assert_eq!(pair.session(side).counts().received, 4);
    }
}

#[test]
fn closing_a_question_frees_the_place_of_its_answers() {
    let mut pair = Pair::new(|_| (), |c| c.inbox_frames = 2);
    pair.connect();
    pair.run();
    pair.skip_events();
    ask(&mut pair, Client, "a");
    pair.run();
    for text in ["+a", "+a", "1"] {
        pair.send(Server, text);
    }
    pair.run();
    pair.client.close_question("a", true);
    assert_eq!(pair.take_events(Client), ["1"]);
}

#[test]
fn a_question_is_answered_once_over_cuts() {
    for side in SIDES {
        // The cut loses the question, the answer, or the acknowledgement of the answer.
        for lost in 0..3 {
            let mut pair = Pair::connected(8);
            let cut = |pair: &mut Pair, at| {
                if at == lost {
                    pair.cut();
                    pair.connect();
                }
                pair.run();
            };
            ask(&mut pair, side, "a");
            pair.write(side);
            cut(&mut pair, 0);
            pair.send(other(side), "=a");
            pair.write(other(side));
            cut(&mut pair, 1);
            assert_eq!(answer(&mut pair, side, "a"), Some("=a".into()), "{lost}");
            cut(&mut pair, 2);
            let messages = pair.take_events(other(side));
            assert_eq!(messages.iter().filter(|message| *message == "?a").count(), 1, "{lost}");
            assert_eq!(pair.session(side).counts().stray_answers, 0);
        }
    }
}

//= PROTOCOL.md#R11.6: MUST report to the asker that no more answers come
#[test]
fn a_lost_session_ends_its_questions() {
    let mut pair = Pair::connected(8);
    ask(&mut pair, Client, "a");
    ask(&mut pair, Server, "b");
    pair.run();
    pair.send(Server, "+a");
    pair.run();
    pair.restart();
    assert_eq!(answer(&mut pair, Server, "b"), Some("Ended".into()));
    pair.lose(Client);
    pair.connect();
    pair.run();
    assert_eq!([(); 2].map(|()| answer(&mut pair, Client, "a")), texts(["+a", "SessionLost"]));
    ask(&mut pair, Client, "c");
    assert_eq!(answer(&mut pair, Client, "c"), None, "a question of the fresh session");
}

#[test]
fn a_close_ends_questions_at_once() {
    for side in SIDES {
        let mut pair = Pair::connected(8);
        ask(&mut pair, side, "a");
        let deadline = pair.now + SECOND;
        pair.session(side).close(CloseReason::Normal, deadline);
        assert_eq!(answer(&mut pair, side, "a"), Some("Ended".into()));
    }
}

#[test]
fn an_answer_before_the_end_is_kept() {
    let mut pair = Pair::connected(8);
    ask(&mut pair, Client, "a");
    pair.run();
    pair.send(Server, "=a");
    pair.run();
    pair.client.end(CloseReason::Kicked);
    assert_eq!(answer(&mut pair, Client, "a"), Some("=a".into()));
}

//= PROTOCOL.md#R11.11: MUST NOT deliver it as a message
#[test]
fn an_answer_without_an_asker_is_dropped() {
    for side in SIDES {
        let mut pair = Pair::connected(8);
        for text in ["=a", "1"] {
            pair.send(other(side), text);
        }
        pair.run();
        assert_eq!(pair.take_events(side), ["1"]);
        let counts = pair.session(side).counts();
        assert_eq!((counts.received, counts.stray_answers), (2, 1));
        pair.cut();
        pair.skip_events();
        assert_eq!(pair.session(side).counts().stray_answers, 1, "a hibernated session keeps the count");
    }
}

//= PROTOCOL.md#R11.7: SHOULD send `$cancel` with the `id` of the question, after the question itself
#[test]
fn a_cancel_follows_its_question() {
    for side in SIDES {
        let mut pair = Pair::connected(8);
        ask(&mut pair, side, "a");
        pair.session(side).close_question("a", true);
        pair.write(side);
        assert_eq!(pair.in_transit(other(side)), ["?a", r#"$cancel {"id":"a"}"#]);
        pair.write(side);
        assert_eq!(pair.in_transit(other(side)).len(), 2, "once");
    }
}

#[test]
fn a_cancel_precedes_a_later_question_with_its_id() {
    let mut pair = Pair::connected(8);
    ask(&mut pair, Client, "a");
    pair.client.close_question("a", true);
    ask(&mut pair, Client, "a");
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["?a", r#"$cancel {"id":"a"}"#, "?a"]);
    // A replayed question is cancelled behind it, too.
    pair.client.close_question("a", true);
    pair.lose(Client);
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Server).iter().filter(|event| *event == "?a").count(), 2);
}

#[test]
fn answered_and_unsent_questions_are_not_cancelled() {
    let mut pair = Pair::connected(8);
    assert!(pair.client.open_question("unsent"));
    pair.client.close_question("unsent", false);
    ask(&mut pair, Client, "a");
    pair.run();
    pair.send(Server, "=a");
    pair.run();
    pair.client.close_question("a", true);
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), [""; 0]);
}

#[test]
fn a_cancel_reaches_the_answering_handler() {
    for side in SIDES {
        let mut pair = Pair::connected(8);
        ask(&mut pair, side, "a");
        pair.run();
        pair.skip_events();
        let [a, b] = ["a", "b"].map(|id| pair.session(other(side)).begin_answer(id));
        let ended = pair.session(other(side)).begin_answer("a");
        pair.session(other(side)).end_answer(&ended);
        pair.session(side).close_question("a", true);
        pair.run();
        assert_eq!([a, b, ended].map(|cancelled| cancelled.is_cancelled()), [true, false, false]);
    }
}

#[test]
fn a_cancelled_question_that_waits_is_marked() {
    for side in SIDES {
        let mut pair = Pair::new(|c| c.inbox_frames = 2, |c| c.inbox_frames = 2);
        pair.connect();
        pair.run();
        pair.skip_events();
        // The third waits uncounted.
        for id in ["a", "b", "c"] {
            ask(&mut pair, side, id);
        }
        for id in ["b", "c"] {
            pair.session(side).close_question(id, true);
        }
        pair.run();
        let session = pair.session(other(side));
        let taken = std::iter::from_fn(|| session.poll_event());
        let marks: Vec<_> = taken
            .map(|event| match event {
                Event::Message(frame) => frame.is_cancelled(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(marks, [false, true, true]);
    }
}

#[test]
fn pending_cancels_are_bounded() {
    let mut pair = Pair::connected(256);
    for n in 0..100 {
        let id = n.to_string();
        ask(&mut pair, Client, &id);
        pair.client.close_question(&id, true);
    }
    pair.run();
    pair.forge(Client, control(Control::Cancel("nobody".into())));
    assert_eq!(pair.take_events(Server).len(), 100);
    assert_eq!(pair.server().state(), SessionState::Connected);
}

#[test]
fn plain_mode_asks_without_cancels() {
    let now = Instant::now();
    for side in SIDES {
        let mut session = Session::new(SessionConfig::new(side, Mode::Plain).into(), now);
        let epoch = session.reserve();
        session.attach(epoch, None, now).unwrap();
        assert!(session.open_question("a") && session.open_question("b"));
        session.handle_frame(epoch, data("=a"), 2, now).unwrap();
        assert!(matches!(session.poll_answer("a"), Poll::Ready(Answer::Frame(_))));
        session.close_question("b", true);
        assert_eq!(session.poll_transmit(epoch, now), None);
    }
}

#[test]
fn a_suspended_session_keeps_its_questions() {
    let mut pair = Pair::connected(8);
    ask(&mut pair, Server, "a");
    pair.run();
    pair.wait(SECOND);
    pair.cut();
    pair.skip_events();
    assert!(pair.server().can_hibernate() && pair.server().hibernate().is_none());
    pair.connect();
    pair.send(Client, "=a");
    pair.run();
    assert_eq!(answer(&mut pair, Server, "a"), Some("=a".into()));
    pair.cut();
    pair.skip_events();
    pair.wait(31 * SECOND);
    assert_eq!(answer(&mut pair, Server, "a"), Some("Ended".into()));
}
