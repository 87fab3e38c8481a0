//! A client whose events are recorded, and its sends.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rejoin_client::{
    ClientBuilder, CloseReason, Connection, ConnectionState, Event, Frame, Overflow, Sender,
};
use tokio::sync::watch;

use super::extras::Note;
use super::history::{ClientNo, End, FrameNo, How, Outcome, Tale, Way, What};
use super::hub;
use super::schedule::Seat;
use super::server::{receipt, within};
use super::world::{Turn, World, number_of};
use crate::harness::{Picked, codecs};
use crate::network::Line;

/// A connected client. A separate task receives its events.
pub(super) struct Client {
    pub(super) number: ClientNo,
    pub(super) plain: bool,
    pub(super) sender: Sender,
    reads: watch::Sender<bool>,
    calls: Turn,
}

impl Client {
    /// Connects. `None` if that fails.
    pub(super) async fn connect(world: &World, line: &Line, seat: &Seat, seed: u64) -> Option<Self> {
        let number = world.new_client();
        let connected = builder(line, seat, number).seed(seed).connect().await;
        let connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                world.note(What::Order(format!("client {number} does not connect: {error}")));
                return None;
            }
        };
        world.note(What::Connected {
            client: number,
            plain: seat.plain,
            may_drop: matches!(seat.overflow, Overflow::DropOldest | Overflow::DropNewest),
        });
        let (reads, reading) = watch::channel(true);
        let calls = Turn::default();
        let client =
            Self { number, plain: seat.plain, sender: connection.sender(), reads, calls: calls.clone() };
        world.spawn(read(world.clone(), number, connection, calls, reading, seat.clone()));
        Some(client)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.sender.state() == ConnectionState::Connected
    }

    pub(super) fn has_ended(&self) -> bool {
        self.sender.state() == ConnectionState::Closed
    }

    /// Sets whether its application receives events.
    pub(super) fn set_reads(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    pub(super) async fn close(&self, world: &World) {
        let mut closing = pin!(self.sender.close());
        let mut left = false;
        let closing = poll_fn(|cx| {
            let _turn = self.calls.take();
            if !left {
                left = true;
                world.note(What::Left { client: self.number });
            }
            closing.as_mut().poll(cx)
        });
        closing.await;
    }

    pub(super) async fn abort(&self, world: &World) {
        {
            let _turn = self.calls.take();
            world.note(What::Left { client: self.number });
            self.sender.abort();
        }
        self.sender.closed().await;
    }
}

fn builder(line: &Line, seat: &Seat, number: ClientNo) -> ClientBuilder {
    let id = seat.id.map(|id| format!("&id={id}")).unwrap_or_default();
    let plain = if seat.plain { "&plain" } else { "" };
    let client = line
        .client(&format!("/?client={number}&room={}{id}{plain}", seat.room))
        .codec(Picked(codecs()[seat.codec].clone()))
        .send_buffer(seat.buffer)
        .send_buffer_bytes(seat.buffer_bytes)
        .heartbeat(seat.heartbeat.0, seat.heartbeat.1)
        .write_timeout(seat.write_timeout)
        .close_timeout(seat.close_timeout)
        .handshake_timeout(seat.handshake_timeout)
        .overflow(seat.overflow);
    let client = if seat.plain { client.plain() } else { client };
    match seat.reconnect {
        Some((base, max)) => client.reconnect(base, max),
        None => client.no_reconnect(),
    }
}

/// Receives a client's events until it has ended.
async fn read(
    world: World,
    client: ClientNo,
    mut connection: Connection,
    calls: Turn,
    mut reads: watch::Receiver<bool>,
    seat: Seat,
) {
    let sender = connection.sender();
    loop {
        // If the sender is gone, reading can no longer be stopped, and continues.
        reads.wait_for(|reads| *reads).await.ok();
        let mut question = None;
        let mut next = pin!(connection.recv());
        let told = poll_fn(|cx| {
            let _turn = calls.take();
            let event = next.as_mut().poll(cx);
            event.map(|event| {
                event.map(|event| {
                    if let Event::Message(frame) = &event
                        && !frame.id().is_empty()
                    {
                        question = Some(frame.clone());
                    }
                    if let Some(tale) = tale(event, seat.plain) {
                        world.note(What::Told { client, tale });
                    }
                })
            })
        });
        if told.await.is_none() {
            break;
        }
        if let Some(question) = question {
            answer(&world, client, &sender, &calls, question);
        }
        world.dawdle(seat.slow).await;
    }
    drop(sender);
    let unacknowledged = connection.closed().await.unacknowledged;
    let kept = connection.take_unacknowledged().iter().map(number_of).collect();
    world.note(What::Ended { client, unacknowledged, kept });
}

