//! Questions and answers in both directions (PROTOCOL.md §11).

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use rejoin_client::{AskError, ErrorAnswer, Event, Frame, SendError};
use rejoin_server::router::{BoxError, Decoded, Router, Streamed};
use rejoin_server::{Cancelled, CloseReason, Connection};
use rejoin_tests::harness::{RESET, Recorder, What, message, number};
use rejoin_tests::network::{Dials, Direction};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::{client, millis, secs, server, shut_down};

fn question(event: &str) -> Frame {
    Frame::event_only(event)
}

/// The server's next callback is a message.
async fn heard(log: &mut Recorder) -> Frame {
    match log.next().await.what {
        What::Message(frame) => frame,
        other => panic!("no message: {other:?}"),
    }
}

/// The client answers each question with this number.
fn answering(mut client: rejoin_client::Connection, answer: u64) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(event) = client.recv().await {
            if let Event::Message(frame) = event
                && !frame.id().is_empty()
            {
                client.send(&number(answer).with_re(frame.id())).unwrap();
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn handler_asks_the_client_whose_message_it_handles() {
    async fn relay(connection: Connection) -> Result<Frame, BoxError> {
        let first = connection.ask(&question("n")).await?.decode::<u64>()?;
        let second = connection.ask(&question("n")).await?.decode::<u64>()?;
        Ok(number(first + second))
    }
    let router = Router::builder().on("relay", relay).build().unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (ada, line) = client(&server, &mut log, "ada").await;
    let sender = ada.sender();
    let client = answering(ada, 7);
    assert_eq!(sender.ask(&question("relay")).await.unwrap().decode::<u64>().unwrap(), 14);
    // Also if the socket is lost meanwhile.
    line.cut_after(Direction::ToClient, 10);
    assert_eq!(sender.ask(&question("relay")).await.unwrap().decode::<u64>().unwrap(), 14);
    sender.close().await;
    client.await.unwrap();
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn answers_do_not_wait_for_the_application() {
    let (server, mut log) = server(|builder| builder);
    let (ada, _line) = client(&server, &mut log, "ada").await;
    let asked = ada.ask(&question("q").with_id("q1"));
    let asked = tokio::spawn(asked);
    heard(&mut log).await;
    for n in 1..=10 {
        server.send("ada", &number(n)).unwrap();
    }
    server.send("ada", &number(0).with_re("q1")).unwrap();
    // `ada` has taken none of the messages.
    assert_eq!(asked.await.unwrap(), Ok(number(0).with_re("q1")));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn stream_ends_after_the_last_answer() {
    let count = async |Decoded(n): Decoded<u64>| Streamed(stream::iter((1..=n).map(number)));
    let router = Router::builder().on("count", count).build().unwrap();
    let (server, mut log) = server(|builder| builder.router(router).send_buffer(8));
    let (ada, line) = client(&server, &mut log, "ada").await;
    let mut answers = ada.ask_stream(&Frame::new("count", &1000).unwrap());
    let mut seen = Vec::new();
    while let Some(answer) = answers.next().await {
        seen.push(answer.unwrap().decode::<u64>().unwrap());
        if seen.len() % 300 == 0 {
            line.cut();
        }
    }
    assert_eq!(seen, Vec::from_iter(1..=1000));
    // A single `ask` takes the first answer, and cancels the others.
    let first = ada.ask(&Frame::new("count", &1000).unwrap()).await.unwrap();
    assert_eq!(first.decode::<u64>().unwrap(), 1);
    assert_eq!(ada.ask(&Frame::new("count", &1).unwrap()).await.unwrap().decode::<u64>().unwrap(), 1);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_question_reaches_its_handler() {
    let (noted, mut notes) = mpsc::unbounded_channel();
    let router = Router::builder()
        .on("forever", move |cancelled: Cancelled| {
            let noted = noted.clone();
            async move {
                noted.send("begun").unwrap();
                cancelled.wait().await;
                noted.send("cancelled").unwrap();
                number(1)
            }
        })
        .on("n", async || number(2))
        .build()
        .unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (ada, _line) = client(&server, &mut log, "ada").await;
    let since = Instant::now();
    let timed_out = ada.ask(&question("forever")).timeout(secs(3)).await;
    assert_eq!((timed_out, since.elapsed()), (Err(AskError::Timeout), secs(3)));
    assert_eq!((notes.recv().await, notes.recv().await), (Some("begun"), Some("cancelled")));
    {
        let mut dropped = std::pin::pin!(ada.ask(&question("forever")));
        assert!(futures_util::poll!(dropped.as_mut()).is_pending());
        assert_eq!(notes.recv().await, Some("begun"));
    }
    assert_eq!(notes.recv().await, Some("cancelled"));
    assert_eq!(ada.ask(&question("n").with_id("x")).await, Ok(number(2).with_re("x")));
    let stray = server.connection("ada").unwrap().counts().stray_answers;
    assert_eq!(stray, 0);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn lost_session_ends_questions_of_both_sides() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    let sender = ada.sender();
    let asked = tokio::spawn(async move { sender.ask(&question("q")).timeout(secs(600)).await });
    assert_eq!(heard(&mut log).await.event(), "q");
    let connection = server.connection("ada").unwrap();
    let server_asked = tokio::spawn(async move { connection.ask(&question("s")).timeout(secs(600)).await });
    assert_eq!(message(&mut ada).await.event(), "s");
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::WindowExpired)));
    assert_eq!(server_asked.await.unwrap(), Err(AskError::Ended));
    line.set_dials(Dials::Served);
    assert_eq!(asked.await.unwrap(), Err(AskError::SessionLost));
    ada.close().await;
    assert_eq!(ada.ask(&question("q")).await, Err(AskError::NotSent(SendError::Closed)));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn close_ends_open_questions() {
    let (server, mut log) = server(|builder| builder);
    let (ada, _line) = client(&server, &mut log, "ada").await;
    let sender = ada.sender();
    let asked = tokio::spawn(async move { sender.ask(&question("q")).await });
    assert_eq!(heard(&mut log).await.event(), "q");
    ada.close().await;
    assert_eq!(asked.await.unwrap(), Err(AskError::Ended));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn question_waits_for_capacity_until_its_timeout() {
    let (server, mut log) = server(|builder| builder.send_buffer(1));
    let (ada, line) = client(&server, &mut log, "ada").await;
    let client = answering(ada, 7);
    let connection = server.connection("ada").unwrap();
    line.stall(Direction::ToClient);
    connection.send_wait(&number(1)).await.unwrap();
    let since = Instant::now();
    let timed_out = connection.ask(&question("q")).timeout(secs(2)).await;
    assert_eq!((timed_out, since.elapsed()), (Err(AskError::Timeout), secs(2)));
    let asked = tokio::spawn(async move { connection.ask(&question("q")).await });
    tokio::time::sleep(millis(10)).await;
    line.release(Direction::ToClient);
    assert_eq!(asked.await.unwrap().unwrap().decode::<u64>().unwrap(), 7);
    client.abort();
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn open_questions_cannot_share_an_id() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let router = Router::builder()
        .on("wait", move || {
            let opened = opened.clone();
            async move { opened.notified().await }
        })
        .on("n", async || number(1))
        .build()
        .unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (ada, _line) = client(&server, &mut log, "ada").await;
    let own = question("n").with_id("own");
    {
        let mut first = std::pin::pin!(ada.ask(&question("wait").with_id("own")));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        assert_eq!(ada.ask(&own).await, Err(AskError::DuplicateId));
    }
    gate.notify_one();
    assert_eq!(ada.ask(&own).await, Ok(number(1).with_re("own")));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn error_answer_has_a_code() {
    let full = async || Err::<(), _>(ErrorAnswer::new("full", "no seat left"));
    let router = Router::builder().on("reserve", full).build().unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (ada, _line) = client(&server, &mut log, "ada").await;
    let Err(AskError::Answer(error)) = ada.ask(&question("reserve")).await else { panic!("no error") };
    assert_eq!((error.code(), error.message()), ("full", "no seat left"));
    let Err(AskError::Answer(error)) = ada.ask(&question("nowhere")).await else { panic!("no error") };
    assert_eq!(error.code(), "unknown_event");
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_counted_and_dropped() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _line) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    let timed_out = connection.ask(&question("q")).timeout(secs(1)).await;
    assert_eq!(timed_out, Err(AskError::Timeout));
    let asked = message(&mut ada).await;
    ada.send(&number(1).with_re(asked.id())).unwrap();
    ada.send_acked(&number(2)).await.unwrap();
    assert_eq!(heard(&mut log).await, number(2));
    assert_eq!(connection.counts().stray_answers, 1);
    shut_down(&server).await;
}
