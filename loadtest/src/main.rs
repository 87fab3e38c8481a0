//! `rejoin-loadtest`: puts load on a rejoin server, any of them, and says what it took.
//!
//! The clients are rejoin's own, thousands in one process: what they do is what an application's would do, down to resuming.
//! They cost more than those of a raw load generator; where the tool itself is the limit, it says so.

mod args;
mod error;
mod work;

// --- whom to connect to, and as whom
mod cable;
mod dial;
mod fleet;
mod limits;
mod target;

// --- what is sent, when, and what becomes of it
mod message;
mod pace;
mod sequence;

// --- what is seen
mod counter;
mod latency;
mod process;
mod progress;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    match work::run(&args) {
        Ok(report) => {
            report.print(args.work.common().json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}
