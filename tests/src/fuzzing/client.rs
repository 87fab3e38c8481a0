//! The client against any server: its upgrade, the frames that it sends, and when it closes.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rejoin_client::{Client, Codec, Connection, Event, Frame};
use rejoin_core::ws::Role;
use sha1_smol::Sha1;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Input, stage};
use crate::harness::Picked;
use stage::Peer;

/// The first bytes are the options and the application's actions; each further part is the server's behaviour for one dial.
///
/// # Panics
/// Panics if the client does not end in time, reports an impossible sequence of events, or sends invalid WebSocket data.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let first = input.byte();
    let (plain, codec) = (first & 1 == 1, stage::codec(first));
    let (capacity, limit) = (input.one_of(&[4096, 1, 40]), input.one_of(&[Some(1 << 20), Some(100), None]));
    let (buffer, retries) = (input.one_of(&[4, 1, 256]), input.one_of(&[None, Some(1), Some(3)]));
    let script = input.bytes();
    let mut dials = Vec::new();
    while !input.is_empty() && dials.len() < 16 {
        dials.push(input.part().to_vec());
    }
    dials.reverse();
    stage::play(async {
        let servers = Servers { dials, capacity, codec: codec.clone(), running: JoinSet::new() };
        let servers = Arc::new(Mutex::new(servers));
        let dialling = servers.clone();
        let builder = Client::builder("ws://server.test/")
            .connector(move || {
                let stream = dialling.lock().unwrap_or_else(PoisonError::into_inner).dial(plain);
                async move { stream }
            })
            .codec(Picked(codec))
            .seed(1)
            .max_message_size(limit)
            .send_buffer(buffer)
            .max_retries(retries);
        let builder = if plain { builder.plain() } else { builder };
        if let Ok(connection) = within("connect", 11, builder.connect()).await {
            use_up(connection, script).await;
        }
        // A panic in a server task is a failure, too: it means that the client sent invalid data.
        let mut running = std::mem::take(&mut servers.lock().unwrap_or_else(PoisonError::into_inner).running);
        while let Some(result) = running.join_next().await {
            result.expect("the client sends valid frames");
        }
    });
}

/// The application.
async fn use_up(mut connection: Connection, script: &[u8]) {
    let mut input = Input::new(script);
    let mut online = true;
    while !input.is_empty() {
        match input.byte() % 4 {
            0 => {
                let frame = Frame::new("n", &input.number()).expect("JSON can represent it");
                connection.send(&frame).ok();
            }
            1 => stage::pause(&mut input).await,
            2 => {
                let frame = Frame::event_only("m");
                within("send_wait", 11, connection.send_wait(&frame)).await.ok();
            }
            _ => {
                let some = timeout(Duration::from_millis(1), connection.recv()).await;
                match some {
                    Err(_) => {}
                    Ok(None) => return,
                    Ok(Some(event)) => online = follows(online, &event),
                }
            }
        }
    }
    if script.len().is_multiple_of(2) {
        within("close", 7, connection.close()).await;
        assert!(connection.recv().await.is_none(), "no event follows a close");
    } else {
        let sender = connection.sender();
        drop(connection);
        within("the end", 2, sender.closed()).await;
    }
}

/// Returns whether the client is online after this event.
fn follows(online: bool, event: &Event) -> bool {
    match event {
        Event::Message(_) | Event::Gap(_) => assert!(online, "{event:?} without a socket"),
        Event::Disconnected { .. } => assert!(online, "disconnected twice"),
        Event::Reconnected { .. } | Event::SessionLost { .. } => assert!(!online, "reconnected twice"),
        _ => {}
    }
    match event {
        Event::Disconnected { .. } => false,
        Event::Reconnected { .. } => true,
        _ => online,
    }
}

async fn within<T>(what: &str, seconds: u64, happens: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(seconds), happens).await {
        Ok(value) => value,
        Err(_) => panic!("{what} takes too long"),
    }
}

/// The servers that the client reaches when it dials.
struct Servers {
    /// The scripts of the servers, the first one last.
    dials: Vec<Vec<u8>>,
    capacity: usize,
    codec: Arc<dyn Codec>,
    running: JoinSet<()>,
}

impl Servers {
    fn dial(&mut self, plain: bool) -> io::Result<DuplexStream> {
        let script = self.dials.pop().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = tokio::io::duplex(self.capacity);
        let codec = self.codec.clone();
        self.running.spawn(async move { serve(ours, plain, codec, &script).await });
        Ok(theirs)
    }
}

/// Serves one socket.
async fn serve(io: DuplexStream, plain: bool, codec: Arc<dyn Codec>, script: &[u8]) {
    let mut input = Input::new(script);
    let mut peer = Peer::new(io, Role::Server, codec.clone());
    let Some(head) = peer.read_head(Duration::from_secs(20)).await else { return };
    let head = String::from_utf8(head).expect("a request is text");
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let mut sha1 = Sha1::from(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = BASE64_STANDARD.encode(sha1.digest().bytes());
    peer.upgrade();
    let protocol = match codec.name() {
        _ if plain => String::new(),
        name => format!("Sec-WebSocket-Protocol: rejoin.v1.{name}\r\n"),
    };
    let good = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    );
    match input.byte() % 8 {
        // Any answer, possibly with a valid accept key.
        0 => {
            let answer = String::from_utf8_lossy(input.bytes()).replace("ACCEPT", &accept);
            peer.write(answer.as_bytes()).await;
        }
        1 => peer.write(input.bytes()).await,
        2 => {
            let (status, after) = (input.one_of(&[400, 401, 404, 429, 503, 999]), input.number());
            let head = format!("HTTP/1.1 {status} No\r\nRetry-After: {after}\r\nContent-Length: 2\r\n\r\nno");
            peer.write(head.as_bytes()).await;
        }
        _ => peer.write(good.as_bytes()).await,
    }
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => peer.write(input.bytes()).await,
            1 | 2 => peer.write_frame(&stage::any_frame(&mut input, &*codec)).await,
            3..=5 => peer.write_frame(&stage::any_control(&mut input, &*codec)).await,
            6 => stage::pause(&mut input).await,
            _ => _ = peer.read().await,
        }
    }
    peer.read().await;
}
