//! The test vectors for clients (`tests/vectors/client`, whose README says what each step means), played with a scripted server over
//! pairs in memory and a paused clock.
//!
//! This client differs from a page in what the vectors leave to it: its first dial is an error if it fails, it reports neither
//! delays nor what was sent or acknowledged, and it names the code of a violation in its close frame. Vectors that say nothing
//! about such a client have their reason under `not`.

mod application;
mod log;
mod server;
mod world;

use std::fs;
use std::path::Path;

use serde_json::Value;

use world::World;

/// The vectors of all files, each with its name and the name of its file.
fn vectors() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/client");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let mut file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let file_name = path.file_name().unwrap().to_string_lossy().into_owned();
        let vectors = file["vectors"].as_array_mut().map(std::mem::take).expect("a list of vectors");
        vectors
            .into_iter()
            .map(move |vector| (format!("{file_name}: {}", vector["name"].as_str().unwrap()), vector))
    };
    files.iter().flat_map(read).collect()
}

/// Whether the vector does not apply to this client.
fn is_excluded(vector: &Value) -> bool {
    vector["not"].get("rust").is_some()
}

fn play(vector: &Value) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            World::new(vector["random"].as_f64().unwrap_or(0.0)).play(&vector["steps"]).await
        })
    }));
    played.unwrap_or_else(|_| Err("the runner panicked".to_owned()))
}

/// What failed, of the vectors that this client plays or of those that do not apply to it.
fn failures(excluded: bool) -> (usize, Vec<String>) {
    let mut all = vectors();
    all.retain(|(_, vector)| vector["needs"] != "utf16" && is_excluded(vector) == excluded);
    let failed = all.iter().filter_map(|(name, vector)| Some(format!("{name}\n    {}", play(vector).err()?)));
    (all.len(), failed.collect())
}

#[test]
fn client_obeys_its_vectors() {
    let (_, failed) = failures(false);
    assert!(failed.is_empty(), "{} vectors failed\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn no_vector_is_excluded_that_the_client_obeys() {
    let (excluded, failed) = failures(true);
    assert_eq!(excluded, failed.len(), "these alone failed\n{}", failed.join("\n"));
}
