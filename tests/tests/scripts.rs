//! Scripts and documents find programs wherever cargo builds them.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// With `CARGO_TARGET_DIR` or `build.target-dir` there is nothing in `target`.
#[test]
fn no_script_looks_for_programs_in_target() {
    let scripts = fs::read_dir(root().join("scripts")).unwrap().map(|entry| entry.unwrap().path());
    let documents = [
        "README.md",
        "CONTRIBUTING.md",
        "test.sh",
        ".ci/run",
        "benches/README.md",
        "tests/interop/README.md",
    ];
    for path in scripts.chain(documents.map(|name| root().join(name))) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for line in text.lines() {
            let found = line.contains("target/debug") || line.contains("target/release");
            assert!(!found, "{}: {line}", path.display());
        }
    }
}

#[test]
fn target_dir_prints_where_cargo_builds() {
    let elsewhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere");
    let script = root().join("scripts/target_dir.sh");
    let output = Command::new(script).env("CARGO_TARGET_DIR", &elsewhere).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), elsewhere.to_str().unwrap());
}
