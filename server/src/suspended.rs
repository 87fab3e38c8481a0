//! [`Suspended`]: who waits for a socket, until the window ends or all sessions together keep too much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rejoin_core::drive::{Budget, now};
use rejoin_core::{CloseReason, State};
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

use crate::connection::{Connection, Loss, NOWHERE};
use crate::evictions::Evictions;
use crate::runtimes::Runtimes;

/// What a suspended session counts for beside its frames: about what it costs.
const SESSION_COST: usize = 512;

/// The suspended sessions of a server, the oldest first, and the bound on what all sessions keep.
///
/// All have the same window, so that the oldest is also the first whose window ends: one timer does for all of them, in a task
/// that is there while anybody waits, in the server's own runtime.
#[derive(Debug, Clone)]
pub(crate) struct Suspended {
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    runtimes: Arc<Runtimes>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Notified when nobody waits any more.
    empty: Notify,
}

/// In the order in which they were suspended, with holes where somebody has left.
#[derive(Debug, Default)]
struct Waiting {
    list: VecDeque<Option<Connection>>,
    /// The place of the first in `list`.
    first: u32,
    holes: usize,
    has_keeper: bool,
}

/// So many sessions are looked at before other tasks have their turn.
const KEEPER_CHUNK: usize = 256;

/// A list of this size is not worth the bother.
const MIN_CAPACITY: usize = 16;

impl Suspended {
    /// None yet, and a bound of `limit` bytes.
    pub(crate) fn new(limit: usize, runtimes: Arc<Runtimes>) -> Self {
        let queue = Arc::new(Queue::default());
        let waiting = queue.clone();
        let evictions = Evictions::new(limit, runtimes.clone());
        let reclaim = move || {
            // The lock is free again before anything else is locked.
            let connection = waiting.pop_first()?;
            let gives_way = connection.cell().command(|session| {
                // Another socket may have come a moment ago.
                let waits = session.state() == State::Suspended;
                if waits {
                    session.end(CloseReason::Evicted);
                }
                waits
            });
            if gives_way {
                evictions.note();
            }
            Some(SESSION_COST)
        };
        Self { budget: Arc::new(Budget::new(limit, reclaim)), queue, runtimes }
    }

    /// The bound, for the session's cell.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A session waits for a socket since it has lost the one before: `loss`. To be called from a task, each time that it has.
    pub(crate) fn enter(&self, connection: &Connection, loss: Loss) {
        if self.queue.add(connection, loss) {
            self.budget.suspend(SESSION_COST);
        }
        self.runtimes.note();
        Keeper::begin(self);
        self.budget.make_room(0);
    }

    /// It does so no more.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.free(self.queue.remove(connection));
    }

    /// Who had to give way does not count any more.
    fn free(&self, was_there: bool) {
        if was_there {
            self.budget.resume(SESSION_COST);
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a session behind the others, unless it is there since this loss. Returns whether it was not there at all.
    fn add(&self, connection: &Connection, loss: Loss) -> bool {
        let mut waiting = self.lock();
        if connection.waits_since(loss) {
            return false;
        }
        let is_new = !waiting.remove(connection);
        waiting.push(connection, loss);
        is_new
    }

    /// Puts a session behind the others that is there since `old`, and has lost another socket since.
    fn move_back(&self, connection: &Connection, old: Loss, new: Loss) {
        let mut waiting = self.lock();
        if connection.waits_since(old) {
            waiting.remove(connection);
            waiting.push(connection, new);
        }
    }

    /// Whether there is no keeper. There is one from now on.
    fn wants_keeper(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_keeper, true)
    }

    /// Takes a session out. Returns whether it was there.
    fn remove(&self, connection: &Connection) -> bool {
        self.remove_where(connection, |_| true)
    }

    /// Takes a session out that is there since this loss. Returns whether it was.
    fn remove_since(&self, connection: &Connection, loss: Loss) -> bool {
        self.remove_where(connection, |connection| connection.waits_since(loss))
    }

    fn remove_where(&self, connection: &Connection, is_meant: impl FnOnce(&Connection) -> bool) -> bool {
        let mut waiting = self.lock();
        let removed = is_meant(connection) && waiting.remove(connection);
        if waiting.list.is_empty() {
            self.empty.notify_one();
        }
        removed
    }

    fn first(&self) -> Option<Connection> {
        self.lock().list.front().cloned().flatten()
    }

    /// Takes the oldest out.
    fn pop_first(&self) -> Option<Connection> {
        loop {
            let oldest = self.first()?;
            if self.remove(&oldest) {
                return Some(oldest);
            }
        }
    }
}

