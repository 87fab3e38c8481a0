//! Who is in a room, who is away, and the callbacks that report it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rejoin_client::ClientBuilder;
use rejoin_server::{
    Builder, CloseReason, ConnectRequest, Connection, DuplicateId, Handler, Payload, Reject, Server,
};
use rejoin_tests::harness::{Heard, RESET, connect, millis, next, number, secs, within};
use rejoin_tests::network::Line;
use tokio::sync::mpsc;

use crate::shut_down;

/// The callbacks of a server, as texts, in order.
struct Notes(mpsc::UnboundedReceiver<String>);

impl Notes {
    /// Notes all callbacks that presence is about.
    fn of(builder: Builder) -> (Builder, Self) {
        let (sender, notes) = mpsc::unbounded_channel();
        let note = move |what: String| {
            sender.send(what).ok();
            std::future::ready(())
        };
        let [connected, joined, left, dropped, away, restored, back, before, ended, message] =
            [(); 10].map(|()| note.clone());
        let builder = builder
            .on_connect(move |me| connected(format!("{} connects", me.id())))
            .on_join(move |me, room| joined(format!("{} joins {room}", me.id())))
            .on_leave(move |me, room| left(format!("{} leaves {room}", me.id())))
            .on_transport_drop(move |me, _| dropped(format!("{} drops", me.id())))
            .on_away(move |me| away(format!("{} is away", me.id())))
            .on_transport_restore(move |me| restored(format!("{} restores", me.id())))
            .on_back(move |me| back(format!("{} is back", me.id())))
            .before_disconnect(move |me, why| before(format!("{} ends: {}", me.id(), why.kind())))
            .on_disconnect(move |me, why| ended(format!("{} ended: {}", me.id(), why.kind())))
            .on_message(move |me, _| message(format!("{} says", me.id())));
        (builder, Self(notes))
    }

    async fn next(&mut self) -> String {
        within("callback", self.0.recv()).await.unwrap()
    }

    #[track_caller]
    fn is(&mut self, expected: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move { assert_eq!(self.next().await, expected, "{place}") }
    }

