//! What is sent through a codec to see whether it comes back.

use rejoin_core::{Payload, PayloadFormat};

/// Ids and events: absent, plain, with all that a format may have to escape, and at the lengths where binary formats change
/// their headers.
pub(super) fn sample_names() -> Vec<(String, String)> {
    let controls: String = (0..=0xa0_u8).map(char::from).collect();
    let escapes = "\"\\/\\u0041 ';<>&{}[]:,";
    let unicode = "ä€𝄞\u{feff}\u{fffd}\u{2028}\u{ffff}\u{10ffff}e\u{301}";
    let texts = ["", "m-1", &controls, escapes, unicode];
    let mut names = Vec::new();
    for id in texts {
        names.extend(texts.map(|event| (id.to_owned(), event.to_owned())));
    }
    for len in [15, 16, 31, 32, 127, 128, 255, 256, 16_384, 65_535, 65_536] {
        names.push(("i".repeat(len), String::new()));
        names.push((String::new(), "e".repeat(len)));
    }
    names
}

/// JSON texts of different values.
pub(super) fn json_samples() -> Vec<Payload> {
    [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.50",
        "1e2",
        "9007199254740993",
        "123456789012345678901234567890",
        r#""""#,
        r#""ä €\u0000\n\ud834\udd1e""#,
        "[]",
        "{}",
        "[1, [2, [3, {\"a\":null}]],\n\t\"\"]",
        r#"{ "id" : 1, "event":null,"payload":{"":[]} }"#,
    ]
    .map(json_payload)
    .into()
}

pub(super) fn json_payload(text: &'static str) -> Payload {
    Payload::from_parts(PayloadFormat::Json, text.into())
}

pub(super) fn bytes_samples() -> Vec<Payload> {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let lengths = [0, 1, 2, 3, 4, 255, 256, 65_535, 65_536].map(|len| vec![0xff; len]);
    lengths.into_iter().chain([all, b"null".into(), b"AA==".into()]).map(Payload::bytes).collect()
}

pub(super) fn control_samples() -> Vec<(&'static str, Option<String>)> {
    let open = r#"{"session":"abcdefghijklmnopqrstuvwxyz","id":"ä\"","room":"","resumed":false,"received":0,"window_ms":30000,"buffer":256}"#;
    let mut samples = vec![("$ping", None), ("$pong", None), ("$later", None)];
    for (event, json) in [
        ("$open", open),
        ("$ack", "9007199254740991"),
        ("$gap", r#"{"from":3,"to":9}"#),
        ("$ping", "null"),
        ("$ping", r#""\ud800""#),
        ("$pong", "[1.0,  {\"a\":1e999,\"a\":-0}]"),
        ("$later", "{}"),
    ] {
        samples.push((event, Some(json.to_owned())));
    }
    samples.push(("$pong", Some(format!("\"{}\"", "p".repeat(4094)))));
    samples
}