impl Waiting {
    fn push(&mut self, connection: &Connection, loss: Loss) {
        if self.holes > self.list.len() / 2 && self.list.len() > MIN_CAPACITY {
            self.compact();
        }
        let mut place =
            self.first.wrapping_add(u32::try_from(self.list.len()).expect("they fit into memory"));
        if place == NOWHERE {
            self.compact();
            place = u32::try_from(self.list.len()).expect("they fit into memory");
        }
        connection.set_waiting(Some(place));
        connection.set_waiting_since(loss);
        self.list.push_back(Some(connection.clone()));
    }

    /// Closes the holes, and gives back the room of many that have left.
    fn compact(&mut self) {
        self.list.retain(Option::is_some);
        self.list.shrink_to(2 * self.list.len());
        (self.first, self.holes) = (0, 0);
        for (place, connection) in (0..).zip(self.list.iter().flatten()) {
            connection.set_waiting(Some(place));
        }
    }

    /// Takes a session out. Returns whether it was there.
    fn remove(&mut self, connection: &Connection) -> bool {
        let Some(place) = connection.waiting() else { return false };
        connection.set_waiting(None);
        let index = place.wrapping_sub(self.first) as usize;
        if let Some(entry) = self.list.get_mut(index) {
            *entry = None;
            self.holes += 1;
        }
        self.trim();
        true
    }

    /// The first of the list is one who waits.
    fn trim(&mut self) {
        while let Some(None) = self.list.front() {
            self.list.pop_front();
            self.first = self.first.wrapping_add(1);
            self.holes -= 1;
        }
        if self.list.is_empty() {
            self.list.shrink_to(MIN_CAPACITY);
        }
    }
}

/// Ends the sessions whose window has passed. There is one while anybody waits.
struct Keeper {
    suspended: Suspended,
    /// Where it runs.
    runtime: Option<Id>,
    /// It has said that it ends.
    over: bool,
}

/// What a keeper does next.
enum Next {
    /// The window of somebody has passed.
    Ends(Connection),
    /// Somebody has a socket again, or has ended.
    Left,
    Sleep(Option<Instant>),
    Over,
}

impl Keeper {
    /// Begins one, where there is none. No lock may be held: a runtime that is ending drops it at once.
    fn begin(suspended: &Suspended) {
        if !suspended.queue.wants_keeper() {
            return;
        }
        let own = suspended.runtimes.own();
        let runtime = own.as_ref().map(Handle::id);
        let keeper = Self { suspended: suspended.clone(), runtime, over: false };
        suspended.runtimes.spawn_on(own.as_ref(), keeper.run());
    }

