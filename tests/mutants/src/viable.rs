//! [`Mutant`]: a mutation that compiles.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Error;
use crate::sites::{self, Form, Site};
use crate::tree::{Source, Tree};
use crate::weave::{self, Place, Woven};

/// The packages that are compiled and tested by default.
pub(crate) const PACKAGES: [&str; 5] =
    ["rejoin-core", "rejoin-codecs", "rejoin-client", "rejoin-server", "rejoin-tests"];

/// If more rounds are needed, the errors have another cause.
const ROUNDS: usize = 40;

#[derive(Clone)]
pub(crate) struct Mutant {
    pub(crate) id: u32,
    pub(crate) path: String,
    line: usize,
    column: usize,
    what: String,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{} {}", self.path, self.line, self.column, self.what)
    }
}

struct File {
    source: Source,
    sites: Vec<Site>,
}

/// Writes all mutations of these files into the tree, and removes those that do not compile.
pub(crate) fn build(tree: &Tree, sources: Vec<Source>) -> Result<Vec<Mutant>, Error> {
    let refused = tree.state.join("refused.txt");
    let mut known: BTreeSet<String> =
        fs::read_to_string(&refused).unwrap_or_default().lines().map(str::to_owned).collect();
    let mut files = Vec::new();
    let mut id = 0;
    for source in sources {
        let mut sites = sites::find(&source.text).map_err(|error| format!("{}: {error}", source.path))?;
        for mutation in sites.iter_mut().flat_map(|site| &mut site.mutations) {
            mutation.id = id;
            mutation.viable = !known.contains(&key(&source, mutation));
            id += 1;
        }
        files.push(File { source, sites });
    }
    println!("{id} mutations in {} files", files.len());
    for round in 1..=ROUNDS {
        let woven = write(tree, &files)?;
        let errors = check(tree)?;
        if errors.is_empty() {
            return Ok(files.iter().flat_map(mutants).collect());
        }
        let mut dropped = 0;
        for error in &errors {
            for (file, (site, place)) in error.due_to(&files, &woven) {
                let File { source, sites } = &mut files[file];
                let mutation = &mut sites[site].mutations[place];
                if mutation.viable {
                    mutation.viable = false;
                    known.insert(key(source, mutation));
                    dropped += 1;
                }
            }
        }
        fs::write(&refused, known.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        println!("round {round}: {} errors, {dropped} mutations do not compile", errors.len());
        if dropped == 0 {
            return Err(errors.iter().map(|error| error.text.as_str()).collect::<String>().into());
        }
    }
    Err(format!("it does not compile after {ROUNDS} rounds").into())
}

/// The key by which a mutation that did not compile is recognized after a change elsewhere in the file.
fn key(source: &Source, mutation: &sites::Mutation) -> String {
    let line = source.text.lines().nth(mutation.line - 1).unwrap_or_default().trim();
    format!("{} | {} | {} | {line}", source.path, mutation.what, mutation.column)
}

fn mutants(file: &File) -> Vec<Mutant> {
    let mutations = file.sites.iter().flat_map(|site| &site.mutations).filter(|mutation| mutation.viable);
    let mutants = mutations.map(|mutation| Mutant {
        id: mutation.id,
        path: file.source.path.clone(),
        line: mutation.line,
        column: mutation.column,
        what: mutation.what.clone(),
    });
    mutants.collect()
}

fn write(tree: &Tree, files: &[File]) -> Result<Vec<Woven>, Error> {
    let mut all = Vec::new();
    for file in files {
        let mut woven = weave::weave(&file.source.text, &file.sites);
        if file.source.path.ends_with("src/lib.rs") {
            woven.text.push_str(weave::SWITCH);
        }
        tree.write(&file.source.path, &woven.text)?;
        all.push(woven);
    }
    Ok(all)
}

struct CompileError {
    /// The locations in the tree's files: first that of the error, then those that it mentions.
    spans: Vec<(String, usize, usize)>,
    text: String,
}

impl CompileError {
    /// The mutations that cause this error, with their files.
    fn due_to(&self, files: &[File], woven: &[Woven]) -> Vec<(usize, Place)> {
        let paths: HashMap<&str, usize> =
            files.iter().enumerate().map(|(index, file)| (file.source.path.as_str(), index)).collect();
        for (path, start, end) in &self.spans {
            let Some(&file) = paths.get(path.as_str()) else { continue };
            let sites = &files[file].sites;
            let mut due = woven[file].at(*start, *end, sites);
            due.retain(|&(site, place)| sites[site].mutations[place].viable);
            if !due.is_empty() {
                return due.into_iter().map(|place| (file, place)).collect();
            }
        }
        self.between(files, woven, &paths)
    }

    /// For a value that is moved twice because the `return` between the two moves is a mutation: the statements between the
    /// locations.
    fn between(&self, files: &[File], woven: &[Woven], paths: &HashMap<&str, usize>) -> Vec<(usize, Place)> {
        let Some((path, ..)) = self.spans.first() else { return Vec::new() };
        let Some(&file) = paths.get(path.as_str()) else { return Vec::new() };
        let here = || self.spans.iter().filter(|(other, ..)| other == path);
        let start = here().map(|&(_, start, _)| start).min().unwrap_or_default();
        let end = here().map(|&(.., end)| end).max().unwrap_or_default();
        let sites = &files[file].sites;
        let mut due = woven[file].inside(start, end, sites);
        due.retain(|&(site, place)| {
            sites[site].form == Form::Statement && sites[site].mutations[place].viable
        });
        due.into_iter().map(|place| (file, place)).collect()
    }
}

/// The compile errors of the first crate that has any.
fn check(tree: &Tree) -> Result<Vec<CompileError>, Error> {
    let output =
        cargo(tree, "check").args(["--lib", "--message-format=json"]).stderr(Stdio::piped()).output()?;
    let mut errors = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let message = &message["message"];
        if message["level"] != "error" {
            continue;
        }
        let mut spans = Vec::new();
        collect_spans(message, true, &mut spans);
        collect_spans(message, false, &mut spans);
        let text = message["rendered"].as_str().unwrap_or_default().to_owned();
        if message["spans"].as_array().is_some_and(|spans| !spans.is_empty()) {
            errors.push(CompileError { spans, text });
        }
    }
    if errors.is_empty() && !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(errors)
}

fn collect_spans(message: &Value, primary: bool, spans: &mut Vec<(String, usize, usize)>) {
    for span in message["spans"].as_array().into_iter().flatten() {
        if span["is_primary"] == primary {
            let offset = |name: &str| span[name].as_u64().and_then(|offset| usize::try_from(offset).ok());
            let (Some(start), Some(end)) = (offset("byte_start"), offset("byte_end")) else { continue };
            spans.push((span["file_name"].as_str().unwrap_or_default().to_owned(), start, end));
        }
    }
    for child in message["children"].as_array().into_iter().flatten() {
        collect_spans(child, primary, spans);
    }
}

/// `cargo check` or `cargo test`, in the tree, with all features.
pub(crate) fn cargo(tree: &Tree, command: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&tree.root).env("CARGO_TARGET_DIR", &tree.build).env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo.arg(command).arg("--all-features");
    for package in &tree.packages {
        cargo.args(["-p", package]);
    }
    cargo
}
