//! docs/concurrency.md and the code agree: the locks, flags and notifiers that the page names exist, and it names all of them.

use std::collections::BTreeSet;
use std::fs;

use rejoin_tests::protocol::root;

use crate::imports::Crate;
use crate::source::{closing, words};
use crate::{CRATES, STORES};

/// The types of fields that threads share.
const SHARED: [&str; 6] = ["Mutex", "RwLock", "Condvar", "Notify", "OnceLock", "UnsafeCell"];

/// The fields of all structures and the statics in this code, as `Type::field`, each with the words of its type.
fn fields(words: &[String]) -> Vec<(String, &[String])> {
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let Some(name) = words.get(index + 1) else { break };
        let rest = &words[index + 2..];
        match &**word {
            "static" if rest.first().is_some_and(|word| word == ":") => {
                let end = rest.iter().position(|word| word == "=").unwrap_or(rest.len());
                found.push((name.clone(), &rest[1..end]));
            }
            "struct" => {
                let Some(begin) = rest.iter().position(|word| ["{", "(", ";"].contains(&&**word)) else {
                    continue;
                };
                if rest[begin] == ";" {
                    continue;
                }
                let body = &rest[begin + 1..closing(rest, begin) - 1];
                for (place, field) in parts(body).into_iter().enumerate() {
                    let (field, kind) = match field.iter().position(|word| word == ":") {
                        Some(colon) if rest[begin] == "{" => (field[colon - 1].clone(), &field[colon + 1..]),
                        _ => (place.to_string(), field),
                    };
                    found.push((format!("{name}::{field}"), kind));
                }
            }
            _ => {}
        }
    }
    found
}

/// Splits words at commas outside of all brackets.
fn parts(words: &[String]) -> Vec<&[String]> {
    let (mut depth, mut after_minus) = (0, false);
    let mut parts: Vec<_> = words
        .split(|word| {
            match &**word {
                "{" | "(" | "[" | "<" => depth += 1,
                ">" if after_minus => {}
                "}" | ")" | "]" | ">" => depth -= 1,
                _ => {}
            }
            after_minus = word == "-";
            depth == 0 && word == ","
        })
        .collect();
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_shared(kind: &[String]) -> bool {
    kind.iter().any(|word| SHARED.contains(&&**word) || word.starts_with("Atomic"))
}

/// The fields that the page's tables name, each with its file.
fn named(page: &str) -> BTreeSet<(String, String)> {
    let cell = |cell: &str| cell.trim().strip_prefix('`')?.strip_suffix('`').map(str::to_owned);
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|');
        let (field, file) = (cell(cells.next()?)?, cell(cells.next()?)?);
        file.ends_with(".rs").then_some((field, file))
    });
    rows.collect()
}

/// The errors in a page, given the paths and texts of the files.
fn wrong(page: &str, sources: &[(String, String)]) -> Vec<String> {
    let named = named(page);
    let mut wrong = Vec::new();
    let mut exist = BTreeSet::new();
    for (file, text) in sources {
        let words = words(text);
        for (field, kind) in fields(&words) {
            let row = (field, file.clone());
            if is_shared(kind) && !named.contains(&row) {
                wrong.push(format!("{} of {file} has no row", row.0));
            }
            exist.insert(row);
        }
    }
    wrong.extend(named.difference(&exist).map(|(field, file)| format!("{file} has no {field}")));
    wrong
}

#[test]
fn concurrency_page_names_every_lock_and_flag() {
    let page = fs::read_to_string(root().join("docs/concurrency.md")).unwrap();
    let files: BTreeSet<_> = CRATES
        .iter()
        .chain(&STORES)
        .flat_map(|name| Crate::read(&root(), name).types().into_keys())
        .collect();
    let read = |file: String| (file.clone(), fs::read_to_string(root().join(file)).unwrap());
    let sources: Vec<_> = files.into_iter().map(read).collect();
    assert!(named(&page).len() >= 40, "the rows were not found");
    let wrong = wrong(&page, &sources);
    assert!(wrong.is_empty(), "docs/concurrency.md:\n{}", wrong.join("\n"));
}

#[test]
fn fields_are_found_with_their_types() {
    let text = "pub struct A<T> { #[x] pub(crate) a: Mutex<(T, u8)>, b: Box<dyn Fn(u8) -> X>, } struct B(u8, AtomicU8);
        struct C; static D: OnceLock<u8> = OnceLock::new(); fn f() { let e: Mutex<u8>; }";
    let words = words(text);
    let found: Vec<_> = fields(&words).into_iter().map(|(field, kind)| (field, is_shared(kind))).collect();
    let expected = [("A::a", true), ("A::b", false), ("B::0", false), ("B::1", true), ("D", true)];
    assert_eq!(found, expected.map(|(field, is_shared)| (field.to_owned(), is_shared)));
}

#[test]
fn page_with_wrong_rows_is_refused() {
    let source = ("a.rs".to_owned(), "struct A { lock: Mutex<u8>, flag: bool }".to_owned());
    let rows = |rows: &str| wrong(rows, std::slice::from_ref(&source));
    assert!(rows("| `A::lock` | `a.rs` | x |\n| `A::flag` | `a.rs` | x |").is_empty());
    assert_eq!(rows("| `A::flag` | `a.rs` |"), ["A::lock of a.rs has no row"]);
    assert_eq!(rows("| `A::lock` | `a.rs` |\n| `A::flags` | `a.rs` |"), ["a.rs has no A::flags"]);
    assert_eq!(rows("| `A::lock` | `b.rs` |"), ["A::lock of a.rs has no row", "b.rs has no A::lock"]);
}
