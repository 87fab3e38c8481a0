//! Tests across sessions: freed memory wakes a sender that was refused at the memory limit, and its waker can take every lock.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use bytes::Bytes;
use rejoin_core::drive::{Detach, SendError, now};
use rejoin_core::{CloseFrame, Codec, DecodeError, EncodeError, Frame, Message, MessageKind, Overflow, ws};

use crate::connection::{Connection, NewConnection};
use crate::inner::ServerInner;
use crate::session::belongings::Belongings;
use crate::session::handle::{PendingSocket, SessionKey};
use crate::testing::{connection, pending, session};
use crate::{Builder, ConnectRequest, Identity, JsonCodec, Reject, Server};

/// The bytes that all sessions may retain together.
const LIMIT: usize = 1000;

fn builder() -> Builder {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    Server::builder(connect).max_retained_bytes(LIMIT)
}

fn shared() -> Arc<ServerInner> {
    builder().build().unwrap().shared().clone()
}

/// Creates a connection with this ID without registering it.
fn with_id(shared: &Arc<ServerInner>, id: &str, codec_index: usize) -> Connection {
    Connection::new(NewConnection {
        number: None,
        host: shared.clone(),
        who: SessionKey::Plain { id: id.into(), room: "room".into() },
        remote_addr: None,
        belongings: Belongings::default(),
        codec_index,
        session: session(shared),
        writer: None,
    })
}

type WakingSend = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

fn send_wait(connection: &Connection, frame: &Frame) -> WakingSend {
    let (connection, frame) = (connection.clone(), frame.clone());
    Box::pin(async move { connection.send_wait(&frame).await })
}

/// A waker that runs a function on another thread, and waits for it.
struct Asks {
    what: Box<dyn Fn() + Send + Sync>,
    answered: AtomicBool,
}

impl Asks {
    fn new(what: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { what: Box::new(what), answered: AtomicBool::new(false) })
    }

    fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        let (answers, answer) = mpsc::channel();
        let asks = self.clone();
        std::thread::spawn(move || {
            (asks.what)();
            answers.send(()).ok();
        });
        // The function takes no time unless it waits for a lock.
        self.answered.store(answer.recv_timeout(Duration::from_secs(10)).is_ok(), Ordering::Relaxed);
    }
}

/// A sender that was refused, although the memory is free by now. The next access to any session wakes it.
fn refused_sender(shared: &Arc<ServerInner>, waker: &Arc<Asks>) -> WakingSend {
    let kept = shared.budget.charge(Bytes::from_static(&[b'x'; LIMIT]));
    let mut sending = send_wait(&connection(shared), &Frame::event_only("e"));
    assert!(sending.as_mut().poll(&mut Context::from_waker(&waker.clone().into())).is_pending());
    drop(kept);
    assert!(!waker.is_answered());
    sending
}

#[tokio::test(start_paused = true)]
async fn wakers_find_statistics_unlocked_when_a_session_ends() {
    let shared = shared();
    let server = Server::new(shared.clone());
    let asks = Asks::new(move || _ = server.stats());
    let _sending = refused_sender(&shared, &asks);
    shared.retire(&connection(&shared));
    assert!(asks.is_answered());
}

#[tokio::test(start_paused = true)]
async fn wakers_find_registry_unlocked_on_id_conflict() {
    let shared = shared();
    let first = connection(&shared);
    let (asking, id) = (shared.clone(), first.id().to_owned());
    let asks = Asks::new(move || drop(asking.realm.ids.get(&id)));
    let _sending = refused_sender(&shared, &asks);
    let second = with_id(&shared, first.id(), 0);
    assert!(shared.registry.insert(&shared.realm.ids, &second, false).is_err());
    assert!(asks.is_answered());
    first.end(rejoin_core::CloseReason::Kicked);
    assert_eq!(shared.registry.insert(&shared.realm.ids, &second, false), Ok(Some(first)));
}

#[tokio::test(start_paused = true)]
async fn closed_socket_that_took_nothing_wakes_refused_sender() {
    let shared = shared();
    let kicked = connection(&shared);
    let (PendingSocket { mut driver, .. }, _theirs) = pending(&kicked, false);
    kicked.session().drive(|session| session.attach(driver.epoch(), None, now())).unwrap();
    kicked.session().send(ws::encode_message(MessageKind::Text, &[b'x'; 900]), Overflow::Reject).unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    _ = driver.poll_write(&mut cx, kicked.session(), kicked.handle().codec(&shared));
    kicked.end(rejoin_core::CloseReason::Kicked);
    assert!(shared.budget.used() > 900, "the socket holds the frame");
    let since = tokio::time::Instant::now();
    let frame = Frame::new("e", &"x".repeat(200)).unwrap();
    let sending = tokio::spawn(send_wait(&connection(&shared), &frame));
    tokio::task::yield_now().await;
    shared.close_socket(driver, Detach::Leave(CloseFrame::from_static(1001, "")), None);
    assert_eq!(sending.await.unwrap(), Ok(()));
    assert_eq!(since.elapsed(), shared.options.close_timeout);
}

/// A codec with a single message. It calls the function, if one is set, with each encoding.
struct Second(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl Codec for Second {
    fn name(&self) -> &'static str {
        "second"
    }

    fn encode(&self, _: &Frame) -> Result<Message, EncodeError> {
        if let Some(does) = self.0.get() {
            does();
        }
        Ok(Message::text("second"))
    }

    fn decode(&self, _: Message) -> Result<Frame, DecodeError> {
        Ok(Frame::default())
    }
}

#[tokio::test(start_paused = true)]
async fn broadcast_that_no_member_keeps_wakes_refused_sender() {
    let does = Arc::new(OnceLock::new());
    let server = builder().send_buffer(1).codec(JsonCodec).codec(Second(does.clone())).build().unwrap();
    let shared = server.shared().clone();
    let frame = Frame::event_only("e");
    let budget = &shared.budget;
    let mut size = 0;
    // Two members whose buffers are full.
    for (codec_index, id) in ["first", "second"].into_iter().enumerate() {
        let member = with_id(&shared, id, codec_index);
        shared.realm.rooms.join(&member, member.handle().shared_room());
        member.send(&frame).unwrap();
        size = if codec_index == 0 { budget.used() } else { size };
    }
    // Leaves space for exactly one more message.
    let _kept = budget.charge(vec![b'x'; LIMIT - budget.used() - size].into());
    let asks = Asks::new(|| ());
    let waker = asks.clone().into();
    let sending = Arc::new(Mutex::new(send_wait(&connection(&shared), &frame)));
    let sender = sending.clone();
    // Runs during the second encoding, while the first one still counts.
    let polls = move || {
        let polled = sender.lock().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "its message does not fit");
    };
    assert!(does.set(Box::new(polls)).is_ok());
    assert_eq!(server.broadcast_with("room", &frame, Overflow::Reject), Ok(0));
    assert!(asks.is_answered());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert_eq!(sending.lock().unwrap().as_mut().poll(&mut cx), Poll::Ready(Ok(())));
}
