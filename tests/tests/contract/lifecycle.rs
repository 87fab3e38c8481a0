//! Connections open, and end: closed by either side, kicked, or with the server.

use std::time::Instant;

use rejoin_client::ConnectionState;
use rejoin_server::{ConnectionError, SendError};
use rejoin_tests::harness::{alone, next, number, within};
use rejoin_tests::network::Dials;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::bare::Bare;
use crate::stage::Stage;
use crate::{Mode, in_both_modes, millis, secs};

#[test]
fn connect_once() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let client = stage.client_at(stage.addr, "id=ada&room=library").connect().await.unwrap();
        let connection = stage.log.connected().await;
        assert_eq!((connection.id(), connection.room()), ("ada", Some("library")));
        assert!(connection.is_attached());
        assert!(connection.remote_addr().is_some_and(|remote| remote.ip().is_loopback()));
        if mode == Mode::Session {
            assert_eq!((client.id().as_deref(), client.room().as_deref()), (Some("ada"), Some("library")));
        }
        let stats = stage.server.stats();
        assert_eq!((stats.connections, stats.suspended, stats.rooms), (1, 0, 1));
        client.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal", "and nothing between");
        stage.end().await;
        assert_eq!(stage.log.try_next(), None);
    });
}

#[test]
fn connect_once_with_a_foreign_client() {
    alone(async {
        let mut stage = Stage::set(Mode::Plain, |builder| builder).await;
        let mut bare = stage.bare("ada").await;
        bare.send(r#"{"event":"n","payload":1}"#).await;
        assert_eq!(stage.log.next().await, "ada message n 1");
        stage.server.send("ada", &number(2)).unwrap();
        assert_eq!(bare.text().await, r#"{"event":"n","payload":2}"#);
        bare.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        stage.end().await;
        assert_eq!(stage.log.try_next(), None);
    });
}

#[test]
fn clean_close() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.connect("ada").await;
        for n in 1..=100 {
            client.send(&number(n)).unwrap();
        }
        let closed = client.close().await;
        assert_eq!((closed.unacknowledged, client.state()), (0, ConnectionState::Closed));
        assert!(client.recv().await.is_none());
        assert_eq!(stage.log.numbers(100).await, Vec::from_iter(1..=100), "everything was delivered first");
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        assert!(stage.server.connection("ada").is_none());
        let stats = stage.server.stats();
        let left = (stats.connections, stats.suspended, stats.rooms, stats.retained_bytes);
        assert_eq!(left, (0, 0, 0, 0));
        stage.end().await;
    });
}

#[test]
fn clean_close_by_the_server() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.connect("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        for n in 1..=100 {
            connection.send(&number(n)).unwrap();
        }
        connection.close();
        assert_eq!(connection.send(&number(101)), Err(SendError::Closed));
        for n in 1..=100 {
            assert_eq!(next(&mut client).await, format!("message n {n}"));
        }
        assert_eq!(stage.log.next().await, "ada disconnected: local");
        within("end", connection.closed()).await;
        assert_eq!(next(&mut client).await, "closed: remote 1000");
        assert!(client.recv().await.is_none(), "it does not come back");
        stage.end().await;
        assert_eq!(stage.log.try_next(), None);
    });
}

#[test]
fn kick_of_a_connected_session() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.connect("ada").await;
        let connection = stage.server.connection("ada").unwrap();
        stage.server.kick("ada").await.unwrap();
        assert!(stage.server.connection("ada").is_none(), "the kick is done");
        assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
        assert_eq!(stage.log.next().await, "ada disconnected: kicked");
        assert_eq!(next(&mut client).await, "closed: remote 1000 kicked");
        assert!(client.recv().await.is_none(), "it does not come back");
        stage.end().await;
        assert_eq!(stage.log.try_next(), None);
    });
}

#[test]
fn kick_of_a_suspended_session() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.resume_window(secs(3600))).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        stage.drop_and_hold("ada", &line).await;
        stage.server.kick("ada").await.unwrap();
        assert!(stage.server.connection("ada").is_none(), "the kick is done");
        assert_eq!(stage.log.next().await, "ada disconnected: kicked");
        line.set_dials(Dials::Served);
        let dropped = next(&mut client).await;
        assert!(dropped.starts_with("dropped: "), "{dropped}");
        if mode == Mode::Session {
            assert_eq!(next(&mut client).await, "lost unknown []");
        }
        assert_eq!(next(&mut client).await, "restored");
        assert_eq!(stage.log.next().await, "ada connected", "with a fresh session");
        stage.end().await;
    });
}

#[test]
fn kick_of_an_unknown_id() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let client = stage.connect("ada").await;
        assert_eq!(stage.server.kick("nobody").await, Err(ConnectionError::NotFound));
        client.close().await;
        assert_eq!(stage.log.next().await, "ada disconnected: normal");
        assert_eq!(stage.server.kick("ada").await, Err(ConnectionError::NotFound));
        stage.end().await;
    });
}

#[test]
fn shutdown_leaves_no_task() {
    alone(async {
        let mut stage = Stage::set(Mode::Plain, |builder| builder.resume_window(secs(3600))).await;
        let mut connected = Vec::new();
        for n in 0..20 {
            connected.push(stage.bare(&n.to_string()).await);
        }
        drop(stage.bare("away").await);
        assert_eq!(stage.log.next().await, "away dropped: unexpected end of file");
        let mut silent = TcpStream::connect(stage.addr).await.unwrap();
        silent.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let closing = async {
            for bare in &mut connected {
                assert_eq!(bare.closed().await, "1001 server shutting down");
            }
        };
        let ((), ()) = tokio::join!(stage.end(), closing);
        // The clients have no tasks in this runtime.
        within("end of all tasks", async {
            while Handle::current().metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for _ in 0..=20 {
            let told = stage.log.next().await;
            assert!(told.ends_with(" disconnected: server_closed"), "{told}");
        }
        assert_eq!(stage.log.try_next(), None);
        let stats = stage.server.stats();
        assert_eq!((stats.connections, stats.suspended, stats.rooms), (0, 0, 0));
        // It has not sent a request yet, and is closed without an answer.
        let read = within("end of the silent one", silent.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert!(TcpStream::connect(stage.addr).await.is_err(), "the listener is closed");
        assert!(Bare::try_connect(stage.addr, "").await.is_err());
    });
}

#[test]
fn shutdown_with_reconnecting_clients() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder).await;
        let mut client = stage.connect("ada").await;
        stage.server.send("ada", &number(1)).unwrap();
        stage.end().await;
        assert_eq!(stage.log.next().await, "ada disconnected: server_closed");
        assert_eq!(next(&mut client).await, "message n 1", "accepted frames are delivered first");
        assert_eq!(next(&mut client).await, "dropped: closed 1001 server shutting down");
    });
}

#[test]
fn shutdown_with_a_half_open_socket() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.close_timeout(millis(300))).await;
        let (_client, line) = stage.connect_on_a_line("ada").await;
        line.half_open();
        let since = Instant::now();
        assert_eq!(stage.server.shutdown(secs(1)).await, 0);
        assert!(since.elapsed() < secs(5), "{:?}", since.elapsed());
        assert_eq!(stage.log.next().await, "ada disconnected: server_closed");
    });
}
