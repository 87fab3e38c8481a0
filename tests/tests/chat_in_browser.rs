//! Two users in two browsers hold a conversation and lose their sockets: the promises of `examples/chat`, seen from outside.
//!
//! Needs Chromium and its driver: `apt-get install chromium chromium-driver`.

#![cfg(unix)] // ends browsers by their process group

use std::time::{Duration, Instant};

use fantoccini::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod browser;
#[path = "chat_in_browser/looks.rs"]
mod looks;
#[path = "chat_in_browser/restarts.rs"]
mod restarts;
use browser::{Driver, PATIENCE};

/// How long the page waits to reconnect after `#cut-long`.
const CUT_LONG: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_neither_lost_nor_repeated() {
    let driver = Driver::start().await;
    let address = start_chat().await;
    let (ada, ben, eve) =
        tokio::join!(Page::open(&driver, "Ada"), Page::open(&driver, "Ben"), Page::open(&driver, "Eve"));

    they_meet(&ada, &ben, &address).await;
    they_talk(&ada, &ben).await;
    both_speak_while_a_socket_is_cut(&ada, &ben).await;
    both_speak_while_a_socket_stays_cut(&ada, &ben).await;
    newcomer_sees_who_is_away(&ada, &ben, &eve, &address).await;
    one_leaves(&ada, &ben).await;
}

/// Saves a picture of two windows of the conversation as `chat.png` in the folder `CARGO_TARGET_TMPDIR`. The picture in the
/// README was made by this test.
#[tokio::test]
async fn conversation_makes_a_picture() {
    let driver = Driver::start().await;
    let address = start_chat().await;
    let page = Page::open(&driver, "picture").await;
    // Two windows in one: frames on a page with the chat's own origin.
    page.browser.goto(&format!("{address}/rejoin.js")).await.expect("the page loads");
    page.run(include_str!("chat_in_browser/picture.js"), vec![]).await;
    page.sees("the picture", "return document.title", json!("ready")).await;
    let picture = page.browser.screenshot().await.expect("a picture");
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "not a picture of a conversation");
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/chat.png"), picture).expect("a file");
}

async fn they_meet(ada: &Page, ben: &Page, address: &str) {
    ada.join(address).await;
    ada.sees("people", PEOPLE, json!(["Ada"])).await;
    ben.join(address).await;
    ben.sees("people", PEOPLE, json!(["Ben", "Ada"])).await;
    ada.sees("people", PEOPLE, json!(["Ada", "Ben"])).await;
    ada.sees("notices", NOTICES, json!(["You are in lobby as Ada", "Ben joined"])).await;
    ben.sees("notices", NOTICES, json!(["You are in lobby as Ben"])).await;
}

async fn they_talk(ada: &Page, ben: &Page) {
    ada.types("Hello, Ben!").await;
    ben.sees_messages_of("Ada", &["Hello, Ben!".into()]).await;
    ben.types("Grüße, Ada ✓").await;
    ada.sees_messages_of("Ben", &["Grüße, Ada ✓".into()]).await;
    assert_eq!(ada.says(&["One more.".into()]).await, ["sent"]);
    for page in [ada, ben] {
        page.sees("ticks", TICKS, json!(["acked"])).await;
        page.sees_messages_of("Ada", &["Hello, Ben!".into(), "One more.".into()]).await;
    }
}

async fn both_speak_while_a_socket_is_cut(ada: &Page, ben: &Page) {
    let session = ada.value(SESSION).await;
    let (mine, yours) = (numbered("short, from Ada", 5), numbered("short, from Ben", 5));
    // In one script, so that her messages certainly find no socket.
    let (states, _) = tokio::join!(ada.cuts_and_says("#cut", &mine), ben.says(&yours));
    assert_eq!(states, ["queued"; 5]);
    ada.sees("connection", STATE, json!("connected")).await;
    assert_eq!(ada.value(SESSION).await, session, "the session goes on");
    for page in [ada, ben] {
        page.sees("ticks", TICKS, json!(["acked"])).await;
        page.sees_messages_of("Ada", &[&["Hello, Ben!".into(), "One more.".into()], &mine[..]].concat())
            .await;
        page.sees_messages_of("Ben", &[&["Grüße, Ada ✓".into()], &yours[..]].concat()).await;
    }
    ben.sees("who is away", AWAY, json!([])).await;
}

