//! The tasks of a scenario. Each of its tokio runtimes only names a group of them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::{Handle, Id};

/// Waits for its next wake-up.
const WAITS: u8 = 0;
/// Was woken, and is polled soon.
const WOKEN: u8 = 1;
/// Is being polled.
const RUNS: u8 = 2;
/// Is being polled, and was woken since that began.
const RUNS_WOKEN: u8 = 3;
/// Has ended, or was dropped.
const OVER: u8 = 4;

/// All tasks of the current run.
#[derive(Default)]
struct Tasks {
    all: Vec<Arc<Task>>,
    /// The tasks that are neither waiting nor over.
    busy: usize,
    /// Woken when the last busy task waits or ends.
    idle: Option<Waker>,
    ended: Vec<Id>,
}

thread_local! {
    static TASKS: RefCell<Tasks> = RefCell::default();
}

shuttle::thread_local! {
    static RUNTIME: Cell<Option<Handle>> = Cell::new(None);
}

/// One task.
pub struct Task {
    state: AtomicU8,
    runtime: Id,
    /// Wakes the coroutine.
    inner: Mutex<Option<Waker>>,
    name: &'static str,
}

impl Task {
    fn set(&self, state: u8) -> u8 {
        let before = self.state.swap(state, Ordering::Relaxed);
        let is_busy = |state| state != WAITS && state != OVER;
        let idle = TASKS.with_borrow_mut(|tasks| {
            tasks.busy = tasks.busy + usize::from(is_busy(state)) - usize::from(is_busy(before));
            tasks.idle.take_if(|_| tasks.busy == 0)
        });
        if let Some(idle) = idle {
            idle.wake();
        }
        before
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Relaxed) == state
    }
}

/// Waking is never a step, because it is called under tokio's own locks.
impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.load(Ordering::Relaxed) {
            WAITS => self.set(WOKEN),
            RUNS => self.set(RUNS_WOKEN),
            _ => return,
        };
        if let Some(inner) = &*self.inner.lock().unwrap_or_else(PoisonError::into_inner) {
            inner.wake_by_ref();
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = ["waits", "woken", "runs", "runs, woken", "over"];
        write!(f, "{} {}", self.name, state[usize::from(self.state.load(Ordering::Relaxed))])
    }
}

/// Forgets the tasks of the previous run.
pub(super) fn reset() {
    TASKS.set(Tasks::default());
}

/// Spawns a task in this runtime. A runtime that has [ended](end_runtime) drops the task at once.
pub fn spawn_on<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
    runtime: &Handle,
) -> JoinedTask<T> {
    let name = std::any::type_name_of_val(&task);
    let is_over = TASKS.with_borrow(|tasks| tasks.ended.contains(&runtime.id()));
    if is_over {
        drop(task);
        return JoinedTask(None);
    }
    let state =
        Arc::new(Task { state: AtomicU8::new(OVER), runtime: runtime.id(), inner: Mutex::new(None), name });
    state.set(WOKEN);
    TASKS.with_borrow_mut(|tasks| tasks.all.push(state.clone()));
    let runtime = runtime.clone();
    JoinedTask(Some(shuttle::future::spawn(async move {
        RUNTIME.with(|current| current.set(Some(runtime)));
        let waker = state.clone().into();
        let mut task = Some(Box::pin(task));
        poll_fn(|cx| poll(&mut task, &state, &waker, cx)).await
    })))
}

fn poll<F: Future>(
    task: &mut Option<Pin<Box<F>>>,
    state: &Arc<Task>,
    waker: &Waker,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    *state.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
    let is_over = || TASKS.with_borrow(|tasks| tasks.ended.contains(&state.runtime));
    state.set(RUNS);
    let polled = match task {
        Some(task) if !is_over() => task.as_mut().poll(&mut Context::from_waker(waker)),
        _ => Poll::Pending,
    };
    let ends = polled.is_ready() || is_over();
    if ends {
        // Dropping the future is the last step of a task.
        *task = None;
        state.set(OVER);
        return Poll::Ready(match polled {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        });
    }
    if state.is(RUNS_WOKEN) {
        state.set(WOKEN);
        cx.waker().wake_by_ref();
        // A task that has woken itself lets others run first.
        shuttle::thread::yield_now();
    } else {
        state.set(WAITS);
    }
    Poll::Pending
}

/// The runtime of the task that calls this; `None` in a plain thread.
pub fn current_runtime() -> Option<Handle> {
    RUNTIME.with(|current| {
        let runtime = current.take();
        current.set(runtime.clone());
        runtime
    })
}

/// Puts this thread into a runtime, or into none.
pub fn enter_runtime(runtime: Option<&Handle>) {
    RUNTIME.with(|current| current.set(runtime.cloned()));
}

/// Begins to end a runtime: tasks that are spawned from now on are dropped at once. Those that are there wait until [`end_runtime`].
pub fn close_runtime(runtime: &Handle) {
    super::step();
    TASKS.with_borrow_mut(|tasks| tasks.ended.push(runtime.id()));
}

/// Ends a runtime: its tasks are dropped at their next step, and tasks that are spawned later are dropped at once.
pub fn end_runtime(runtime: &Handle) {
    close_runtime(runtime);
    let all = TASKS.with_borrow(|tasks| tasks.all.clone());
    for task in all.into_iter().filter(|task| task.runtime == runtime.id()) {
        task.wake();
    }
}

/// Waits until every task waits for something, or is over.
pub fn idle() {
    let idle = poll_fn(|cx| {
        TASKS.with_borrow_mut(|tasks| {
            tasks.idle = Some(cx.waker().clone());
            if tasks.busy == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
    });
    shuttle::future::block_on(idle);
}

/// The tasks that are not over.
pub fn live() -> Vec<Arc<Task>> {
    TASKS.with_borrow(|tasks| tasks.all.iter().filter(|task| !task.is(OVER)).cloned().collect())
}

/// The handle of a spawned task. Dropping it detaches the task.
pub struct JoinedTask<T>(Option<shuttle::future::JoinHandle<Option<T>>>);

impl<T> JoinedTask<T> {
    /// Whether the task is over.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(shuttle::future::JoinHandle::is_finished)
    }
}

/// The task was dropped before its end.
#[derive(Debug)]
pub struct Dropped;

impl<T> Future for JoinedTask<T> {
    type Output = Result<T, Dropped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(joined) => Pin::new(joined).poll(cx).map(|joined| joined.ok().flatten().ok_or(Dropped)),
            None => Poll::Ready(Err(Dropped)),
        }
    }
}

impl<T> fmt::Debug for JoinedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Joined").field(&self.is_over()).finish()
    }
}
