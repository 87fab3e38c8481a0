//! Counters of frames and bytes: sent, received, broadcast, retained, dropped.

use rejoin_server::{Frame, Gap};
use rejoin_tests::harness::{Heard, RESET, What, next, number, numbers};
use rejoin_tests::network::Line;

use super::{FRAME, FRAMED, server};
use crate::{client, millis, raw, secs, shut_down};

#[tokio::test(start_paused = true)]
async fn frames_and_bytes_are_counted_in_both_directions() {
    for plain in [false, true] {
        let (server, mut log, metrics) = server(|builder| builder);
        let line = Line::to(&server);
        let builder = line.client("/?id=ada");
        let builder = if plain { builder.plain() } else { builder };
        let mut ada = builder.connect().await.unwrap();
        log.connected().await;
        for n in 1..=3 {
            ada.send(&number(n)).unwrap();
        }
        assert_eq!(log.numbers(3).await, [1, 2, 3]);
        for n in 1..=5 {
            server.send("ada", &number(n)).unwrap();
        }
        assert_eq!(numbers(&mut ada, 5).await, [1, 2, 3, 4, 5]);
        assert_eq!((metrics.sum("received"), metrics.sum("received_bytes")), (3, 3 * FRAME));
        assert_eq!((metrics.sum("sent"), metrics.sum("sent_bytes")), (5, 5 * FRAMED));
        assert_eq!(metrics.buffer(), [(5, 256)], "reported at its fullest");
        let stats = server.stats();
        assert_eq!((stats.bytes_in, stats.bytes_out), (3 * FRAME as u64, 5 * FRAMED as u64));
        assert_eq!(metrics.sum("retained_bytes"), if plain { 0 } else { 5 * FRAMED });
        // The acknowledgement arrives within a second.
        tokio::time::sleep(secs(2)).await;
        assert_eq!((metrics.sum("retained_bytes"), server.stats().retained_bytes), (0, 0));
        assert_eq!((metrics.sum("replayed"), metrics.sum("frames_dropped")), (0, 0));
        shut_down(&server).await;
        let stats = server.stats();
        assert_eq!((stats.bytes_in, stats.bytes_out), (3 * FRAME as u64, 5 * FRAMED as u64), "totals stay");
    }
}

#[tokio::test(start_paused = true)]
async fn broadcasts_report_encoded_bytes_and_receivers() {
    let (server, mut log, metrics) = server(|builder| builder);
    let (_ada, _) = client(&server, &mut log, "ada").await;
    let (_ben, _) = client(&server, &mut log, "ben").await;
    server.broadcast("room", &number(1)).unwrap();
    server.broadcast("empty", &number(1)).unwrap();
    assert!(server.broadcast("room", &Frame::event_only("$x")).is_err(), "the broadcast fails");
    assert_eq!(metrics.sum("broadcasts"), 2);
    assert_eq!((metrics.sum("broadcast_bytes"), metrics.sum("broadcast_receivers")), (FRAMED, 2));
}

/// A plain client sends nothing that would wake the session's task.
#[tokio::test(start_paused = true)]
async fn broadcast_reports_written_frames_at_once() {
    let (server, mut log, metrics) = server(|builder| builder.send_buffer(8));
    let mut ada = Line::to(&server).client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    for n in 1..=3 {
        server.broadcast("room", &number(n)).unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [n]);
        assert_eq!((metrics.sum("sent"), metrics.sum("sent_bytes")), (n as i64, n as i64 * FRAMED));
        assert_eq!(metrics.buffer(), [(1, 8)], "before the frame was written");
        assert_eq!(metrics.sum("retained_bytes"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn broadcast_writes_when_half_a_buffer_is_pending() {
    // Half in frames, and half in bytes.
    for (frames, bytes, writes) in [(8, 1 << 20, 4), (256, 4 * FRAMED as usize, 2)] {
        let (server, mut log, metrics) =
            server(|builder| builder.send_buffer(frames).send_buffer_bytes(bytes));
        let _ada = Line::to(&server).client("/?id=ada").plain().connect().await.unwrap();
        log.connected().await;
        for n in 1..=writes {
            assert_eq!(metrics.sum("sent"), 0, "{n}: the fan-out has not had its turn");
            server.broadcast("room", &number(n)).unwrap();
        }
        assert_eq!(metrics.sum("sent"), writes as i64, "before the last call returned");
    }
}

#[tokio::test(start_paused = true)]
async fn ended_session_retains_no_bytes() {
    for ends_by_kick in [true, false] {
        let (server, mut log, metrics) = server(|builder| builder.resume_window(secs(5)));
        let (_ada, line) = client(&server, &mut log, "ada").await;
        line.unplug();
        assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
        for n in 1..=3 {
            server.send("ada", &number(n)).unwrap();
            tokio::time::sleep(millis(1)).await;
        }
        assert_eq!(metrics.sum("retained_bytes"), 3 * FRAMED);
        if ends_by_kick {
            server.kick("ada").await.unwrap();
        }
        log.next().await;
        tokio::time::sleep(millis(1)).await;
        assert_eq!((metrics.sum("retained_bytes"), server.stats().retained_bytes), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_frames_and_sent_gaps_are_counted() {
    let (server, mut log, metrics) = server(|builder| builder.send_buffer(4));
    let (mut slow, line) = client(&server, &mut log, "slow").await;
    line.unplug();
    assert_eq!(log.next().await, ("slow", What::Dropped(RESET)));
    assert_eq!(next(&mut slow).await, Heard::Disconnected(RESET));
    for n in 1..=9 {
        server.broadcast("room", &number(n)).unwrap();
        tokio::time::sleep(millis(1)).await;
    }
    assert_eq!((metrics.sum("frames_dropped"), metrics.sum("gap_sent")), (5, 0));
    assert_eq!(metrics.sum("retained_bytes"), 4 * FRAMED);
    let full = metrics.buffer();
    assert_eq!(full[..4], [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert!(full[4..].iter().all(|full| *full == (4, 4)) && full.len() == 9);
    line.plug_in();
    assert_eq!(next(&mut slow).await, Heard::Resumed);
    assert_eq!(next(&mut slow).await, Heard::gap(1, 5));
    assert_eq!(numbers(&mut slow, 4).await, [6, 7, 8, 9]);
    assert_eq!((metrics.sum("frames_dropped"), metrics.sum("gap_sent")), (5, 5));
    assert_eq!((metrics.sum("sent"), metrics.sum("replayed")), (4, 0), "no socket had got them before");
    server.kick("slow").await.unwrap();
    shut_down(&server).await;
    assert_eq!(metrics.sum("retained_bytes"), 0, "retained bytes end with the session");
}

#[tokio::test(start_paused = true)]
async fn received_gap_is_not_a_received_frame() {
    let (server, mut log, metrics) = server(|builder| builder);
    let mut socket = raw::dial(&Line::to(&server), "ada", "rejoin.v1.json").await.unwrap();
    raw::read(&mut socket).await;
    log.connected().await;
    raw::write(&mut socket, r#"{"event":"$gap","payload":{"from":1,"to":3}}"#).await;
    raw::write(&mut socket, r#"{"event":"n","payload":4}"#).await;
    assert_eq!(log.next().await, ("ada", What::Gap(Gap::new(1, 3))));
    assert_eq!(log.numbers(1).await, [4]);
    tokio::time::sleep(millis(1)).await;
    assert_eq!((metrics.sum("gap_received"), metrics.sum("received")), (3, 1));
    assert_eq!(metrics.sum("received_bytes"), FRAME);
}
