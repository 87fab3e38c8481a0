//! Every failure reaches `on_error`, with its reason and location.

use super::*;
use crate::PayloadError;
use crate::router::{CatchPanic, Decoded, Extension, Failure};

/// The only error for this frame.
fn failure(router: RouterBuilder<Fake>, peer: &Fake, frame: Frame) -> RouteError {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = errors.clone();
    let router = router.on_error(move |_, error| {
        seen.lock().unwrap().push(error);
        std::future::ready(())
    });
    run(router.build().unwrap().handle(peer, frame));
    let mut errors = std::mem::take(&mut *errors.lock().unwrap());
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[test]
fn error_names_event_and_id() {
    let error = failure(router(), &Fake::default(), event("nowhere").with_id("q1"));
    assert_eq!((error.event(), error.id()), ("nowhere", "q1"));
    assert!(matches!(error.failure(), Failure::NoHandler));
    assert_eq!(error.to_string(), r#"event "nowhere", id "q1": no handler, and no fallback"#);
}

#[test]
fn decode_failure_names_position() {
    let frame = || Frame::new("n", &["1", "x"]).unwrap();
    let taken = router().on("n", |_: Decoded<(String, u8)>| async {});
    let own = router().on("n", |frame: Frame| async move { frame.decode::<(String, u8)>().map(drop) });
    for router in [taken, own] {
        let error = failure(router, &Fake::default(), frame());
        let Failure::Payload(PayloadError::Decode { path, .. }) = error.failure() else {
            panic!("{error:?}")
        };
        assert_eq!(&**path, "[1]");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.is::<PayloadError>()));
    }
}

async fn panics() {
    panic!("oh");
}

#[test]
fn each_failure_reaches_on_error() {
    let (open, closed) = (Fake::default(), Fake::closed());
    let router = || {
        router()
            .layer(CatchPanic)
            .on("extension", |_: Extension<u8>| async {})
            .on("handler", || async { Err::<(), _>(std::fmt::Error) })
            .on("panic", panics)
            .on("reply", || async { event("reply") })
    };
    let failure = |peer, name| failure(router(), peer, event(name)).into_failure();
    assert!(matches!(failure(&open, "extension"), Failure::MissingExtension("u8")));
    let Failure::Handler(error) = failure(&open, "handler") else { panic!("not the handler's") };
    assert!(error.is::<std::fmt::Error>());
    assert!(matches!(failure(&open, "panic"), Failure::Panicked(Some(text)) if &*text == "oh"));
    let Failure::Reply(error) = failure(&closed, "reply") else { panic!("not the reply's") };
    assert_eq!(error.to_string(), "connection is closed");
}

#[test]
fn each_failure_has_text_and_source() {
    let boxed = || BoxError::from("below");
    let failures = [
        (Failure::NoHandler, "no handler, and no fallback", None),
        (Failure::Payload(PayloadError::Missing), "frame has no payload", Some("frame has no payload")),
        (Failure::MissingExtension("u8"), "no layer has inserted a value of type u8", None),
        (
            Failure::MissingState("u8"),
            "the router has no state of type u8 (see `RouterBuilder::with_state`)",
            None,
        ),
        (Failure::MissingData("u8"), "the connection has no data of type u8", None),
        (Failure::Refused(boxed()), "refused: below", Some("below")),
        (Failure::Handler(boxed()), "handler failed: below", Some("below")),
        (Failure::Panicked(None), "handler panicked", None),
        (Failure::Panicked(Some("oh".into())), "handler panicked: oh", None),
        (Failure::Reply(boxed()), "reply was not sent: below", Some("below")),
    ];
    for (failure, text, source) in failures {
        assert_eq!(failure.to_string(), text);
        assert_eq!(failure.source().map(ToString::to_string).as_deref(), source, "{text}");
        let error = RouteError::new("e".into(), "".into(), failure);
        assert_eq!(error.to_string(), format!("event \"e\": {text}"));
        let below = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(below.as_deref(), source, "{text}");
    }
}

#[test]
fn connection_continues_after_an_error() {
    let router =
        noting().on("n", |Decoded(n): Decoded<u8>| async move { Frame::new("n", &n) }).build().unwrap();
    let frames = [event("n"), event("x"), Frame::new("n", &7).unwrap()];
    let (notes, sent) = handle(&router, frames);
    assert_eq!(notes.len(), 2);
    assert_eq!(sent, [Frame::new("n", &7).unwrap()]);
}
