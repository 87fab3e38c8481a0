//! Selection, parameters and return values of handlers.

use super::*;
use crate::Payload;
use crate::router::{Context, Decoded, EventName, Extension, Failure, FrameId, FromContext};

#[test]
fn frame_reaches_only_its_events_handler() {
    let router = noting()
        .on("a", |peer: Fake| async move { peer.note("a") })
        .on("a.b", |peer: Fake| async move { peer.note("a.b") })
        .on("", |peer: Fake| async move { peer.note("none") })
        .on("$a", |peer: Fake| async move { peer.note("$a") })
        .build()
        .unwrap();
    let (notes, sent) = handle(&router, ["a.b", "a", "", "$a", "A"].map(event));
    assert_eq!(notes, ["a.b", "a", "none", "$a", r#"event "A": no handler, and no fallback"#]);
    assert_eq!(sent, []);
}

#[test]
fn fallback_handles_other_events() {
    let router = router()
        .on("a", |peer: Fake| async move { peer.note("a") })
        .fallback(
            |peer: Fake, EventName(event): EventName| async move { peer.note(format!("other: {event}")) },
        )
        .build()
        .unwrap();
    assert_eq!(handle(&router, ["a", "b", ""].map(event)).0, ["a", "other: b", "other: "]);
}

async fn everything(
    FrameId(id): FrameId,
    Decoded(numbers): Decoded<Vec<u8>>,
    peer: Fake,
    frame: Frame,
    EventName(event): EventName,
    Extension(word): Extension<&'static str>,
) {
    peer.note(format!("{id} {numbers:?} {} {event} {word}", frame.event()));
}

#[test]
fn handlers_take_up_to_six_arguments() {
    let router = noting()
        .layer(|mut context: Context<Fake>, next: crate::router::Next<Fake>| async move {
            context.insert("word");
            next.run(context).await
        })
        .on("six", everything)
        .on("two", async |frame: Frame, peer: Fake| peer.note(frame.event()))
        .build()
        .unwrap();
    let six = Frame::new("six", &[1, 2]).unwrap().with_id("x");
    assert_eq!(handle(&router, [six, event("two")]).0, ["x [1, 2] six six word", "two"]);
}

#[test]
fn optional_argument_is_none_only_if_missing() {
    async fn number(number: Option<Decoded<u8>>, word: Option<Extension<String>>, peer: Fake) {
        peer.note(format!("{:?} {word:?}", number.map(|Decoded(number)| number)));
    }
    let router = noting().on("n", number).build().unwrap();
    let frames = [event("n"), Frame::new("n", &7).unwrap(), Frame::new("n", "seven").unwrap()];
    let (notes, _) = handle(&router, frames);
    assert_eq!(notes[..2], ["None None", "Some(7) None"]);
    assert!(notes[2].starts_with(r#"event "n": payload: invalid type"#), "{notes:?}");
}

#[test]
fn result_argument_receives_the_failure() {
    async fn number(number: Result<Decoded<u8>, Failure>, peer: Fake) {
        peer.note(if number.is_ok() { "number" } else { "none" });
    }
    let router = noting().on("n", number).build().unwrap();
    assert_eq!(handle(&router, [event("n"), Frame::new("n", &7).unwrap()]).0, ["none", "number"]);
}

/// An extractor of the application that awaits and may fail.
struct Shout(String);

impl<C: Peer> FromContext<C> for Shout {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        pause().await;
        let text: String = context.frame().decode()?;
        if text.is_empty() {
            return Err("nothing to shout".into());
        }
        Ok(Self(text.to_uppercase()))
    }
}

#[test]
fn applications_can_add_extractors() {
    let router =
        noting().on("s", |peer: Fake, Shout(text): Shout| async move { peer.note(text) }).build().unwrap();
    let frames = ["hey", ""].map(|text| Frame::new("s", text).unwrap());
    let (notes, _) = handle(&router, frames.into_iter().chain([event("s")]));
    assert_eq!(
        notes,
        ["HEY", r#"event "s": refused: nothing to shout"#, r#"event "s": frame has no payload"#]
    );
}

#[cfg(feature = "prost")]
#[test]
fn handlers_take_prost_messages() {
    use crate::router::Protobuf;
    let router = noting()
        .on("p", |peer: Fake, Protobuf(text): Protobuf<String>| async move { peer.note(text) })
        .build()
        .unwrap();
    assert_eq!(handle(&router, [Frame::protobuf("p", &"hello".to_owned())]).0, ["hello"]);
}

#[cfg(feature = "msgpack")]
#[test]
fn payloads_are_decoded_in_any_format() {
    let router = noting()
        .on("n", |peer: Fake, Decoded(n): Decoded<u8>| async move { peer.note(n.to_string()) })
        .build()
        .unwrap();
    let frames = [Frame::new("n", &7).unwrap(), Frame::msgpack("n", &8).unwrap()];
    assert_eq!(handle(&router, frames).0, ["7", "8"]);
}

#[test]
fn handlers_return_the_reply() {
    let router = noting()
        .on("nothing", || async {})
        .on("frame", || async { event("frame") })
        .on("none", || async { None::<Frame> })
        .on("some", || async { Some(event("some")) })
        .on("ok", || async { Ok::<_, BoxError>(event("ok")) })
        .on("ok nothing", || async { Ok::<_, std::fmt::Error>(()) })
        .on("ok some", || async { Ok::<_, &str>(Some(event("ok some"))) })
        .on("failed", || async { Err::<Frame, _>("on purpose") })
        .build()
        .unwrap();
    let events = ["nothing", "frame", "none", "some", "ok", "ok nothing", "ok some", "failed"];
    let (notes, sent) = handle(&router, events.map(event));
    assert_eq!(sent, ["frame", "some", "ok", "ok some"].map(event));
    assert_eq!(notes, [r#"event "failed": handler failed: on purpose"#]);
}

#[test]
fn answers_refer_to_the_questions_id() {
    let router = router()
        .on("plain", || async { event("reply").with_payload(Payload::bytes("x")) })
        .on("own", || async { event("reply").with_id("own") })
        .on("other", || async { event("reply").with_re("other") })
        .build()
        .unwrap();
    let questions = ["plain", "own", "other"].map(|name| event(name).with_id("q"));
    let (_, sent) = handle(&router, questions.into_iter().chain([event("plain")]));
    let ids: Vec<_> = sent.iter().map(|frame| (frame.re(), frame.id())).collect();
    assert_eq!(ids, [("q", ""), ("q", "own"), ("other", ""), ("", "")]);
    assert_eq!(sent[0].payload(), Some(&Payload::bytes("x")));
}
