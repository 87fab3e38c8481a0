//! [`Outcome`]: the result of a mutant's tests.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::Error;
use crate::suite::Suite;
use crate::viable::Mutant;

pub(crate) enum Outcome {
    /// This test fails.
    Caught(String),
    /// The tests do not end; they are from this binary.
    TimeOut(String),
    /// All tests that reach it pass: their number.
    Survived(usize),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(test) => write!(f, "caught by {test}"),
            Self::TimeOut(binary) => write!(f, "time-out in {binary}"),
            Self::Survived(0) => f.write_str("SURVIVED, no test reaches it"),
            Self::Survived(tests) => write!(f, "SURVIVED {tests} tests"),
        }
    }
}

/// Tries each mutant, several at a time; the outcomes are in the order of the mutants.
pub(crate) fn all(suite: &Suite, mutants: &[Mutant], jobs: usize) -> Result<Vec<(Mutant, Outcome)>, Error> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = mutants.get(index) else { break };
                    let outcome = one(suite, mutant);
                    println!("{}/{} {mutant}: {outcome}", index + 1, mutants.len());
                    outcomes.lock().expect("no thread panics").push((index, mutant.clone(), outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner()?;
    outcomes.sort_by_key(|&(index, ..)| index);
    Ok(outcomes.into_iter().map(|(_, mutant, outcome)| (mutant, outcome)).collect())
}

/// Runs the tests that reach it, in batches of growing size: a fast test finds most mutants.
fn one(suite: &Suite, mutant: &Mutant) -> Outcome {
    let tests = suite.reached.get(&mutant.id).map(Vec::as_slice).unwrap_or_default();
    let (mut rest, mut length) = (tests, Duration::from_millis(300));
    while !rest.is_empty() {
        let mut sum = Duration::ZERO;
        let count = rest.iter().take_while(|&&test| {
            let fits = sum < length;
            sum += suite.tests[test].takes;
            fits
        });
        let (batch, later) = rest.split_at(count.count());
        for binary in 0..suite.binaries.len() {
            let of_binary: Vec<usize> =
                batch.iter().copied().filter(|&test| suite.tests[test].binary == binary).collect();
            if !of_binary.is_empty()
                && let Some(outcome) = run(suite, mutant, binary, &of_binary)
            {
                return outcome;
            }
        }
        (rest, length) = (later, length * 3);
    }
    Outcome::Survived(tests.len())
}

/// Runs these tests of one binary until the first failure. A test has to fail twice, because it may occasionally fail by itself.
fn run(suite: &Suite, mutant: &Mutant, binary: usize, tests: &[usize]) -> Option<Outcome> {
    match attempt(suite, mutant, binary, tests)? {
        Outcome::Caught(name) => {
            let again: Vec<usize> =
                tests.iter().copied().filter(|&test| suite.tests[test].name == name).collect();
            match again.is_empty() {
                true => Some(Outcome::Caught(name)),
                false => match attempt(suite, mutant, binary, &again) {
                    Some(_) => Some(Outcome::Caught(name)),
                    None => {
                        let rest: Vec<usize> =
                            tests.iter().copied().filter(|&test| suite.tests[test].name != name).collect();
                        println!("{name} fails now and then, with {mutant}");
                        (!rest.is_empty()).then(|| attempt(suite, mutant, binary, &rest)).flatten()
                    }
                },
            }
        }
        outcome => Some(outcome),
    }
}

fn attempt(suite: &Suite, mutant: &Mutant, binary: usize, tests: &[usize]) -> Option<Outcome> {
    let names: Vec<&str> = tests.iter().map(|&test| suite.tests[test].name.as_str()).collect();
    let takes: Duration = tests.iter().map(|&test| suite.tests[test].takes).sum();
    let deadline = Instant::now() + Duration::from_secs(15) + takes * 10;
    let binary = &suite.binaries[binary];
    let mut command = binary.command(&names);
    let mut child = command
        .env("REJOIN_MUTANT", mutant.id.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it ran before");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let (lines, incoming) = channel();
    let reader = std::thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    let outcome = loop {
        match incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let failed = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
                if let Some(name) = failed {
                    break Some(Outcome::Caught(name.to_owned()));
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some(Outcome::TimeOut(binary.name.clone())),
            Err(RecvTimeoutError::Disconnected) => {
                let passed = child.wait().is_ok_and(|status| status.success());
                break (!passed).then(|| Outcome::Caught(format!("the end of the process {}", binary.name)));
            }
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    drop(incoming);
    // A process that the test has started may keep the pipe open: then the reader ends with that process.
    drop(reader);
    outcome
}
