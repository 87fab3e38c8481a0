//! Runs crowds over sockets, with one seed after the other and several in parallel, and checks their histories.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rejoin_tests::simulation::{Crowd, Figures, Threads};

const USAGE: &str = "usage: crowds [--minutes M] [--at-once N] [--from S]

  --minutes M    so long (default 1); crowds that run then still come to their end
  --at-once N    so many at once (default 4)
  --from S       the first seed (default 0)";

struct Options {
    minutes: u64,
    at_once: u64,
    from: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { minutes: 1, at_once: 4, from: 0 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let option = match argument.as_str() {
            "--minutes" => &mut options.minutes,
            "--at-once" => &mut options.at_once,
            "--from" => &mut options.from,
            _ => return Err(format!("unknown argument {argument:?}\n{USAGE}")),
        };
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
        *option = value.parse().map_err(|_| format!("{argument} needs a number, not {value:?}"))?;
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
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let start = Instant::now();
    let patience = Duration::from_secs(60 * options.minutes);
    let (next, failed) = (AtomicU64::new(options.from), AtomicBool::new(false));
    let all = Mutex::new((Figures::default(), start));
    thread::scope(|scope| {
        for _ in 0..options.at_once {
            scope.spawn(|| {
                while start.elapsed() < patience && !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let threads = if seed.is_multiple_of(2) { Threads::One } else { Threads::Several };
                    match (Crowd { seed, threads }).check(Path::new("target/crowds")) {
                        Ok(figures) => {
                            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                            all.0 += figures;
                            if all.1.elapsed() > Duration::from_secs(10) {
                                all.1 = Instant::now();
                                println!("{:>4} s: {}", start.elapsed().as_secs(), all.0);
                            }
                        }
                        Err(text) => {
                            eprint!("after {} s: {text}", start.elapsed().as_secs());
                            failed.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let crowds = next.into_inner() - options.from;
    let figures = all.into_inner().unwrap_or_else(PoisonError::into_inner).0;
    println!("{crowds} crowds in {} s: {figures}", start.elapsed().as_secs());
    if failed.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
