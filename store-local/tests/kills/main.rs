//! A process is killed with `kill -9` at random times, again and again: nothing that it has acknowledged is missing, and nothing is
//! there twice.
//!
//! `REJOIN_KILLS=500 cargo test -p rejoin-store-local --all-features --test kills` kills 500 times; 12 by default.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rejoin_store::{LogId, ReadLimit, Store};
use rejoin_store_local::LocalStore;

const LOG: LogId = LogId(1);

/// The acknowledgements that the killed process has printed.
#[derive(Debug, Default)]
struct Said {
    /// The last acknowledged count of each writer.
    counts: BTreeMap<u8, u64>,
    trimmed: u64,
}

/// Runs the victim for a time, kills it, and adds its output.
fn kill_one(directory: &Path, seed: u64, after: Duration, said: &mut Said) -> usize {
    let mut victim = Command::new(env!("CARGO_BIN_EXE_rejoin-store-local-victim"));
    victim.arg(directory).arg(seed.to_string()).stdout(Stdio::piped());
    let mut victim = victim.spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    // Before it is ready it makes or recovers the directory: it may be killed there, too.
    let begins = seed.is_multiple_of(4);
    if !begins {
        assert_eq!(lines.next().expect("the victim does not begin").unwrap(), "ready");
    }
    std::thread::sleep(after);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let mut number = 0;
    for line in lines {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["ready"] => {}
            ["trimmed", offset] => said.trimmed = offset.parse().unwrap(),
            [writer, _epoch, count] => {
                said.counts.insert(writer.parse().unwrap(), count.parse().unwrap());
                number += 1;
            }
            _ => panic!("{line}"),
        }
    }
    number
}

/// Opens the directory, and checks that each writer's entries are whole, in order, and not fewer than acknowledged.
async fn check(directory: &Path, said: &mut Said) {
    let store = LocalStore::builder(directory).log_bytes(1 << 20).open().unwrap();
    let (first, last) = store.bounds(LOG).await.unwrap();
    assert!(first.offset >= said.trimmed, "{first:?}, {said:?}");
    let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
    let mut after = first;
    loop {
        let page = store.read(LOG, after, ReadLimit::default()).await.unwrap();
        for entry in &page.entries {
            assert_eq!(entry.position.offset, after.offset + 1);
            after = entry.position;
            let text = std::str::from_utf8(&entry.body).unwrap();
            if matches!(text, "open" | "moved") {
                continue;
            }
            let mut words = text.split(' ');
            let number: u8 = words.next().unwrap().parse().unwrap();
            let count: u64 = words.next().unwrap().parse().unwrap();
            assert_eq!(entry.writer.0, [number; 16]);
            if let Some(before) = counts.insert(number, count) {
                assert_eq!(count, before + 1, "writer {number}: lost or repeated");
            }
        }
        if page.is_end {
            break;
        }
    }
    assert_eq!(after, last);
    for record in store.records(LOG, None, 100).await.unwrap() {
        let number = record.key.0[0];
        let received = record.received.unwrap_or(0);
        assert!(received >= said.counts.get(&number).copied().unwrap_or(0), "writer {number}: {said:?}");
        let in_log = counts.get(&number).copied();
        assert!(in_log.is_none_or(|count| count == received), "writer {number}: {in_log:?}, {received}");
        if received > 0 {
            assert_eq!(record.state[..], received.to_le_bytes());
        }
        said.counts.insert(number, received);
    }
}

#[tokio::test]
async fn killed_process_loses_nothing_that_it_has_acknowledged() {
    let kills = std::env::var("REJOIN_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (mut said, mut acknowledged) = (Said::default(), 0);
    for seed in 1..=kills {
        let after = Duration::from_millis(1 + seed * 37 % 250);
        acknowledged += kill_one(directory.path(), seed, after, &mut said);
        check(directory.path(), &mut said).await;
    }
    let total: u64 = said.counts.values().sum();
    println!("{kills} kills, {acknowledged} answers, {total} commits, none lost, none repeated");
    assert!(acknowledged > 100, "the victim did nothing");
}
