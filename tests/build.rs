//! Takes the README's two programs out of it, so that a test can run them (`src/bin/readme-server.rs`, `readme-client.rs`).

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=../README.md");
    let readme = fs::read_to_string("../README.md").expect("the README stands beside this folder");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let server = program(&readme, "server", r#""127.0.0.1:9000""#, r#""127.0.0.1:0""#);
    fs::write(out.join("readme-server.rs"), server).expect("OUT_DIR can be written");
    let url = r#"std::env::args().nth(1).expect("expected a URL")"#;
    let client = program(&readme, "client", r#""ws://127.0.0.1:9000/?room=lobby""#, url);
    fs::write(out.join("readme-client.rs"), client).expect("OUT_DIR can be written");
}

/// The program below the heading `The smallest …`, with another address.
fn program(readme: &str, name: &str, from: &str, to: &str) -> String {
    let (_, section) = readme.split_once(&format!("## The smallest {name}\n")).expect("a heading");
    let (_, code) = section.split_once("```rust,no_run\n").expect("a program");
    let (code, _) = code.split_once("```").expect("the end of the program");
    assert_eq!(code.matches(from).count(), 1, "the address in the smallest {name}");
    code.replace(from, to)
}
