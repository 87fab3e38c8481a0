//! [`Tree`]: a copy of the repository that contains the mutations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The crates whose sources are mutated.
const CRATES: [&str; 4] = ["core", "codecs", "client", "server"];

/// A mutant that always fails must be found by the tests, and not by a lint.
const LINTS: &str = "[workspace.lints.rust]\n";
const LINTS_OF_MUTANTS: &str =
    "[workspace.lints.rust]\narithmetic_overflow = \"allow\"\nunconditional_panic = \"allow\"\n";

pub(crate) struct Tree {
    /// The copy.
    pub(crate) root: PathBuf,
    /// Where cargo builds it.
    pub(crate) build: PathBuf,
    /// The state that is kept between runs.
    pub(crate) state: PathBuf,
    /// The packages that are compiled and tested.
    pub(crate) packages: Vec<String>,
    /// The commit that is copied.
    pub(crate) commit: String,
}

/// A source file, by its path in the tree.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Copies all files that git tracks or would add. An unchanged file keeps its modification time in the copy, so that cargo only
/// rebuilds what has changed.
pub(crate) fn copy(packages: &[String]) -> Result<Tree, Error> {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let state = from.join("target/mutants");
    let tree = Tree {
        root: state.join("tree"),
        build: state.join("build"),
        packages: packages.to_vec(),
        commit: git(&from, &["rev-parse", "--short", "HEAD"])?.trim().to_owned(),
        state,
    };
    let listed = git(&from, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    for path in listed.split('\0').filter(|path| !path.is_empty() && from.join(path).exists()) {
        let mut content = fs::read(from.join(path))?;
        if path == "Cargo.toml" {
            content = String::from_utf8(content)?.replace(LINTS, LINTS_OF_MUTANTS).into();
        }
        write_if_changed(&tree.root.join(path), &content, !is_source(path))?;
        if path.ends_with(".sh") || path.ends_with(".py") {
            fs::set_permissions(tree.root.join(path), fs::metadata(from.join(path))?.permissions())?;
        }
    }
    let known: Vec<&str> = listed.split('\0').collect();
    for crate_ in CRATES {
        remove_unknown(&tree.root, &tree.root.join(crate_), &known)?;
    }
    remove_unknown(&tree.root, &tree.root.join("tests"), &known)?;
    Ok(tree)
}

impl Tree {
    /// The sources of the crates under test, without their tests, as they are in the repository.
    pub(crate) fn sources(&self, only: &[String]) -> Result<Vec<Source>, Error> {
        let from = self.state.join("../..").canonicalize()?;
        let listed = git(&from, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let mut texts = Vec::new();
        for path in listed.split('\0').filter(|path| is_source(path) && from.join(path).exists()) {
            texts.push((path, fs::read_to_string(from.join(path))?));
        }
        let tests: Vec<String> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
        let mut sources = Vec::new();
        for (path, text) in texts {
            let of_tests = tests.iter().any(|module| is_part_of(path, module));
            let chosen = only.is_empty() || only.iter().any(|part| path.contains(part.as_str()));
            let is_root = path.ends_with("src/lib.rs");
            if (chosen || is_root) && !of_tests {
                sources.push(Source { path: path.to_owned(), text });
            } else {
                write_if_changed(&self.root.join(path), text.as_bytes(), true)?;
            }
        }
        Ok(sources)
    }

    /// The names of the binaries of tests beside the libraries, in all crates.
    pub(crate) fn test_binaries(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let is_chosen = |crate_: &&&str| self.packages.contains(&format!("rejoin-{crate_}"));
        for crate_ in CRATES.iter().chain(&["tests"]).filter(is_chosen) {
            let Ok(entries) = fs::read_dir(self.root.join(crate_).join("tests")) else { continue };
            for entry in entries {
                let path = entry?.path();
                let is_binary = path.extension().is_some_and(|extension| extension == "rs")
                    || path.join("main.rs").exists();
                names.extend(
                    path.file_stem().filter(|_| is_binary).and_then(|name| name.to_str()).map(str::to_owned),
                );
            }
        }
        Ok(names)
    }

    /// Writes a file of the copy.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        write_if_changed(&self.root.join(path), text.as_bytes(), true)
    }
}

fn is_source(path: &str) -> bool {
    let in_crate = CRATES.iter().any(|crate_| path.starts_with(&format!("{crate_}/src/")));
    let of_tests = path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/testing.rs");
    in_crate && path.ends_with(".rs") && !of_tests
}

/// The modules that a file declares for tests alone, or that the suite, with all features, does not compile: their paths without
/// `.rs`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let (directory, name) = path.rsplit_once('/').unwrap_or_default();
    let inside = match name {
        "lib.rs" | "mod.rs" => directory.to_owned(),
        name => format!("{directory}/{}", name.trim_end_matches(".rs")),
    };
    let mut modules = Vec::new();
    let mut for_tests = false;
    for line in text.lines() {
        if line.starts_with("#[") {
            for_tests |= LEFT_OUT.iter().any(|cfg| line.starts_with(cfg));
            continue;
        }
        let declared = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ");
        if let Some(module) = declared.and_then(|declared| declared.strip_suffix(';')).filter(|_| for_tests) {
            modules.push(format!("{inside}/{module}"));
        }
        for_tests = false;
    }
    modules
}

/// The attributes of such modules.
const LEFT_OUT: [&str; 5] =
    ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(not(feature", "#[cfg(rejoin_model)]", "#[cfg(rejoin_loom)]"];

fn is_part_of(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn write_if_changed(path: &Path, content: &[u8], wanted: bool) -> Result<(), Error> {
    if !wanted || fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().ok_or("a file stands in no directory")?)?;
    Ok(fs::write(path, content)?)
}

/// Otherwise a deleted file would still be compiled if cargo finds it by its name, as a test for example.
fn remove_unknown(root: &Path, directory: &Path, known: &[&str]) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_unknown(root, &path, known)?;
        } else if let Some(name) = path.strip_prefix(root)?.to_str()
            && !known.contains(&name)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("git {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_test_modules() {
        let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\n#[cfg(feature = \"x\")]\npub(crate) mod c;\nmod d;\n";
        assert_eq!(test_modules("server/src/lib.rs", text), ["server/src/b", "server/src/c"]);
        assert_eq!(test_modules("core/src/drive/mod.rs", "#[cfg(test)]\nmod b;"), ["core/src/drive/b"]);
        assert_eq!(test_modules("core/src/drive/log.rs", "#[cfg(test)]\nmod b;"), ["core/src/drive/log/b"]);
        let text = "#[cfg(rejoin_model)]\n#[doc(hidden)]\npub mod a;\n#[cfg(not(feature = \"x\"))]\nmod d;\n#[cfg(all(test, rejoin_model))]\nmod b;\n#[cfg(not(test))]\nmod c;\n";
        assert_eq!(test_modules("core/src/lib.rs", text), ["core/src/a", "core/src/d", "core/src/b"]);
        assert!(
            is_part_of("server/src/b.rs", "server/src/b") && is_part_of("server/src/b/c.rs", "server/src/b")
        );
        assert!(!is_part_of("server/src/bc.rs", "server/src/b"));
    }
}
