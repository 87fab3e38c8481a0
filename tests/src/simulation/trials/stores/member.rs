//! [`Member`]: a client of the trial, the frames that it sends, and those that it receives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::poll;
use rand::Rng as _;
use rand::rngs::SmallRng;
use rejoin_client::{AskError, Connection, DeliveryError, Event, Frame, SendError, Sender};
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::super::check::Property;
use super::{PATIENCE, Run};
use crate::network::Line;

/// A client, and the inputs of its application.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its home room.
    pub(super) room: usize,
    pub(super) latency: Duration,
    /// The average number of bytes between cuts.
    pub(super) cuts: usize,
    pub(super) seed: u64,
    pub(super) buffer: usize,
    pub(super) inputs: Vec<Input>,
}

/// An input of a client, after a pause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub(super) pause: Duration,
    pub(super) kind: Kind,
}

/// The reaction of the server's handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sends it back.
    Echo,
    /// The same, and its sender waits for the acknowledgement.
    Acked,
    /// Broadcasts it to the home room.
    Say,
    /// Broadcasts it to the others there, and sends it back.
    SayToOthers,
    /// Broadcasts it to the second room.
    SayAside,
    /// Sends it to another client.
    Tell(usize),
    /// Joins the second room, and announces it there.
    Join,
    /// Announces it in the second room, and leaves.
    Leave,
    /// Takes some milliseconds, and sends it back.
    Slow(u64),
    /// Asks the client back, and then sends it back.
    AskBack,
    /// Answers: it is a question.
    Ask,
    /// Nothing but to count it.
    Count,
}

impl Kind {
    pub(super) fn draw(rng: &mut SmallRng, members: usize) -> Self {
        match rng.random_range(0..20) {
            0..3 => Self::Echo,
            3..7 => Self::Say,
            7 => Self::SayToOthers,
            8..11 => Self::SayAside,
            11 => Self::Tell(rng.random_range(0..members)),
            12 | 13 => Self::Join,
            14 => Self::Leave,
            15 => Self::Slow(rng.random_range(0..300)),
            16 => Self::AskBack,
            17 => Self::Ask,
            18 => Self::Acked,
            _ => Self::Count,
        }
    }

