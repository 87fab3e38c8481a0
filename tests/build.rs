//! Takes programs out of the README and out of `docs`, so that tests can run them: `src/bin/readme-server.rs` and
//! `readme-client.rs` are two, `tests/javascript_client/readme.rs` has those of the npm package, `tests/documents` the others.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let readme = Document::read("../README.md");
    readme.write("readme-server", "The smallest server", &[(r#""127.0.0.1:9000""#, r#""127.0.0.1:0""#)]);
    let url = r#"std::env::args().nth(1).expect("expected a URL")"#;
    readme.write("readme-client", "The smallest client", &[(r#""ws://127.0.0.1:9000/?room=lobby""#, url)]);
    let package = Document::read("../js/README.md");
    let chat = "From nothing to a chat in five minutes";
    let listen = r#"server.listen("127.0.0.1:8080").await?.closed().await;"#;
    package.write("package-server", chat, &[(listen, "super::serve(&server).await?;")]);
    package.write_page("package-page", chat);
    let tour = Document::read("../docs/tour.md");
    tour.write("tour-router", "Handlers by event", &[]);
    tour.write("tour-presence", "Presence and hooks", &[]);
    tour.write("tour-credentials", "Credentials", &[]);
    tour.write("tour-history", "History", &[]);
    tour.write("tour-limits", "Limits", &[]);
    let wspulse = Document::read("../docs/from-wspulse.md");
    let listener = (r#"tokio::net::TcpListener::bind("0.0.0.0:9000").await?"#, "listener()?");
    wspulse.write(
        "wspulse-server",
        "A server",
        &[listener, (r#"todo!("your authentication")"#, "known(_token)")],
    );
    wspulse.write("wspulse-send", "Sending and closing", &[]);
    wspulse.write("wspulse-client", "The client", &[(r#""wss://chat.example.com/ws?room=lobby""#, "url()")]);
    wspulse.write("wspulse-router", "Router", &[]);
    Document::read("../docs/from-wshub.md").write("wshub", "A server", &[]);
    Document::read("../docs/from-go-ws.md").write("go-ws", "Subscriptions", &[]);
    Document::read("../docs/from-socket-io.md").write("socket-io", "A server", &[]);
}

struct Document(String);

impl Document {
    fn read(path: &str) -> Self {
        println!("cargo::rerun-if-changed={path}");
        Self(fs::read_to_string(path).expect("it stands in the repository"))
    }

    /// Writes the first program below a heading, with other text in some places.
    fn write(&self, name: &str, heading: &str, changes: &[(&str, &str)]) {
        let mut code = self.first("rust", heading);
        for (from, to) in changes {
            assert_eq!(code.matches(from).count(), 1, "{from} in {name}");
            code = code.replace(from, to);
        }
        put(name, "rs", &code);
    }

    /// Writes the first page below a heading.
    fn write_page(&self, name: &str, heading: &str) {
        put(name, "html", &self.first("html", heading));
    }

    /// The first block of this language below a heading.
    fn first(&self, language: &str, heading: &str) -> String {
        let (_, section) = self.0.split_once(&format!("\n## {heading}\n")).expect("a heading");
        let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
        let (_, code) = section.split_once(&format!("\n```{language}")).expect("a block");
        let (_, code) = code.split_once('\n').expect("lines");
        let (code, _) = code.split_once("\n```").expect("the end of the block");
        format!("{code}\n")
    }
}

fn put(name: &str, extension: &str, text: &str) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    fs::write(out.join(name).with_extension(extension), text).expect("OUT_DIR can be written");
}
