//! [`Input`]: the name of the frame that a handler handles.

use std::fmt;

use super::Connection;

/// The name of a frame that a client has sent, in a session that a [store](crate::Builder::store) keeps. No other frame of any
/// session has it, and it stays the same when the frame's handler runs again after a crash. [`Connection::input`] returns it.
///
/// Its text, such as `kVx2ZqTAbC81LmNo-17`, is a key by which another system can recognize a repetition. It contains
/// no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Input {
    session: String,
    number: u64,
}

impl Input {
    /// The session: 16 characters, the part of its token that is no secret.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The number of the frame among those of the session's client, from 1 on.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.session, self.number)
    }
}

impl Connection {
    /// The name of the frame that this connection's `on_message` is handling, for effects outside of the store. A handler's acts are in
    /// the store exactly once, but a mail or a row in another database is not part of them: after a crash the handler may run again.
    /// Give the other system this name, so that it can ignore repetitions.
    ///
    /// `None` without a [store](crate::Builder::store) that [commits](crate::Durability::Commit), in plain mode, for a volatile frame,
    /// and outside of the handler; so a handler that spawns a task takes the name with it.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Mutex;
    ///
    /// use rejoin_server::{Connection, Frame};
    ///
    /// /// Charges of a payment service, by their keys.
    /// static CHARGES: Mutex<Option<HashMap<String, u64>>> = Mutex::new(None);
    ///
    /// async fn on_message(connection: Connection, frame: Frame) {
    ///     let Ok(cents) = frame.decode::<u64>() else { return };
    ///     let Some(input) = connection.input() else { return };
    ///     // The same key charges once, however often the handler runs.
    ///     CHARGES.lock().unwrap().get_or_insert_default().entry(input.to_string()).or_insert(cents);
    ///     connection.send(&frame).ok();
    /// }
    /// # let _ = on_message;
    /// ```
    pub fn input(&self) -> Option<Input> {
        let writer = self.handle().writer()?;
        let scope = self.host().log()?.scope().filter(|scope| scope.writer.key == writer.key)?;
        let session = String::from_utf8_lossy(&writer.key.bytes()).into_owned();
        Some(Input { session, number: scope.input()? })
    }
}
