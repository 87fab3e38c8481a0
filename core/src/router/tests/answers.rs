//! Answers to questions: errors, streams, and cancellation.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_core::Stream;

use super::*;
use crate::ErrorAnswer;
use crate::router::{CatchPanic, Context, Decoded, Extension, Failure, Next, Streamed};

/// Items with pauses between them, in which the peer may cancel. Notes when it is dropped.
struct Items {
    peer: Fake,
    items: VecDeque<Result<Frame, BoxError>>,
    is_exact: bool,
    paused: bool,
}

impl Stream for Items {
    type Item = Result<Frame, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        self.paused = !self.paused;
        if self.paused {
            self.peer.note(format!("{} sent", self.peer.0.lock().unwrap().sent.len()));
            return Poll::Pending;
        }
        let item = self.items.pop_front();
        if let Some(Ok(frame)) = &item
            && frame.event() == "cancel"
        {
            self.peer.cancel();
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.items.len();
        if self.is_exact { (len, Some(len)) } else { (0, None) }
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        self.peer.note("dropped");
    }
}

/// A router whose handlers answer with streams.
fn streaming(is_exact: bool) -> Router<Fake> {
    let items = move |peer: Fake, items: Vec<Result<Frame, BoxError>>| {
        Streamed(Items { peer, items: items.into(), is_exact, paused: false })
    };
    noting()
        .on(
            "three",
            move |peer: Fake| async move { items(peer, ["1", "2", "3"].map(|n| Ok(event(n))).into()) },
        )
        .on("none", move |peer: Fake| async move { items(peer, vec![]) })
        .on(
            "fails",
            move |peer: Fake| async move { items(peer, vec![Ok(event("1")), Err("on purpose".into())]) },
        )
        .on("stops", move |peer: Fake| async move {
            items(peer, ["1", "2", "cancel", "4"].map(|n| Ok(event(n))).into())
        })
        .build()
        .unwrap()
}

fn answer(name: &str, more: bool) -> Frame {
    event(name).with_re("q").with_more(more)
}

fn error(code: &str, message: &str) -> Frame {
    ErrorAnswer::new(code, message).to_frame().with_re("q")
}

#[test]
fn all_answers_but_the_last_have_more() {
    for is_exact in [false, true] {
        let (notes, sent) = handle(&streaming(is_exact), [event("three").with_id("q")]);
        assert_eq!(sent, [answer("1", true), answer("2", true), answer("3", false)]);
        // An answer leaves as soon as it is known whether another one follows.
        let early = if is_exact {
            ["0 sent", "1 sent", "2 sent", "2 sent"]
        } else {
            ["0 sent", "0 sent", "1 sent", "2 sent"]
        };
        assert_eq!(notes[..4], early);
    }
}

#[test]
fn stream_for_a_message_sends_messages() {
    let (_, sent) = handle(&streaming(false), [event("three"), event("none")]);
    let sent: Vec<_> = sent.iter().map(|frame| (frame.re(), frame.more(), frame.event())).collect();
    assert_eq!(sent, [("", true, "1"), ("", true, "2"), ("", false, "3")]);
}

#[test]
fn empty_stream_answers_with_an_error() {
    let (notes, sent) = handle(&streaming(false), [event("none").with_id("q")]);
    assert_eq!(sent, [error("no_answer", "")]);
    assert_eq!(notes, ["0 sent", "dropped"]);
}

#[test]
fn error_of_a_stream_is_the_last_answer() {
    let (notes, sent) = handle(&streaming(false), [event("fails").with_id("q")]);
    assert_eq!(sent, [answer("1", true), error("internal", "internal error")]);
    assert_eq!(notes.last().unwrap(), r#"event "fails", id "q": handler failed: on purpose"#);
}

#[test]
fn cancelled_stream_is_dropped_unfinished() {
    let (notes, sent) = handle(&streaming(false), [event("stops").with_id("q")]);
    assert_eq!(sent, [answer("1", true)], "the second was not known to be followed by another");
    assert_eq!(notes, ["0 sent", "0 sent", "1 sent", "dropped"]);
}

#[test]
fn cancelled_question_gets_no_answer() {
    let router = noting()
        .on("late", |peer: Fake| async move {
            peer.cancel();
            event("late")
        })
        .on("fails", |peer: Fake| async move {
            peer.cancel();
            Err::<(), _>("on purpose")
        })
        .on("waits", |peer: Fake, cancelled: Cancelled| async move {
            peer.cancel();
            cancelled.wait().await;
            peer.note("stopped");
        })
        .build()
        .unwrap();
    let (notes, sent) = handle(&router, ["late", "fails", "waits"].map(|name| event(name).with_id("q")));
    assert_eq!(sent, []);
    assert_eq!(notes, [r#"event "fails", id "q": handler failed: on purpose"#, "stopped"]);
}

#[test]
fn question_cancelled_before_its_handler_gets_no_answer() {
    let router =
        noting().on("x", |cancelled: Cancelled| async move { event(&cancelled.is_cancelled().to_string()) });
    let router = router.build().unwrap();
    let mut cancelled = event("x").with_id("q");
    cancelled.cancel();
    assert_eq!(
        handle(&router, [cancelled, event("x"), event("x").with_id("q")]).1,
        [event("false"), answer("false", false)]
    );
}

#[test]
fn failures_answer_with_their_code() {
    async fn refuse(context: Context<Fake>, next: Next<Fake>) -> Result<(), Failure> {
        match context.frame().event() {
            "refused" => Err("a secret".into()),
            "chosen" => Err(ErrorAnswer::new("own", "of a layer").into()),
            _ => next.run(context).await,
        }
    }
    async fn panics() {
        panic!("a secret");
    }
    let router = noting()
        .layer(CatchPanic)
        .layer(refuse)
        .on("handler", || async { Err::<(), _>("a secret") })
        .on("own", || async { Err::<(), _>(ErrorAnswer::new("full", "no seat left")) })
        .on("payload", |_: Decoded<u8>| async {})
        .on("extension", |_: Extension<u8>| async {})
        .on("panic", panics)
        .build()
        .unwrap();
    let cases = [
        ("handler", "internal"),
        ("own", "full"),
        ("payload", "bad_request"),
        ("extension", "internal"),
        ("panic", "internal"),
        ("refused", "refused"),
        ("chosen", "own"),
        ("nowhere", "unknown_event"),
    ];
    for (name, code) in cases {
        let (notes, sent) = handle(&router, [event(name).with_id("q")]);
        let error = ErrorAnswer::from_frame(&sent[0]).unwrap();
        assert_eq!((error.code(), sent[0].re(), sent.len()), (code, "q", 1), "{name}");
        assert!(!error.message().contains("secret"), "{error}");
        assert_eq!(notes.len(), 1, "{name}");
        assert_eq!(handle(&router, [event(name)]).1, [], "a message gets no answer");
    }
}
