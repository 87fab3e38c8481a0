//! The imports between the files of a crate, by `use` and by paths in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::circles::Edges;
use crate::source::{closing, words};

/// The modules of a crate by path; the root's path is empty.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

/// A module: a file, or an inline module in one.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// The names that are defined here, and inside those definitions.
    names: BTreeSet<String>,
    types: BTreeSet<String>,
    /// The imports, by their local names.
    uses: Vec<Use>,
    /// Paths of two or more words, and single words, outside of imports.
    paths: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    path: Vec<String>,
    /// `*` for all names there.
    name: String,
    /// Whether it is only re-exported, unless the code here uses the name, too.
    hands_on: bool,
}

/// The target of a path.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Module(Vec<String>),
    /// An item that is defined in this file.
    Item(String),
}

/// The number of imports that are followed: two that name each other must not loop forever.
const MOST_STEPS: usize = 16;

impl Crate {
    /// Reads the crate in this folder of the workspace.
    pub(crate) fn read(root: &Path, name: &str) -> Self {
        let mut found = Self::default();
        let mut next = vec![Vec::new()];
        while let Some(path) = next.pop() {
            let place: String = path.iter().map(|name| format!("/{name}")).collect();
            let files = match path.is_empty() {
                true => ["lib", "main"].map(|root| format!("{name}/src/{root}.rs")),
                false => [format!("{name}/src{place}.rs"), format!("{name}/src{place}/mod.rs")],
            };
            let file = files.iter().find(|file| root.join(file).is_file()).expect("a module has a file");
            let text = fs::read_to_string(root.join(file)).expect("it is a file");
            next.extend(found.add(file, &words(&text), &path));
        }
        found
    }

    /// Adds the module of these words. Returns its submodules that have their own files.
    fn add(&mut self, file: &str, words: &[String], path: &[String]) -> Vec<Vec<String>> {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut children = Vec::new();
        let is = |index: usize, word: &str| words.get(index).is_some_and(|found| found == word);
        // Whether the next item is visible in other modules.
        let mut is_visible = false;
        // Of braces: an item within is not one of the module.
        let mut depth = 0_usize;
        let mut index = 0;
        while index < words.len() {
            match &*words[index] {
                "pub" => {
                    is_visible = true;
                    index = if is(index + 1, "(") { closing(words, index + 1) } else { index + 1 };
                    continue;
                }
                "mod" if is(index + 2, ";") || is(index + 2, "{") => {
                    let child: Vec<_> = path.iter().chain([&words[index + 1]]).cloned().collect();
                    module.names.insert(words[index + 1].clone());
                    if is(index + 2, "{") {
                        let end = closing(words, index + 2);
                        children.extend(self.add(file, &words[index + 3..end - 1], &child));
                        index = end;
                    } else {
                        children.push(child);
                        index += 3;
                    }
                }
                // Not that of `impl Trait + use<..>`.
                "use" if !is(index + 1, "<") => {
                    let length = words[index..].iter().position(|word| word == ";");
                    let end = length.map_or(words.len(), |length| index + length);
                    tree(&words[index + 1..end], &[], is_visible, &mut module.uses);
                    index = end;
                }
                kind @ ("struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static") => {
                    let name = words.get(index + 1).cloned();
                    let is_type = !["fn", "const", "static"].contains(&kind);
                    if depth == 0 && is_type && !is_alias(&words[index..]) {
                        module.types.extend(name.clone());
                    }
                    module.names.extend(name);
                    index += 1;
                }
                word if word.starts_with(is_word) => {
                    let mut found = vec![word.to_owned()];
                    while is(index + 1, "::")
                        && words.get(index + 2).is_some_and(|next| next.starts_with(is_word))
                    {
                        found.push(words[index + 2].clone());
                        index += 2;
                    }
                    module.paths.push(found);
                    index += 1;
                }
                sign => {
                    depth = match sign {
                        "{" => depth + 1,
                        "}" => depth.saturating_sub(1),
                        _ => depth,
                    };
                    index += 1;
                }
            }
            is_visible = false;
        }
        self.modules.insert(path.to_vec(), module);
        children
    }

