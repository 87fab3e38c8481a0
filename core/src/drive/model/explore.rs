//! [`explore`]: runs a scenario many times, each time in another order of its steps.

use std::cell::Cell;
use std::env;
use std::panic;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Once};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::tasks;
use super::time::Time;

/// The default of `REJOIN_MODEL_RUNS`.
const RUNS: usize = 500;

/// One more than the number of times that a run under [`PctScheduler`] preempts a thread.
const DEPTH: usize = 3;

/// A run of more steps counts as endless. The longest runs have some thousands.
const MAX_STEPS: usize = 100_000;

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
    static RUN: Cell<usize> = const { Cell::new(0) };
}

/// Runs a scenario many times. Half of the runs choose the next thread or task at random after each step. The other half (PCT)
/// rarely preempt, which finds bugs that need a long time between two steps.
///
/// A run fails if it panics, even if the panic is caught; if no thread and no task can continue although the scenario has not
/// ended; and if a task is left at its end. Environment variables: `REJOIN_MODEL_RUNS` is the number of runs, `REJOIN_MODEL_SEED`
/// their seed, `REJOIN_MODEL_FAILURES` the folder for the schedule of a failing run, and `REJOIN_MODEL_REPLAY` the file of a
/// schedule, which is then the only run.
pub fn explore(scenario: impl Fn(&Time) + Send + Sync + 'static) {
    count_panics();
    let scenario = Arc::new(scenario);
    if let Some(file) = env::var_os("REJOIN_MODEL_REPLAY") {
        let schedule =
            ReplayScheduler::new_from_file(file).expect("REJOIN_MODEL_REPLAY is the file of a schedule");
        run("the schedule", &scenario, schedule);
        return;
    }
    let runs: usize = variable("REJOIN_MODEL_RUNS").unwrap_or(RUNS);
    let seed: u64 = variable("REJOIN_MODEL_SEED").unwrap_or(1);
    let random = runs.div_ceil(2);
    run(&format!("at random from seed {seed}"), &scenario, RandomScheduler::new_from_seed(seed, random));
    run(&format!("PCT from seed {seed}"), &scenario, PctScheduler::new_from_seed(seed, DEPTH, runs - random));
}

fn run(
    which: &str,
    scenario: &Arc<impl Fn(&Time) + Send + Sync + 'static>,
    scheduler: impl Scheduler + 'static,
) {
    let mut config = Config::default();
    config.stack_size = 1 << 19;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.silence_warnings = true; // loom checks memory orderings
    if let Some(folder) = env::var_os("REJOIN_MODEL_FAILURES") {
        config.failure_persistence = FailurePersistence::File(Some(PathBuf::from(folder)));
    }
    let scenario = scenario.clone();
    RUN.set(0);
    let all = panic::AssertUnwindSafe(|| {
        Runner::new(scheduler, config).run(move || run_once(&*scenario));
    });
    if let Err(panic) = panic::catch_unwind(all) {
        eprintln!("{which}: failed in run {}", RUN.get());
        panic::resume_unwind(panic);
    }
}

fn run_once(scenario: &impl Fn(&Time)) {
    RUN.set(RUN.get() + 1);
    tasks::reset();
    PANICS.set(0);
    let time = Time::new();
    let entered = time.enter();
    scenario(&time);
    assert_eq!(PANICS.get(), 0, "a panic was caught, see above");
    assert!(tasks::live().is_empty(), "left at the end: {:?}", tasks::live());
    drop(entered);
}

/// Counts the panics of each thread of the test, before anything catches them.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            hook(info);
        }));
    });
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().ok().unwrap_or_else(|| panic!("{name} is not a number: {text}")))
}
