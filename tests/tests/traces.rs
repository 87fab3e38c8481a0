//! The spans that the example `traces` exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::{SpanId, SpanKind, TraceId};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use rejoin_client::http::{HeaderMap, HeaderName};
use rejoin_examples::traces;
use rejoin_tests::harness::{Heard, RESET, millis, next, number, shut_down};
use rejoin_tests::network::Line;
use tracing_subscriber::layer::SubscriberExt as _;

/// The client's own trace for its dial of this number.
fn trace(dial: u64) -> (TraceId, SpanId) {
    (
        TraceId::from_bytes(u128::from(0xabc0 + dial).to_be_bytes()),
        SpanId::from_bytes((0xd0 + dial).to_be_bytes()),
    )
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|KeyValue { value, .. }| value)
}

#[tokio::test(start_paused = true)]
async fn span_of_a_session_continues_over_resumes() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber = tracing_subscriber::registry().with(traces::layer(&provider));
    // For this thread only: the runtime has no other.
    let _installed = tracing::subscriber::set_default(subscriber);
    let server = traces::server().unwrap();
    let line = Line::to(&server);
    let dials = Arc::new(AtomicU64::new(0));
    let counted = dials.clone();
    let client = line.client("/").reconnect(millis(1), millis(20)).dial_headers(move || {
        let (trace, span) = trace(counted.fetch_add(1, Ordering::Relaxed));
        let value = format!("00-{trace}-{span}-01").parse().unwrap();
        async move { Ok(HeaderMap::from_iter([(HeaderName::from_static("traceparent"), value)])) }
    });
    let mut ada = client.connect().await.unwrap();
    for n in 0..3 {
        ada.send(&number(n)).unwrap();
        assert_eq!(next(&mut ada).await, Heard::Message(number(n)));
        assert_eq!(exporter.get_finished_spans().unwrap().len(), 1, "the span of the message");
        exporter.reset();
        if n < 2 {
            line.cut();
            assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
            assert_eq!(next(&mut ada).await, Heard::Resumed);
            assert!(exporter.get_finished_spans().unwrap().is_empty(), "the session continues");
        }
    }
    ada.send(&number(3)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(number(3)));
    ada.close().await;
    shut_down(&server).await;
    // The connection's data is dropped with its last handle.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let spans = exporter.get_finished_spans().unwrap();
    let [said, session] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*session.name, &session.span_kind), ("session", &SpanKind::Server));
    let (first_trace, first_span) = trace(0);
    assert_eq!((session.span_context.trace_id(), session.parent_span_id), (first_trace, first_span));
    let links: Vec<_> = session.links.iter().map(|link| &link.span_context).collect();
    let linked: Vec<_> = links.iter().map(|context| (context.trace_id(), context.span_id())).collect();
    assert_eq!(linked, [trace(1), trace(2)]);
    assert_eq!(attribute(session, "rejoin.resumed"), Some(&Value::I64(2)));
    assert_eq!(attribute(session, "rejoin.reason"), Some(&Value::from("normal")));
    let events: Vec<_> = session.events.iter().map(|event| &*event.name).collect();
    assert!(events.chunks(2).all(|pair| pair == ["away", "back"]), "{events:?}");
    // After two resumes.
    assert_eq!((&*said.name, said.parent_span_id), ("message", session.span_context.span_id()));
    assert_eq!(said.span_context.trace_id(), first_trace);
    assert_eq!(attribute(said, "event"), Some(&Value::from("n")));
}

#[tokio::test(start_paused = true)]
async fn session_without_traceparent_is_a_root() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let _installed =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(traces::layer(&provider)));
    let server = traces::server().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/").connect().await.unwrap();
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    ada.close().await;
    shut_down(&server).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spans = exporter.get_finished_spans().unwrap();
    let [session] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((session.parent_span_id, session.links.len()), (SpanId::INVALID, 0));
}
