//! Tests of [`SuspendedSessions`] and its [`ExpiryTask`].

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use rejoin_core::drive::now;

use super::queue::{MIN_CAPACITY, Waiting};
use super::*;
use crate::inner::ServerInner;
use crate::session::expiry_slot::NOWHERE;
use crate::session::task::SessionTask;
use crate::testing::{connection, pending, runtime, server, session};
use crate::{ConnectRequest, Identity, Reject, Server};

#[test]
fn whoever_leaves_from_the_middle_is_let_go_and_the_others_keep_their_order() {
    let shared = server();
    let mut waiting = Waiting { first: u32::MAX - 40, ..Waiting::default() };
    let mut expected = VecDeque::new();
    for step in 0..400_u32 {
        for _ in 0..2 {
            let new = connection(&shared);
            waiting.push(&new, Loss::last(&session(&shared)));
            expected.push_back(new);
        }
        // Sometimes the oldest, sometimes the newest, usually one in between.
        for back in [1, 7, 5].iter().take(step as usize % 4) {
            let index = (step as usize * 31 / back) % expected.len();
            let gone = expected.remove(index).unwrap();
            assert!(waiting.remove(&gone) && !waiting.remove(&gone));
        }
        let there: Vec<_> = waiting.list.iter().flatten().map(|found| found.number()).collect();
        let wanted: Vec<_> = expected.iter().map(|found| found.number()).collect();
        assert_eq!(there, wanted);
        assert_eq!(waiting.holes, waiting.list.len() - there.len());
        assert!(waiting.list.len() <= MIN_CAPACITY + 2 + 3 * there.len(), "holes are closed");
        assert!(waiting.list.front().is_none_or(Option::is_some));
    }
}

/// A socket arrives for a session, and is lost at once.
fn come(shared: &Arc<ServerInner>, connection: &Connection, resumes: bool) {
    let (pending, theirs) = pending(connection, resumes);
    drop(theirs);
    shared.arrive(connection, pending);
}

/// Runs a session's task until the session has lost its socket.
async fn suspend(shared: &Arc<ServerInner>, connection: &Connection) {
    come(shared, connection, false);
    tokio::spawn(SessionTask::new(shared.clone(), connection.clone(), None)).await.unwrap();
    assert!(is(connection, SessionState::Suspended) && connection.expiry_slot().is_queued());
}

fn is(connection: &Connection, state: SessionState) -> bool {
    connection.session().drive(|session| session.state() == state)
}

#[test]
fn windows_end_in_the_next_runtime_when_the_first_has_ended() {
    let disconnected = Arc::new(Mutex::new(Vec::new()));
    let told = disconnected.clone();
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).on_disconnect(move |connection, reason| {
        told.lock().unwrap().push((connection.number(), reason));
        async {}
    });
    let [first, second] = [runtime(), runtime()];
    let shared = first.block_on(async { server.build().unwrap().shared().clone() });
    let window = shared.options.resume_window.unwrap();
    let [early, late] = [connection(&shared), connection(&shared)];
    second.block_on(suspend(&shared, &early));
    first.block_on(suspend(&shared, &late));
    drop(first);
    assert!(is(&early, SessionState::Suspended) && is(&late, SessionState::Suspended));
    second.block_on(async { tokio::time::sleep(window + Duration::from_secs(1)).await });
    let number = |connection: &Connection| (connection.number(), CloseReason::WindowExpired);
    assert_eq!(*disconnected.lock().unwrap(), [number(&early), number(&late)]);
    assert!(early.is_gone() && late.is_gone());
    assert_eq!(shared.budget.used(), 0);
}

/// The ends of sessions, by their numbers, as the application sees them.
type Ends = Arc<Mutex<Vec<(u64, CloseReason, tokio::time::Instant)>>>;

