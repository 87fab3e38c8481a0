//! The chat is killed and stopped while people talk, and continues.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rejoin_store_local::LocalStore;
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    AWAY, Driver, MESSAGES, NOT_ECHOED, PEOPLE, Page, RESTORED, SESSION, STATE, TICKS, numbered, then,
};

const DATA: &str = "REJOIN_TEST_CHAT_DATA";
const ADDR: &str = "REJOIN_TEST_CHAT_ADDR";

/// The texts of the notices of this kind.
fn notices(kind: &str) -> String {
    format!(
        "return [...document.querySelectorAll('#log .notice[data-kind={kind}]')].map((row) => row.textContent)"
    )
}

/// The chat as a process of its own: this test program, which [`chat_process`] makes the chat.
struct Chat {
    child: Child,
    address: String,
}

impl Chat {
    fn start(data: &Path, address: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["restarts::chat_process", "--exact", "--ignored", "--nocapture"])
            .env(DATA, data)
            .env(ADDR, address)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the chat starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("AT ").map(str::to_owned));
        Self { child, address: address.expect("the chat listens") }
    }

    fn end(mut self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.success(), signal == "-TERM", "{status}");
    }
}

/// No test: the chat, as its `main` starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process for the other test"]
async fn chat_process() {
    let Ok(data) = std::env::var(DATA) else { return };
    let store = LocalStore::open(data).expect("the directory is free");
    let addr = std::env::var(ADDR).expect("an address");
    let listener = TcpListener::bind(addr).await.expect("the address is free");
    println!("\nAT {}", listener.local_addr().expect("an address"));
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler");
    rejoin_chat::serve(listener, Some(store), async { _ = terminate.recv().await }).await.expect("it serves");
    // Nothing reads the test program's further output.
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversation_outlives_the_process() {
    let data = tempfile::tempdir().expect("a directory");
    let driver = Driver::start().await;
    let mut chat = Chat::start(data.path(), "127.0.0.1:0");
    let at = chat.address.clone();
    let page = format!("http://{at}");
    let (ada, ben) = tokio::join!(Page::open(&driver, "Ada"), Page::open(&driver, "Ben"));
    ada.join(&page).await;
    ben.join(&page).await;
    ada.sees("people", PEOPLE, json!(["Ada", "Ben"])).await;
    let sessions = (ada.value(SESSION).await, ben.value(SESSION).await);

    for (round, signal) in ["-KILL", "-TERM", "-KILL"].into_iter().enumerate() {
        let before = (ada.value(MESSAGES).await, ben.value(MESSAGES).await);
        let of = |name: &str, what: &str| numbered(&format!("{name}, {what} {signal} {round}"), 3);
        // Some are on their way when the process ends, and some are typed while there is none.
        ada.says(&of("Ada", "before")).await;
        chat.end(signal);
        ada.sees("connection", STATE, json!("away")).await;
        ben.sees("connection", STATE, json!("away")).await;
        assert_eq!(ada.says(&of("Ada", "after")).await, ["queued"; 3]);
        assert_eq!(ben.says(&of("Ben", "after")).await, ["queued"; 3]);
        chat = Chat::start(data.path(), &at);
        let mine = [of("Ada", "before"), of("Ada", "after")].concat();
        for (one, before) in [(&ada, &before.0), (&ben, &before.1)] {
            one.sees("connection", STATE, json!("connected")).await;
            one.sees("ticks", TICKS, json!(["acked"])).await;
            let news = then(before, &[("Ada", &mine), ("Ben", &of("Ben", "after"))]);
            let count = news.as_array().expect("a list").len();
            one.sees("number of messages", &format!("{MESSAGES}.length"), json!(count)).await;
            one.sees("own messages that have not come back", NOT_ECHOED, json!(0)).await;
            one.sees_messages_of("Ben", &all_of("Ben", &news)).await;
            one.sees_messages_of("Ada", &all_of("Ada", &news)).await;
            one.sees("restarts", &format!("{}.length", notices("restarted")), json!(round + 1)).await;
            one.sees("resumes", RESTORED, json!(round + 1)).await;
            one.sees("who is away", AWAY, json!([])).await;
            assert_eq!(one.value("return window.chat.repeated").await, json!(0), "{}", one.name);
        }
    }
    assert_eq!((ada.value(SESSION).await, ben.value(SESSION).await), sessions, "the sessions go on");
    let told = ada.value(&notices("dropped")).await;
    assert_eq!(told, json!(["Connection lost", "The server restarts", "Connection lost"]));
    // A newcomer gets the messages that earlier processes received.
    let eve = Page::open(&driver, "Eve").await;
    eve.join(&page).await;
    eve.sees("people", PEOPLE, json!(["Eve", "Ada", "Ben"])).await;
    let said = all_of("Ben", &ben.value(MESSAGES).await);
    eve.sees_messages_of("Ben", &said).await;
    chat.end("-TERM");
}

/// The texts that this person has sent.
fn all_of(name: &str, messages: &serde_json::Value) -> Vec<String> {
    let messages: Vec<(String, String)> = serde_json::from_value(messages.clone()).expect("pairs");
    messages.into_iter().filter(|(from, _)| from == name).map(|(_, text)| text).collect()
}
