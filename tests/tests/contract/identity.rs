//! Decisions of `ConnectFn`, and connection IDs.

use rejoin_client::{ConnectError, Refusal};
use rejoin_server::{CloseReason, ConnectRequest, Identity, Reject, Server};
use rejoin_tests::harness::{Heard, Recorder, What, next, number, numbers};
use tokio_tungstenite::tungstenite::Error;

use crate::bare::Bare;
use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(refused_client_gets_status_and_body);
async fn refused_client_gets_status_and_body(setting: Setting) {
    let (builder, log) = Recorder::of(Server::builder(async |request: ConnectRequest| {
        match request.query("key").as_deref() {
            Some("right") => Ok(Identity::new().with_room("room").with_id("ada")),
            _ => Err(Reject::unauthorized("which key?")),
        }
    }));
    let mut stage = Stage::of(setting, builder, log);
    let error = stage.client("key=wrong").connect().await.unwrap_err();
    let ConnectError::Refused(Refusal { status, body, .. }) = error else { panic!("not refused: {error}") };
    assert_eq!((status, body.as_str()), (401, "which key?"));
    let error = Bare::connect(&stage.line(), "").await.err().unwrap();
    assert!(matches!(&error, Error::Http(response) if response.status() == 401), "{error}");
    assert_eq!(stage.server.stats().refused, 2);
    let _client = stage.client("key=right").connect().await.unwrap();
    let first = ("ada", What::Connected);
    assert_eq!(stage.log.next().await, first, "only accepted connections cause callbacks");
    stage.end().await;
}

scenario!(duplicate_id_replaces_by_default);
async fn duplicate_id_replaces_by_default(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let mut old = stage.connect("ada").await;
    let before = stage.server.connection("ada").unwrap();
    let mut new = stage.client("id=ada").connect().await.unwrap();
    let ends = [("ada", What::Connected), ("ada", What::Disconnected(CloseReason::Duplicate))];
    assert_eq!(stage.log.next_sorted().await, ends);
    assert_eq!(next(&mut old).await, Heard::closed_by_server(1000, "duplicate connection id"));
    assert!(old.recv().await.is_none(), "it does not come back");
    before.closed().await;
    stage.server.send("ada", &number(1)).unwrap();
    assert_eq!(numbers(&mut new, 1).await, [1]);
    assert_eq!(stage.server.connections("room").len(), 1);
    stage.end().await;
}

scenario!(empty_id_becomes_a_random_one);
async fn empty_id_becomes_a_random_one(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder);
    let mut ids = Vec::new();
    let mut clients = Vec::new();
    for query in ["id=", "", "id=", ""] {
        clients.push(stage.client(query).connect().await.unwrap());
        ids.push(stage.log.connected().await.id().to_owned());
    }
    for (n, (id, client)) in (0..).zip(ids.iter().zip(&mut clients)) {
        assert!(id.len() >= 16, "too short to be unique: {id:?}");
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id} twice");
        if stage.mode == Mode::Session {
            assert_eq!(client.id().as_ref(), Some(id));
        }
        stage.server.send(id, &number(n)).unwrap();
        assert_eq!(numbers(client, 1).await, [n]);
    }
    stage.end().await;
}
