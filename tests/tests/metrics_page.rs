//! The metrics page of the example `metrics`, as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use rejoin_examples::metrics as example;
use rejoin_server::{
    CallbackKind, CloseReason, DropReason, FacadeMetrics, Limit, Metrics as _, ResumeRefused, StatusCode,
};
use rejoin_tests::harness::within;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn scrape(addr: std::net::SocketAddr) -> io::Result<String> {
    let mut io = TcpStream::connect(addr).await?;
    io.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut page = String::new();
    io.read_to_string(&mut page).await?;
    Ok(page)
}

#[tokio::test]
async fn metrics_page_shows_drops_and_resumes() {
    let recorder = example::recorder().expect("no list of buckets is empty").build_recorder();
    // For this thread only: the runtime has no other.
    let _installed = metrics::set_default_local_recorder(&recorder);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let addr = listener.local_addr().expect("it listens");
    let url = format!("ws://{addr}/ws?room=lobby");
    let seen = async {
        // A socket is lost every second, and returns half a second later.
        loop {
            let page = scrape(addr).await.expect("the app answers");
            if page.contains("rejoin_transport_restores_total 1\n") {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let page = tokio::select! {
        page = within("restore", seen) => page,
        visited = example::visit(&url) => panic!("the visitor has left: {visited:?}"),
        served = example::serve(listener, recorder.handle(), std::future::pending()) => panic!("{served:?}"),
    };
    for line in [
        "content-type: text/plain; version=0.0.4",
        "# HELP rejoin_transport_drops_total sockets that sessions lost",
        "# TYPE rejoin_transport_drops_total counter",
        r#"rejoin_transport_drops_total{reason="cut"} 1"#,
        "rejoin_resume_attempts_total 1",
        "# TYPE rejoin_connections gauge",
        "rejoin_connections 1",
        "# TYPE rejoin_callback_duration_seconds histogram",
        r#"rejoin_callback_duration_seconds_count{callback="connect_fn"} 2"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    assert!(!page.contains("lobby") && !page.contains("session="), "no label is unbounded");
}

/// The page once every metric has a value: the labels of each name.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let recorder = example::recorder().expect("no list of buckets is empty").build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let facade = FacadeMetrics::new();
        facade.upgrade_refused(StatusCode::BAD_GATEWAY);
        facade.limit_reached(Limit::Connections);
        facade.connection_opened();
        facade.connection_closed(Duration::from_secs(1), &CloseReason::Normal);
        facade.room_created();
        facade.room_destroyed();
        facade.joined();
        facade.left();
        facade.join_refused();
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
        facade.retained_bytes_changed(1);
        facade.callback_finished(CallbackKind::Message, Duration::from_secs(1));
        facade.error("accept");
    });
    let page = recorder.handle().render();
    let mut exported = BTreeMap::<String, BTreeSet<String>>::new();
    for line in page.lines().filter(|line| line.starts_with("rejoin_")) {
        let (series, _) = line.rsplit_once(' ').expect("a series has a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let known = exported.entry(name.to_owned()).or_default();
        known.extend(labels.map(|(label, _)| label.to_owned()));
    }
    let table = include_str!("../../server/src/observe/facade.rs");
    for row in table.lines().filter_map(|line| line.strip_prefix("/// | `rejoin_")) {
        let name = format!("rejoin_{}", row.split_once('`').expect("a name").0);
        let is_exported = exported.keys().any(|series| series.starts_with(&name));
        assert!(is_exported, "call {name}'s hook above, and show it on the board");
    }
    exported
}

/// The queries of the board.
fn queries() -> Vec<String> {
    let board: Value =
        serde_json::from_str(include_str!("../../examples/metrics/grafana.json")).expect("the board is JSON");
    let panels = board["panels"].as_array().expect("it has panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has its own number");
    let charts = panels.iter().filter(|panel| panel["type"] != "row");
    let targets = charts.flat_map(|panel| panel["targets"].as_array().expect("a chart has queries"));
    targets.map(|target| target["expr"].as_str().expect("a query is a text").to_owned()).collect()
}

/// The words of a query: names of functions, metrics and labels.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').filter(|word| !word.is_empty())
}

#[test]
fn board_queries_use_exported_metrics_and_labels() {
    let exported = exported();
    let queries = queries();
    assert!(queries.len() >= 30, "the queries were not found");
    for query in &queries {
        let names: Vec<_> = words(query).filter(|word| word.starts_with("rejoin_")).collect();
        let [name] = names[..] else { panic!("{query} asks for {names:?}") };
        let labels = exported.get(name).unwrap_or_else(|| panic!("{name} is not exported"));
        // `sum by (a, b) (…)`
        let by =
            query.split_once(" by (").map_or("", |(_, rest)| rest.split_once(')').expect("it is closed").0);
        for label in words(by) {
            assert!(labels.contains(label), "{name} has no label {label}: {labels:?}");
        }
        // A label that splits a metric is shown, or the sum would mix what differs.
        let split = labels.iter().filter(|label| *label != "le" && !words(by).any(|word| word == **label));
        assert_eq!(split.count(), 0, "{query} adds up different labels");
        let is_counter = name.ends_with("_total") || name.ends_with("_bucket");
        assert_eq!(is_counter, query.contains("rate("), "{query}: rates are for counters");
    }
}

#[test]
fn board_shows_every_metric() {
    let queries = queries();
    let shown: BTreeSet<_> = queries.iter().flat_map(|query| words(query)).collect();
    for name in exported().keys().filter(|name| !name.ends_with("_sum") && !name.ends_with("_count")) {
        assert!(shown.contains(name.as_str()), "{name} is on no panel");
    }
}
