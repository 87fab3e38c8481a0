//! The implementation for the facade of the crate `metrics`.

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use metrics_util::{CompositeKey, MetricKind};
use rejoin_server::{
    CallbackKind, CloseReason, DropReason, FacadeMetrics, Limit, Metrics as _, ResumeRefused, StatusCode,
};
use rejoin_tests::harness::{Heard, RESET, next, number, numbers};
use rejoin_tests::network::{Dials, Line};

use crate::{client, raw, secs};

/// The value of each metric in a snapshot, by its name and labels: `name{label=value}`.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let named = |key: &CompositeKey| {
        let labels: Vec<_> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("{}{labels}", key.key().name())
    };
    let snapshot = snapshotter.snapshot().into_vec();
    snapshot.into_iter().map(|(key, .., value)| (named(&key), value)).collect()
}

#[tokio::test(start_paused = true)]
async fn facade_gets_every_metric_with_its_labels() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (server, mut log) = crate::server(|builder| {
        builder.send_buffer(4).heartbeat(secs(200), secs(300)).metrics(FacadeMetrics::new())
    });
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    ada.send(&number(1)).unwrap();
    assert_eq!(log.numbers(1).await, [1]);
    // Written to a socket that does not deliver them, and replayed after a takeover.
    line.half_open();
    for n in 1..=2 {
        server.send("ada", &number(n)).unwrap();
    }
    assert_eq!(numbers(&mut ada, 2).await, [1, 2]);
    // Dropped while no socket is attached, and reported as a gap.
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    tokio::time::sleep(secs(1)).await;
    for n in 3..=9 {
        server.broadcast("room", &number(n)).unwrap();
    }
    line.plug_in();
    while !matches!(next(&mut ada).await, Heard::Gap(_)) {}
    assert_eq!(numbers(&mut ada, 4).await, [6, 7, 8, 9]);
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", "x".repeat(43));
    let mut ben = raw::dial(&Line::to(&server), "ben", &offer).await.unwrap();
    raw::read(&mut ben).await;
    raw::write(&mut ben, r#"{"event":"$gap","payload":{"from":1,"to":3}}"#).await;
    assert_eq!(raw::dial(&Line::to(&server), "eve", "rejoin.v9.json").await.err(), Some(400));
    // Silent for the pong timeout.
    line.half_open();
    line.set_dials(Dials::Refused);
    tokio::time::sleep(secs(400)).await;
    assert_eq!(server.stats().connections + server.stats().suspended, 0);

    let values = values(&recorder.snapshotter());
    let counters: Vec<_> = values
        .iter()
        .filter_map(|(name, value)| match value {
            DebugValue::Counter(count) => Some((name.as_str(), *count)),
            _ => None,
        })
        .collect();
    let bytes = 27;
    assert_eq!(
        counters,
        [
            ("rejoin_broadcast_bytes_total", 7 * bytes),
            ("rejoin_broadcasts_total", 7),
            ("rejoin_connections_closed_total{reason=window_expired}", 2),
            ("rejoin_connections_opened_total", 2),
            ("rejoin_dropped_frames_total", 3),
            ("rejoin_gap_frames_total{direction=received}", 3),
            ("rejoin_gap_frames_total{direction=sent}", 3),
            ("rejoin_heartbeat_failures_total", 2),
            ("rejoin_joins_total", 2),
            ("rejoin_received_bytes_total", 25),
            ("rejoin_received_frames_total", 1),
            ("rejoin_replayed_frames_total", 2),
            ("rejoin_resume_attempts_total", 3),
            ("rejoin_resumes_refused_total{reason=unknown}", 1),
            ("rejoin_rooms_created_total", 1),
            ("rejoin_sent_bytes_total", 8 * bytes),
            ("rejoin_sent_frames_total", 8),
            ("rejoin_takeovers_total", 1),
            ("rejoin_transport_drops_total{reason=heartbeat_timeout}", 2),
            ("rejoin_transport_drops_total{reason=io}", 1),
            ("rejoin_transport_drops_total{reason=taken_over}", 1),
            ("rejoin_transport_restores_total", 2),
            ("rejoin_upgrades_refused_total{status=4xx}", 1),
        ]
    );
    for gauge in ["rejoin_connections", "rejoin_rooms", "rejoin_memberships", "rejoin_retained_bytes"] {
        assert_eq!(values[gauge], DebugValue::Gauge(0.0.into()), "{gauge}: all have ended");
    }
    let histogram = |name: &str| match &values[name] {
        DebugValue::Histogram(samples) => samples.iter().map(|sample| sample.0).collect::<Vec<_>>(),
        other => panic!("{name} is not a histogram: {other:?}"),
    };
    assert_eq!(histogram("rejoin_broadcast_receivers"), [1.0; 7]);
    assert!(histogram("rejoin_connection_duration_seconds").iter().all(|lived| *lived > 300.0));
    assert!(histogram("rejoin_send_buffer_ratio").contains(&1.0));
    assert_eq!(histogram("rejoin_callback_duration_seconds{callback=message}").len(), 1);
}

/// The names and kinds in the table in the documentation.
fn documented() -> BTreeMap<&'static str, MetricKind> {
    let rows = include_str!("../../../../server/src/observe/facade.rs").lines().filter_map(|line| {
        let row = line.strip_prefix("/// | `rejoin_")?;
        let (name, rest) = row.split_once('`').unwrap();
        let kind = match rest.split('|').nth(1).unwrap().trim() {
            "counter" => MetricKind::Counter,
            "gauge" => MetricKind::Gauge,
            "histogram" => MetricKind::Histogram,
            other => panic!("{name} is a {other}"),
        };
        Some((name, kind))
    });
    rows.collect()
}

#[test]
fn facade_table_lists_every_metric() {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        let facade = FacadeMetrics::new();
        facade.upgrade_refused(StatusCode::BAD_GATEWAY);
        facade.limit_reached(Limit::Connections);
        facade.connection_opened();
        facade.connection_closed(secs(1), &CloseReason::Normal);
        facade.room_created();
        facade.room_destroyed();
        facade.resume_attempted();
        facade.resume_refused(ResumeRefused::Unknown);
        facade.takeover();
        facade.transport_dropped(&DropReason::Cut);
        facade.heartbeat_failed();
        facade.transport_restored();
        facade.received(1, 1);
        facade.sent(1, 1);
        facade.replayed(1);
        facade.broadcast(1, 1);
        facade.frames_dropped(1);
        facade.volatile_dropped(1);
        facade.gap_sent(1);
        facade.gap_received(1);
        facade.send_buffer_used(1, 2);
        facade.retained_bytes_changed(-1);
        facade.callback_finished(CallbackKind::Message, secs(1));
        facade.joined();
        facade.left();
        facade.join_refused();
        facade.error("accept");
    });
    let reported = recorder.snapshotter().snapshot().into_vec();
    let table = documented();
    assert_eq!(table.len(), 32);
    for (key, _, description, _) in &reported {
        let name = key.key().name().strip_prefix("rejoin_").unwrap();
        assert_eq!(table.get(name), Some(&key.kind()), "{name} is in the table");
        assert!(description.is_some(), "{name} is described");
    }
    let names: BTreeSet<_> = reported.iter().map(|(key, ..)| key.key().name()).collect();
    assert_eq!(names.len(), table.len(), "each metric in the table is reported");
}