    /// The name of the event.
    pub(super) fn event(self) -> String {
        match self {
            Self::Tell(to) => format!("tell {to}"),
            Self::Slow(millis) => format!("slow {millis}"),
            Self::SayToOthers => "others".into(),
            Self::SayAside => "aside".into(),
            Self::AskBack => "ask back".into(),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

/// A frame that a client has received: its event, the client and the number of the input that caused it, and the run of the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) event: String,
    pub(super) by: usize,
    pub(super) n: u64,
    pub(super) run: u64,
}

/// The client's side of a member.
pub(super) struct Seat {
    pub(super) number: usize,
    pub(super) sender: Sender,
    pub(super) heard: Mutex<Vec<Heard>>,
    /// The last own input that came back.
    pub(super) echoed: watch::Sender<u64>,
}

impl Seat {
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Connects, however long it takes.
pub(super) async fn connect(
    run: &Run,
    number: usize,
    line: &Line,
    member: &Member,
    realm: &str,
) -> (Arc<Seat>, Connection) {
    let realm = if realm.is_empty() { String::new() } else { format!("&realm={realm}") };
    let path = format!("/?id=c{number}&room=home{}{realm}", member.room);
    let connection = loop {
        let client: rejoin_client::ClientBuilder = line.client(&path);
        let client = client
            .reconnect(Duration::from_millis(20), Duration::from_millis(500))
            .heartbeat(Duration::from_secs(1), Duration::from_secs(3))
            .send_buffer(member.buffer)
            .send_buffer_bytes(1 << 20);
        match client.connect().await {
            Ok(connection) => break connection,
            Err(error) => run.log(|| format!("c{number}: {error}")),
        }
        sleep(Duration::from_millis(100)).await;
    };
    run.log(|| format!("c{number}: connected"));
    let seat =
        Seat { number, sender: connection.sender(), heard: Mutex::default(), echoed: watch::Sender::new(0) };
    (Arc::new(seat), connection)
}

/// Receives until the connection ends.
pub(super) async fn receive(run: Run, seat: Arc<Seat>, mut connection: Connection) {
    while let Some(event) = connection.recv().await {
        run.log(|| match &event {
            Event::Message(frame) => {
                let payload =
                    frame.payload().map(|payload| String::from_utf8_lossy(payload.data()).into_owned());
                format!("c{}: gets {} {}", seat.number, frame.event(), payload.unwrap_or_default())
            }
            other => format!("c{}: {other:?}", seat.number),
        });
        match event {
            Event::Message(frame) if frame.event() == "question" => {
                let answer = Frame::new("answer", &seat.number).expect("JSON takes it").with_re(frame.id());
                let sender = seat.sender.clone();
                tokio::spawn(async move { send(&sender, &answer).await });
            }
            Event::Message(frame) => {
                let Ok((by, n, handled_by)) = frame.decode::<(usize, u64, u64)>() else {
                    run.wrong(Property::Genuine, format!("c{}: {frame:?}", seat.number));
                    continue;
                };
                let heard = Heard { event: frame.event().into(), by, n, run: handled_by };
                seat.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
                if by == seat.number && frame.event() == "end" {
                    seat.echoed.send_replace(n);
                }
            }
            Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { resumed: true } => {}
            Event::Closed(_) if run.is_over() => {}
            other => run.wrong(Property::NothingLostSilently, format!("c{}: {other:?}", seat.number)),
        }
    }
}

/// Sends, however long it takes.
async fn send(sender: &Sender, frame: &Frame) {
    while let Err(error) = sender.send_wait(frame).await {
        if error != SendError::Timeout {
            return;
        }
    }
}

/// Sends all inputs, and then the last one. Returns their number.
pub(super) async fn say(run: Run, seat: Arc<Seat>, inputs: Vec<Input>) -> u64 {
    let mut asking = Vec::new();
    let mut n = 0;
    for Input { pause, kind } in inputs {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        n += 1;
        let frame = Frame::new(kind.event(), &n).expect("JSON takes it");
        run.log(|| format!("c{}: says {n} {kind:?}", seat.number));
        match kind {
            Kind::Ask => {
                let frame = frame.clone();
                loop {
                    let mut ask = Box::pin(seat.sender.ask(&frame).timeout(PATIENCE).into_future());
                    match poll!(&mut ask) {
                        std::task::Poll::Ready(Err(AskError::NotSent(SendError::Full))) => {
                            sleep(Duration::from_millis(50)).await;
                        }
                        std::task::Poll::Ready(other) => {
                            run.wrong(Property::Once, format!("c{}: question {n}: {other:?}", seat.number));
                            break;
                        }
                        std::task::Poll::Pending => {
                            asking.push((n, tokio::spawn(ask)));
                            break;
                        }
                    }
                }
            }
            Kind::Acked => loop {
                match seat.sender.send_acked(&frame).await {
                    Ok(()) => {
                        run.check_committed(seat.number, n);
                        break;
                    }
                    Err(DeliveryError::NotSent(SendError::Full | SendError::Timeout)) => {
                        sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => {
                        run.wrong(Property::Receipts, format!("c{}: {n}: {error}", seat.number));
                        break;
                    }
                }
            },
            _ => send(&seat.sender, &frame).await,
        }
    }
    n += 1;
    run.log(|| format!("c{}: says {n}, the end", seat.number));
    send(&seat.sender, &Frame::new("end", &n).expect("JSON takes it")).await;
    for (question, asking) in asking {
        let answer = asking.await.expect("an asker does not panic");
        let number = answer.as_ref().ok().and_then(|answer| answer.decode::<(usize, u64, u64)>().ok());
        if number.map(|(_, n, _)| n) != Some(question) {
            run.wrong(Property::Once, format!("c{}: question {question}: {answer:?}", seat.number));
        }
    }
    n
}
