//! Layers see, change and stop frames.

use super::*;
use crate::ErrorAnswer;
use crate::router::{CatchPanic, Context, Extension, Failure, Layer, Next};

/// A layer that records its name before and after each frame.
struct Named(&'static str);

impl Layer<Fake> for Named {
    async fn call(&self, context: Context<Fake>, next: Next<Fake>) -> Result<(), Failure> {
        let peer = context.peer().clone();
        peer.note(format!("{} in", self.0));
        pause().await;
        let outcome = next.run(context).await;
        peer.note(format!("{} out {}", self.0, if outcome.is_ok() { "ok" } else { "failed" }));
        outcome
    }
}

#[test]
fn first_layer_is_the_outermost() {
    let router = router()
        .layer(Named("a"))
        .on("x", |peer: Fake| async move { peer.note("x") })
        .layer(Named("b"))
        .build()
        .unwrap();
    assert_eq!(handle(&router, [event("x")]).0, ["a in", "b in", "x", "b out ok", "a out ok"]);
}

#[test]
fn layers_wrap_fallback_and_missing_handlers() {
    let builder = || noting().layer(Named("a"));
    let with = builder().fallback(|peer: Fake| async move { peer.note("fallback") }).build().unwrap();
    assert_eq!(handle(&with, [event("x")]).0, ["a in", "fallback", "a out ok"]);
    let without = builder().build().unwrap();
    let error = r#"event "x": no handler, and no fallback"#;
    assert_eq!(handle(&without, [event("x")]).0, ["a in", "a out failed", error]);
}

#[test]
fn layer_can_stop_the_chain() {
    async fn gate(context: Context<Fake>, next: Next<Fake>) -> Result<(), Failure> {
        match context.frame().id() {
            "refused" => Err("not today".into()),
            "ignored" => Ok(()),
            "parsed" => {
                let n: u8 = "x".parse()?;
                context.peer().note(n.to_string());
                Ok(())
            }
            _ => next.run(context).await,
        }
    }
    let router = noting()
        .layer(Named("a"))
        .layer(gate)
        .layer(Named("b"))
        .on("x", |peer: Fake| async move { peer.note("x") })
        .build()
        .unwrap();
    let run = |id: &str| handle(&router, [event("x").with_id(id)]).0;
    assert_eq!(run("refused"), ["a in", "a out failed", r#"event "x", id "refused": refused: not today"#]);
    assert_eq!(run("ignored"), ["a in", "a out ok"]);
    let refused = r#"event "x", id "parsed": refused: invalid digit found in string"#;
    assert_eq!(run("parsed"), ["a in", "a out failed", refused]);
    assert_eq!(run(""), ["a in", "b in", "x", "b out ok", "a out ok"]);
}

#[test]
fn layer_can_recover_from_a_failure() {
    async fn lenient(context: Context<Fake>, next: Next<Fake>) -> Result<(), Failure> {
        let peer = context.peer().clone();
        match next.run(context).await {
            Err(Failure::Handler(error)) => {
                peer.note(format!("seen: {error}"));
                Ok(())
            }
            outcome => outcome,
        }
    }
    let router = noting().layer(lenient).on("x", || async { Err::<(), _>("on purpose") }).build().unwrap();
    assert_eq!(handle(&router, [event("x")]).0, ["seen: on purpose"]);
}

#[test]
fn layer_changes_frame_but_not_error_report() {
    async fn rename(mut context: Context<Fake>, next: Next<Fake>) -> Result<(), Failure> {
        if let Some(event) = context.frame().event().strip_prefix("v1.").map(str::to_owned) {
            *context.frame_mut() = Frame::new(event, "changed")?.with_id("new");
        }
        next.run(context).await
    }
    let router = noting().layer(rename).on("echo", |frame: Frame| async { frame }).build().unwrap();
    let (notes, sent) = handle(&router, [event("v1.echo").with_id("old"), event("v1.none").with_id("old")]);
    let unknown = ErrorAnswer::new("unknown_event", "no handler for this event").to_frame();
    let echo = Frame::new("echo", "changed").unwrap().with_id("new");
    assert_eq!(sent, [echo.with_re("new"), unknown.with_re("old")]);
    assert_eq!(notes, [r#"event "v1.none", id "old": no handler, and no fallback"#]);
}

#[test]
fn layer_can_insert_handler_arguments() {
    #[derive(Clone)]
    struct User(&'static str);
    let router = noting()
        .layer(async |mut context: Context<Fake>, next: Next<Fake>| {
            assert!(context.insert(User("ada")).is_none());
            context.insert(1_u8);
            next.run(context).await
        })
        .layer(async |mut context: Context<Fake>, next: Next<Fake>| {
            assert_eq!(context.get::<User>().map(|user| user.0), Some("ada"));
            assert!(context.get::<u16>().is_none());
            assert_eq!(context.insert(2_u8), Some(1));
            next.run(context).await
        })
        .on(
            "x",
            |peer: Fake, Extension(User(name)): Extension<User>, Extension(n): Extension<u8>| async move {
                peer.note(format!("{name} {n}"));
            },
        )
        .on("y", |_: Extension<String>| async {})
        .build()
        .unwrap();
    let missing = r#"event "y": no layer has inserted a value of type alloc::string::String"#;
    assert_eq!(handle(&router, ["x", "y", "x"].map(event)).0, ["ada 2", missing, "ada 2"]);
}

async fn panics() {
    pause().await;
    panic!("later");
}

async fn panics_without_text() {
    std::panic::panic_any(7_u8);
}

#[test]
fn catch_panic_turns_panics_into_errors() {
    let router = noting()
        .layer(CatchPanic)
        .layer(async |context: Context<Fake>, next: Next<Fake>| {
            assert!(context.frame().event() != "layer", "layer panics");
            next.run(context).await
        })
        .on("at once", |n: Frame| {
            assert!(n.event().is_empty(), "at {}", "once");
            async {}
        })
        .on("later", panics)
        .on("formatted", |n: Frame| async move { assert!(n.event().is_empty(), "at {}", n.event()) })
        .on("wordless", panics_without_text)
        .on("well", |peer: Fake| async move { peer.note("well") })
        .build()
        .unwrap();
    assert_eq!(
        handle(&router, ["at once", "later", "formatted", "wordless", "layer", "well"].map(event)).0,
        [
            r#"event "at once": handler panicked: at once"#,
            r#"event "later": handler panicked: later"#,
            r#"event "formatted": handler panicked: at formatted"#,
            r#"event "wordless": handler panicked"#,
            r#"event "layer": handler panicked: layer panics"#,
            "well",
        ]
    );
}

#[test]
fn context_debug_output_omits_values() {
    let router = noting()
        .layer(async |mut context: Context<Fake>, next: Next<Fake>| {
            context.insert("secret");
            assert_eq!(format!("{next:?}"), "Next { layers: 1 }");
            next.run(context).await
        })
        .layer(async |mut context: Context<Fake>, next: Next<Fake>| {
            context.insert(1_u8);
            assert_eq!(format!("{next:?}"), "Next { layers: 0 }");
            let seen = format!("{context:?}");
            assert!(seen.starts_with("Context { peer: Fake, frame: Frame {"), "{seen}");
            assert!(seen.contains("x") && seen.ends_with("extensions: 2 }"), "{seen}");
            next.run(context).await
        })
        .on("x", |peer: Fake| async move { peer.note("x") })
        .build()
        .unwrap();
    assert_eq!(handle(&router, [event("x")]).0, ["x"]);
}

#[test]
fn uncaught_panic_propagates() {
    let router = noting().on("x", panics).build().unwrap();
    let peer = Fake::default();
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(router.handle(&peer, event("x")))));
    assert!(panicked.is_err());
    assert_eq!(peer.take_notes(), Vec::<String>::new());
}
