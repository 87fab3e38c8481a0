//! `rejoin-store-local inspect`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rejoin_store::{Commit, Fence, LogId, NodeId, OpenWriter, Store, Touch, WriterKey};
use rejoin_store_local::LocalStore;

const LOG: LogId = LogId(0xabc);

fn inspect(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin-store-local"));
    command.arg("inspect").args(arguments).arg(directory).output().unwrap()
}

fn printed(arguments: &[&str], directory: &Path) -> String {
    let output = inspect(arguments, directory);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn fill(store: &LocalStore) {
    let node = NodeId { name: 0x11, incarnation: 0x22 };
    store.lease(node, Duration::from_secs(60)).await.unwrap();
    for (number, id) in [(1, "ann"), (2, "bob")] {
        let open = OpenWriter {
            log: LOG,
            key: WriterKey([b'a' + number; 16]),
            owner: node,
            nonce: number.into(),
            proof: *b"a proof, which nobody has to see",
            id: id.into(),
            identity: "identity, not to be seen".into(),
            checkpoint: "fold, not to be seen".into(),
            body: "body, not to be seen".into(),
        };
        store.open(open).await.unwrap();
    }
    let commit = Commit {
        log: LOG,
        writer: WriterKey([b'b'; 16]),
        fence: Fence { epoch: 1, w: 1 },
        received: Some(7),
        state: Some("state, not to be seen".into()),
        ends: Vec::new(),
        body: "0123456789".into(),
    };
    store.commit(vec![commit]).await[0].as_ref().unwrap();
    let key = WriterKey([b'c'; 16]);
    let ends_in = Some(Duration::from_secs(30));
    store.touch(vec![Touch { key, epoch: 1, attachment: 1, checkpoint: None, ends_in }]).await.unwrap();
}

#[tokio::test]
async fn inspect_shows_positions_and_no_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::builder(directory.path()).clock(|| 1_796_016_062_123).open().unwrap();
    fill(&store).await;
    store.close().await;
    let text = printed(&["--entries", "1"], directory.path());
    let lines: Vec<_> = text.lines().collect();
    let expected = [
        "last batch: 4, at 2026-11-30 05:21:02.123 UTC",
        "",
        "log 000000000abc: generation 0, 3 entries in 293 bytes, from 1 to 3, 2 records",
        "  bbbbbbbbbbbbbbbb id \"ann\" epoch 1 attachment 1 w 1 received 7 checkpoint 1 number 0 attached to 11/22",
        "  cccccccccccccccc id \"bob\" epoch 1 attachment 1 w 0 received nothing checkpoint 2 number 0 until 2026-11-30 05:21:32.123 UTC",
        "  entry 3 by bbbbbbbbbbbbbbbb epoch 1: 10 bytes, 2026-11-30 05:21:02.123 UTC",
    ];
    assert_eq!(lines, expected);
    let json = printed(&["--json"], directory.path());
    for text in [&text, &json] {
        assert!(!text.contains("to be seen") && !text.contains("nobody"), "{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["logs"][0]["records"][1]["deadline"], "2026-11-30 05:21:32.123");
    assert_eq!(json["logs"][0]["entries"].as_array().unwrap().len(), 3);
    // It has changed nothing.
    let store = LocalStore::builder(directory.path()).clock(|| 1_796_016_062_124).open().unwrap();
    assert_eq!(store.records(LOG, None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn inspect_refuses_directory_of_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    let output = inspect(&[], directory.path());
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    let holder =
        if cfg!(unix) { format!("process {}", std::process::id()) } else { "another process".into() };
    assert_eq!(error, format!("{}: {holder} has this store open\n", directory.path().display()));
    store.close().await;
    printed(&[], directory.path());
}

#[test]
fn inspect_makes_no_store() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!inspect(&[], directory.path()).status.success());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
