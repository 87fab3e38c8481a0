//! The programs for users of wshub, go-ws and Socket.IO.

use rejoin_client::{AskError, ClientBuilder, ConnectError, Connection};
use rejoin_tests::network::Line;

use super::{frame, hear};

/// A client that shows its token in a header.
fn with_bearer(line: &Line, token: &str) -> ClientBuilder {
    line.client("/").header("authorization", &format!("Bearer {token}"))
}

/// Joins by a question, and returns the event of the answer.
async fn ask(client: &Connection, event: &str, room: &str) -> Result<String, AskError> {
    client.ask(&frame(event, room)).await.map(|answer| answer.event().to_owned())
}

async fn assert_unauthorized(client: ClientBuilder) {
    let refused = client.connect().await;
    assert!(matches!(&refused, Err(ConnectError::Refused(refusal)) if refusal.status == 401), "{refused:?}");
}

mod wshub {
    include!(concat!(env!("OUT_DIR"), "/wshub.rs"));

    #[tokio::test(start_paused = true)]
    async fn server_for_wshub_users_joins_and_excepts() {
        use super::*;

        let server = chat().unwrap();
        assert!(routes(&server).has_routes());
        let line = Line::to(&server);
        assert_unauthorized(with_bearer(&line, "nobody")).await;
        let mut ada = with_bearer(&line, "token-of-ada").connect().await.unwrap();
        let mut ben = with_bearer(&line, "token-of-ben").connect().await.unwrap();
        for client in [&ada, &ben] {
            assert_eq!(ask(client, "join", "lobby").await.unwrap(), "joined");
        }
        assert_eq!(hear::<String>(&mut ada).await, ("joined".into(), "ben".into()));
        assert!(matches!(ask(&ada, "join", "staff").await, Err(AskError::Answer(_))));
        for room in 1..10 {
            ask(&ada, "join", &format!("room {room}")).await.unwrap();
        }
        assert!(matches!(ask(&ada, "join", "one too many").await, Err(AskError::Answer(_))));
        ada.send(&frame("say", &("lobby", "hello"))).unwrap();
        let mut heard = hear::<String>(&mut ben).await;
        if heard.0 == "joined" {
            // The callback of Ada's join may run when Ben is there already.
            heard = hear(&mut ben).await;
        }
        assert_eq!(heard, ("said".into(), "hello".into()));
        ben.send(&frame("say", &("lobby", "hi"))).unwrap();
        assert_eq!(hear::<String>(&mut ada).await, ("said".into(), "hi".into()), "not her own words");
    }
}

mod go_ws {
    include!(concat!(env!("OUT_DIR"), "/go-ws.rs"));

    /// The event of the answer.
    async fn ask(client: &super::Connection, question: &str, room: &str) -> Result<String, super::AskError> {
        let room = std::collections::BTreeMap::from([("room", room)]);
        client.ask(&super::frame(question, &room)).await.map(|answer| answer.event().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn channels_for_go_ws_users_are_authorized() {
        use super::{AskError, Line, assert_unauthorized, with_bearer};

        let server = hub().unwrap();
        let line = Line::to(&server);
        assert_unauthorized(line.client("/")).await;
        assert_unauthorized(with_bearer(&line, "nobody")).await;
        let admin = with_bearer(&line, "root:admin").connect().await.unwrap();
        let mut guest = with_bearer(&line, "ada:guest").connect().await.unwrap();
        let refused = ask(&guest, "subscribe", "private:builds").await;
        assert!(matches!(refused, Err(AskError::Answer(error)) if error.code() == "forbidden"));
        for (client, channel) in
            [(&admin, "private:builds"), (&admin, "public:builds"), (&guest, "public:builds")]
        {
            assert_eq!(ask(client, "subscribe", channel).await.unwrap(), "ok");
        }
        assert_eq!(publish(&server, "private:builds", "secret").unwrap(), 1);
        assert_eq!(publish(&server, "public:builds", "build 42 is done").unwrap(), 2);
        let event = rejoin_tests::harness::message(&mut guest).await;
        assert_eq!((event.event(), event.room()), ("event", "public:builds"));
        assert_eq!(event.decode::<String>().unwrap(), "build 42 is done");
        assert_eq!(ask(&guest, "unsubscribe", "public:builds").await.unwrap(), "ok");
        assert_eq!(publish(&server, "public:builds", "unheard").unwrap(), 1);
        assert_eq!(server.user("ada").connections().len(), 1);
    }
}

mod socket_io {
    include!(concat!(env!("OUT_DIR"), "/socket-io.rs"));

    #[tokio::test(start_paused = true)]
    async fn chat_for_socket_io_users_excepts_sender() {
        use super::*;

        let server = chat().unwrap();
        let line = Line::to(&server);
        assert_unauthorized(line.client("/")).await;
        let client = |user: &str| {
            let token = format!("token-of-{user}");
            line.client("/").token(move || std::future::ready(Ok(token.clone())))
        };
        let mut ada = client("ada").connect().await.unwrap();
        let mut ben = client("ben").connect().await.unwrap();
        for client in [&ada, &ben] {
            assert_eq!(ask(client, "join", "lobby").await.unwrap(), "joined");
        }
        ada.send(&frame("say", &("lobby", "hello"))).unwrap();
        ben.send(&frame("say", &("lobby", "hi"))).unwrap();
        let said = |user: &str, text: &str| ("said".to_owned(), (user.to_owned(), text.to_owned()));
        assert_eq!(hear(&mut ben).await, said("ada", "hello"));
        assert_eq!(hear(&mut ada).await, said("ben", "hi"));
    }
}
