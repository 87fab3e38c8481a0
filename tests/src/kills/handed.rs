//! A crash of a server with `Durability::Handover`.

use std::time::Duration;

use rejoin_client::{Client, Connection, Event};
use rejoin_core::Frame;
use tokio::time::{sleep, timeout};

use super::Kills;
use super::process::Process;

/// The number of clients with a socket, and of clients without one.
const EACH: usize = 3;

/// The number of frames that are broadcast while some clients have no socket.
const SAID: u64 = 20;

impl Kills {
    /// Kills the server while some clients have a socket and others are briefly away. Returns the loss reports that the former got, and
    /// the frames that the latter got.
    ///
    /// # Errors
    /// Fails if the server cannot be started, and if a client gets nothing for long.
    pub async fn crash(&self) -> Result<(Vec<String>, Vec<Vec<u64>>), String> {
        let mut process = Process::start(&self.program(), None).await?;
        let (mut attached, mut away) = (Vec::new(), Vec::new());
        for number in 0..EACH {
            attached.push(connect(&process, &format!("here{number}"), Duration::from_millis(50)).await?);
            // It comes back after the next server has begun.
            away.push(connect(&process, &format!("away{number}"), Duration::from_secs(4)).await?);
        }
        for number in 0..EACH {
            process.post(&format!("/drop?id=away{number}")).await?;
        }
        let speaker = attached[0].sender();
        for n in 1..=SAID {
            let frame = Frame::new("pub", &n).map_err(|error| error.to_string())?;
            speaker.send_wait(&frame).await.map_err(|error| error.to_string())?;
        }
        for connection in &mut attached {
            read(connection, SAID).await?;
        }
        // The sessions without a socket are in the store by now: the frames were read from the log after their export.
        sleep(Duration::from_millis(300)).await;
        process.kill().await?;
        process = Process::start(&self.program(), Some(process.ports())).await?;
        let mut told = Vec::new();
        for connection in &mut attached {
            told.push(lost(connection).await?);
        }
        let mut got = Vec::new();
        for connection in &mut away {
            got.push(read(connection, SAID).await?);
        }
        process.kill().await?;
        Ok((told, got))
    }
}

async fn connect(process: &Process, id: &str, delay: Duration) -> Result<Connection, String> {
    let client = Client::builder(process.url(&format!("id={id}&room=room"))).reconnect(delay, 2 * delay);
    client.connect().await.map_err(|error| error.to_string())
}

async fn next(connection: &mut Connection) -> Result<Event, String> {
    let next = timeout(Duration::from_secs(60), connection.recv()).await;
    next.ok().flatten().ok_or_else(|| "a client gets nothing".to_owned())
}

/// The numbers that come up to this one, without a loss.
async fn read(connection: &mut Connection, last: u64) -> Result<Vec<u64>, String> {
    let mut got = Vec::new();
    while got.last() != Some(&last) {
        match next(connection).await? {
            Event::Message(frame) => got.push(frame.decode().map_err(|error| error.to_string())?),
            Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { resumed: true } => {}
            other => return Err(format!("{other:?} after {got:?}")),
        }
    }
    Ok(got)
}

/// Waits for the client's `SessionLost`, and returns its reason.
async fn lost(connection: &mut Connection) -> Result<String, String> {
    loop {
        match next(connection).await? {
            Event::SessionLost { reason, .. } => return Ok(format!("{reason:?}")),
            Event::Disconnected { .. } | Event::Refused(_) => {}
            other => return Err(format!("{other:?}")),
        }
    }
}
