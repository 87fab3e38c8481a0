//! Each work on a small scale, with a check of its figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin_tests::harness::within;
use serde_json::Value;

use crate::support::{Ran, run, server, test_server, tool};

/// Runs a work with `--json`, with this process as the server's.
async fn work(args: &str, url: &str) -> Value {
    let pid = std::process::id();
    run(tool(args).arg(url).arg("--json").arg("--pid").arg(pid.to_string())).await.report()
}

fn number(report: &Value, key: &str) -> f64 {
    report["results"][key].as_f64().unwrap_or_else(|| panic!("{key} is a number: {report:#}"))
}

fn assert_all(report: &Value, expected: &[(&str, f64)]) {
    for (key, value) in expected {
        assert_eq!(number(report, key), *value, "{key}: {report:#}");
    }
}

#[tokio::test]
async fn connect_counts_handshakes_and_leaves_no_session() {
    let (server, url) = test_server().await;
    let report = work("connect -n 40 --concurrency 8", &url).await;
    assert_all(&report, &[("connected", 40.0), ("errors", 0.0)]);
    assert_eq!(report["results"]["handshake"]["count"], 40);
    assert!(number(&report, "handshakes_per_second") > 1.0);
    let stats = server.server().unwrap().stats();
    assert_eq!((stats.connections, stats.suspended), (0, 0), "the tool has closed its sessions");
}

#[tokio::test]
async fn idle_reports_memory_per_connection() {
    let (_server, url) = test_server().await;
    let report = work("idle -n 100 --hold 0.1 --settle 0.05 --codec msgpack", &url).await;
    assert_all(&report, &[("connected", 100.0), ("lost", 0.0)]);
    assert!(number(&report, "server_memory_bytes_per_connection") >= 0.0);
    assert!(number(&report, "server_memory_mib") > 1.0);
}

#[tokio::test]
async fn echo_measures_closed_loop_and_scheduled_round_trips() {
    let (server, url) = test_server().await;
    let closed = work("echo -n 8 --inflight 2 --warmup 0 -d 0.2 --codec protobuf", &url).await;
    let frames = server.server().unwrap().stats().frames_in as f64;
    let round_trips = number(&closed, "round_trips");
    assert!(round_trips > 16.0 && round_trips <= frames, "{round_trips} of {frames}");
    assert!(closed["results"]["round_trip"]["p50_us"].as_f64().unwrap() > 1.0);

    let open = work("echo -n 8 --rate 200 --warmup 0 -d 0.3 --plain", &url).await;
    let asked = 200.0 * open["parameters"]["duration_seconds"].as_f64().unwrap();
    // Questions due before the window may be answered in it.
    assert!((1.0..asked + 100.0).contains(&number(&open, "round_trips")), "{open:#}");
    assert_all(&open, &[("errors", 0.0), ("lost_connections", 0.0)]);
}

#[tokio::test]
async fn fanout_measures_each_delivery() {
    let (_server, url) = test_server().await;
    for codec in ["json", "msgpack", "protobuf"] {
        let report =
            work(&format!("fanout -n 20 --rooms 4 --rate 200 --warmup 0 -d 0.2 --codec {codec}"), &url).await;
        let published = number(&report, "published");
        assert!(published > 10.0, "{report:#}");
        // Each to the five of its room, the publisher among them.
        assert_all(&report, &[("delivered", published * 5.0), ("lost", 0.0), ("repeated", 0.0)]);
        assert!(report["results"]["delivery"]["p99_us"].as_f64().unwrap() > 1.0);
    }
}

#[tokio::test]
async fn fanout_counts_repeated_and_missing_messages() {
    let frames = Arc::new(AtomicU64::new(0));
    let counted = frames.clone();
    let (_server, _listening, url) = server(|builder| {
        builder.on_message(move |connection, frame| {
            let n = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                // The third one twice, the sixth one not at all.
                for _ in 0..[1, 1, 2, 1, 1, 0].get(n as usize).copied().unwrap_or(1) {
                    connection.broadcast(&frame).unwrap();
                }
            }
        })
    })
    .await;
    let report = work("fanout -n 4 --publish-event say --rate 100 --warmup 0 -d 0.2", &url).await;
    assert_all(&report, &[("lost", 4.0), ("repeated", 4.0)]);
    assert_eq!(number(&report, "delivered"), (number(&report, "published") - 1.0) * 4.0);
}

