//! PROTOCOL.md as its tests read it: numbered sections, and the numbered rules in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The sections and rules of PROTOCOL.md, with their texts.
#[derive(Debug, Clone, Default)]
pub struct Protocol {
    /// Keyed by anchor, as Markdown viewers generate it: `## 4. Counting` is `4-counting`.
    sections: BTreeMap<String, String>,
    /// Keyed by number: `R4.1`.
    rules: BTreeMap<String, String>,
    /// The numbers of rules that occur more than once, or in another section than their own.
    misplaced: Vec<String>,
}

/// The root folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

impl Protocol {
    /// Reads PROTOCOL.md of this workspace.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn read() -> io::Result<Self> {
        fs::read_to_string(root().join("PROTOCOL.md")).map(|text| Self::parse(&text))
    }

    /// Parses a page. The lines that are indented below a rule belong to it, and so does a table after it.
    pub fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let (mut section, mut rule) = (None::<String>, None::<String>);
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                let anchor = heading.to_lowercase().replace('.', "").replace(' ', "-");
                section = heading.starts_with(|c: char| c.is_ascii_digit()).then_some(anchor);
                rule = None;
            } else if let Some((number, _)) =
                line.strip_prefix("- **").and_then(|rest| rest.split_once("** "))
            {
                let number_of =
                    |text: &str| text.trim_start_matches('R').split(['.', '-']).next().map(str::to_owned);
                let is_own = section.as_deref().and_then(number_of) == number_of(number);
                if !is_own || page.rules.insert(number.to_owned(), String::new()).is_some() {
                    page.misplaced.push(number.to_owned());
                }
                rule = Some(number.to_owned());
            } else if !(line.is_empty() || line.starts_with("  ") || line.starts_with('|')) {
                rule = None;
            }
            let words = normalized(line);
            for (texts, name) in [(&mut page.sections, &section), (&mut page.rules, &rule)] {
                if let Some(name) = name {
                    let text = texts.entry(name.clone()).or_default();
                    text.push_str(&words);
                    text.push(' ');
                }
            }
        }
        page
    }

    /// The anchors of the sections.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// The numbers of the rules.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }

    /// Rules whose number is taken, or belongs to another section.
    pub fn misplaced(&self) -> &[String] {
        &self.misplaced
    }

    /// The section that a quote names, or that contains the rule that it names: the anchor or number after `#`. `None` if there
    /// is no such section.
    pub fn section_of(&self, quoted: &str) -> Option<&str> {
        if let Some((section, _)) = self.sections.get_key_value(quoted) {
            return Some(section);
        }
        let (number, _) = self.rules.get_key_value(quoted)?.0.strip_prefix('R')?.split_once('.')?;
        let prefix = format!("{number}-");
        self.sections().find(|section| section.starts_with(&prefix))
    }

    /// Whether the section or rule contains these words in this order; `…` stands for words in between. Ignores case.
    pub fn has_words(&self, quoted: &str, words: &str) -> bool {
        let Some(text) = self.rules.get(quoted).or_else(|| self.sections.get(quoted)) else {
            return false;
        };
        let text = text.to_lowercase();
        let mut rest = text.as_str();
        words.to_lowercase().split('…').all(|part| {
            let part = normalized(part);
            let found = rest.find(&part);
            rest = found.map_or("", |at| &rest[at + part.len()..]);
            found.is_some()
        })
    }
}

/// The words, separated by single spaces.
fn normalized(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n\n## 1. One two\n\n- **R1.1** First words,\n  and more.\n- **R1.2** Second:\n\n| a | row |\n\nProse.\n\n\
                        ## 2. Three\n\n- **R2.1** Third.\n- **R1.3** Elsewhere.\n- **R2.1** Again.\n\n## Example\n\nText.\n";

    #[test]
    fn finds_words_of_sections_and_rules() {
        let page = Protocol::parse(PAGE);
        assert_eq!(page.sections().collect::<Vec<_>>(), ["1-one-two", "2-three"]);
        assert_eq!(page.rules().collect::<Vec<_>>(), ["R1.1", "R1.2", "R1.3", "R2.1"]);
        assert_eq!(page.misplaced(), ["R1.3", "R2.1"]);
        assert_eq!(page.section_of("R1.2"), Some("1-one-two"));
        assert_eq!(page.section_of("2-three"), Some("2-three"));
        assert_eq!((page.section_of("R1.9"), page.section_of("example")), (None, None));
        assert!(page.has_words("R1.1", "first words, and more"), "across lines, whatever the capitals");
        assert!(page.has_words("R1.1", "First … more."));
        assert!(page.has_words("R1.2", "| row |"), "a table belongs to the rule above it");
        assert!(page.has_words("1-one-two", "Prose."));
        for (quoted, words) in
            [("R1.1", "more … First"), ("R1.1", "Second"), ("R1.2", "Prose"), ("R9.9", "First")]
        {
            assert!(!page.has_words(quoted, words), "{quoted}: {words}");
        }
    }
}
