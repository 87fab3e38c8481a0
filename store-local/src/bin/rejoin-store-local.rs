//! `rejoin-store-local inspect DIR`: prints what is in the directory of a store.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rejoin_store_local::inspect::{EntrySummary, Inspection, LogSummary, RecordSummary, inspect, utc};
use serde_json::{Value, json};

/// Looks into the directory of a store, while no server has it open.
#[derive(Parser)]
#[command(name = "rejoin-store-local", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the logs with their bounds, the records, and the last entries; no secrets.
    Inspect {
        /// The directory.
        directory: PathBuf,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        /// The number of entries of each log.
        #[arg(long, default_value_t = 10)]
        entries: u64,
    },
}

fn record_json(record: &RecordSummary) -> Value {
    json!({
        "key": record.key, "id": record.id, "epoch": record.epoch, "attachment": record.attachment, "w": record.w,
        "received": record.received, "deadline": record.deadline.map(utc),
        "checkpoint": { "generation": record.checkpoint.generation, "offset": record.checkpoint.offset, "number": record.number },
        "owner": { "name": record.owner.0, "incarnation": record.owner.1 },
    })
}

fn entry_json(entry: &EntrySummary) -> Value {
    json!({
        "offset": entry.offset, "writer": entry.writer, "epoch": entry.epoch, "time": utc(entry.time), "bytes": entry.bytes,
    })
}

fn log_json(log: &LogSummary) -> Value {
    json!({
        "log": format!("{:012x}", log.log.0), "generation": log.last.generation,
        "first": log.first.offset + 1, "last": log.last.offset, "bytes": log.bytes,
        "records": log.records.iter().map(record_json).collect::<Vec<_>>(),
        "entries": log.entries.iter().map(entry_json).collect::<Vec<_>>(),
    })
}

fn print(found: &Inspection, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "last batch: {}, at {} UTC", found.batches, utc(found.time))?;
    for log in &found.logs {
        let (first, last) = (log.first.offset, log.last.offset);
        writeln!(
            out,
            "\nlog {:012x}: generation {}, {} entries in {} bytes, from {} to {last}, {} records",
            log.log.0,
            log.last.generation,
            last - first,
            log.bytes,
            first + 1,
            log.records.len()
        )?;
        for record in &log.records {
            write!(
                out,
                "  {} id {:?} epoch {} attachment {} w {}",
                record.key, record.id, record.epoch, record.attachment, record.w
            )?;
            match record.received {
                Some(received) => write!(out, " received {received}")?,
                None => write!(out, " received nothing")?,
            }
            write!(out, " checkpoint {} number {}", record.checkpoint.offset, record.number)?;
            match record.deadline {
                Some(deadline) => writeln!(out, " until {} UTC", utc(deadline))?,
                None => writeln!(out, " attached to {:x}/{:x}", record.owner.0, record.owner.1)?,
            }
        }
        for entry in &log.entries {
            let EntrySummary { offset, writer, epoch, bytes, time, .. } = entry;
            writeln!(out, "  entry {offset} by {writer} epoch {epoch}: {bytes} bytes, {} UTC", utc(*time))?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let Command::Inspect { directory, json, entries } = Arguments::parse().command;
    let found = match inspect(directory, entries) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut out = io::stdout().lock();
    let printed = match json {
        true => {
            let logs: Vec<_> = found.logs.iter().map(log_json).collect();
            writeln!(out, "{:#}", json!({ "batches": found.batches, "time": utc(found.time), "logs": logs }))
        }
        false => print(&found, &mut out),
    };
    match printed {
        // A pager that was closed.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