/// Answers a question, in a task: its application continues to receive.
fn answer(world: &World, client: ClientNo, sender: &Sender, calls: &Turn, question: Frame) {
    let (world, sender, calls) = (world.clone(), sender.clone(), calls.clone());
    world.clone().spawn(async move {
        let (number, frame) = world.frame(0);
        world.note(What::Note(Note::Answers { question: number_of(&question), answer: number }));
        let frame = frame.with_re(question.id());
        say_frame(&world, (client, &sender, &calls), (number, frame), How::Wait, None).await;
    });
}

/// `None` for an event that does not concern the session.
fn tale(event: Event, plain: bool) -> Option<Tale> {
    Some(match event {
        Event::Refused(_) => return None,
        Event::Message(frame) => Tale::Message(number_of(&frame)),
        Event::Disconnected { reason } => Tale::Dropped(reason.to_string()),
        Event::Reconnected { resumed } => Tale::Restored { resumed },
        Event::Gap(gap) => Tale::Gap(gap.from, gap.to),
        Event::SessionLost { unacknowledged, .. } => {
            Tale::Lost(unacknowledged.iter().map(number_of).collect())
        }
        Event::Closed(closed) => {
            Tale::Closed { why: closed.reason.to_string(), end: end(&closed.reason, plain) }
        }
        other => Tale::Closed { why: format!("{other:?}"), end: End::Accused },
    })
}

fn end(why: &CloseReason, plain: bool) -> End {
    match why {
        CloseReason::Local => End::Deaf,
        // 3003: it may not stay.
        CloseReason::Remote(frame) if [1000, 3003].contains(&frame.code) => End::Other,
        // The ID is taken.
        CloseReason::Refused(refusal) if refusal.status == 409 => End::Other,
        // Another socket has claimed the ID, which the server allows.
        CloseReason::TakenOver if plain => End::Other,
        CloseReason::Overflow | CloseReason::ReconnectDisabled(_) | CloseReason::RetriesExhausted { .. } => {
            End::Other
        }
        _ => End::Accused,
    }
}

/// Sends a frame to the server.
pub(super) async fn say(world: &World, client: &Client, how: How, size: usize, patience: Option<Duration>) {
    let frame = world.frame(size);
    say_frame(world, (client.number, &client.sender, &client.calls), frame, how, patience).await;
}

/// [`say`] with this frame.
async fn say_frame(
    world: &World,
    (client, sender, calls): (ClientNo, &Sender, &Turn),
    (number, frame): (FrameNo, Frame),
    how: How,
    patience: Option<Duration>,
) {
    world.note(What::Offered { frame: number, way: Way::ToServer(client), how });
    let sending = async {
        let sent = match how {
            How::Send => sender.send(&frame),
            How::Reject => sender.send_with(&frame, Overflow::Reject),
            How::DropOldest => sender.send_with(&frame, Overflow::DropOldest),
            How::DropNewest => sender.send_with(&frame, Overflow::DropNewest),
            How::Disconnect => sender.send_with(&frame, Overflow::Disconnect),
            How::Wait => sender.send_wait(&frame).await,
            How::Acked => return receipt(&sender.send_acked(&frame).await),
            How::Ask => {
                return hub::outcome(world, number, sender.ask(&frame).timeout(hub::PATIENCE).await);
            }
        };
        if sent.is_ok() { Outcome::Accepted } else { Outcome::Refused }
    };
    let mut sending = pin!(sending);
    let mut answered = false;
    let watched = poll_fn(|cx| {
        let (_turn, ticket) = (calls.take(), world.ticket());
        let polled = sending.as_mut().poll(cx);
        if let Poll::Ready(outcome) = polled {
            answered = true;
            // The answer comes later than the acceptance that it reports.
            let ticket = if matches!(how, How::Acked | How::Ask) { world.ticket() } else { ticket };
            world.note_at(ticket, What::Answered { frame: number, outcome });
        }
        polled
    });
    let outcome = within(how, patience, watched).await;
    if !answered {
        world.note(What::Answered { frame: number, outcome });
    }
}
