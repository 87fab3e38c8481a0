//! The look of the page: it fits windows and touch targets, its text and controls can be seen, and it shows only confirmed states.

use std::net::SocketAddr;

use fantoccini::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::browser::Driver;
use super::{NOTICES, Page, STATE, start_chat};

/// The controls that are smaller than 44 by 44 pixels (WCAG 2.2, 2.5.5).
const SMALL_TARGETS: &str = "return [...document.querySelectorAll('button, input, textarea')]
    .map((control) => [control.id || control.textContent, control.getBoundingClientRect()])
    .filter(([, { width, height }]) => width > 0 && (width < 44 || height < 44))
    .map(([name, { width, height }]) => [name, width, height])";
/// By how many pixels the page is higher and wider than the window.
const OVERFLOW: &str =
    "const { scrollHeight, clientHeight, scrollWidth, clientWidth } = document.scrollingElement;
    return [scrollHeight - clientHeight, scrollWidth - clientWidth]";
const COUNT: &str = "return document.querySelector('#count').textContent";
/// All lines of the log: notices and messages.
const LOG: &str =
    "return [...document.querySelectorAll('#log .notice span, #log .text')].map((line) => line.textContent)";
const LAST_TICK: &str =
    "return [...document.querySelectorAll('#log .mine .tick')].at(-1).getAttribute('aria-label')";

#[tokio::test]
async fn page_fits_windows_and_touch_targets() {
    let driver = Driver::start().await;
    let address = start_chat().await;
    let page = Page::open(&driver, "Ada").await;
    page.goes_to(&address).await;
    fits(&page, "the way in").await;
    page.join(&address).await;
    page.run("document.querySelector('#newer').hidden = false", vec![]).await;
    fits(&page, "the chat").await;

    // A phone is narrower than the smallest window, so the page is in a frame.
    let name = "Ben";
    let page = Page { name, ..page };
    page.goes_to(&format!("{address}/rejoin.js")).await;
    let frame = "document.body.innerHTML = '<iframe style=\"width: 360px; height: 640px\" src=\"/#room=lobby&name=Ben\"></iframe>'";
    page.run(frame, vec![]).await;
    page.browser.clone().enter_frame(0).await.expect("a frame");
    page.sees("connection", STATE, json!("connected")).await;
    page.run("document.querySelector('#newer').hidden = false", vec![]).await;
    fits(&page, "the chat on a phone").await;
}

async fn fits(page: &Page, what: &str) {
    assert_eq!(page.value(OVERFLOW).await, json!([0, 0]), "{what} has a scrollbar");
    assert_eq!(page.value(SMALL_TARGETS).await, json!([]), "{what} has small targets");
}

#[tokio::test]
async fn every_text_and_control_can_be_seen() {
    let driver = Driver::start().await;
    let address = start_chat().await;
    for (scheme, setting) in [("light", 1), ("dark", 0)] {
        let setting = format!("--blink-settings=preferredColorScheme={setting}");
        let arguments = [setting.as_str(), "--force-prefers-reduced-motion"];
        let browser: Client = driver.open_with(scheme, &arguments).await;
        let page = Page { name: "Ada", browser };
        page.goes_to(&address).await;
        let dark = page.value("return matchMedia('(prefers-color-scheme: dark)').matches").await;
        assert_eq!(dark, json!(scheme == "dark"));
        can_be_seen(&page, "return lowContrast()").await;
        page.join(&address).await;
        page.says(&["Hello!".into()]).await;
        page.run("document.querySelector('#compose').requestSubmit()", vec![]).await;
        page.sees(
            "the problem",
            "return document.querySelector('#problem').textContent",
            json!("There is nothing to send yet."),
        )
        .await;
        // Shows a line of each kind, a message and the connection in each state, and a peer in each colour.
        can_be_seen(&page, LOOKS).await;
    }
}

async fn can_be_seen(page: &Page, script: &str) {
    page.run(include_str!("contrast.js"), vec![]).await;
    assert_eq!(
        page.value(script).await,
        json!([]),
        "of {}",
        page.browser.current_url().await.expect("a page")
    );
}