    /// The imports of each file: the names that it uses itself, without re-exports by `pub use`.
    pub(crate) fn imports(&self) -> Edges {
        let mut edges = Edges::new();
        for (path, module) in &self.modules {
            let to = edges.entry(module.file.clone()).or_default();
            for found in &module.uses {
                let is_used = || module.paths.iter().any(|path| path[0] == found.name);
                if (!found.hands_on || is_used())
                    && let Some(Place::Item(file)) = self.resolve(path, &found.path, 0)
                {
                    to.insert(file);
                }
            }
            for found in module.paths.iter().filter(|found| found.len() > 1) {
                if let Some(Place::Item(file)) = self.resolve(path, found, 0) {
                    to.insert(file);
                }
            }
        }
        for (file, to) in &mut edges {
            to.remove(file);
        }
        edges
    }

    /// The target of a path in a module; `None` for other crates.
    fn resolve(&self, from: &[String], path: &[String], steps: usize) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        if steps > MOST_STEPS {
            return None;
        }
        match &**first {
            "crate" => self.walk(Vec::new(), rest, steps),
            "self" => self.walk(from.to_vec(), rest, steps),
            "super" => {
                let supers = path.iter().take_while(|word| *word == "super").count();
                let above = from.len().checked_sub(supers)?;
                self.walk(from[..above].to_vec(), &path[supers..], steps)
            }
            _ => {
                let module = self.modules.get(from)?;
                let child: Vec<_> = from.iter().chain([first]).cloned().collect();
                if self.modules.contains_key(&child) {
                    return self.walk(child, rest, steps);
                }
                // Only modules are followed: an imported item has been counted.
                let found = module.uses.iter().find(|found| found.name == *first && found.path != path)?;
                match self.resolve(from, &found.path, steps + 1)? {
                    Place::Module(module) => self.walk(module, rest, steps + 1),
                    Place::Item(file) => Some(Place::Item(file)),
                }
            }
        }
    }

    fn walk(&self, mut at: Vec<String>, path: &[String], steps: usize) -> Option<Place> {
        for (index, name) in path.iter().enumerate() {
            let module = self.modules.get(&at)?;
            if name == "*" {
                return Some(Place::Item(module.file.clone()));
            }
            at.push(name.clone());
            if self.modules.contains_key(&at) {
                continue;
            }
            at.pop();
            if module.names.contains(name) {
                return Some(Place::Item(module.file.clone()));
            }
            let named = module.uses.iter().find(|found| found.name == *name);
            if let Some(found) = named {
                return match self.resolve(&at, &found.path, steps + 1)? {
                    Place::Module(module) => self.walk(module, &path[index + 1..], steps + 1),
                    item @ Place::Item(_) => Some(item),
                };
            }
            // A macro has defined it.
            return Some(Place::Item(module.file.clone()));
        }
        Some(Place::Module(at))
    }

    /// The types that each file defines.
    pub(crate) fn types(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut types = BTreeMap::<_, BTreeSet<_>>::new();
        for module in self.modules.values() {
            types.entry(module.file.clone()).or_default().extend(module.types.iter().cloned());
        }
        types
    }
}

