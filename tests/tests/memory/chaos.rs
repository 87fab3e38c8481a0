//! Thousands of frames in both directions, over sockets that fail at any byte: delivered exactly once, in order.

use rejoin_client::{Connection, Event, SendError};
use rejoin_server::{CloseReason, Stats};
use rejoin_tests::harness::{MetricsLog, Recorder, What, next_event, number};
use rejoin_tests::network::Line;

use crate::{millis, secs, server, shut_down};

const SEEDS: u64 = 30;
const FRAMES: u64 = 2500;

#[tokio::test(start_paused = true)]
async fn frames_survive_random_cuts_once_in_order() {
    let mut dials = 0;
    for seed in 0..SEEDS {
        println!("seed {seed}");
        dials += one_seed(seed).await;
    }
    assert!(dials > 30 * usize::try_from(SEEDS).unwrap(), "sockets that failed: {dials}");
}

async fn one_seed(seed: u64) -> usize {
    // Small buffers in every third round, so that senders wait.
    let buffer = if seed.is_multiple_of(3) { 8 } else { 256 };
    let metrics = MetricsLog::default();
    let (server, mut log) = server(|builder| {
        builder
            .metrics(metrics.clone())
            .resume_window(secs(3600))
            .heartbeat(secs(2), secs(6))
            .send_buffer(buffer)
    });
    let line = Line::to(&server).with_capacity(if seed.is_multiple_of(2) { 512 } else { 64 * 1024 });
    let client = line.client("/?id=ada").reconnect(millis(1), millis(200)).heartbeat(secs(2), secs(6));
    let mut client =
        client.handshake_timeout(secs(5)).seed(seed).send_buffer(buffer).connect().await.unwrap();
    let connection = log.connected().await;
    line.cut_at_random(seed, 2000);
    let sender = client.sender();
    let says = async {
        for n in 1..=FRAMES {
            while let Err(error) = sender.send_wait(&number(n)).await {
                assert_eq!(error, SendError::Timeout, "seed {seed}");
            }
        }
    };
    let answers = async {
        for n in 1..=FRAMES {
            while let Err(error) = connection.send_wait(&number(n)).await {
                assert_eq!(error, SendError::Timeout, "seed {seed}");
            }
        }
    };
    tokio::join!(says, answers, client_hears(&mut client, seed), server_hears(&mut log, seed));
    // The last frame is sent over a socket that does not fail.
    line.heal();
    line.finish();
    client.send(&number(FRAMES + 1)).unwrap();
    assert_eq!(log.numbers_over_drops(1).await, [FRAMES + 1], "seed {seed}");
    assert_eq!(client.close().await.unacknowledged, 0, "seed {seed}");
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::Normal)), "seed {seed}");
    let stats = server.stats();
    assert_eq!((stats.frames_in, stats.frames_out, stats.dropped), (FRAMES + 1, FRAMES, 0), "seed {seed}");
    shut_down(&server).await;
    metrics_agree(&metrics, &server.stats(), seed);
    line.dials()
}

/// The reported increments add up to the final state.
fn metrics_agree(metrics: &MetricsLog, stats: &Stats, seed: u64) {
    let sums = ["received", "received_bytes", "sent_bytes", "retained_bytes"].map(|name| metrics.sum(name));
    let sums = sums.map(|sum| u64::try_from(sum).expect("the sum of the changes"));
    assert_eq!(sums, [stats.frames_in, stats.bytes_in, stats.bytes_out, 0], "seed {seed}");
    let once = metrics.sum("sent") - metrics.sum("replayed");
    assert_eq!(
        once,
        i64::try_from(FRAMES).unwrap(),
        "seed {seed}: apart from replays, each frame is sent once"
    );
    let happened = metrics.happened();
    let count = |what: &str| happened.iter().filter(|told| told.starts_with(what)).count() as u64;
    assert_eq!((count("connection opened"), count("connection closed")), (1, 1), "seed {seed}");
    assert_eq!(count("transport restored"), stats.resumed, "seed {seed}");
    assert_eq!(count("transport dropped"), stats.resumed, "seed {seed}: each drop was restored");
}

/// Drops and restores alternate, and the numbers come in between.
async fn client_hears(client: &mut Connection, seed: u64) {
    let (mut last, mut away) = (0, false);
    while last < FRAMES {
        match next_event(client).await {
            Event::Message(frame) => {
                last += 1;
                assert_eq!(frame.decode::<u64>().unwrap(), last, "seed {seed}: at the client");
            }
            Event::Disconnected { .. } => {
                assert!(!std::mem::replace(&mut away, true), "seed {seed}: dropped twice")
            }
            Event::Reconnected { resumed: true } => {
                assert!(std::mem::replace(&mut away, false), "seed {seed}: restored twice")
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

async fn server_hears(log: &mut Recorder, seed: u64) {
    let (mut last, mut away) = (0, false);
    while last < FRAMES {
        let happening = log.next().await;
        match &happening.what {
            What::Message(frame) => {
                last += 1;
                assert_eq!(frame.decode::<u64>().unwrap(), last, "seed {seed}: at the server");
            }
            What::Dropped(_) => assert!(!std::mem::replace(&mut away, true), "seed {seed}: dropped twice"),
            What::Restored => assert!(std::mem::replace(&mut away, false), "seed {seed}: restored twice"),
            _ => panic!("seed {seed}: {happening:?}"),
        }
    }
}
