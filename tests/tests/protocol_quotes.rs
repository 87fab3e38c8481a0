//! PROTOCOL.md and the code agree: each quoted rule exists, and each rule is quoted somewhere.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rejoin_tests::protocol::{Protocol, root};

const MARK: &str = concat!("//= ", "PROTOCOL.md#");

/// The files of the workspace with these name endings.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && name != "dist" && !name.starts_with('.') {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// A quote in a source file.
struct Quote {
    path: PathBuf,
    /// The anchor of a section or the number of a rule.
    name: String,
    words: Option<String>,
}

fn quotes() -> Vec<Quote> {
    let mut paths = Vec::new();
    files(&root(), &[".rs", ".js", ".mjs", ".ts"], &mut paths);
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for quote in text.lines().filter_map(|line| line.trim_start().strip_prefix(MARK)) {
            let (name, words) =
                quote.split_once(": ").map_or((quote, None), |(name, words)| (name, Some(words)));
            found.push(Quote { path: path.clone(), name: name.to_owned(), words: words.map(str::to_owned) });
        }
    }
    assert!(found.len() >= 30, "the quotes were not found");
    found
}

#[test]
fn every_quote_is_in_its_rule() {
    let protocol = Protocol::read().unwrap();
    for Quote { path, name, words } in quotes() {
        let path = path.display();
        assert!(protocol.section_of(&name).is_some(), "{path} quotes #{name}, which does not exist");
        if let Some(words) = words {
            assert!(protocol.has_words(&name, &words), "{path}: #{name} has no words {words:?}");
        }
    }
}

#[test]
fn every_cited_rule_exists() {
    let protocol = Protocol::read().unwrap();
    let rules: BTreeSet<_> = protocol.rules().collect();
    let mut paths = Vec::new();
    files(&root(), &[".rs", ".js", ".mjs", ".ts", ".py", ".md", ".proto", ".json"], &mut paths);
    for path in paths {
        // It contains numbers of its own example page.
        if path.ends_with("tests/src/protocol.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
            let word = word.trim_end_matches('.');
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let parts = word.strip_prefix('R').and_then(|rest| rest.split_once('.'));
            if parts.is_some_and(|(section, rule)| is_number(section) && is_number(rule)) {
                assert!(rules.contains(word), "{} names {word}, which does not exist", path.display());
            }
        }
    }
}

#[test]
fn rule_numbers_are_unique_and_match_their_section() {
    let protocol = Protocol::read().unwrap();
    assert!(protocol.rules().count() >= 100, "the rules were not found");
    assert!(protocol.misplaced().is_empty(), "{:?}", protocol.misplaced());
}

#[test]
fn every_normative_section_is_quoted() {
    let protocol = Protocol::read().unwrap();
    let quotes = quotes();
    let quoted: BTreeSet<_> = quotes.iter().filter_map(|quote| protocol.section_of(&quote.name)).collect();
    // Compression is not offered.
    let missing: Vec<_> = protocol
        .sections()
        .filter(|section| !quoted.contains(section) && *section != "10-extensions")
        .collect();
    assert!(missing.is_empty(), "nothing quotes {missing:?}");
}
