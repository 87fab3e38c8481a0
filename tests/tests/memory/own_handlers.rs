//! Handlers of a connection's own, over a restart: only a request can bring them again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_client::{Connection as Client, Event};
use rejoin_server::{CloseReason, Connection, DropReason, Frame, Handler, Reject, Server};
use rejoin_store::MemoryStore;
use rejoin_tests::harness::{self, MortalStore, number, secs, within};
use rejoin_tests::network::Line;

/// What was called, in all lives of the server.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, call: impl Into<String>) {
        self.0.lock().unwrap().push(call.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Notes its calls under a name, and echoes.
struct Noting(&'static str, Calls);

impl Noting {
    fn note(&self, call: &str) {
        self.1.note(format!("{}: {call}", self.0));
    }
}

impl Handler for Noting {
    async fn on_connect(&self, _: &Connection) {
        self.note("connect");
    }

    async fn on_message(&self, connection: &Connection, frame: Frame) {
        self.note("message");
        connection.send(&frame).unwrap();
    }

    async fn on_transport_drop(&self, _: &Connection, _: DropReason) {
        self.note("drop");
    }

    async fn on_transport_restore(&self, _: &Connection) {
        self.note("restore");
    }

    async fn on_join(&self, _: &Connection, room: &str) {
        self.note(&format!("join {room}"));
    }

    async fn on_disconnect(&self, _: &Connection, why: CloseReason) {
        self.note(&format!("end: {}", why.kind()));
    }
}

/// A server whose connections have handlers of their own, if `own` is set when they ask.
fn server(store: &MortalStore, calls: &Calls, own: &Arc<AtomicBool>) -> Server {
    let (handler, own) = (Arc::new(Noting("own", calls.clone())), own.clone());
    let connect = move |request| {
        let (handler, own) = (handler.clone(), own.clone());
        async move {
            let identity = harness::connect(request).await?;
            Ok::<_, Reject>(if own.load(Ordering::SeqCst) {
                identity.with_handler(handler)
            } else {
                identity
            })
        }
    };
    let expired = calls.clone();
    Server::builder(connect)
        .handler(Noting("server", calls.clone()))
        .on_expired(move |_, _| {
            expired.note("expired");
            std::future::ready(())
        })
        .store(store.clone())
        .build()
        .unwrap()
}

/// A session with handlers of its own whose server is killed, and the next server.
struct Restarted {
    calls: Calls,
    own: Arc<AtomicBool>,
    line: Line,
    ada: Client,
    server: Server,
}

impl Restarted {
    async fn new() -> Self {
        let (memory, calls, own) = (MemoryStore::new(), Calls::default(), Arc::new(AtomicBool::new(true)));
        let store = MortalStore::new(&memory);
        let first = server(&store, &calls, &own);
        let line = Line::to(&first);
        let mut ada = line.client("/?id=ada&room=home").connect().await.unwrap();
        ada.send(&number(1)).unwrap();
        assert_eq!(harness::numbers(&mut ada, 1).await, [1]);
        first.committed().await;
        assert_eq!(calls.take(), ["own: connect", "own: join home", "own: message"]);
        store.kill().await;
        line.unplug();
        first.shutdown(Duration::ZERO).await;
        calls.take();
        let second = server(&MortalStore::new(&memory), &calls, &own);
        second.committed().await;
        // A call would be due now, and another one because of this.
        second.connection("ada").unwrap().join("side").await.unwrap();
        tokio::time::sleep(secs(1)).await;
        assert_eq!(calls.take(), [""; 0], "nobody knows whom to call");
        Self { calls, own, line, ada, server: second }
    }

    async fn resume(&mut self) {
        self.line.lead_to(&self.server);
        self.line.plug_in();
        loop {
            match within("the resume", self.ada.recv()).await.unwrap() {
                Event::Reconnected { resumed: true } => break,
                Event::Disconnected { .. } | Event::Refused(_) => {}
                other => panic!("{other:?}"),
            }
        }
        self.ada.send(&number(2)).unwrap();
        assert_eq!(harness::numbers(&mut self.ada, 1).await, [2]);
        self.server.committed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn own_handlers_come_back_with_the_request_that_resumes() {
    let mut world = Restarted::new().await;
    world.resume().await;
    assert_eq!(world.calls.take(), ["own: join side", "own: drop", "own: restore", "own: message"]);
    world.ada.close().await;
    world.server.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn the_servers_handlers_follow_own_ones_that_no_request_brings() {
    let mut world = Restarted::new().await;
    world.own.store(false, Ordering::SeqCst);
    world.resume().await;
    assert_eq!(
        world.calls.take(),
        ["server: join side", "server: drop", "server: restore", "server: message"]
    );
    world.server.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn no_handler_hears_of_a_session_whose_own_ones_never_come() {
    let world = Restarted::new().await;
    let connection = world.server.connection("ada").unwrap();
    within("the end of the window", connection.closed()).await;
    world.server.committed().await;
    assert_eq!(world.calls.take(), ["expired"]);
    world.server.shutdown(Duration::ZERO).await;
}
