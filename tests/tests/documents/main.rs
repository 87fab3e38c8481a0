//! The programs in `docs/tour.md` and the pages for users of other libraries do what their text says. `build.rs` extracts them.
//! `examples.rs` runs the README's smallest server and client as processes.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use rejoin_client::{Connection, Event, Frame};
use rejoin_tests::harness::next_event;

mod hubs;
mod tour;

/// The next message's event and payload.
async fn hear<T: serde::de::DeserializeOwned>(client: &mut Connection) -> (String, T) {
    match next_event(client).await {
        Event::Message(frame) => (frame.event().to_owned(), frame.decode().unwrap()),
        event => panic!("{event:?}"),
    }
}

fn frame<T: serde::Serialize + ?Sized>(event: &str, payload: &T) -> Frame {
    Frame::new(event, payload).unwrap()
}

mod tour_router {
    include!(concat!(env!("OUT_DIR"), "/tour-router.rs"));

    #[tokio::test(start_paused = true)]
    async fn tour_router_adds_and_broadcasts() {
        use super::{frame, hear};

        let (builder, _log) = rejoin_tests::harness::builder();
        let server = builder.router(router().unwrap()).build().unwrap();
        let line = rejoin_tests::network::Line::to(&server);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        let mut ben = line.client("/?id=ben").connect().await.unwrap();
        ada.send(&frame("add", &[1, 2, 3])).unwrap();
        assert_eq!(hear::<i64>(&mut ada).await, ("sum".into(), 6));
        ada.send(&frame("chat.message", "hello")).unwrap();
        for client in [&mut ada, &mut ben] {
            assert_eq!(hear::<String>(client).await, ("chat.message".into(), "hello".into()));
        }
    }
}

mod tour_presence {
    include!(concat!(env!("OUT_DIR"), "/tour-presence.rs"));

    #[tokio::test(start_paused = true)]
    async fn tour_presence_reports_absences_and_refuses() {
        use super::hear;

        let server =
            with_presence(rejoin_server::Server::builder(rejoin_tests::harness::connect)).build().unwrap();
        let (home, away) =
            (rejoin_tests::network::Line::to(&server), rejoin_tests::network::Line::to(&server));
        let mut ada = home.client("/?id=ada").connect().await.unwrap();
        let _ben = away.client("/?id=ben").connect().await.unwrap();
        away.unplug();
        for expected in ["joined ada", "joined ben", "away ben", "left ben"] {
            let (event, who) = hear::<String>(&mut ada).await;
            assert_eq!(format!("{event} {who}"), expected);
        }
        let ada = server.connection("ada").unwrap();
        assert_eq!(ada.join("staff").await, Err(JoinError::Refused));
        assert!(ada.set_user(Some("root")) && ada.join("staff").await.unwrap());
    }
}

mod wspulse_server {
    include!(concat!(env!("OUT_DIR"), "/wspulse-server.rs"));

    static LISTENER: std::sync::Mutex<Option<std::net::TcpListener>> = std::sync::Mutex::new(None);

    /// A free port instead of 9000.
    fn listener() -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(LISTENER.lock().unwrap().take().expect("the test sets it"))
    }

    /// A stand-in for the reader's authentication.
    fn known(token: Option<&str>) -> Result<String, std::io::Error> {
        let user = token.and_then(|token| token.strip_prefix("Bearer token-of-"));
        user.map(Into::into).ok_or_else(|| std::io::ErrorKind::PermissionDenied.into())
    }

    #[tokio::test]
    async fn server_for_wspulse_users_verifies_and_broadcasts() {
        use super::{frame, hear};
        use rejoin_client::{Client, ConnectError};

        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let addr = tcp.local_addr().unwrap();
        *LISTENER.lock().unwrap() = Some(tcp);
        // The thread ends with the process.
        std::thread::spawn(|| main().unwrap());
        let client = |user: &str, query: &str| {
            let token = format!("Bearer token-of-{user}");
            Client::builder(format!("ws://{addr}/ws{query}")).header("authorization", &token)
        };
        let stranger = Client::builder(format!("ws://{addr}/ws?room=lobby")).connect().await;
        let roomless = client("ada", "").connect().await;
        for (refused, status) in [(stranger, 401), (roomless, 403)] {
            let Err(ConnectError::Refused(refusal)) = refused else { panic!("{refused:?}") };
            assert_eq!(refusal.status, status);
        }
        let mut ada = client("ada", "?room=lobby").connect().await.unwrap();
        let mut ben = client("ben", "?room=lobby").connect().await.unwrap();
        assert_eq!(ada.id().as_deref(), Some("ada"));
        ada.send(&frame("say", "hello")).unwrap();
        for client in [&mut ada, &mut ben] {
            assert_eq!(hear::<String>(client).await, ("say".into(), "hello".into()));
        }
    }
}

