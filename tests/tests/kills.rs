//! A server process is killed under load, and its clients get every frame once and in order. `kills` does it for longer.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use rejoin_tests::kills::Kills;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_loses_and_repeats_nothing() {
    let directory = std::env::temp_dir().join(format!("rejoin-kills-test-{}", std::process::id()));
    let mut kills = Kills::new(env!("CARGO_BIN_EXE_rejoin-testserver").into(), directory.clone());
    (kills.kills, kills.clients) = (6, 6);
    let report = kills.run().await;
    std::fs::remove_dir_all(&directory).ok();
    let report = report.unwrap();
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    assert!(report.received > 0 && report.ways.iter().sum::<usize>() == 6);
}

/// Clients under load over SIGTERM and the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handed_over_sessions_lose_and_repeat_nothing() {
    let mut kills = handing_over("handed");
    (kills.kills, kills.clients) = (2, 5);
    let report = kills.run().await;
    std::fs::remove_dir_all(&kills.directory).ok();
    let report = report.unwrap();
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    assert!(report.received > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_tells_who_was_attached_and_keeps_who_was_not() {
    let kills = handing_over("crash");
    let outcome = kills.crash().await;
    std::fs::remove_dir_all(&kills.directory).ok();
    let (told, got) = outcome.unwrap();
    assert_eq!(told, ["Some(Unknown)"; 3]);
    assert_eq!(got, vec![(1..=20).collect::<Vec<u64>>(); 3]);
}

fn handing_over(name: &str) -> Kills {
    let directory = std::env::temp_dir().join(format!("rejoin-kills-{name}-{}", std::process::id()));
    let mut kills = Kills::new(env!("CARGO_BIN_EXE_rejoin-testserver").into(), directory);
    kills.hands_over = true;
    kills
}
