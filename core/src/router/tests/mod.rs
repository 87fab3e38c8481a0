//! A connection that records sent frames, and a minimal executor.

mod answers;
mod errors;
mod handlers;
mod layers;
mod logged;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll, Waker};

use super::{BoxError, Peer, RouteError, Router, RouterBuilder, RouterError};
use crate::{Cancelled, Frame};

/// A connection that records sent frames, and notes of the application.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    closed: bool,
    sent: Vec<Frame>,
    /// The questions that are being answered.
    answering: Vec<(String, Cancelled)>,
    notes: Vec<String>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Peer for Fake {
    async fn reply(&self, frame: &Frame) -> Result<(), BoxError> {
        pause().await;
        let mut state = self.0.lock().unwrap();
        if state.closed {
            return Err("connection is closed".into());
        }
        state.sent.push(frame.clone());
        Ok(())
    }

    fn begin_answer(&self, id: &str) -> Cancelled {
        let cancelled = Cancelled::default();
        self.0.lock().unwrap().answering.push((id.to_owned(), cancelled.clone()));
        cancelled
    }

    fn end_answer(&self, cancelled: &Cancelled) {
        let is_other = |other: &Cancelled| other.is_cancelled() != cancelled.is_cancelled();
        self.0.lock().unwrap().answering.retain(|(_, other)| is_other(other));
    }
}

impl Fake {
    fn closed() -> Self {
        let fake = Self::default();
        fake.0.lock().unwrap().closed = true;
        fake
    }

    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().notes.push(text.into());
    }

    /// The peer cancels all its questions.
    fn cancel(&self) {
        for (_, cancelled) in &self.0.lock().unwrap().answering {
            cancelled.cancel().into_iter().for_each(Waker::wake);
        }
    }

    fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().notes)
    }

    fn take_sent(&self) -> Vec<Frame> {
        std::mem::take(&mut self.0.lock().unwrap().sent)
    }
}

fn router() -> RouterBuilder<Fake> {
    Router::builder()
}

/// A router that records its errors as text.
fn noting() -> RouterBuilder<Fake> {
    router().on_error(|peer: Fake, error: RouteError| async move {
        pause().await;
        peer.note(error.to_string());
    })
}

/// Handles these frames on a fresh connection. Returns the notes and the sent frames.
fn handle(router: &Router<Fake>, frames: impl IntoIterator<Item = Frame>) -> (Vec<String>, Vec<Frame>) {
    let peer = Fake::default();
    for frame in frames {
        run(router.handle(&peer, frame));
    }
    (peer.take_notes(), peer.take_sent())
}

fn event(name: &str) -> Frame {
    Frame::event_only(name)
}

/// Runs a future that wakes itself.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut task = Task::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut task) {
            return value;
        }
    }
    panic!("future waits for something");
}

/// Ready at the second poll.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[test]
fn refuses_two_handlers_for_an_event() {
    let built = router().on("a", || async {}).on("b", || async {}).on("b", |_: Fake| async {}).build();
    assert_eq!(built.unwrap_err().to_string(), r#"event "b" has two handlers"#);
}

#[test]
fn names_the_first_of_several_duplicate_events() {
    let builder =
        ["a", "b", "b", "a", "b"].into_iter().fold(router(), |router, on| router.on(on, || async {}));
    assert_eq!(builder.build().unwrap_err(), RouterError::DuplicateEvent { event: "b".into() });
}

#[test]
fn last_fallback_and_on_error_win() {
    let router = router()
        .fallback(|peer: Fake| async move { peer.note("first fallback") })
        .fallback(|peer: Fake| async move {
            peer.note("last fallback");
            Err::<(), _>("on purpose")
        })
        .on_error(|peer: Fake, _| async move { peer.note("first on_error") })
        .on_error(|peer: Fake, _| async move { peer.note("last on_error") })
        .build()
        .unwrap();
    assert_eq!(handle(&router, [event("x")]).0, ["last fallback", "last on_error"]);
}

#[test]
fn debug_output_lists_routes_and_layers() {
    let empty = "Routes { events: [], fallback: false, layers: 0, on_error: false }";
    assert_eq!(format!("{:?}", router().build().unwrap()), format!("Router({empty})"));
    assert_eq!(format!("{:?}", router()), format!("RouterBuilder {{ routes: {empty}, mistake: None }}"));
    let built = noting().layer(super::CatchPanic).on("a", || async {}).fallback(|| async {}).build().unwrap();
    let full = r#"Router(Routes { events: ["a"], fallback: true, layers: 1, on_error: true })"#;
    assert_eq!(format!("{built:?}"), full);
}

#[test]
fn router_is_sync_and_its_futures_are_send() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let router = router().on("ping", |frame: Frame| async { frame }).build().unwrap();
    let (peer, clone) = (Fake::default(), router.clone());
    run(send(clone.handle(&peer, event("ping"))));
    std::thread::scope(|scope| scope.spawn(|| run(router.handle(&peer, event("ping")))).join().unwrap());
    assert_eq!(peer.take_sent().len(), 2);
}
