//! Realms: parts of a server that know nothing of each other.

use std::sync::{Arc, Mutex};

use rejoin_client::{Connection as Client, Event, LostReason};
use rejoin_server::{
    Audience, Builder, ConnectRequest, Connection, Frame, History, Identity, JoinError, Reject, Rewind,
    Server,
};
use rejoin_tests::harness::{self, Heard, next, number, numbers, within};
use rejoin_tests::network::Line;
use tokio::time::Duration;

/// The identity that a request names, with its user.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let user = request.query("user").unwrap_or_default();
    Ok(harness::connect(request).await?.with_user(user))
}

fn server(configure: impl FnOnce(Builder) -> Builder) -> Server {
    configure(Server::builder(connect)).build().unwrap()
}

async fn client(server: &Server, query: &str) -> Client {
    Line::to(server).client(&format!("/?{query}")).connect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_names_in_two_realms_are_two_of_each() {
    let server = server(|builder| builder);
    let names = ["", "blue", "red"];
    let realms = names.map(|name| server.realm(name));
    let mut clients = Vec::new();
    for name in names {
        clients.push(client(&server, &format!("id=ada&user=lovelace&room=tea&realm={name}")).await);
    }
    let connections = realms.each_ref().map(|realm| realm.connection("ada").unwrap());
    assert_eq!(connections.each_ref().map(|each| each.realm()), [None, Some("blue"), Some("red")]);
    assert_eq!(realms.each_ref().map(Server::realm_name), [None, Some("blue"), Some("red")]);
    assert_eq!(server.realms(), ["blue", "red"]);
    for (realm, connection) in realms.iter().zip(&connections) {
        let only = std::slice::from_ref(connection);
        assert_eq!(realm.connections(Audience::everyone()), only);
        assert_eq!(realm.connections(Audience::user("lovelace")), only);
        assert_eq!(realm.user("lovelace").connections(), only);
        let members: Vec<_> = realm.members("tea").iter().map(|member| member.connection().clone()).collect();
        assert_eq!(members, only);
        assert_eq!(
            (realm.member_count("tea"), realm.rooms(), realm.users()),
            (1, vec!["tea".into()], vec!["lovelace".into()])
        );
        assert_eq!(connection.server().realm_name(), realm.realm_name());
    }
    assert!(connections[0].is_in("tea"));
    let stats = server.stats();
    assert_eq!(
        (stats.connections, stats.rooms, stats.memberships, stats.users),
        (3, 3, 3, 3),
        "of the whole server"
    );

    for (n, realm) in (1..).zip(&realms) {
        assert_eq!(realm.broadcast("tea", &number(n)), Ok(1));
        assert_eq!(realm.broadcast(Audience::everyone(), &number(10 * n)), Ok(1));
        assert_eq!(
            realm.broadcast(Audience::user("lovelace").and(Audience::id("ada")), &number(100 * n)),
            Ok(1)
        );
        realm.send("ada", &number(1000 * n)).unwrap();
        assert_eq!(realm.broadcast(Audience::everyone().except_room("tea"), &number(7)), Ok(0));
    }
    for (n, client) in (1..).zip(&mut clients) {
        assert_eq!(numbers(client, 4).await, [n, 10 * n, 100 * n, 1000 * n]);
    }

    // An exception of another realm is none.
    assert_eq!(realms[1].broadcast(Audience::everyone().except(&connections[2]), &number(5)), Ok(1));
    assert_eq!(realms[1].join(Audience::everyone(), "side").await, Ok(1));
    assert_eq!(realms.each_ref().map(|realm| realm.member_count("side")), [0, 1, 0]);
    assert_eq!(realms[1].leave("side", "side").await, Ok(1));
    realms[2].kick("ada").await.unwrap();
    assert_eq!(realms[0].user("lovelace").kick().await, 1);
    assert_eq!(realms.each_ref().map(|realm| realm.connection("ada").is_some()), [false, true, false]);
    assert_eq!(server.realms(), ["blue"]);
    assert_eq!(realms[1].close(Audience::everyone(), 4001, "over"), Ok(1));
    connections[1].closed().await;
    assert_eq!(server.stats().rooms, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_speaks_to_the_realm_of_its_connection() {
    let server = server(|builder| {
        builder.on_message(async |connection: Connection, frame: Frame| {
            let server = connection.server();
            server.broadcast("tea", &frame).unwrap();
            connection.broadcast(&frame).unwrap();
            server.realm("red").broadcast("tea", &number(99)).unwrap();
        })
    });
    let mut blue = client(&server, "id=ada&room=tea&realm=blue").await;
    let mut red = client(&server, "id=ada&room=tea&realm=red").await;
    blue.send(&number(1)).unwrap();
    assert_eq!(numbers(&mut blue, 2).await, [1, 1]);
    assert_eq!(numbers(&mut red, 1).await, [99]);
    red.send(&number(2)).unwrap();
    assert_eq!(numbers(&mut red, 3).await, [2, 2, 99]);
}

/// A newcomer with the ID of a session in another realm is another connection, whatever the mode.
#[tokio::test(start_paused = true)]
async fn an_id_of_another_realm_is_no_duplicate() {
    let server = server(|builder| builder);
    for plain in [false, true] {
        let dial = async |realm: &str| {
            let line = Line::to(&server);
            let client = line.client(&format!("/?id=ada&realm={realm}"));
            let client = if plain { client.plain() } else { client };
            (client.connect().await.unwrap(), line)
        };
        let ((mut blue, line), (mut red, _red_line)) = (dial("blue").await, dial("red").await);
        line.unplug();
        let (mut other, _other_line) = dial("red").await;
        line.plug_in();
        for (realm, client) in [("blue", &mut blue), ("red", &mut other)] {
            server.realm(realm).send("ada", &number(3)).unwrap();
            let frame = loop {
                match within("a frame", client.recv()).await.unwrap() {
                    Event::Message(frame) => break frame,
                    Event::Disconnected { .. } | Event::Reconnected { .. } => {}
                    event => panic!("{event:?}"),
                }
            };
            assert_eq!(frame.decode::<u64>().unwrap(), 3);
        }
        // It was replaced, in its own realm.
        while !matches!(within("an end", red.recv()).await, None | Some(Event::Closed { .. })) {}
        for realm in ["blue", "red"] {
            server.realm(realm).kick("ada").await.unwrap();
        }
    }
}

/// A server whose connections get what `identity` has.
fn changing(identity: &Arc<Mutex<Identity>>) -> Server {
    let identity = identity.clone();
    Server::builder(move |_| {
        let identity = identity.lock().unwrap().clone();
        async move { Ok::<_, Reject>(identity) }
    })
    .build()
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_resume_in_another_realm_opens_a_fresh_session_there() {
    let identity = Arc::new(Mutex::new(Identity::new().with_id("ada").with_realm("blue")));
    let server = changing(&identity);
    let (blue, red) = (server.realm("blue"), server.realm("red"));
    let line = Line::to(&server);
    let mut ada = line.client("/").connect().await.unwrap();
    // Left out, it stays.
    *identity.lock().unwrap() = Identity::new();
    line.cut();
    assert!(matches!(next(&mut ada).await, Heard::Disconnected(_)));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    let first = blue.connection("ada").unwrap();
    assert_eq!(first.realm(), Some("blue"));

    *identity.lock().unwrap() = Identity::new().with_id("ada").with_realm("red");
    line.cut();
    assert!(matches!(next(&mut ada).await, Heard::Disconnected(_)));
    assert_eq!(next(&mut ada).await, Heard::session_lost(LostReason::Identity));
    assert_eq!(next(&mut ada).await, Heard::Reconnected);
    assert_eq!(red.connection("ada").unwrap().realm(), Some("red"));
    assert!(
        blue.connection("ada").is_some_and(|blue| blue == first && !blue.is_attached()),
        "it waits for its client"
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_a_realm_brings_its_connections_there() {
    let server = server(|builder| builder);
    let blue = server.realm("blue");
    let _ada = client(&blue, "id=ada").await;
    let _ben = client(&blue, "id=ben&realm=red").await;
    let found =
        [("blue", "ada"), ("red", "ben")].map(|(realm, id)| server.realm(realm).connection(id).is_some());
    assert_eq!((found, server.connections(Audience::everyone()).len()), ([true; 2], 0));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_limited_in_all_realms_together() {
    let server = server(|builder| builder.max_rooms(3));
    let mut clients = Vec::new();
    for realm in ["", "blue", "red"] {
        clients.push(client(&server, &format!("id=ada&room=tea&realm={realm}")).await);
    }
    let ada = server.connection("ada").unwrap();
    assert_eq!(ada.join("side").await, Err(JoinError::ServerFull));
    server.realm("red").kick("ada").await.unwrap();
    assert_eq!(ada.join("side").await, Ok(true));
}

/// What was said in a realm that everybody has left comes to those who come later, and the memory of realms of no use is freed.
#[tokio::test(start_paused = true)]
async fn the_history_of_an_empty_realm_is_kept() {
    let server = server(|builder| builder.history(History::new().frames(2).age(Duration::from_secs(60))));
    server.realm("blue").broadcast("news", &number(4)).unwrap();
    for n in 0..500 {
        assert_eq!(server.realm(&n.to_string()).broadcast(Audience::everyone(), &number(n)), Ok(0));
    }
    let mut ada = client(&server, "id=ada&realm=blue").await;
    let connection = server.realm("blue").connection("ada").unwrap();
    assert_eq!(connection.join("news").rewind(Rewind::Last(2)).await.unwrap().frames, 1);
    assert_eq!(numbers(&mut ada, 1).await, [4]);
}
