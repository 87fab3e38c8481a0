//! [`Connection::ask`]: questions to the client.

use rejoin_core::Frame;
use rejoin_core::drive::{Answers, Ask};

use super::Connection;

impl Connection {
    /// Asks the client: sends a frame, and waits for the frame that answers it, for at most the [ask
    /// timeout](crate::Builder::ask_timeout), or another one ([`Ask::timeout`]).
    ///
    /// A handler may ask the client whose message it handles: answers do not wait behind messages. The question gets a unique id
    /// unless it has one. Sockets may be lost and replaced meanwhile. Dropping the future cancels the question.
    ///
    /// ```
    /// # use rejoin_server::{AskError, Connection, Frame};
    /// # async fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
    /// match connection.ask(&Frame::event_only("ask.position")).await {
    ///     Ok(answer) => println!("at {:?}", answer.decode::<(f64, f64)>()?),
    ///     Err(AskError::Answer(error)) if error.code() == "denied" => println!("the user does not tell"),
    ///     Err(error) => println!("unknown: {error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Costs two accesses to the session and one entry in a table until it is answered.
    ///
    /// # Errors
    /// See [`AskError`](crate::AskError).
    pub fn ask(&self, question: &Frame) -> Ask<Self> {
        Ask::new(self.clone(), question, self.context().options.ask_timeout)
    }

    /// Like [`Self::ask`], for a question with several answers: returns them as a stream, which ends after the last one or after
    /// an error. The timeout limits the time to each answer.
    pub fn ask_stream(&self, question: &Frame) -> Answers<Self> {
        Answers::new(self.clone(), question, self.context().options.ask_timeout)
    }
}
