//! Replays the inputs that fuzzing has found so far (`fuzz/corpus`), on any Rust.

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rejoin_tests::fuzzing::TARGETS;

thread_local! {
    /// A runtime catches panics in its tasks, so they are counted in a panic hook.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The inputs of a target with their text form: one per line, with bytes other than printable ASCII as `\xNN`. Lines that begin
/// with `# ` are names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let path = fuzz().join("corpus").join(format!("{target}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let inputs = text.lines().filter(|line| !line.starts_with("# "));
    inputs.map(|line| (line.to_owned(), unescape(line))).collect()
}

fn unescape(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut data = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        data.push(u8::from_str_radix(hex, 16).expect("two digits"));
        data.extend_from_slice(rest.as_bytes());
    }
    data
}

#[test]
fn corpus_inputs_find_no_bug() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.set(PANICS.get() + 1);
        default(info);
    }));
    let mut broken = Vec::new();
    for (target, run) in TARGETS {
        for (line, data) in corpus(target) {
            let before = PANICS.get();
            let result = catch_unwind(AssertUnwindSafe(|| run(&data)));
            if result.is_err() || PANICS.get() > before {
                broken.push(format!("{target}: {line}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_target_has_corpus_and_entry() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let entries = fs::read_dir(fuzz().join("fuzz_targets")).unwrap().count();
    assert_eq!(entries, TARGETS.len(), "exactly one entry for each target");
    for (target, _) in TARGETS {
        assert!(corpus(target).len() > 10, "{target} has nothing to replay");
        assert!(fuzz().join(format!("fuzz_targets/{target}.rs")).exists(), "{target} has no entry");
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target} is not in fuzz/Cargo.toml");
    }
}
