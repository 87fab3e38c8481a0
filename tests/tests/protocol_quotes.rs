//! PROTOCOL.md and the code that obeys it stay one: what is quoted exists, and what is written is obeyed somewhere.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MARK: &str = concat!("//= ", "PROTOCOL.md#");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// The anchors of the numbered sections, as Markdown viewers make them: `## 4. Counting` is `4-counting`.
fn sections() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("PROTOCOL.md")).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(|heading| heading.to_lowercase().replace('.', "").replace(' ', "-")).collect()
}

/// All quotes in the sources: the anchor, and where it stands.
fn quotes(folder: &Path, found: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                quotes(&path, found);
            }
        } else if name.ends_with(".rs") || name.ends_with(".js") {
            let text = fs::read_to_string(&path).unwrap();
            for line in text.lines().filter_map(|line| line.trim_start().strip_prefix(MARK)) {
                let end = line.find(|c: char| c == ':' || c.is_whitespace()).unwrap_or(line.len());
                found.push((line[..end].to_owned(), path.clone()));
            }
        }
    }
}

#[test]
fn every_quote_names_a_section_that_exists() {
    let sections = sections();
    let mut found = Vec::new();
    quotes(&root(), &mut found);
    assert!(found.len() >= 10, "the quotes were not found");
    for (anchor, path) in found {
        assert!(sections.contains(&anchor), "{} quotes #{anchor}", path.display());
    }
}

#[test]
fn every_section_that_can_be_obeyed_is_quoted() {
    let mut found = Vec::new();
    quotes(&root(), &mut found);
    let quoted: BTreeSet<_> = found.into_iter().map(|(anchor, _)| anchor).collect();
    // Compression is not offered.
    let missing: Vec<_> =
        sections().difference(&quoted).filter(|section| *section != "10-extensions").cloned().collect();
    assert!(missing.is_empty(), "nothing quotes {missing:?}");
}
