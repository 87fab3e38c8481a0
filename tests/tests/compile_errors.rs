//! The compiler's errors for mistakes in an application: they show the correct form, not the failing bound.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The beginning of every program.
const USES: &str = "#![allow(unused)]
use rejoin_server::{Connection, ConnectRequest, Identity, Reject, Router, Server};
fn identity() -> Identity { Identity::new() }
";

/// A correct program.
const RIGHT: &str =
    "fn main() { Server::builder(|_: ConnectRequest| async { Ok::<_, Reject>(identity()) }); }";

#[test]
fn wrong_connect_fn_shows_the_right_form() {
    let functions = [
        "async fn connect(user: u32) -> Result<Identity, Reject> { Ok(identity()) }",
        "async fn connect() -> Result<Identity, Reject> { Ok(identity()) }",
        "async fn connect(_: ConnectRequest) -> Result<Identity, String> { Ok(identity()) }",
        "async fn connect(_: ConnectRequest) -> Identity { identity() }",
        "fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(identity()) }",
        "async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
             let shared = std::rc::Rc::new(());
             std::future::ready(()).await;
             drop(shared);
             Ok(identity())
         }",
        "const connect: &str = \"lobby\";",
    ];
    let closures = [
        "|| async { Ok::<_, Reject>(identity()) }",
        "|_: ConnectRequest| async { Ok::<_, String>(identity()) }",
        "|_: ConnectRequest| async { identity() }",
        "|_: ConnectRequest| Ok::<_, Reject>(identity())",
    ];
    let functions = functions.map(|item| format!("{item}\nfn main() {{ Server::builder(connect); }}"));
    let closures = closures.map(|closure| format!("fn main() {{ Server::builder({closure}); }}"));
    let compiler = Compiler::new();
    for program in functions.iter().chain(&closures) {
        compiler.rejects(
            program,
            &[
                "cannot decide on connections",
                "expected an `async fn(ConnectRequest) -> Result<Identity, Reject>`",
                "= note: pass an `async fn(ConnectRequest) -> Result<Identity, Reject>`, a closure that returns such a future",
                "= note: the future has to be `Send`",
            ],
        );
    }
}

#[test]
fn bare_question_mark_names_the_ways_to_refuse() {
    let connect = "async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
        let user: u64 = request.query(\"user\").unwrap_or_default().parse()?;
        Ok(identity())
    }
    fn main() { Server::builder(connect); }";
    Compiler::new().rejects(
        connect,
        &[
            "`?` couldn't convert the error",
            "choose the status: `.or_unauthorized()?` (401), `.or_forbidden()?` (403) or `.or_unavailable()?` (503)",
            "with `use rejoin_server::OrReject as _`",
        ],
    );
}

#[test]
fn wrong_handlers_of_a_router_show_the_right_form() {
    let handlers = ["|_: Connection, _: u32| async {}", "|_: Connection| async { 5 }", "|_: Connection| {}"];
    let compiler = Compiler::new();
    for handler in handlers {
        compiler.rejects(
            &format!("fn main() {{ Router::builder().on(\"move\", {handler}); }}"),
            &[
                "does not handle frames of `rejoin_server::Connection`",
                "= note: pass an `async fn` with up to six parameters",
                "= note: it returns `()`, `Frame`, `Option<Frame>`, `Streamed`",
            ],
        );
    }
}

/// Compiles programs against the server that cargo has built for these tests, without linking: a fraction of a second for each.
struct Compiler {
    library: PathBuf,
}

impl Compiler {
    fn new() -> Self {
        let files = fs::read_dir(libraries()).unwrap().map(|entry| entry.unwrap().path());
        let mut builds: Vec<PathBuf> = files
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy();
                name.starts_with("librejoin_server-") && name.ends_with(".rlib")
            })
            .collect();
        // Older ones, with other features or by another compiler, may lie beside the newest.
        builds.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
        let mut why = String::from("no build of the server was found");
        for library in builds.into_iter().rev() {
            let compiler = Self { library };
            match compiler.compile(RIGHT) {
                Ok(()) => return compiler,
                Err(errors) => why = errors,
            }
        }
        panic!("{why}");
    }

    /// Fails unless the compiler rejects the program and says all of this.
    fn rejects(&self, program: &str, says: &[&str]) {
        let errors = self.compile(program).expect_err(program);
        for text in says {
            assert!(errors.contains(text), "of\n{program}\nit does not say `{text}` but\n{errors}");
        }
    }

    fn compile(&self, program: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("program.rs");
        fs::write(&source, format!("{USES}{program}")).unwrap();
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(compiler)
            .args(["--edition=2024", "--emit=metadata", "--color=never"])
            .arg(&source)
            .arg("--extern")
            .arg(format!("rejoin_server={}", self.library.display()))
            .arg("-L")
            .arg(format!("dependency={}", libraries().display()))
            .arg("--out-dir")
            .arg(folder.path())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// Where cargo puts the libraries with which it links this test.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().map(Path::to_owned).unwrap()
}
