//! Tests of [`MemoryBudget`].

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::drive::{RoomLog, SendError, SharedSession, Subscribed};
use crate::{Mode, Overflow, Session, SessionConfig, Side};

/// A session in plain mode, without a socket: it keeps the frames that it is sent.
fn session(budget: &Arc<MemoryBudget>) -> SharedSession {
    let config = SessionConfig::new(Side::Client, Mode::Plain);
    let session = Session::new(Arc::new(config), crate::drive::now());
    SharedSession::new(session).with_budget(budget.clone())
}

fn message(len: usize) -> Bytes {
    vec![b'x'; len].into()
}

#[test]
fn a_message_counts_until_its_last_copy_drops() {
    let budget = MemoryBudget::new(1000, || None);
    let kept = budget.charge(message(300));
    assert_eq!((budget.used(), kept.len()), (300, 300));
    let [copy, slice] = [kept.clone(), kept.slice(10..20)];
    drop((kept, copy));
    assert_eq!(budget.used(), 300);
    assert!(budget.fits(700) && !budget.fits(701));
    drop(slice);
    assert_eq!(budget.used(), 0);
}

#[test]
fn messages_count_until_their_session_drops_them() {
    let budget = Arc::new(MemoryBudget::new(1000, || None));
    let [a, b] = [session(&budget), session(&budget)];
    a.send(message(300), Overflow::Reject).unwrap();
    b.send(message(200), Overflow::Reject).unwrap();
    assert_eq!(budget.used(), 500);
    drop(a);
    assert_eq!(budget.used(), 200);
    b.command(Session::take_unacknowledged);
    assert_eq!(budget.used(), 0);
}

#[test]
fn frames_drained_when_a_session_leaves_a_log_are_reclaimable() {
    let budget = Arc::new(MemoryBudget::new(1000, || None));
    let config = SessionConfig::new(Side::Server, Mode::Session);
    let mut session = Session::new(Arc::new(config), crate::drive::now());
    let epoch = session.reserve();
    session.attach(epoch, None, crate::drive::now()).unwrap();
    session.cut(crate::drive::now());
    let session = SharedSession::new(session).with_budget(budget.clone());
    let log = Arc::new(RoomLog::new(Arc::default(), "room".into()));
    assert_eq!(session.subscribe(&log, 0, usize::MAX, || ()), Subscribed::Yes);
    log.append(&[Some(budget.charge(message(300)))]);
    assert!(!budget.can_fit(701));
    session.apply(session.unsubscribe(&log, || ()));
    assert!(budget.can_fit(1000) && !budget.can_fit(1001));
}

#[test]
fn a_refused_message_does_not_count() {
    let budget = Arc::new(MemoryBudget::new(1000, || None));
    let a = session(&budget);
    for _ in 0..2 {
        assert_eq!(a.send(message(500), Overflow::Reject), Ok(true));
    }
    assert_eq!(a.send(message(1), Overflow::Reject), Err(SendError::Full));
    assert_eq!(a.send(message(1), Overflow::DropNewest), Ok(false));
    assert_eq!(budget.used(), 1000);
}

#[test]
fn evicts_until_the_bytes_fit() {
    let evicted = Arc::new(AtomicUsize::new(0));
    let counter = evicted.clone();
    let budget = MemoryBudget::new(1000, move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(100)
    });
    for _ in 0..5 {
        budget.suspend(100);
    }
    let kept = budget.charge(message(450));
    assert!(budget.evict_to_fit(200));
    assert_eq!((budget.used(), evicted.load(Ordering::Relaxed)), (750, 2));
    drop(kept);
    assert_eq!(budget.used(), 300);
}

#[test]
fn evicts_nothing_if_that_cannot_help() {
    let budget = MemoryBudget::new(1000, || panic!("evicted in vain"));
    budget.suspend(100);
    let _kept = budget.charge(message(800));
    assert!(!budget.evict_to_fit(300) && budget.can_fit(200) && !budget.can_fit(201));
    budget.change_reclaimable(0, 50);
    assert!(budget.can_fit(250) && !budget.evict_to_fit(251));
}

