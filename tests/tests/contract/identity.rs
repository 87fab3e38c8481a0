//! Decisions of `ConnectFn`, and connection IDs.

use rejoin_client::{ConnectError, Refusal};
use rejoin_server::{ConnectRequest, Identity, Reject, Server};
use rejoin_tests::harness::{Recorder, next, number};
use tokio_tungstenite::tungstenite::Error;

use crate::bare::Bare;
use crate::stage::Stage;
use crate::{Mode, in_both_modes};

#[test]
fn connect_fn_refuses() {
    in_both_modes(async |mode| {
        let (builder, log) = Recorder::of(Server::builder(async |request: ConnectRequest| {
            match request.query("key").as_deref() {
                Some("right") => Ok(Identity::new().with_room("room").with_id("ada")),
                _ => Err(Reject::unauthorized("which key?")),
            }
        }));
        let server = builder.build().unwrap();
        let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
        let mut stage = Stage { server, addr, log, mode };
        let error = stage.client_at(addr, "key=wrong").connect().await.unwrap_err();
        let ConnectError::Refused(Refusal { status, body, .. }) = error else {
            panic!("not refused: {error}")
        };
        assert_eq!((status, body.as_str()), (401, "which key?"));
        let error = Bare::try_connect(addr, "").await.err().unwrap();
        assert!(matches!(&error, Error::Http(response) if response.status() == 401), "{error}");
        assert_eq!(stage.server.stats().refused, 2);
        let _client = stage.client_at(addr, "key=right").connect().await.unwrap();
        assert_eq!(stage.log.next().await, "ada connected", "only accepted connections cause callbacks");
        stage.end().await;
    });
}

#[test]
fn duplicate_id() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut old = stage.connect("ada").await;
        let mut new = stage.client("ada").connect().await.unwrap();
        let told = stage.log.next_sorted().await;
        assert_eq!(told, ["ada connected", "ada disconnected: duplicate"]);
        assert_eq!(next(&mut old).await, "closed: remote 1000 duplicate connection id");
        assert!(old.recv().await.is_none(), "it does not come back");
        stage.server.send("ada", &number(1)).unwrap();
        assert_eq!(next(&mut new).await, "message n 1");
        assert_eq!(stage.server.connections("room").len(), 1);
        stage.end().await;
    });
}

#[test]
fn empty_id_gets_one() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut ids = Vec::new();
        let mut clients = Vec::new();
        for query in ["id=", "", "id=", ""] {
            clients.push(stage.client_at(stage.addr, query).connect().await.unwrap());
            ids.push(stage.log.connected().await.id().to_owned());
        }
        for (n, (id, client)) in ids.iter().zip(&mut clients).enumerate() {
            assert!(id.len() >= 16, "too short to be unique: {id:?}");
            assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id} twice");
            if mode == Mode::Session {
                assert_eq!(client.id().as_ref(), Some(id));
            }
            stage.server.send(id, &number(n as u64)).unwrap();
            assert_eq!(next(client).await, format!("message n {n}"));
        }
        stage.end().await;
    });
}

#[test]
fn peer_address_is_known_for_ipv4_and_ipv6() {
    in_both_modes(async |mode| {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (builder, log) = rejoin_tests::harness::builder();
            let server = builder.build().unwrap();
            let addr = server.listen(host).await.unwrap().local_addr();
            let mut stage = Stage { server, addr, log, mode };
            let _client = stage.client_at(addr, "id=ada").connect().await.unwrap();
            let peer = stage.log.connected().await.remote_addr().unwrap();
            assert_eq!(peer.ip(), addr.ip());
            assert_ne!(peer.port(), addr.port());
            stage.end().await;
        }
    });
}