    async fn run(mut self) {
        let mut seen = 0;
        loop {
            seen += 1;
            if seen % KEEPER_CHUNK == 0 {
                tokio::task::yield_now().await;
            }
            match self.next() {
                Next::Ends(connection) => connection.cell().command(|session| session.handle_timeout(now())),
                Next::Left => {}
                Next::Sleep(at) => {
                    let due = async {
                        match at {
                            Some(at) => tokio::time::sleep_until(at.into()).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = due => {}
                        () = self.suspended.queue.empty.notified() => {}
                    }
                }
                Next::Over => return,
            }
        }
    }

    fn next(&mut self) -> Next {
        let queue = &self.suspended.queue;
        let (oldest, loss) = {
            let mut waiting = queue.lock();
            let Some(Some(oldest)) = waiting.list.front() else {
                waiting.has_keeper = false;
                self.over = true;
                return Next::Over;
            };
            (oldest.clone(), oldest.waiting_since())
        };
        let (state, due, last) =
            oldest.cell().drive(|session| (session.state(), session.poll_timeout(), Loss::last(session)));
        match state {
            // It has had a socket for a moment, and its task is about to say so: its window ends after those of others.
            State::Suspended if last != loss => {
                queue.move_back(&oldest, loss, last);
                Next::Left
            }
            State::Suspended if due.is_none_or(|due| due > now()) => Next::Sleep(due),
            // What it loses from now on its task says itself.
            State::Suspended => {
                self.suspended.free(queue.remove_since(&oldest, loss));
                Next::Ends(oldest)
            }
            _ => {
                self.suspended.free(queue.remove_since(&oldest, loss));
                Next::Left
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.suspended.queue.lock().has_keeper = false;
        // Its runtime ends.
        if let Some(runtime) = self.runtime {
            self.suspended.runtimes.remove(runtime);
        }
        if self.suspended.runtimes.own().is_some() {
            return Self::begin(&self.suspended);
        }
        // Nobody is left to end them otherwise.
        let list = {
            let mut waiting = self.suspended.queue.lock();
            waiting.compact();
            waiting.list.clone()
        };
        for connection in list.iter().flatten() {
            connection.end(CloseReason::ServerClosed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::Session;
    use rejoin_core::drive::{Link, Unmasked, WsTransport};

    use super::*;
    use crate::connection::Arrival;
    use crate::session_task::SessionTask;
    use crate::shared::Shared;
    use crate::testing::{connection, session};
    use crate::{ConnectRequest, Identity, Reject, Server};

    fn server() -> Arc<Shared> {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room"));
        Server::builder(connect).build().unwrap().shared().clone()
    }

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
            // Sometimes the oldest, sometimes the newest, mostly some in between.
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

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    /// A socket comes for a session, and is lost at once.
    fn come(shared: &Arc<Shared>, connection: &Connection, resumes: bool) {
        let epoch = connection.cell().drive(Session::reserve);
        let (ours, theirs) = tokio::io::duplex(64);
        drop(theirs);
        let link = Box::new(Link::new(epoch, WsTransport::new(ours, Unmasked, &[], 64)));
        shared.arrive(connection, Arrival { link, received: None, resumes });
    }

    /// Runs a session's task until the session has lost its socket.
    async fn suspend(shared: &Arc<Shared>, connection: &Connection) {
        come(shared, connection, false);
        tokio::spawn(SessionTask::new(shared.clone(), connection.clone(), None)).await.unwrap();
        assert!(is(connection, State::Suspended) && connection.is_waiting());
    }

    fn is(connection: &Connection, state: State) -> bool {
        connection.cell().drive(|session| session.state() == state)
    }

    #[test]
    fn windows_end_in_the_next_runtime_when_the_first_has_ended() {
        let disconnected = Arc::new(Mutex::new(Vec::new()));
        let told = disconnected.clone();
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room"));
        let server = Server::builder(connect).on_disconnect(move |connection, reason| {
            told.lock().unwrap().push((connection.number(), reason));
            async {}
        });
        let [first, second] = [runtime(), runtime()];
        let shared = first.block_on(async { server.build().unwrap().shared().clone() });
        let window = shared.options.resume_window;
        let [early, late] = [connection(&shared), connection(&shared)];
        second.block_on(suspend(&shared, &early));
        first.block_on(suspend(&shared, &late));
        drop(first);
        assert!(is(&early, State::Suspended) && is(&late, State::Suspended));
        second.block_on(async { tokio::time::sleep(window + Duration::from_secs(1)).await });
        let number = |connection: &Connection| (connection.number(), CloseReason::WindowExpired);
        assert_eq!(*disconnected.lock().unwrap(), [number(&early), number(&late)]);
        assert!(early.is_gone() && late.is_gone());
        assert_eq!(shared.suspended.budget().used(), 0);
    }

    /// The ends of sessions, by their numbers, as the application hears of them.
    type Ends = Arc<Mutex<Vec<(u64, CloseReason, tokio::time::Instant)>>>;

    fn ending(window: Duration) -> (Arc<Shared>, Ends) {
        let ends = Ends::default();
        let told = ends.clone();
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room"));
        let server =
            Server::builder(connect).resume_window(window).on_disconnect(move |connection, reason| {
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
            assert!(is(&flapping, State::Suspended) && flapping.is_waiting());
        }
        suspend(&shared, &fourth).await;
        due.push(tokio::time::Instant::now() + window);
        tokio::time::sleep(2 * window).await;
        let end = |connection: &Connection, due| (connection.number(), CloseReason::WindowExpired, due);
        let expected =
            [end(&second, due[1]), end(&third, due[2]), end(&flapping, due[0]), end(&fourth, due[3])];
        assert_eq!(*ends.lock().unwrap(), expected);
        assert_eq!(shared.suspended.budget().used(), 0, "what was kept for them is free again");
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
        // Its task does not run meanwhile.
        flapping.cell().drive(|session| {
            let epoch = session.reserve();
            session.attach(epoch, None, now()).unwrap();
            session.cut(now());
        });
        tokio::time::sleep(2 * window).await;
        let expected = [&other, &flapping]
            .map(|connection| connection.number())
            .into_iter()
            .zip([due, due + window / 4]);
        let ends = ends.lock().unwrap();
        assert!(ends.iter().map(|(number, _, at)| (*number, *at)).eq(expected), "{ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_session_takes_no_more_when_somebody_waits_for_its_end() {
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
        assert!(format!("{:?}", connection.cell()).contains("Resting"), "{:?}", connection.cell());
        tokio::time::sleep(window).await;
        for waiting in waiting {
            waiting.await.unwrap();
        }
        connection.closed().await;
        assert!(shared.ends.is_empty());
    }

    #[test]
    fn who_waits_ends_with_the_last_runtime() {
        let shared = server();
        let runtime = runtime();
        let connection = connection(&shared);
        runtime.block_on(async {
            suspend(&shared, &connection).await;
            assert_eq!(
                shared.tasks.len(),
                2,
                "the keeper's, and the one that notices the end of the runtime"
            );
        });
        drop(runtime);
        assert!(is(&connection, State::Closed) && connection.is_gone() && !connection.is_waiting());
        assert!(shared.registry.by_id(connection.id()).is_none());
        assert_eq!(shared.suspended.budget().used(), 0);
    }
}