#[test]
fn without_capacity_a_frame_evicts_or_is_refused() {
    let budget = Arc::new(MemoryBudget::new(1000, || None));
    let [a, b] = [session(&budget), session(&budget)];
    for _ in 0..2 {
        assert_eq!(a.send(message(500), Overflow::Reject), Ok(true));
    }
    assert_eq!(b.send(message(1), Overflow::Reject), Err(SendError::Full));
    assert_eq!(b.send(message(1), Overflow::DropOldest), Ok(false), "it has none to evict");
    assert_eq!(a.send(message(400), Overflow::DropOldest), Ok(true));
    assert_eq!(budget.used(), 900);
    let counts = |session: &SharedSession| {
        session.drive(|session| (session.counts().accepted, session.counts().dropped))
    };
    assert_eq!((counts(&a), counts(&b)), ((3, 1), (1, 1)));
}

#[test]
fn messages_of_a_suspended_session_are_reclaimable() {
    let budget = Arc::new(MemoryBudget::new(1000, || None));
    let config = SessionConfig::new(Side::Server, Mode::Plain);
    let mut session = Session::new(Arc::new(config), crate::drive::now());
    let epoch = session.reserve();
    session.attach(epoch, None, crate::drive::now()).unwrap();
    let session = SharedSession::new(session).with_budget(budget.clone());
    let reclaimable = || budget.reclaimable.load(Ordering::SeqCst);
    session.send(message(300), Overflow::Reject).unwrap();
    assert_eq!(reclaimable(), 0, "its socket may take it at any moment");
    session.command(|session| session.cut(crate::drive::now()));
    session.send(message(200), Overflow::Reject).unwrap();
    assert_eq!(reclaimable(), 500);
    session
        .command(|session| {
            let epoch = session.reserve();
            session.attach(epoch, None, crate::drive::now())
        })
        .unwrap();
    assert_eq!(reclaimable(), 0);
    session.command(|session| session.cut(crate::drive::now()));
    assert_eq!(reclaimable(), 500);
    drop(session);
    assert_eq!((reclaimable(), budget.used()), (0, 0));
}

#[test]
fn plain_socket_that_keeps_up_needs_no_eviction() {
    let budget = Arc::new(MemoryBudget::new(1000, || panic!("evicted for nothing")));
    budget.suspend(600);
    let config = SessionConfig::new(Side::Server, Mode::Plain);
    let mut session = Session::new(Arc::new(config), crate::drive::now());
    let epoch = session.reserve();
    session.attach(epoch, None, crate::drive::now()).unwrap();
    let session = SharedSession::new(session).with_budget(budget.clone());
    assert_eq!(session.send(message(500), Overflow::Reject), Ok(true));
}

#[test]
fn unfitting_shared_frame_reaches_sockets_that_keep_up() {
    let config = SessionConfig::new(Side::Server, Mode::Session);
    let mut session = Session::new(Arc::new(config.clone()), crate::drive::now());
    let epoch = session.reserve();
    session.attach(epoch, None, crate::drive::now()).unwrap();
    let session = SharedSession::new(session);
    let mut writer = crate::SegmentWriter::default();
    let mut queue = |session: &SharedSession, fits| {
        let span = writer.push(message(10));
        let (queued, effects) = session.queue(span.message(0), Overflow::Reject, fits, || &span);
        session.apply(effects);
        queued.map(|queued| queued.is_dropped)
    };
    assert_eq!(queue(&session, false), Ok(false));
    for _ in 1..config.buffer_frames / 2 {
        queue(&session, true).unwrap();
    }
    assert_eq!(queue(&session, false), Err(SendError::Full), "half of the buffer is unsent");
    session.command(|session| session.cut(crate::drive::now()));
    assert_eq!((queue(&session, false), queue(&session, true)), (Err(SendError::Full), Ok(false)));
}

