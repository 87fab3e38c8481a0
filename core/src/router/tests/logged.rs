//! Log output of applications without `on_error`. No other test may produce it: `tracing` caches for all threads whether the
//! first thread that logs has a subscriber.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::Payload;
use crate::router::{CatchPanic, Context, Decoded, Failure, Next};

/// Records log events.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(*event.metadata().level(), Level::WARN);
        let mut line = Line(String::new());
        event.record(&mut line);
        writeln!(self.0.lock().unwrap(), "{}", line.0.trim_end()).unwrap();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

/// The log output for these frames.
fn logged(router: RouterBuilder<Fake>, frames: impl IntoIterator<Item = Frame>) -> String {
    let (router, log) = (router.build().unwrap(), Log::default());
    tracing::subscriber::with_default(log.clone(), || handle(&router, frames));
    std::mem::take(&mut *log.0.lock().unwrap())
}

#[test]
fn error_is_logged_with_event_id_and_reason() {
    let router = router().on("x", || async { Err::<(), _>("no such room") });
    assert_eq!(
        logged(router, [event("x").with_id("q1"), event("y")]),
        "message=frame was not handled event=\"x\" id=\"q1\" reason=handler failed: no such room\n\
         message=frame was not handled event=\"y\" id=\"\" reason=no handler, and no fallback\n"
    );
}

#[test]
fn payloads_are_never_logged() {
    #[derive(Debug)]
    struct Wrapped(serde_json::Error);
    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "wrapped: {}", self.0)
        }
    }
    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let router = router()
        .layer(CatchPanic)
        .on("taken", |_: Decoded<u8>| async {})
        .on("own", |frame: Frame| async move { frame.decode::<u8>().map(drop) })
        .on("wrapped", |frame: Frame| async move {
            let payload = frame.payload().map(Payload::data).cloned().unwrap_or_default();
            serde_json::from_slice::<u8>(&payload).map(drop).map_err(Wrapped)
        })
        .on("unwrapped", |frame: Frame| async move { assert_eq!(frame.decode::<u8>().unwrap(), 0) });
    let frames = ["taken", "own", "wrapped", "unwrapped"].map(|event| Frame::new(event, "secret").unwrap());
    let log = logged(router, frames);
    assert!(!log.contains("secret"), "{log}");
    let reasons: Vec<_> =
        log.lines().filter_map(|line| line.split_once("reason=")).map(|(_, why)| why).collect();
    assert_eq!(
        reasons,
        [
            "unexpected JSON payload",
            "unexpected JSON payload",
            "handler failed: unexpected payload",
            "handler panicked",
        ]
    );
}

#[test]
fn failures_without_payload_are_logged_in_full() {
    async fn gate(context: Context<Fake>, next: Next<Fake>) -> Result<(), Failure> {
        match context.frame().event() {
            "refused" => Err("not today".into()),
            "quoted" => Err(Failure::Refused(serde_json::from_str::<u8>("\"secret\"").unwrap_err().into())),
            _ => next.run(context).await,
        }
    }
    let encodes = |_: Frame| async {
        let keyed = std::collections::HashMap::from([(("secret", 1), 2)]);
        Frame::new("reply", &keyed).map(drop)
    };
    let router = router().layer(gate).on("encodes", encodes).on("missing", |_: Decoded<u8>| async {});
    let log = logged(router, ["refused", "quoted", "encodes", "missing"].map(event));
    let reasons: Vec<_> =
        log.lines().filter_map(|line| line.split_once("reason=")).map(|(_, why)| why).collect();
    assert_eq!(
        reasons,
        [
            "refused: not today",
            "refused: unexpected payload",
            "payload cannot be represented in JSON",
            "frame has no payload",
        ]
    );
}

#[test]
fn odd_event_names_cannot_flood_or_forge_logs() {
    let log = logged(router(), [event(&"ä".repeat(65)), event("a\nb"), event(&"b".repeat(64))]);
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(log.contains(&format!("event=\"{}\" ", "b".repeat(64))), "{log}");
    assert!(log.contains(&format!("event=\"{}\"… ", "ä".repeat(64))), "{log}");
}
