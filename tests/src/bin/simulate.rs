//! Runs simulations of real servers and clients, with one seed after the other, and checks their histories.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rejoin_tests::simulation::{Size, Trial, check, run, run_aloud};

const USAGE: &str = "usage: simulate [--seeds N] [--from S] [--small | --trial NAME] [--log] [--keep-going]

  --seeds N      so many seeds (default 1000)
  --from S       the first seed (default 0)
  --small        small schedules: one or two clients, some dozens of steps
  --trial NAME   one danger: haste, memory, runtimes, flood, frames, pace, questions, newcomers
                 or stores
  --log          print what happened, for each seed; of a trial, its plan; of stores, both
  --keep-going   do not stop at the first seed that fails";

/// A simulation that takes longer than this has hung.
const PATIENCE: Duration = Duration::from_secs(60);

struct Options {
    seeds: u64,
    from: u64,
    size: Size,
    trial: Option<Trial>,
    log: bool,
    keep_going: bool,
}

fn options() -> Result<Options, String> {
    let mut options =
        Options { seeds: 1000, from: 0, size: Size::Full, trial: None, log: false, keep_going: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.parse().map_err(|_| format!("{argument} needs a number, not {value:?}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--small" => options.size = Size::Small,
            "--trial" => {
                let name = arguments.next().unwrap_or_default();
                options.trial = Some(Trial::named(&name).ok_or_else(|| format!("unknown trial {name:?}"))?);
            }
            "--log" => options.log = true,
            "--keep-going" => options.keep_going = true,
            "--help" | "-h" => return Err(USAGE.to_owned()),
            _ => return Err(format!("unknown argument {argument:?}\n{USAGE}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // For a replay: logs of the libraries.
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let flag = match options.trial {
        Some(trial) => format!(" --trial {trial}"),
        None if options.size == Size::Small => " --small".to_owned(),
        None => String::new(),
    };
    let replay = move |seed| {
        format!("cargo run --release -p rejoin-tests --bin simulate -- --seeds 1 --from {seed}{flag} --log")
    };
    let done = Arc::new(AtomicU64::new(options.from));
    watch(done.clone(), replay.clone());
    let (start, mut told, mut entries, mut failed) = (Instant::now(), Instant::now(), 0, 0);
    for seed in options.from..options.from.saturating_add(options.seeds) {
        done.store(seed, Ordering::Relaxed);
        let violations = match options.trial {
            Some(trial) => {
                if options.log {
                    println!("{}", trial.plan(seed));
                    trial.run_aloud(seed, |line| println!("{line}"))
                } else {
                    trial.run(seed)
                }
            }
            None => {
                let history = if options.log {
                    run_aloud(seed, options.size, |index, entry| println!("{index:>5} {entry}"))
                } else {
                    run(seed, options.size)
                };
                entries += history.entries.len();
                check(&history)
            }
        };
        if !violations.is_empty() {
            failed += 1;
            eprintln!("seed {seed}:");
            for violation in violations {
                eprintln!("  {violation}");
            }
            eprintln!("  replay: {}", replay(seed));
            if !options.keep_going {
                return ExitCode::FAILURE;
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            tell(seed + 1 - options.from, entries, start);
        }
    }
    tell(options.seeds, entries, start);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seeds: u64, entries: usize, start: Instant) {
    let rate = seeds as f64 / start.elapsed().as_secs_f64();
    println!("{seeds} seeds, {entries} entries, {rate:.0} seeds/s");
}

/// Ends the process if a simulation spins without advancing its clock.
fn watch(done: Arc<AtomicU64>, replay: impl Fn(u64) -> String + Send + 'static) {
    std::thread::spawn(move || {
        let mut last = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let seed = done.load(Ordering::Relaxed);
            if seed != last.0 {
                last = (seed, Instant::now());
            } else if last.1.elapsed() > PATIENCE {
                eprintln!("seed {seed}: hangs\n  replay: {}", replay(seed));
                std::process::exit(1);
            }
        }
    });
}
