//! The structure of the code: circles of imports, long files, and duplicate type names.
//!
//! It also compares docs/concurrency.md with the code.
//!
//! `known.txt` lists accepted findings. It can only become shorter: a line that no longer applies must be removed, and no line
//! may be added.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod circles;
mod concurrency;
mod imports;
mod options;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rejoin_tests::protocol::root;

use imports::Crate;

const CRATES: [&str; 4] = ["core", "codecs", "server", "client"];

const STORES: [&str; 2] = ["store", "store-local"];

/// The maximum length of a file that is not listed.
const LONGEST: usize = 400;

/// A listed file has its own bound, which may exceed its length by at most this.
const SPARE: usize = 100;

/// The known lines that begin with this word, without the word.
fn known(kind: &str) -> BTreeSet<String> {
    let lines = include_str!("known.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).map(str::to_owned).collect()
}

/// Fails if the findings differ from the known ones.
fn assert_known(kind: &str, found: &BTreeSet<String>) {
    let known = known(kind);
    let lines = |lines: Vec<&String>| lines.iter().map(|line| format!("{kind} {line}\n")).collect::<String>();
    let new = lines(found.difference(&known).collect());
    let gone = lines(known.difference(found).collect());
    assert!(
        new.is_empty() && gone.is_empty(),
        "new, to be fixed:\n{new}\nresolved, to be removed from known.txt (or shortened there):\n{gone}"
    );
}

#[test]
fn no_new_circle_of_imports() {
    let mut found = BTreeSet::new();
    for name in CRATES.into_iter().chain(STORES).chain(["loadtest"]) {
        let edges = Crate::read(&root(), name).imports();
        assert!(edges.len() >= 5, "the imports of {name} were not found");
        found.extend(circles::circles(&edges).iter().map(|circle| circle.join(" ")));
    }
    assert_known("circle", &found);
}

#[test]
fn no_new_duplicate_type_name() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in CRATES.into_iter().chain(STORES) {
        for (file, types) in Crate::read(&root(), name).types() {
            types.into_iter().for_each(|name| files.entry(name).or_default().push(file.clone()));
        }
    }
    assert!(files.len() >= 500, "the types were not found");
    let found = files.iter().filter(|(_, files)| files.len() > 1);
    assert_known("twice", &found.map(|(name, files)| format!("{name} {}", files.join(" "))).collect());
}

#[test]
fn no_new_long_file() {
    let mut paths = Vec::new();
    for name in CRATES.into_iter().chain(STORES) {
        files(&root().join(name).join("src"), &mut paths);
    }
    assert!(paths.len() >= 100, "the files were not found");
    let known = known("long");
    let mut found = BTreeSet::new();
    for path in paths {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let bound = known.iter().find_map(|known| known.strip_prefix(&path)?.trim_start().parse().ok());
        found.extend(judge(lines, bound).map(|bound| format!("{path} {bound}")));
    }
    assert_known("long", &found);
}

#[test]
fn readme_stays_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines < 150, "README.md has {lines} lines: what follows the first impression belongs in docs/");
}

/// The bound of a file that is too long: the known one, if that fits.
fn judge(lines: usize, known: Option<usize>) -> Option<usize> {
    let fits = |bound: &usize| (lines..=lines + SPARE).contains(bound);
    let fresh = || (lines + SPARE / 4).next_multiple_of(SPARE / 2);
    (lines > LONGEST).then(|| known.filter(fits).unwrap_or_else(fresh))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn known_long_file_stays_within_its_bound() {
    assert_eq!(judge(400, None), None);
    assert_eq!(judge(400, Some(450)), None, "it is no longer too long");
    assert_eq!(judge(401, None), Some(450));
    assert_eq!([425, 426].map(|lines| judge(lines, None)), [Some(450), Some(500)]);
    assert_eq!([500, 600].map(|lines| judge(lines, Some(600))), [Some(600); 2]);
    assert_eq!(judge(499, Some(600)), Some(550), "it has become shorter");
    assert_eq!(judge(601, Some(600)), Some(650), "it has become longer");
}

#[test]
#[should_panic(expected = "new, to be fixed:\nlong a.rs 450\n")]
fn unknown_findings_are_refused() {
    let mut found = known("long");
    found.insert("a.rs 450".to_owned());
    assert_known("long", &found);
}

#[test]
#[should_panic(expected = "resolved, to be removed from known.txt")]
fn resolved_known_findings_are_refused() {
    let mut found = known("twice");
    found.pop_first().expect("some are known");
    assert_known("twice", &found);
}
