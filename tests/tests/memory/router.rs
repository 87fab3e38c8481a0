//! Routers on both sides of a connection.

use std::sync::Arc;

use rejoin_client::{AskError, Event, Frame, SendError};
use rejoin_server::router::{CatchPanic, Data, Decoded, Extension, Failure, RouterError, State};
use rejoin_server::{CloseReason, Connection, Identity, Reject, Server, router};
use rejoin_tests::harness::{Heard, RESET, What, closed, local, message, next, number};
use rejoin_tests::network::{Direction, Line};
use tokio::sync::{Notify, mpsc};

use crate::{client, secs, server, shut_down};

/// Replies with the sum of the numbers.
async fn add(Decoded(numbers): Decoded<Vec<u64>>) -> Frame {
    number(numbers.iter().sum())
}

/// The frame with which [`tell`] reports an error to the client.
fn error(text: &str) -> Heard {
    Heard::Message(Frame::new("error", text).unwrap())
}

async fn tell(connection: Connection, error: router::RouteError) {
    let text = error.failure().to_string();
    connection.send(&Frame::new("error", &text).unwrap().with_id(error.id())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn server_answers_questions_and_reports_errors() {
    #[derive(Clone)]
    struct Name(String);
    async fn who(mut context: router::Context, next: router::Next) -> Result<(), Failure> {
        let name = Name(context.peer().id().to_uppercase());
        context.insert(name);
        next.run(context).await
    }
    let router = rejoin_server::Router::builder()
        .layer(who)
        .on("add", add)
        .on("say", |connection: Connection, Extension(Name(name)): Extension<Name>| async move {
            let line = Frame::new("line", &name)?;
            connection.broadcast(&line)?;
            Ok::<_, router::BoxError>(())
        })
        .fallback(|frame: Frame| async move { Frame::new("unknown", frame.event()) })
        .on_error(tell)
        .build()
        .unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;

    let question = Frame::new("add", &[1, 2, 3]).unwrap().with_id("q1");
    assert_eq!(ada.ask(&question).await, Ok(number(6).with_re("q1")));
    ada.send(&Frame::event_only("say")).unwrap();
    for client in [&mut ada, &mut ben] {
        assert_eq!(message(client).await, Frame::new("line", "ADA").unwrap());
    }
    let unknown = ben.ask(&Frame::event_only("what")).await.unwrap();
    assert_eq!((unknown.event(), unknown.decode::<String>().unwrap().as_str()), ("unknown", "what"));
    let refused = ben.ask(&Frame::new("add", &["x"]).unwrap().with_id("q3")).await;
    assert!(matches!(refused, Err(AskError::Answer(error)) if error.code() == "bad_request"));
    let error = message(&mut ben).await;
    assert_eq!(error.id(), "q3");
    assert!(error.decode::<String>().unwrap().starts_with("payload at [0]: "), "{error:?}");
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn client_routes_messages_and_replies() {
    let router = rejoin_client::Router::builder()
        .on("add", add)
        .on("who", async |sender: rejoin_client::Sender| Frame::new("id", &sender.id()))
        .build()
        .unwrap();
    let (server, mut log) = server(|builder| builder);
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    let receiving = tokio::spawn(async move {
        while let Some(event) = ada.recv().await {
            if let Event::Message(frame) = event {
                router.handle(&ada.sender(), frame).await;
            }
        }
    });
    server.send("ada", &Frame::event_only("who")).unwrap();
    assert_eq!(log.next().await, ("ada", What::Message(Frame::new("id", "ada").unwrap())));
    line.cut();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    server.send("ada", &Frame::new("add", &[1, 2]).unwrap()).unwrap();
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(log.next().await, ("ada", What::Message(number(3))));
    server.kick("ada").await.unwrap();
    receiving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reply_to_lost_socket_comes_after_resume() {
    let (asked, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, opened) = (asked.clone(), gate.clone());
    let router = rejoin_server::Router::builder()
        .on("ask", move || {
            let (begun, opened) = (begun.clone(), opened.clone());
            async move {
                begun.notify_one();
                opened.notified().await;
                number(7)
            }
        })
        .build()
        .unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    let sender = ada.sender();
    let answer = tokio::spawn(async move { sender.ask(&Frame::event_only("ask").with_id("q")).await });
    asked.notified().await;
    line.cut();
    gate.notify_one();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(answer.await.unwrap(), Ok(number(7).with_re("q")));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn panic_ends_connection_unless_caught() {
    async fn panics() {
        panic!("on purpose");
    }
    let builder = || rejoin_server::Router::builder().on("panic", panics).on("add", add).on_error(tell);
    let ask = Frame::new("add", &[1, 2]).unwrap();

    let (recovering, mut log) = server(|server| server.router(builder().layer(CatchPanic).build().unwrap()));
    let (mut ada, _) = client(&recovering, &mut log, "ada").await;
    ada.send(&Frame::event_only("panic")).unwrap();
    assert_eq!(next(&mut ada).await, error("handler panicked: on purpose"));
    ada.send(&ask).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(number(3)));
    assert_eq!(log.try_next(), None, "the session goes on");
    shut_down(&recovering).await;

    let (strict, mut log) = server(|server| server.router(builder().build().unwrap()));
    let (mut ben, _) = client(&strict, &mut log, "ben").await;
    ben.send(&Frame::event_only("panic")).unwrap();
    assert_eq!(log.next().await, ("ben", What::Disconnected(CloseReason::HandlerPanicked)));
    assert_eq!(next(&mut ben).await, Heard::Disconnected(closed(1011, "handler panicked")));
}

#[tokio::test(start_paused = true)]
async fn reply_waits_for_space_until_write_timeout() {
    let (sender, mut errors) = mpsc::unbounded_channel();
    let router = rejoin_server::Router::builder()
        .on("add", add)
        .on_error(move |connection, error| {
            connection.close_with(4001, "too slow").unwrap();
            sender.send(error).unwrap();
            std::future::ready(())
        })
        .build()
        .unwrap();
    let (server, mut log) = server(|builder| builder.router(router).send_buffer(1).write_timeout(secs(3)));
    let (ada, line) = client(&server, &mut log, "ada").await;
    let ask = Frame::new("add", &[1, 2]).unwrap();
    // They get space one after the other.
    for id in ["1", "2", "3"] {
        assert_eq!(ada.ask(&ask.clone().with_id(id)).await, Ok(number(3).with_re(id)));
    }
    line.stall(Direction::ToClient);
    server.connection("ada").unwrap().send_wait(&number(0)).await.unwrap();
    ada.send_wait(&ask.with_id("4")).await.unwrap();
    let error = errors.recv().await.unwrap();
    assert_eq!((error.event(), error.id()), ("add", "4"));
    let Failure::Reply(error) = error.into_failure() else { panic!("expected a failed reply") };
    assert_eq!(error.downcast_ref(), Some(&SendError::Timeout));
    assert_eq!(
        log.next().await,
        ("ada", What::Disconnected(local(4001, "too slow"))),
        "`on_error` may close"
    );
}

#[tokio::test(start_paused = true)]
async fn handlers_take_connection_data_and_router_state() {
    #[derive(Clone)]
    struct Motto(&'static str);
    struct Name(String);
    let router = rejoin_server::Router::builder()
        .with_state(Motto("welcome"))
        .with_state(7_u64)
        .on("greet", async |Data(name): Data<Name>, State(Motto(motto)): State<Motto>| {
            Frame::new("greeting", &format!("{motto}, {}", name.0))
        })
        .on("n", async |State(n): State<u64>| number(n))
        .on("no data", async |_: Data<u8>| ())
        .on("no state", async |_: State<u8>| ())
        .on("perhaps", async |data: Option<Data<u8>>, state: Option<State<u8>>| {
            Frame::new("perhaps", &(data.is_some(), state.is_some()))
        })
        .on_error(tell)
        .build()
        .unwrap();
    let connect = async |_: rejoin_server::ConnectRequest| {
        Ok::<_, Reject>(Identity::new().with_id("ada").with_data(Name("Ada".into())))
    };
    let server = Server::builder(connect).router(router).build().unwrap();
    let mut ada = Line::to(&server).client("/").connect().await.unwrap();
    let answers = [
        ("greet", Heard::Message(Frame::new("greeting", "welcome, Ada").unwrap())),
        ("n", Heard::Message(number(7))),
        ("no data", error("the connection has no data of type u8")),
        ("no state", error("the router has no state of type u8 (see `RouterBuilder::with_state`)")),
        ("perhaps", Heard::Message(Frame::new("perhaps", &(false, false)).unwrap())),
    ];
    for (event, answer) in answers {
        ada.send(&Frame::event_only(event)).unwrap();
        assert_eq!(next(&mut ada).await, answer);
    }
    shut_down(&server).await;
}

#[test]
fn two_states_of_a_type_are_an_error() {
    let router = rejoin_server::Router::builder().with_state(1_u8).with_state(2_u8).build();
    assert!(matches!(router.unwrap_err(), RouterError::DuplicateState { type_name: "u8", .. }));
}
