//! Clients that choose their rooms by themselves.

use rejoin_client::{AskError, Frame};
use rejoin_server::router::{Router, Subscriptions};
use rejoin_server::{Connection, ErrorAnswer};
use rejoin_tests::harness::{Heard, RESET, message, next, number};
use serde_json::{Value, json};

use crate::{client, server, shut_down};

/// Rooms whose names begin with the connection's ID are its own.
async fn authorise(connection: Connection, room: String) -> Result<(), ErrorAnswer> {
    tokio::task::yield_now().await;
    if room.starts_with(connection.id()) { Ok(()) } else { Err(ErrorAnswer::new("forbidden", "not yours")) }
}

/// The rooms in the answer, or the code of the error.
async fn ask(client: &rejoin_client::Connection, event: &str, payload: Value) -> Result<Value, String> {
    match client.ask(&Frame::new(event, &payload).unwrap()).await {
        Ok(answer) => {
            assert_eq!(answer.event(), "ok");
            Ok(answer.decode::<Value>().unwrap()["rooms"].take())
        }
        Err(AskError::Answer(error)) => Err(error.code().to_owned()),
        Err(error) => panic!("{event} {payload}: {error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn clients_subscribe_and_unsubscribe_by_themselves() {
    let router = Router::builder().part(Subscriptions::new(authorise).max_rooms(3)).build().unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    let room = |name: &str| json!({"room": name});
    assert_eq!(ask(&ada, "subscribe", room("ada-1")).await, Ok(json!(["room", "ada-1"])));
    assert_eq!(ask(&ada, "subscribe", room("ada-2")).await, Ok(json!(["room", "ada-1", "ada-2"])));
    assert_eq!(ask(&ada, "subscribe", room("ada-1")).await, Ok(json!(["room", "ada-1", "ada-2"])), "again");
    assert_eq!(ask(&ada, "subscribe", room("ada-3")).await, Err("too_many_rooms".into()));
    assert_eq!(ask(&ada, "unsubscribe", room("ada-2")).await, Ok(json!(["room", "ada-1"])));
    assert_eq!(ask(&ada, "unsubscribe", room("nowhere")).await, Ok(json!(["room", "ada-1"])));
    assert_eq!(ask(&ada, "unsubscribe", room("room")).await, Err("home_room".into()));
    assert_eq!(ask(&ada, "subscribe", room("ben-1")).await, Err("forbidden".into()));
    for wrong in [room(""), room(&"ada".repeat(86)), json!({}), json!("ada-1")] {
        assert_eq!(ask(&ada, "subscribe", wrong.clone()).await, Err("bad_request".into()), "{wrong}");
    }
    assert_eq!(server.connection("ada").unwrap().rooms(), ["room", "ada-1"]);
    // A subscription outlives the socket.
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(server.broadcast("ada-1", &number(1)), Ok(1));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(message(&mut ada).await, number(1));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_without_id_gets_no_answer() {
    let router = Router::builder().part(Subscriptions::new(authorise)).build().unwrap();
    let (server, mut log) = server(|builder| builder.router(router));
    let (mut ada, _line) = client(&server, &mut log, "ada").await;
    ada.send(&Frame::new("subscribe", &json!({"room": "ada-1"})).unwrap()).unwrap();
    assert_eq!(ask(&ada, "unsubscribe", json!({"room": "x"})).await, Ok(json!(["room", "ada-1"])));
    server.broadcast("ada-1", &number(1)).unwrap();
    assert_eq!(message(&mut ada).await, number(1), "the first message");
    shut_down(&server).await;
}
