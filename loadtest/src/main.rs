//! `rejoin-loadtest`: puts load on any rejoin server and measures it.
//!
//! It runs thousands of `rejoin-client` connections in one process, so the server sees what real applications do, including
//! resumes. They cost more than the sockets of a raw load generator; the report says when the tool itself was the limit.

mod args;
mod common;
mod error;
mod work;

// --- connecting
mod cable;
mod dial;
mod fleet;
mod limits;
mod target;

// --- messages: contents, schedule, order
mod message;
mod pace;
mod sequence;

// --- measuring
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