    async fn are(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.next().await, *expected);
        }
    }

    fn is_empty(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

fn server(configure: impl FnOnce(Builder) -> Builder) -> (Server, Notes) {
    let (builder, notes) = Notes::of(Server::builder(connect));
    (configure(builder).build().unwrap(), notes)
}

/// Configures a client with this ID, which reconnects fast.
fn client(line: &Line, id: &str) -> ClientBuilder {
    line.client(&format!("/?id={id}")).reconnect(millis(1), millis(20))
}

#[tokio::test(start_paused = true)]
async fn callbacks_of_a_life_come_in_order() {
    let (server, mut notes) = server(|builder| builder);
    let line = Line::to(&server);
    let mut ada = client(&line, "ada").connect().await.unwrap();
    notes.are(&["ada connects", "ada joins room"]).await;
    let connection = server.connection("ada").unwrap();
    assert!(connection.join("side").await.unwrap() && !connection.join("side").await.unwrap());
    assert!(connection.join("attic").await.unwrap());
    notes.are(&["ada joins side", "ada joins attic"]).await;
    assert!(connection.leave("side").await.unwrap() && !connection.leave("side").await.unwrap());
    notes.is("ada leaves side").await;
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    ada.send(&number(1)).unwrap();
    // The socket may be lost and replaced before the application notices either.
    let mut noted = Vec::new();
    while noted.last().is_none_or(|last| last != "ada says") {
        noted.push(notes.next().await);
    }
    assert!(
        noted == ["ada drops", "ada is away", "ada restores", "ada is back", "ada says"]
            || noted == ["ada drops", "ada restores", "ada says"],
        "{noted:?}"
    );
    ada.close().await;
    notes.are(&["ada ends: normal", "ada leaves attic", "ada leaves room", "ada ended: normal"]).await;
    shut_down(&server).await;
    assert!(notes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn suspended_member_is_away_until_its_window_ends() {
    let (server, mut notes) = server(|builder| builder.resume_window(secs(30)));
    let line = Line::to(&server);
    let _ada = client(&line, "ada").connect().await.unwrap();
    notes.are(&["ada connects", "ada joins room"]).await;
    assert!(server.members("room")[0].presence().is_attached());
    let since = tokio::time::Instant::now();
    line.unplug();
    notes.are(&["ada drops", "ada is away"]).await;
    let members = server.members("room");
    assert_eq!((members.len(), members[0].presence().away_since()), (1, Some(since.into_std())));
    assert_eq!(notes.next().await, "ada ends: window_expired");
    assert_eq!(since.elapsed(), secs(30));
    notes.are(&["ada leaves room", "ada ended: window_expired"]).await;
    assert!(server.members("room").is_empty() && server.members("nowhere").is_empty());
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn member_is_back_after_each_absence() {
    let (server, mut notes) = server(|builder| builder);
    let line = Line::to(&server);
    let mut ada = client(&line, "ada").connect().await.unwrap();
    notes.are(&["ada connects", "ada joins room"]).await;
    for _ in 0..3 {
        line.unplug();
        notes.are(&["ada drops", "ada is away"]).await;
        assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
        line.plug_in();
        assert_eq!(next(&mut ada).await, Heard::Resumed);
        notes.are(&["ada restores", "ada is back"]).await;
        assert!(server.members("room")[0].presence().is_attached());
    }
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn taken_over_member_is_never_away() {
    let (server, mut notes) = server(|builder| builder.duplicate_id(DuplicateId::Resume));
    let line = Line::to(&server);
    let _first = client(&line, "ada").plain().connect().await.unwrap();
    notes.are(&["ada connects", "ada joins room"]).await;
    let second = client(&Line::to(&server), "ada").plain().connect().await.unwrap();
    second.send(&number(1)).unwrap();
    notes.are(&["ada drops", "ada restores", "ada says"]).await;
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn joins_of_a_suspended_session_are_reported_in_order() {
    let (server, mut notes) = server(|builder| builder);
    let line = Line::to(&server);
    let _ada = client(&line, "ada").connect().await.unwrap();
    line.unplug();
    notes.are(&["ada connects", "ada joins room", "ada drops", "ada is away"]).await;
    let connection = server.connection("ada").unwrap();
    // It no longer has a task: each change starts one.
    tokio::time::sleep(secs(1)).await;
    assert!(connection.join("first").await.unwrap());
    notes.is("ada joins first").await;
    for n in 0..100 {
        assert!(connection.join(&n.to_string()).await.unwrap());
        if n % 10 == 9 {
            assert!(connection.leave(&(n - 5).to_string()).await.unwrap());
            tokio::time::sleep(millis(10)).await;
        }
    }
    for n in 0..100 {
        notes.is(&format!("ada joins {n}")).await;
        if n % 10 == 9 {
            notes.is(&format!("ada leaves {}", n - 5)).await;
        }
    }
    assert!(notes.is_empty());
    server.kick("ada").await.unwrap();
    let mut last = Vec::new();
    while last.last().is_none_or(|last: &String| last != "ada ended: kicked") {
        last.push(notes.next().await);
    }
    assert_eq!((last.len(), &*last[0], &*last[last.len() - 2]), (94, "ada ends: kicked", "ada leaves room"));
    shut_down(&server).await;
}

/// Each join is followed by one leave, and both come between connect and disconnect.
#[derive(Default)]
struct Ledger(BTreeMap<String, Vec<String>>);

impl Ledger {
    fn check(&self, lives: usize) {
        assert_eq!(self.0.len(), lives);
        for (life, calls) in &self.0 {
            let (first, last) = (calls.first().unwrap(), calls.last().unwrap());
            assert!(first == "connect" && last == "disconnect", "{life}: {calls:?}");
            let mut rooms = Vec::new();
            for call in &calls[1..calls.len() - 1] {
                match call.split_once(' ').unwrap() {
                    ("join", room) => {
                        assert!(!rooms.contains(&room), "{life}: {calls:?}");
                        rooms.push(room);
                    }
                    (_, room) => {
                        let place = rooms.iter().position(|other| *other == room);
                        rooms.remove(place.unwrap_or_else(|| panic!("{life}: {calls:?}")));
                    }
                }
            }
            assert!(rooms.is_empty(), "{life}: {calls:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_join_has_one_leave_among_racing_ends() {
    const LIVES: usize = 200;
    let ledger = Arc::<Mutex<Ledger>>::default();
    let notes = ledger.clone();
    let note = move |me: Connection, what: String| {
        let mut ledger = notes.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.0.entry(me.id().to_owned()).or_default().push(what);
        std::future::ready(())
    };
    let [connects, joins, leaves, ends] = [(); 4].map(|()| note.clone());
    let (told, mut connected) = mpsc::unbounded_channel();
    let server = Server::builder(connect)
        .on_connect(move |me| {
            told.send(me.clone()).ok();
            connects(me, "connect".into())
        })
        .on_join(move |me, room| joins(me, format!("join {room}")))
        .on_leave(move |me, room| leaves(me, format!("leave {room}")))
        .on_disconnect(move |me, _| ends(me, "disconnect".into()))
        .build()
        .unwrap();
    for life in 0..LIVES {
        let line = Line::to(&server);
        let client = line.client(&format!("/?id={life}")).connect().await.unwrap();
        let connection = connected.recv().await.unwrap();
        let movers = ["red", "blue"].map(|room| {
            let connection = connection.clone();
            tokio::spawn(async move {
                while connection.join(room).await.is_ok() {
                    connection.leave(room).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        });
        match life % 3 {
            0 => drop(server.kick(connection.id()).await),
            1 => drop(client.close().await),
            _ => connection.close(),
        }
        for mover in movers {
            mover.await.unwrap();
        }
        within("end", connection.closed()).await;
    }
    ledger.lock().unwrap().check(LIVES);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn leaves_of_an_end_follow_the_last_message() {
    let (server, mut notes) = server(|builder| builder);
    let line = Line::to(&server);
    let ada = client(&line, "ada").connect().await.unwrap();
    for n in 0..3 {
        ada.send(&number(n)).unwrap();
    }
    ada.close().await;
    notes.are(&["ada connects", "ada joins room", "ada says", "ada says", "ada says"]).await;
    notes.are(&["ada ends: normal", "ada leaves room", "ada ended: normal"]).await;
    shut_down(&server).await;
}

/// Checks the server's data about a connection before it has left.
struct Checks {
    seen: mpsc::UnboundedSender<&'static str>,
}

impl Handler for Checks {
    async fn on_join(&self, me: &Connection, room: &str) {
        assert!(me.is_in(room) && me.server().members(room).iter().any(|member| member.connection() == me));
        self.seen.send("join").unwrap();
    }

    async fn on_away(&self, me: &Connection) {
        assert!(!me.is_attached());
        self.seen.send("away").unwrap();
    }

    async fn on_back(&self, me: &Connection) {
        assert!(me.is_attached());
        self.seen.send("back").unwrap();
    }

    async fn before_disconnect(&self, me: &Connection, reason: CloseReason) {
        assert_eq!((reason, me.is_open()), (CloseReason::Normal, false));
        assert!(me.is_in("room") && me.server().connection("ada").as_ref() == Some(me));
        assert!(me.server().members("room").is_empty(), "an ended session is not listed");
        self.seen.send("before_disconnect").unwrap();
    }

    async fn on_leave(&self, me: &Connection, room: &str) {
        assert!(!me.is_in(room) && me.server().connection("ada").is_none());
        self.seen.send("leave").unwrap();
    }

    async fn on_disconnect(&self, _: &Connection, _: CloseReason) {
        self.seen.send("disconnect").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn handler_methods_see_the_connections_state() {
    let (seen, mut calls) = mpsc::unbounded_channel();
    let server = Server::builder(connect).handler(Arc::new(Checks { seen })).build().unwrap();
    let line = Line::to(&server);
    let mut ada = client(&line, "ada").connect().await.unwrap();
    assert_eq!(calls.recv().await, Some("join"));
    line.unplug();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(calls.recv().await, Some("away"));
    line.plug_in();
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(calls.recv().await, Some("back"));
    ada.close().await;
    for expected in ["before_disconnect", "leave", "disconnect"] {
        assert_eq!(within("callback", calls.recv()).await, Some(expected));
    }
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn members_show_user_state_and_data() {
    let connect = async |request: ConnectRequest| {
        let identity = connect(request).await?;
        let presence = Payload::json("reading").unwrap();
        Ok::<_, Reject>(identity.with_user("Ada L.").with_further_rooms(["side"]).with_presence(presence))
    };
    let server = Server::builder(connect).build().unwrap();
    let line = Line::to(&server);
    let mut ada = client(&line, "ada").connect().await.unwrap();
    let _ben = client(&Line::to(&server), "ben").connect().await.unwrap();
    let members = server.members("side");
    assert_eq!(members.iter().map(|member| member.id()).collect::<Vec<_>>(), ["ada", "ben"]);
    let member = &members[0];
    let data = |payload: Option<&Payload>| payload.map(|payload| payload.decode::<String>().unwrap());
    assert_eq!((member.user(), data(member.data())), (Some("Ada L."), Some("reading".into())));
    let connection = server.connection("ada").unwrap();
    connection.set_presence(Payload::json("typing").unwrap());
    assert_eq!(data(member.data()), Some("reading".into()), "a snapshot");
    // It outlives the socket.
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(data(server.members("side")[0].data()), Some("typing".into()));
    assert_eq!(data(connection.presence().as_ref()), Some("typing".into()));
    connection.set_presence(None);
    assert!(connection.presence().is_none() && server.members("side")[0].data().is_none());
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn replaced_session_leaves_its_rooms_once() {
    let (server, mut notes) = server(|builder| builder);
    let _first = client(&Line::to(&server), "ada").connect().await.unwrap();
    notes.are(&["ada connects", "ada joins room"]).await;
    let _second = client(&Line::to(&server), "ada").connect().await.unwrap();
    notes.are(&["ada ends: duplicate", "ada leaves room", "ada ended: duplicate"]).await;
    notes.are(&["ada connects", "ada joins room"]).await;
    shut_down(&server).await;
}