fn ending(window: Duration) -> (Arc<ServerInner>, Ends) {
    let ends = Ends::default();
    let told = ends.clone();
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).resume_window(window).on_disconnect(move |connection, reason| {
        told.lock().unwrap().push((connection.number(), reason, tokio::time::Instant::now()));
        async {}
    });
    (server.build().unwrap().shared().clone(), ends)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_a_socket_for_a_moment_holds_up_nobodys_window() {
    let window = Duration::from_secs(10);
    let (shared, ends) = ending(window);
    let [flapping, second, third, fourth] = [(); 4].map(|()| connection(&shared));
    let mut due = Vec::new();
    let second_long = Duration::from_secs(1);
    for waiting in [&flapping, &second, &third] {
        suspend(&shared, waiting).await;
        due.push(tokio::time::Instant::now() + window);
        tokio::time::sleep(second_long).await;
    }
    // Attached and lost in one poll, again and again.
    for _ in 0..20 {
        come(&shared, &flapping, true);
        due[0] = tokio::time::Instant::now() + window;
        tokio::time::sleep(second_long).await;
        assert!(is(&flapping, SessionState::Suspended) && flapping.expiry_slot().is_queued());
    }
    suspend(&shared, &fourth).await;
    due.push(tokio::time::Instant::now() + window);
    tokio::time::sleep(2 * window).await;
    let end = |connection: &Connection, due| (connection.number(), CloseReason::WindowExpired, due);
    let expected = [end(&second, due[1]), end(&third, due[2]), end(&flapping, due[0]), end(&fourth, due[3])];
    assert_eq!(*ends.lock().unwrap(), expected);
    assert_eq!(shared.budget.used(), 0, "their bytes are free again");
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_looks_before_the_task_has_said_it_takes_the_next() {
    let window = Duration::from_secs(10);
    let (shared, ends) = ending(window);
    let [flapping, other] = [(); 2].map(|()| connection(&shared));
    suspend(&shared, &flapping).await;
    tokio::time::sleep(window / 2).await;
    suspend(&shared, &other).await;
    let due = tokio::time::Instant::now() + window;
    tokio::time::sleep(window / 4).await;
    // Its task does not run in between.
    flapping.session().drive(|session| {
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        session.cut(now());
    });
    tokio::time::sleep(2 * window).await;
    let expected =
        [&other, &flapping].map(|connection| connection.number()).into_iter().zip([due, due + window / 4]);
    let ends = ends.lock().unwrap();
    assert!(ends.iter().map(|(number, _, at)| (*number, *at)).eq(expected), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn session_hibernates_while_its_end_is_awaited() {
    let window = Duration::from_secs(10);
    let (shared, _) = ending(window);
    let connection = connection(&shared);
    let waiting = [(); 2].map(|()| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.closed().await })
    });
    tokio::task::yield_now().await;
    assert!(!shared.ends.is_empty());
    suspend(&shared, &connection).await;
    assert!(format!("{:?}", connection.session()).contains("Hibernated"), "{:?}", connection.session());
    tokio::time::sleep(window).await;
    for waiting in waiting {
        waiting.await.unwrap();
    }
    connection.closed().await;
    assert!(shared.ends.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_counts_until_its_window_ends_or_a_socket_comes() {
    let window = Duration::from_secs(10);
    let (shared, _) = ending(window);
    let [first, second, third] = [(); 3].map(|()| connection(&shared));
    for (waiting, connection) in [&first, &second, &third].into_iter().enumerate() {
        suspend(&shared, connection).await;
        assert_eq!(shared.budget.used(), (waiting + 1) * SESSION_COST);
        tokio::time::sleep(window / 4).await;
    }
    tokio::time::sleep(window / 4).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(first.is_gone() && !second.is_gone());
    assert_eq!(shared.budget.used(), 2 * SESSION_COST, "it was one of three");
    let (pending, theirs) = pending(&second, true);
    shared.arrive(&second, pending);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(is(&second, SessionState::Connected) && !second.expiry_slot().is_queued());
    assert_eq!(shared.budget.used(), SESSION_COST);
    drop(theirs);
}

/// After the expiry task has checked a session, and before it acts, the session's own task reports another lost socket.
#[test]
fn who_waits_since_a_later_loss_is_not_taken_out_for_the_earlier_one() {
    let shared = server();
    let waiting = connection(&shared);
    let loss = |connection: &Connection| connection.session().drive(|session| Loss::last(session));
    let queue = ExpiryQueue::default();
    let is_new = |loss| {
        let mut is_new = false;
        queue.add(&waiting, loss, || is_new = true);
        is_new
    };
    let attach_and_lose = || {
        waiting.session().drive(|session| {
            let epoch = session.reserve();
            session.attach(epoch, None, now()).unwrap();
            session.cut(now());
        });
        loss(&waiting)
    };
    let early = attach_and_lose();
    assert!(is_new(early));
    let late = attach_and_lose();
    assert!(!is_new(late), "it was there");
    assert!(!queue.remove_since(&waiting, early) && waiting.expiry_slot().is_queued_since(late));
    queue.move_back(&waiting, early, early);
    assert!(waiting.expiry_slot().is_queued_since(late), "it is behind the others already");
    assert!(queue.remove_since(&waiting, late) && !waiting.expiry_slot().is_queued());
    assert!(!queue.remove_since(&waiting, late) && queue.first().is_none());
}

#[test]
fn who_waits_ends_with_the_last_runtime() {
    let shared = server();
    let runtime = runtime();
    let [connection, another] = [(); 2].map(|()| connection(&shared));
    runtime.block_on(async {
        suspend(&shared, &connection).await;
        suspend(&shared, &another).await;
        assert_eq!(shared.tasks.len(), 2, "the expiry task, and the one that notices the end of the runtime");
    });
    drop(runtime);
    assert!(
        is(&connection, SessionState::Closed)
            && connection.is_gone()
            && !connection.expiry_slot().is_queued()
    );
    assert!(shared.realm.ids.get(connection.id()).is_none());
    assert_eq!(shared.budget.used(), 0);
}

#[test]
fn who_is_there_since_a_loss_keeps_its_place() {
    let shared = server();
    let [first, second] = [(); 2].map(|()| connection(&shared));
    let loss = Loss::last(&session(&shared));
    let queue = ExpiryQueue::default();
    let mut added = 0;
    for connection in [&first, &second, &first] {
        queue.add(connection, loss, || added += 1);
    }
    assert_eq!(added, 2);
    assert_eq!(queue.first(), Some(first));
}

/// An eviction that finds the session subtracts its cost.
#[test]
fn session_counts_before_an_eviction_finds_it() {
    let shared = server();
    let queue = ExpiryQueue::default();
    queue.add(&connection(&shared), Loss::last(&session(&shared)), || {
        assert!(queue.waiting.try_lock().is_err());
    });
    assert!(queue.first().is_some());
}

#[test]
fn places_begin_anew_before_the_one_that_means_nowhere() {
    let shared = server();
    let loss = Loss::last(&session(&shared));
    let mut waiting = Waiting { first: NOWHERE - 2, ..Waiting::default() };
    let sessions = [(); 4].map(|()| connection(&shared));
    for connection in &sessions {
        waiting.push(connection, loss);
        assert!(connection.expiry_slot().is_queued());
    }
    assert_eq!(
        sessions.each_ref().map(|connection| connection.expiry_slot().place()),
        [Some(0), Some(1), Some(2), Some(3)]
    );
    assert!(sessions.iter().rev().all(|connection| waiting.remove(connection)));
    assert_eq!((waiting.list.len(), waiting.holes), (0, 0));
}

#[test]
fn a_short_list_keeps_its_holes() {
    let shared = server();
    let loss = Loss::last(&session(&shared));
    for (len, stays) in [(MIN_CAPACITY, true), (MIN_CAPACITY + 1, false)] {
        let mut waiting = Waiting::default();
        let connections: Vec<_> = (0..len).map(|_| connection(&shared)).collect();
        connections.iter().for_each(|connection| waiting.push(connection, loss));
        assert!(connections[1..].iter().all(|connection| waiting.remove(connection)));
        waiting.push(&connection(&shared), loss);
        assert_eq!(waiting.list.len(), if stays { len + 1 } else { 2 });
    }
}

#[test]
fn a_list_without_many_holes_stays_as_it_is() {
    let shared = server();
    let loss = Loss::last(&session(&shared));
    let mut waiting = Waiting { first: 100, ..Waiting::default() };
    let sessions: Vec<_> = (0..2 * MIN_CAPACITY).map(|_| connection(&shared)).collect();
    sessions.iter().for_each(|connection| waiting.push(connection, loss));
    assert_eq!((waiting.first, sessions[20].expiry_slot().place()), (100, Some(120)));
    // As many holes as half of it.
    for connection in &sessions[1..=MIN_CAPACITY] {
        assert!(waiting.remove(connection));
    }
    waiting.push(&connection(&shared), loss);
    assert_eq!((waiting.first, waiting.holes), (100, MIN_CAPACITY));
    assert!(waiting.remove(&sessions[MIN_CAPACITY + 1]));
    waiting.push(&connection(&shared), loss);
    assert_eq!((waiting.first, waiting.holes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_many_windows_lets_other_tasks_have_their_turn() {
    let window = Duration::from_secs(10);
    let (shared, _) = ending(window);
    let sessions: Vec<_> = (0..3 * task::SESSIONS_PER_TURN).map(|_| connection(&shared)).collect();
    for connection in &sessions {
        suspend(&shared, connection).await;
    }
    let ended = || sessions.iter().filter(|connection| is(connection, SessionState::Closed)).count();
    tokio::time::advance(window).await;
    let (mut before, mut most) = (0, 0);
    while before < sessions.len() {
        tokio::task::yield_now().await;
        let now = ended();
        (before, most) = (now, most.max(now - before));
    }
    assert!((task::SESSIONS_PER_TURN / 2..=task::SESSIONS_PER_TURN).contains(&most), "{most} in one turn");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_keeper_is_not_the_end_of_its_runtime() {
    let window = Duration::from_secs(10);
    let (shared, _) = ending(window);
    for _ in 0..2 {
        let connection = connection(&shared);
        suspend(&shared, &connection).await;
        tokio::time::sleep(2 * window).await;
        assert!(connection.is_gone(), "there is another expiry_task");
        assert!(shared.runtimes.own().is_some());
        assert_eq!(shared.tasks.len(), 1, "the one that notices the end of the runtime");
    }
}
