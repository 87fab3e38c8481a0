//! Scripts and documents find programs in any target folder of cargo, and are true.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::YamlLoader;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// With `CARGO_TARGET_DIR` or `build.target-dir`, the folder `target` is empty.
#[test]
fn no_script_looks_for_programs_in_target() {
    let folders = ["scripts", "js/scripts", "js/scripts/lib", "tests/interop", "tests/vectors/client/js"];
    let scripts = folders.iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let scripts = scripts.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
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

/// The commands of the workflow of CI, and its text.
fn workflow() -> (Vec<String>, String) {
    let text = fs::read_to_string(root().join(".github/workflows/ci.yml")).unwrap();
    let parsed = &YamlLoader::load_from_str(&text).unwrap()[0];
    let jobs = parsed["jobs"].as_hash().expect("the workflow has jobs").values();
    let steps = jobs.flat_map(|job| job["steps"].as_vec().expect("each job has steps"));
    let commands = steps.filter_map(|step| step["run"].as_str().map(str::to_owned)).collect();
    (commands, text)
}

#[test]
fn scripts_that_ci_runs_exist() {
    use std::collections::BTreeSet;

    let (commands, _) = workflow();
    let words = commands.iter().flat_map(|command| command.split_whitespace());
    let scripts: BTreeSet<_> =
        words.filter(|word| word.starts_with(".ci/") || word.starts_with("scripts/")).collect();
    assert_eq!(Vec::from_iter(&scripts), [&".ci/portable", &".ci/run", &"scripts/release-checks.sh"]);
    for script in scripts {
        assert!(root().join(script).is_file(), "{script}");
    }
}

#[test]
fn ci_has_the_oldest_rust() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let (_, text) = workflow();
    assert!(text.contains(&format!("OLDEST_RUST: {oldest}\n")), "{oldest}");
}

/// The output of `scripts/oldest_rust.py`, and whether it succeeds.
fn oldest_rust(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("python3")
        .arg(root().join("scripts/oldest_rust.py"))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("this test needs python3 in the PATH: {error}"));
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), printed.concat())
}

#[test]
fn no_dependency_needs_newer_rust() {
    let (succeeds, printed) = oldest_rust(&[]);
    assert!(succeeds, "{printed}");
}

#[test]
fn dependency_that_needs_newer_rust_is_named() {
    let (succeeds, printed) = oldest_rust(&["1.60"]);
    assert!(!succeeds && printed.contains("\ntokio 1."), "{printed}");
}

/// The output of `scripts/walk.py` for a page, and whether it succeeded.
fn walk(page: &Path) -> (bool, String) {
    let output = Command::new("python3")
        .arg(root().join("scripts/walk.py"))
        .arg(page)
        .output()
        .unwrap_or_else(|error| panic!("this test needs python3 in the PATH: {error}"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

#[test]
fn walks_match_the_code() {
    let (is_true, said) = walk(&root().join("docs/walk.md"));
    assert!(is_true, "{said}");
}

#[test]
fn impossible_walk_is_refused() {
    let page = fs::read_to_string(root().join("docs/walk.md")).unwrap();
    let broken = Path::new(env!("CARGO_TARGET_TMPDIR")).join("walk.md");
    let cases = [
        ("| broadcast | ", "| broadcast | 1", "has other counts"),
        ("  Server::broadcast_with ", "  Server::broadcast_while ", "does not exist"),
        (
            "  Server::broadcast_with          server/src/server/rooms.rs",
            "  Server::kick  server/src/server.rs",
            "is not called by",
        ),
        ("        FanOut::begin ", "      FanOut::begin ", "is not called by Rooms::broadcast by its name"),
        ("via `codec.decode(message)`", "via `codec.decode(nothing)`", "through `codec.decode(nothing)`"),
        ("in Encoded\n", "in Uncoded\n", "there is no type Uncoded"),
        ("server/src/fanout/rooms.rs", "server/src/room.rs", "server/src/room.rs does not exist"),
    ];
    for (old, new, expected) in cases {
        assert!(page.contains(old), "{old}");
        fs::write(&broken, page.replacen(old, new, 1)).unwrap();
        let (is_true, said) = walk(&broken);
        assert!(!is_true && said.contains(expected), "{new}: {said}");
    }
}

/// The model of docs/store.md: no seed breaks the design, and some seed breaks each mistake that is planted in it.
#[test]
fn store_model_holds_and_finds_its_mutants() {
    let output = Command::new("python3")
        .args([root().join("tests/store-model/log_model.py").as_os_str(), "--check".as_ref()])
        .output()
        .unwrap_or_else(|error| panic!("this test needs python3 in the PATH: {error}"));
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.contains("\ntrimpast: "), "{said}");
}
