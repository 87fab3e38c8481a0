//! The clients in JavaScript and Python obey the test vectors of `vectors/client`, and each vector names an existing rule.
//!
//! Needs Node 20 or later and Python 3: `apt-get install nodejs python3`.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rejoin_tests::protocol::Protocol;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/client")
}

fn vectors() -> Vec<Value> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files
        .flat_map(|path| {
            let mut file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            file["vectors"].as_array_mut().map(std::mem::take).expect("a list of vectors")
        })
        .collect()
}

#[test]
fn javascript_client_obeys_every_vector() {
    let output = Command::new("node")
        .args(["--test", "--test-reporter=tap"])
        .arg(folder().join("js/vectors.test.mjs"))
        // Set if a Node test runs this test: Node would treat its tests as a part of that one.
        .env_remove("NODE_TEST_CONTEXT")
        .output()
        .unwrap_or_else(|error| panic!("this test needs Node 20 or later: apt-get install nodejs: {error}"));
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let passed = report.lines().find_map(|line| line.strip_prefix("# pass "));
    let passed: usize = passed.unwrap_or_else(|| panic!("no count:\n{report}")).trim().parse().unwrap();
    assert!(passed >= vectors().len(), "{passed} of {} vectors were played", vectors().len());
}

/// The vectors that concern the wire: the others have a reason under `not`.
#[test]
fn python_client_obeys_its_vectors() {
    let script = folder().join("../../interop/vectors.py");
    let output = Command::new("python3").arg(script).output().expect("this test needs python3");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let skipped = vectors().iter().filter(|vector| vector["not"].get("python").is_some()).count();
    let expected = format!("{} vectors passed, 0 failed", vectors().len() - skipped);
    assert!(report.lines().any(|line| line == expected), "{report}");
}

#[test]
fn every_client_rule_has_vectors() {
    let protocol = Protocol::read().unwrap();
    let section_of = |vector: &Value| {
        let rule = vector["rule"].as_str().unwrap();
        let section = rule.strip_prefix("PROTOCOL.md#").and_then(|name| protocol.section_of(name));
        section.unwrap_or_else(|| panic!("there is no {rule}"))
    };
    let named: BTreeSet<_> = vectors().iter().map(section_of).collect();
    // Sections 9 and 10 are about requests and extensions, which a page cannot observe.
    let missing: Vec<_> = protocol.sections().filter(|section| !named.contains(section)).collect();
    assert_eq!(missing, ["10-extensions", "9-origin"], "sections without vectors");
}