async fn both_speak_while_a_socket_stays_cut(ada: &Page, ben: &Page) {
    let session = ada.value(SESSION).await;
    let (mine, yours) = (numbered("long, from Ada", 5), numbered("long, from Ben", 20));
    let (before_ada, before_ben) = (ada.value(MESSAGES).await, ben.value(MESSAGES).await);
    let cut = Instant::now();
    assert_eq!(ada.cuts_and_says("#cut-long", &mine).await, ["queued"; 5]);
    ada.sees("connection", STATE, json!("away")).await;
    ben.sees("who is away", AWAY, json!(["Ada"])).await;
    ben.says(&yours).await;
    ben.sees("ticks", TICKS, json!(["acked"])).await;
    // Still apart: neither has any new message of the other, and Ada's are buffered.
    assert_eq!(ada.value(MESSAGES).await, then(&before_ada, &[("Ada", &mine)]));
    assert_eq!(ben.value(MESSAGES).await, then(&before_ben, &[("Ben", &yours)]));
    assert_eq!(ada.value(TICKS).await, json!(["acked", "queued"]));

    ada.sees("connection", STATE, json!("connected")).await;
    assert!(cut.elapsed() >= CUT_LONG, "back after {:?}", cut.elapsed());
    ada.sees("messages", MESSAGES, then(&before_ada, &[("Ada", &mine), ("Ben", &yours)])).await;
    ben.sees("messages", MESSAGES, then(&before_ben, &[("Ben", &yours), ("Ada", &mine)])).await;
    ada.sees("ticks", TICKS, json!(["acked"])).await;
    ben.sees("who is away", AWAY, json!([])).await;
    assert_eq!(ada.value(SESSION).await, session, "the session goes on");
    assert_eq!(ada.value(RESTORED).await, json!(2), "restored once for each cut");
    assert_eq!(ben.value(RESTORED).await, json!(0), "Ben's socket was never cut");
}

async fn newcomer_sees_who_is_away(ada: &Page, ben: &Page, eve: &Page, address: &str) {
    ada.clicks("#cut-long").await;
    ben.sees("who is away", AWAY, json!(["Ada"])).await;
    eve.join(address).await;
    eve.sees("people", PEOPLE, json!(["Eve", "Ada", "Ben"])).await;
    eve.sees("who is away", AWAY, json!(["Ada"])).await;
    ada.sees("connection", STATE, json!("connected")).await;
    for page in [ben, eve] {
        page.sees("who is away", AWAY, json!([])).await;
    }
    eve.clicks("#leave").await;
    ben.sees("people", PEOPLE, json!(["Ben", "Ada"])).await;
}

async fn one_leaves(ada: &Page, ben: &Page) {
    for page in [ada, ben] {
        page.sees("own messages that have not come back", NOT_ECHOED, json!(0)).await;
        assert_eq!(page.value("return window.chat.repeated").await, json!(0), "{}", page.name);
    }
    ada.clicks("#leave").await;
    ben.sees("people", PEOPLE, json!(["Ben"])).await;
    let notices = ["You are in lobby as Ben", "Eve joined", "Eve left", "Ada left"];
    ben.sees("notices", NOTICES, json!(notices)).await;
}

fn numbered(text: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{text}: {number}")).collect()
}

/// These messages, followed by more of them.
fn then(before: &Value, said: &[(&str, &[String])]) -> Value {
    let said = said.iter().flat_map(|(from, texts)| texts.iter().map(move |text| json!([from, text])));
    before.as_array().expect("a list of messages").iter().cloned().chain(said).collect()
}

// --- the visible state of the page

const STATE: &str = "return document.querySelector('#state').dataset.state";
const PEOPLE: &str = "return [...document.querySelectorAll('#people .who')].map((who) => who.textContent)";
const AWAY: &str =
    "return [...document.querySelectorAll('#people [data-away] .who')].map((who) => who.textContent)";
