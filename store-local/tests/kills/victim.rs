//! Commits as fast as it can until it is killed, and prints the acknowledged commits: for `main.rs` beside this file.
//!
//! `rejoin-store-local-victim DIRECTORY SEED`: reads the last commit of each of its writers from the store, continues there, and prints
//! a line `WRITER EPOCH W` for each acknowledged commit, and `trimmed OFFSET` for each trim. Now and then it suspends, takes over and
//! ends a writer.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use rejoin_store::{
    Attach, Attached, Checkpoint, Commit, Fence, LogId, NodeId, OpenWriter, Store, Touch, WriterKey,
};
use rejoin_store_local::LocalStore;

const LOG: LogId = LogId(1);
const WRITERS: u8 = 8;

fn say(line: &str) {
    // One call for each line, so that a killed process has written whole lines.
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// One writer: takes over what there is, and commits.
async fn write(store: LocalStore, node: NodeId, number: u8, seed: u64) {
    let key = WriterKey([number; 16]);
    let mut random = Random(seed * 100 + u64::from(number) + 1);
    let mut nonce = 0;
    let mut next_nonce = || {
        nonce += 1;
        nonce
    };
    let attach =
        |mine, nonce| Attach { key, proof: [number; 32], to: node, mine, nonce, moved: "moved".into() };
    let (mut epoch, mut count, mut attachment) = match store.attach(attach(None, next_nonce())).await {
        Ok(Attached::Taken(record)) => (record.epoch, record.received.unwrap_or(0), record.attachment),
        _ => {
            let open = OpenWriter {
                log: LOG,
                key,
                owner: node,
                nonce: next_nonce(),
                proof: [number; 32],
                id: format!("writer {number}").into(),
                identity: Bytes::new(),
                checkpoint: Bytes::new(),
                body: "open".into(),
            };
            store.open(open).await.unwrap();
            (1, 0, 1)
        }
    };
    let mut w = 0;
    loop {
        let commits: Vec<_> = (1..=1 + random.below(6))
            .map(|step| Commit {
                log: LOG,
                writer: key,
                fence: Fence { epoch, w: w + step },
                received: Some(count + step),
                state: Some((count + step).to_le_bytes().to_vec().into()),
                ends: Vec::new(),
                body: format!("{number} {} {}", count + step, "x".repeat(random.0 as usize % 300)).into(),
            })
            .collect();
        let answers = store.commit(commits).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        w += answers.len() as u64;
        count += answers.len() as u64;
        say(&format!("{number} {epoch} {count}"));
        match random.below(40) {
            0 => {
                let (_, last) = store.bounds(LOG).await.unwrap();
                let checkpoint = Some(Checkpoint { position: last, number: count, state: Bytes::new() });
                let ends_in = Some(Duration::from_secs(60));
                store.touch(vec![Touch { key, epoch, attachment, checkpoint, ends_in }]).await.unwrap();
            }
            1 => match store.attach(attach(Some(epoch), next_nonce())).await.unwrap() {
                Attached::StillYours { attachment: next } => attachment = next,
                Attached::Taken(_) => panic!("nobody else is there"),
            },
            2 => {
                let Attached::Taken(record) = store.attach(attach(None, next_nonce())).await.unwrap() else {
                    panic!("not taken over")
                };
                (epoch, w, attachment) = (record.epoch, 0, record.attachment);
                assert_eq!(record.received, Some(count));
            }
            3 => {
                store.trim(LOG, Duration::from_millis(50)).await.unwrap();
                say(&format!("trimmed {}", store.bounds(LOG).await.unwrap().0.offset));
            }
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let seed = arguments[2].parse().unwrap();
    let store = LocalStore::builder(&arguments[1]).log_bytes(1 << 20).open().unwrap();
    let node = NodeId { name: 1, incarnation: seed };
    store.lease(node, Duration::from_secs(3600)).await.unwrap();
    say("ready");
    for number in 1..=WRITERS {
        tokio::spawn(write(store.clone(), node, number, seed));
    }
    std::future::pending::<()>().await;
}