#[tokio::test]
async fn churn_replaces_clients_at_a_rate() {
    let (server, url) = test_server().await;
    let report = work("churn -n 10 --rate 100 -d 0.3", &url).await;
    let came = number(&report, "came");
    let due = 100.0 * report["parameters"]["duration_seconds"].as_f64().unwrap();
    assert!(came >= 1.0 && came <= due + 1.0, "{report:#}");
    assert_all(&report, &[("errors", 0.0), ("connected", 10.0 + came - number(&report, "left"))]);
    within("the last ones to be gone", async {
        while server.server().unwrap().stats().connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

const STORM: &str = "resume-storm -n 30 --rooms 3 --away 0.1 --backoff 0.05 --rate 100";

#[tokio::test]
async fn resume_storm_resumes_all_without_loss_or_repetition() {
    tokio::join!(storm("reset"), storm("close"), storm("silent"));
}

async fn storm(cut: &str) {
    let (server, url) = test_server().await;
    let report = work(&format!("{STORM} --cut {cut}"), &url).await;
    assert_all(
        &report,
        &[
            ("resumed", 30.0),
            ("sessions_lost", 0.0),
            ("not_back", 0.0),
            ("published_repeated", 0.0),
            ("published_lost", 0.0),
            ("echoes_once", 30.0 * 4.0),
            ("echoes_repeated", 0.0),
            ("echoes_lost", 0.0),
            ("errors", 0.0),
        ],
    );
    assert!(number(&report, "published_once") > 30.0 * 10.0, "{report:#}");
    assert_eq!(report["results"]["back"]["count"], 30);
    assert_eq!(server.server().unwrap().stats().resumed, 30, "{cut}");
}

#[tokio::test]
async fn resume_storm_reports_lost_sessions() {
    let (_server, _listening, url) = server(|builder| {
        builder.resume_window(None).on_message(|connection, frame| async move {
            connection.send_wait(&frame).await.ok();
        })
    })
    .await;
    let report = work(&format!("{STORM} --no-publish --drain 0.1"), &url).await;
    assert_all(
        &report,
        &[("resumed", 0.0), ("sessions_lost", 30.0), ("echoes_once", 0.0), ("echoes_lost", 120.0)],
    );
}

#[tokio::test]
async fn resume_storm_distinguishes_dropped_from_lost_frames() {
    let (_server, url) = test_server().await;
    // While they are away, 490 messages are published, and 256 are retained.
    let report = work("resume-storm -n 4 --rate 700 --away 0.7 --backoff 0.01 --echoes 0", &url).await;
    let lost = number(&report, "published_lost");
    assert!(lost >= 4.0 * 100.0, "{report:#}");
    assert_all(
        &report,
        &[("published_lost_and_reported", lost), ("published_repeated", 0.0), ("resumed", 4.0)],
    );
}

#[tokio::test]
async fn resume_storm_resumes_plain_clients_by_id() {
    let (server, url) = test_server().await;
    let report = work(&format!("{STORM} --plain --no-publish"), &url).await;
    assert_all(&report, &[("resumed", 30.0), ("echoes_once", 120.0), ("errors", 0.0)]);
    assert_eq!(server.server().unwrap().stats().resumed, 30);
}

#[tokio::test]
async fn default_output_is_a_table() {
    let (_server, url) = test_server().await;
    let Ran { status, stdout, stderr } = run(tool("connect -n 5").arg(&url)).await;
    assert_eq!((status, stderr.as_str()), (0, ""));
    for word in ["connect: clients 5", "handshake", "p99.9", "per s"] {
        assert!(stdout.contains(word), "{stdout}");
    }
    assert!(!stdout.contains("127.0.0.1"), "reports are passed on, and URLs may be secret: {stdout}");
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_prints_figures_so_far() {
    let (server, url) = test_server().await;
    let running =
        tool("echo -n 4 -d 600 --json").arg(&url).stdout(std::process::Stdio::piped()).spawn().unwrap();
    within("some echoes", async {
        while server.server().unwrap().stats().frames_in < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let pid = running.id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = within("the end of the tool", running.wait_with_output()).await.unwrap();
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(number(&report, "connected"), 4.0);
    assert!(report["notes"][0].as_str().unwrap().contains("interrupted"), "{report:#}");
}