const LOOKS: &str = "
    const found = [];
    const look = () => found.push(...lowContrast());
    const pick = (selector) => document.querySelector(selector);
    for (const state of ['connecting', 'connected', 'away', 'lost']) {
      pick('#state').dataset.state = state;
      look();
    }
    for (const kind of ['joined', 'left', 'dropped', 'restored', 'restarted', 'gap', 'lost', 'closed']) {
      const notice = pick('.notice');
      notice.dataset.kind = kind;
      const button = notice.appendChild(document.createElement('button'));
      button.className = 'quiet';
      button.textContent = 'Start anew';
      look();
      button.remove();
    }
    for (const state of ['queued', 'sent', 'acked', 'refused', 'lost']) {
      pick('.mine').dataset.state = state;
      look();
    }
    pick('#people li').dataset.away = '';
    pick('#newer').hidden = false;
    const other = pick('.mine').cloneNode(true);
    other.className = 'message';
    other.querySelector('.from').className = 'from';
    pick('#log').append(other);
    for (let hue = 0; hue < 360; hue += 5) {
      other.style.setProperty('--hue', hue);
      look();
    }
    return found;";

#[tokio::test]
async fn page_shows_only_confirmed_states() {
    let driver = Driver::start().await;
    let address = start_chat().await;
    let (ada, ben) = tokio::join!(Page::open(&driver, "Ada"), Page::open(&driver, "Ben"));
    // In one script, so that the message is typed before the server has answered.
    ada.goes_to(&address).await;
    let join_and_say = "document.querySelector('#name').value = 'Ada';
        document.querySelector('#join-form').requestSubmit();
        document.querySelector('#text').value = 'Is anybody here?';
        document.querySelector('#compose').requestSubmit();
        return document.querySelector('#log > :last-child').dataset.state";
    assert_eq!(ada.value(join_and_say).await, "queued");
    ada.sees("the log", LOG, json!(["You are in lobby as Ada", "Is anybody here?"])).await;

    ben.join(&address).await;
    ada.sees("who is here", COUNT, json!("2 here")).await;
    ada.clicks("#cut-long").await;
    for page in [&ada, &ben] {
        page.sees("who is here", COUNT, json!("1 here, 1 away")).await;
    }
    ben.types("Ada?").await;
    // One tick, for the server: Ada has no message yet.
    ben.sees("the tick", LAST_TICK, json!("the server has it")).await;
    assert_eq!(ada.value(LOG).await.as_array().expect("lines").last(), Some(&json!("You cut the socket")));
    let strokes = "return document.querySelector('#icon-acked path').getAttribute('d').match(/m/gi).length";
    assert_eq!(ben.value(strokes).await, 1, "one tick");
    for page in [&ada, &ben] {
        page.sees("who is here", COUNT, json!("2 here")).await;
    }
}

#[tokio::test]
async fn page_reports_that_a_new_session_started() {
    let driver = Driver::start().await;
    let (chat, stop) = Chat::start("127.0.0.1:0".parse().expect("an address")).await;
    let ada = Page::open(&driver, "Ada").await;
    ada.join(&format!("http://{}", chat.addr)).await;
    ada.sees("notices", NOTICES, json!(["You are in lobby as Ada"])).await;
    drop(stop);
    chat.task.await.expect("no panic");
    let lost = "The session was lost: server shutting down. What others said meanwhile is missing here.";
    ada.sees("notices", NOTICES, json!(["You are in lobby as Ada", lost])).await;
    assert_eq!(ada.says(&["Is it back?".into()]).await, ["queued"]);
    let (chat, _stop) = Chat::start(chat.addr).await;
    let again = "With a new session: you are in lobby as Ada";
    let log: Value = json!(["You are in lobby as Ada", "Connection lost", lost, again, "Is it back?"]);
    ada.sees("the log", LOG, log).await;
    ada.sees("the tick", LAST_TICK, json!("the server has it")).await;
    chat.task.abort();
}

/// A chat server that can be stopped and restarted on the same port.
struct Chat {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Chat {
    async fn start(addr: SocketAddr) -> (Self, oneshot::Sender<()>) {
        let listener = TcpListener::bind(addr).await.expect("the port is free");
        let addr = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            rejoin_chat::serve(listener, None, async { drop(stopped.await) })
                .await
                .expect("the chat is served");
        });
        (Self { addr, task }, stop)
    }
}