#[tokio::test(start_paused = true)]
async fn bytes_freed_elsewhere_wake_a_waiting_sender() {
    let budget = Arc::new(MemoryBudget::new(1000, || None));
    let [a, b] = [session(&budget), session(&budget)];
    a.send(message(1000), Overflow::Reject).unwrap();
    let waits = b.send_wait(message(10), Duration::from_secs(10));
    let frees = async {
        tokio::task::yield_now().await;
        a.command(|session| drop(session.take_unacknowledged()));
    };
    let since = tokio::time::Instant::now();
    assert_eq!(tokio::join!(waits, frees).0, Ok(()));
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[test]
fn settling_wakes_once_after_a_refusal() {
    let budget = MemoryBudget::new(1000, || None);
    let wakes = |change: &dyn Fn()| {
        let mut freed = std::pin::pin!(budget.freed());
        freed.as_mut().enable();
        change();
        budget.settle();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        freed.poll(&mut cx).is_ready()
    };
    let free = || drop(budget.charge(message(10)));
    assert!(!wakes(&free), "no message was refused");
    let _kept = budget.charge(message(1000));
    assert!(!budget.evict_to_fit(1));
    assert!(!wakes(&|| ()), "nothing was freed");
    assert!(wakes(&free));
    assert!(!wakes(&|| ()), "the senders are notified already");
    assert!(!wakes(&free), "no message was refused since");
    assert!(!budget.evict_to_fit(1));
    assert!(wakes(&|| budget.suspend(100)), "it can be evicted");
    assert!(!budget.evict_to_fit(1));
    assert!(wakes(&|| budget.resume(100)), "a session that is gone frees bytes, too");
}

#[tokio::test(start_paused = true)]
async fn suspension_wakes_sender_that_can_evict_it() {
    let suspended = Arc::new(OnceLock::<SharedSession>::new());
    let oldest = suspended.clone();
    let evict = move || {
        oldest.get()?.command(|session| session.end(crate::CloseReason::Evicted));
        Some(0)
    };
    let budget = Arc::new(MemoryBudget::new(1000, evict));
    let mut attached =
        Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), crate::drive::now());
    let epoch = attached.reserve();
    attached.attach(epoch, None, crate::drive::now()).unwrap();
    let full = SharedSession::new(attached).with_budget(budget.clone());
    full.send(message(1000), Overflow::Reject).unwrap();
    let sender = session(&budget);
    let waits = sender.send_wait(message(10), Duration::from_secs(10));
    let suspends = async {
        tokio::task::yield_now().await;
        full.command(|session| session.cut(crate::drive::now()));
        assert!(suspended.set(full).is_ok());
        budget.suspend(0);
        budget.settle();
    };
    let since = tokio::time::Instant::now();
    assert_eq!(tokio::join!(waits, suspends).0, Ok(()));
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[test]
fn evicts_once_that_helps() {
    let evicted = Arc::new(AtomicUsize::new(0));
    let kept: Arc<std::sync::Mutex<Vec<Bytes>>> = Arc::default();
    let (counts, frees) = (evicted.clone(), kept.clone());
    let budget = MemoryBudget::new(1000, move || {
        counts.fetch_add(1, Ordering::SeqCst);
        frees.lock().unwrap().clear();
        Some(100)
    });
    kept.lock().unwrap().push(budget.charge(message(950)));
    budget.suspend(100);
    budget.change_reclaimable(0, 950);
    // On its way to sockets, so that evicting the session would not be enough.
    let written = budget.charge(message(1100));
    assert!(!budget.evict_to_fit(0));
    assert_eq!(evicted.load(Ordering::SeqCst), 0);
    drop(written);
    assert_eq!(budget.used(), 1050);
    budget.settle();
    assert_eq!((evicted.load(Ordering::SeqCst), budget.used()), (1, 0));
    budget.settle();
    assert_eq!(evicted.load(Ordering::SeqCst), 1);
}

#[test]
fn what_no_session_needs_goes_first() {
    let spare: Arc<std::sync::Mutex<Vec<Bytes>>> = Arc::default();
    let budget = MemoryBudget::new(1000, || panic!("a session is evicted"));
    budget.suspend(100);
    spare.lock().unwrap().extend([budget.charge(message(300)), budget.charge(message(300))]);
    let frees = spare.clone();
    budget.relieve_with(move || frees.lock().unwrap().pop().is_some());
    assert!(budget.evict_to_fit(400));
    assert_eq!((budget.used(), spare.lock().unwrap().len()), (400, 1), "no more than needed");
}

#[test]
fn a_session_that_is_resumed_promises_no_bytes() {
    let budget = MemoryBudget::new(100, || None);
    budget.suspend(30);
    assert_eq!(budget.used(), 30);
    assert!(budget.can_fit(100) && !budget.can_fit(101));
    budget.resume(30);
    assert_eq!(budget.used(), 0);
    assert!(budget.can_fit(100) && !budget.can_fit(101));
}