const MESSAGES: &str = "return [...document.querySelectorAll('#log .message')]
    .map((row) => [row.dataset.from, row.querySelector('.text').textContent])";
/// The different states of the user's own messages.
const TICKS: &str = "return [...new Set([...document.querySelectorAll('#log .mine')].map((row) => row.dataset.state))].sort()";
const NOT_ECHOED: &str = "return document.querySelectorAll('#log .mine:not([data-echoed])').length";
/// All notices except those about the user's own socket.
const NOTICES: &str =
    "return [...document.querySelectorAll('#log .notice:not([data-kind=dropped], [data-kind=restored])')]
    .map((row) => row.textContent)";
const RESTORED: &str = "return document.querySelectorAll('#log .notice[data-kind=restored]').length";
const SESSION: &str = "return window.chat.connection.session.id";

/// One user's browser, with the page in it.
struct Page {
    name: &'static str,
    browser: Client,
}

impl Page {
    async fn open(driver: &Driver, name: &'static str) -> Self {
        let browser = driver.open(name).await;
        Self { name, browser }
    }

    async fn join(&self, address: &str) {
        self.goes_to(address).await;
        self.run("document.querySelector('#name').value = arguments[0]", vec![self.name.into()]).await;
        self.clicks("#join").await;
        self.sees("connection", STATE, json!("connected")).await;
    }

    async fn goes_to(&self, address: &str) {
        self.browser.goto(address).await.expect("the page loads");
    }

    /// Types with the keyboard.
    async fn types(&self, text: &str) {
        let field =
            self.browser.find(fantoccini::Locator::Id("text")).await.expect("a field for the message");
        field.send_keys(&format!("{text}{}", char::from(fantoccini::key::Key::Enter))).await.expect("typing");
    }

    async fn clicks(&self, selector: &str) {
        let button = self.browser.find(fantoccini::Locator::Css(selector)).await;
        button.unwrap_or_else(|error| panic!("{selector}: {error}")).click().await.expect("a click");
    }

    /// Sends all messages without a pause, and returns the state of each right after that.
    async fn says(&self, texts: &[String]) -> Vec<String> {
        self.cuts_and_says("", texts).await
    }

    /// Like [`Self::says`], after a click on a button, in the same script.
    async fn cuts_and_says(&self, button: &str, texts: &[String]) -> Vec<String> {
        let states = self.run(
            "const [button, texts] = arguments;
             if (button) document.querySelector(button).click();
             return texts.map((text) => {
               document.querySelector('#text').value = text;
               document.querySelector('#compose').requestSubmit();
               return document.querySelector('#log > :last-child').dataset.state;
             });",
            vec![button.into(), texts.into()],
        );
        serde_json::from_value(states.await).expect("a state for each message")
    }

    async fn sees_messages_of(&self, from: &str, texts: &[String]) {
        let script = "return [...document.querySelectorAll('#log .message')].filter((row) => row.dataset.from === arguments[0])
             .map((row) => row.querySelector('.text').textContent)";
        self.sees_for(&format!("messages of {from}"), script, vec![from.into()], texts.into()).await;
    }

    /// Waits until the script returns this value.
    async fn sees(&self, what: &str, script: &str, expected: Value) {
        self.sees_for(what, script, vec![], expected).await;
    }

    async fn sees_for(&self, what: &str, script: &str, arguments: Vec<Value>, expected: Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.run(script, arguments.clone()).await;
            if seen == expected {
                return;
            }
            if Instant::now() > deadline {
                let name = self.name;
                let page = self.value("return document.body.innerText").await;
                panic!(
                    "{name} sees of {what}\n  {seen}, not\n  {expected}; the page:\n{}",
                    page.as_str().unwrap_or("")
                );
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    async fn value(&self, script: &str) -> Value {
        self.run(script, vec![]).await
    }

    async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = tokio::time::timeout(PATIENCE, self.browser.execute(script, arguments)).await;
        result
            .expect("the browser answers")
            .unwrap_or_else(|error| panic!("{}: {script}: {error}", self.name))
    }
}

/// Starts the chat, and returns the address of its page.
async fn start_chat() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(rejoin_chat::serve(listener, None, std::future::pending()));
    format!("http://{address}")
}