/// Whether these words begin a definition such as `type Router = core::Router<Connection>`: another type's name, with its arguments.
fn is_alias(words: &[String]) -> bool {
    let end = words.iter().position(|word| word == ";").unwrap_or(0);
    let Some(path) = words[..end].split(|word| word == "=").nth(1) else { return false };
    let name = path.split(|word| word == "<").next().and_then(<[_]>::last);
    words[0] == "type" && path.iter().any(|word| word == "::") && name == words.get(1)
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// The imports of a tree: `a::{b, c as d, e::*}`.
fn tree(words: &[String], before: &[String], hands_on: bool, uses: &mut Vec<Use>) {
    let mut path = before.to_vec();
    let mut name = None;
    let mut index = 0;
    while index < words.len() {
        match &*words[index] {
            "{" => {
                let end = closing(words, index);
                let mut depth = 0;
                let branches = words[index + 1..end - 1].split(|word| {
                    depth += match &**word {
                        "{" => 1,
                        "}" => -1,
                        _ => 0,
                    };
                    depth == 0 && word == ","
                });
                branches
                    .filter(|branch| !branch.is_empty())
                    .for_each(|branch| tree(branch, &path, hands_on, uses));
                return;
            }
            "as" => {
                name = words.get(index + 1).cloned();
                index += 1;
            }
            "self" if !path.is_empty() => {}
            "::" => {}
            word => path.push(word.to_owned()),
        }
        index += 1;
    }
    let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
    uses.push(Use { path, name, hands_on });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports of a crate with these modules, each in a file with its name.
    fn imports(modules: &[(&str, &str)]) -> Vec<String> {
        let mut found = Crate::default();
        for (path, text) in modules {
            let segments: Vec<_> =
                path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            found.add(path, &words(text), &segments);
        }
        let edges = found.imports();
        edges.iter().flat_map(|(from, to)| to.iter().map(move |to| format!("{from}>{to}"))).collect()
    }

    #[test]
    fn import_leads_to_the_defining_file() {
        let modules = [
            ("", "mod a; mod b; pub use a::{A, inner::C};"),
            ("a", "mod inner; pub struct A; use crate::b;  fn f() { b::g(); }"),
            ("a::inner", "pub struct C; use super::super::b::D as E;"),
            ("b", "pub fn g() {} pub enum D {} use crate::{A, C}; use std::fmt;"),
        ];
        assert_eq!(imports(&modules), ["a>b", "a::inner>b", "b>a", "b>a::inner"]);
    }

    #[test]
    fn path_in_code_is_an_import() {
        let modules = [
            ("", "mod a; mod b;"),
            ("a", "fn f() -> super::b::B { crate::b::B::new() } pub(super) struct A;"),
            (
                "b",
                "pub struct B; impl B { fn new() { self::B } } mod inline { fn g(_: super::super::a::A) {} }",
            ),
        ];
        assert_eq!(imports(&modules), ["a>b", "b>a"]);
    }

    #[test]
    fn reexport_counts_only_if_the_name_is_used() {
        let modules =
            |used: &'static str| [("", "mod a;"), ("a", used), ("a::b", "use super::A; pub struct B;")];
        assert_eq!(imports(&modules("mod b; pub use b::B; pub struct A;")), ["a::b>a"]);
        assert_eq!(imports(&modules("mod b; pub use b::B; pub struct A(B);")), ["a>a::b", "a::b>a"]);
        assert_eq!(imports(&modules("mod b; use b::B; pub struct A;")), ["a>a::b", "a::b>a"]);
    }

    #[test]
    fn imports_in_tests_and_comments_are_ignored() {
        let modules = [
            ("", "mod a; mod b;"),
            (
                "a",
                "/// [`A`](crate::b::B)\npub struct A; // crate::b::B\n#[cfg(test)] mod tests { use crate::b::B; }",
            ),
            ("b", "#[cfg(test)] use crate::a::A; pub struct B;"),
        ];
        assert!(imports(&modules).is_empty());
    }

    #[test]
    fn mutual_imports_terminate() {
        assert!(
            imports(&[("", "mod a; mod b;"), ("a", "pub use crate::b::X;"), ("b", "pub use crate::a::X;")])
                .is_empty()
        );
    }

    #[test]
    fn types_are_those_of_modules() {
        let mut found = Crate::default();
        let text = "pub struct A; pub(crate) struct B; pub enum D { E } fn f() { struct F; } trait G { type H; } mod i { union J {} }
            impl A { type K = u8; } type L = x::L<A>; type M = x::L; type N<'a> = L<'a>;";
        found.add("a", &words(text), &[]);
        assert_eq!(found.types()["a"], ["A", "B", "D", "G", "J", "M", "N"].map(str::to_owned).into());
    }
}