mod wspulse_send {
    include!(concat!(env!("OUT_DIR"), "/wspulse-send.rs"));

    #[tokio::test(start_paused = true)]
    async fn sending_to_slow_wspulse_client_succeeds() {
        use super::hear;
        use rejoin_tests::harness::{self, Heard, RESET, What, next};
        use rejoin_tests::network::Line;

        let (builder, mut log) = harness::builder();
        let server = builder.send_buffer(1).build().unwrap();
        let line = Line::to(&server);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        log.connected().await;
        line.unplug();
        assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
        for price in [1.5, 2.5] {
            send_price(&server, "ada", &Price(price)).unwrap();
        }
        let missing = send_price(&server, "ben", &Price(1.0)).unwrap_err();
        assert!(matches!(missing.downcast_ref(), Some(SendError::NotFound)), "{missing:?}");
        line.plug_in();
        assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
        assert_eq!(next(&mut ada).await, Heard::Resumed);
        assert_eq!(hear::<f64>(&mut ada).await, ("price".into(), 1.5));
    }
}

mod wspulse_client {
    include!(concat!(env!("OUT_DIR"), "/wspulse-client.rs"));

    static URL: std::sync::OnceLock<String> = std::sync::OnceLock::new();

    /// A stand-in for a wspulse server.
    fn url() -> String {
        URL.get().expect("the test sets it").clone()
    }

    #[tokio::test]
    async fn client_for_wspulse_users_talks_until_closed() {
        use rejoin_server::{ConnectRequest, Identity, Reject, Server};

        let connect = async |request: ConnectRequest| match request.header("authorization") {
            Some("Bearer secret") => Ok(Identity::new().with_room(request.query("room").unwrap())),
            _ => Err(Reject::unauthorized("who are you?")),
        };
        let (sees, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::builder(connect).on_message(move |me, frame| {
            sees.send((
                me.room().unwrap().to_owned(),
                frame.event().to_owned(),
                frame.decode::<String>().unwrap(),
            ))
            .unwrap();
            me.send(&frame).unwrap();
            me.close_with(1000, "enough").unwrap();
            async {}
        });
        let server = server.build().unwrap();
        let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
        URL.set(format!("ws://{addr}/ws?room=lobby")).unwrap();
        rejoin_tests::harness::within("the end of the talk", talk("secret")).await.unwrap();
        assert_eq!(seen.recv().await, Some(("lobby".into(), "say".into(), "hello".into())));
    }
}

mod wspulse_router {
    include!(concat!(env!("OUT_DIR"), "/wspulse-router.rs"));

    #[tokio::test(start_paused = true)]
    async fn router_for_wspulse_users_adds_and_falls_back() {
        use super::{frame, hear};

        let (builder, _log) = rejoin_tests::harness::builder();
        let server = builder.router(router().unwrap()).build().unwrap();
        let mut ada = rejoin_tests::network::Line::to(&server).client("/?id=ada").connect().await.unwrap();
        ada.send(&frame("add", "not numbers")).unwrap();
        ada.send(&frame("add", &[1, 2, 3])).unwrap();
        assert_eq!(hear::<i64>(&mut ada).await, ("sum".into(), 6));
        ada.send(&frame("subtract", &[1])).unwrap();
        assert_eq!(hear::<String>(&mut ada).await, ("unknown".into(), "subtract".into()));
    }
}
