//! [`Suite`]: the tests, how long each takes, and which mutations it reaches.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Error;
use crate::tree::Tree;
use crate::viable::cargo;

/// Test binaries that need a browser, other programs, much time, or an otherwise idle machine.
const LEFT_OUT: [&str; 8] = [
    "javascript_client",
    "chat_in_browser",
    "codecs_in_one_room",
    "examples",
    "interop",
    "resources",
    "crowds",
    "sockets",
];

pub(crate) struct Suite {
    pub(crate) binaries: Vec<Binary>,
    pub(crate) tests: Vec<Test>,
    /// The tests that reach a mutation, by its number; the quickest first.
    pub(crate) reached: HashMap<u32, Vec<usize>>,
}

pub(crate) struct Binary {
    pub(crate) name: String,
    path: PathBuf,
    directory: PathBuf,
}

pub(crate) struct Test {
    pub(crate) binary: usize,
    pub(crate) name: String,
    pub(crate) takes: Duration,
}

impl Binary {
    /// A command that runs these tests one after the other, with a limit on memory, which a mutant may try to exhaust.
    pub(crate) fn command(&self, tests: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 8000000; ulimit -c 0; exec \"$0\" \"$@\""]).arg(&self.path);
        command.args(["--exact", "--test-threads=1"]).args(tests);
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory);
        command.stdin(Stdio::null()).stderr(Stdio::null()).env_remove("RUST_LOG");
        command
    }
}

/// Builds all tests and runs each of them once.
pub(crate) fn record(tree: &Tree, slow: Duration, jobs: usize) -> Result<Suite, Error> {
    let binaries = binaries(tree)?;
    let mut names = Vec::new();
    for (index, binary) in binaries.iter().enumerate() {
        let output = Command::new(&binary.path).args(["--list", "--format=terse"]).output()?;
        let listed = String::from_utf8(output.stdout)?;
        names
            .extend(listed.lines().filter_map(|line| Some((index, line.strip_suffix(": test")?.to_owned()))));
    }
    println!("{} tests in {} binaries", names.len(), binaries.len());

    let traces = tree.state.join("traces");
    let _ = fs::remove_dir_all(&traces);
    fs::create_dir_all(&traces)?;
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((binary, name)) = names.get(index) else { break };
                    let outcome = run_once(&binaries[*binary], name, &traces.join(index.to_string()), slow);
                    found.lock().expect("no thread panics").push((*binary, name.clone(), outcome));
                }
            });
        }
    });

    let mut tests = Vec::new();
    for (binary, name, outcome) in found.into_inner()? {
        match outcome {
            Ok((takes, ids)) => tests.push((binary, name, takes, ids)),
            Err(why) => println!("left out, {why}: {name}"),
        }
    }
    tests.sort_by_key(|&(.., takes, _)| takes);
    let mut suite = Suite { binaries, tests: Vec::new(), reached: HashMap::new() };
    for (binary, name, takes, ids) in tests {
        for id in ids {
            suite.reached.entry(id).or_default().push(suite.tests.len());
        }
        suite.tests.push(Test { binary, name, takes });
    }
    Ok(suite)
}

fn binaries(tree: &Tree) -> Result<Vec<Binary>, Error> {
    let mut command = cargo(tree, "test");
    for name in tree.test_binaries()?.iter().filter(|name| !LEFT_OUT.contains(&name.as_str())) {
        command.args(["--test", name]);
    }
    let output =
        command.args(["--no-run", "--lib", "--message-format=json"]).stderr(Stdio::inherit()).output()?;
    let lines = String::from_utf8(output.stdout)?;
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    if !output.status.success() {
        messages
            .filter_map(|message| Some(message["message"]["rendered"].as_str()?.to_owned()))
            .for_each(|text| println!("{text}"));
        return Err("the tests do not compile".into());
    }
    let mut binaries = Vec::new();
    for message in messages {
        let (Some(path), Some(manifest), Some(name)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        if message["profile"]["test"] == true {
            let directory =
                PathBuf::from(manifest).parent().ok_or("a manifest stands in no directory")?.into();
            binaries.push(Binary { name: name.to_owned(), path: path.into(), directory });
        }
    }
    Ok(binaries)
}

fn run_once(
    binary: &Binary,
    name: &str,
    trace: &Path,
    slow: Duration,
) -> Result<(Duration, HashSet<u32>), String> {
    let start = Instant::now();
    let mut child = binary
        .command(&[name])
        .env("REJOIN_MUTANTS_REACHED", trace)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => break,
            Some(_) => return Err("fails without a mutant".to_owned()),
            None if start.elapsed() > slow => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("slow".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    }
    let takes = start.elapsed();
    let ids = fs::read_to_string(trace).unwrap_or_default();
    Ok((takes, ids.lines().filter_map(|line| line.parse().ok()).collect()))
}
