//! [`Connection::ask`] and [`Sender::ask`]: questions to the server.

use rejoin_core::Frame;
use rejoin_core::drive::{Answers, Ask};

use crate::connection::Connection;
use crate::sender::Sender;

impl Connection {
    /// Asks the server: sends a frame, and waits for the frame that answers it, for at most the [ask
    /// timeout](crate::ClientBuilder::ask_timeout), or another one ([`Ask::timeout`]).
    ///
    /// The question gets a unique id unless it has one. Its answer is not among the events of [`Self::recv`], and does not wait
    /// for the application to take them. Sockets may be lost and replaced meanwhile. Dropping the future cancels the question.
    ///
    /// ```no_run
    /// # use rejoin_client::{AskError, Connection, Frame};
    /// # async fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
    /// match connection.ask(&Frame::new("seats.reserve", &3)?).await {
    ///     Ok(answer) => println!("reserved: {:?}", answer.decode::<Vec<u32>>()?),
    ///     Err(AskError::Answer(error)) if error.code() == "full" => println!("no seat left"),
    ///     Err(error) => println!("unknown: {error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`AskError`](crate::AskError).
    pub fn ask(&self, question: &Frame) -> Ask<Sender> {
        self.sender().ask(question)
    }

    /// Like [`Self::ask`], for a question with several answers: returns them as a stream, which ends after the last one or after
    /// an error. The timeout limits the time to each answer.
    pub fn ask_stream(&self, question: &Frame) -> Answers<Sender> {
        self.sender().ask_stream(question)
    }
}

impl Sender {
    /// Asks the server. See [`Connection::ask`].
    ///
    /// # Errors
    /// See [`AskError`](crate::AskError).
    pub fn ask(&self, question: &Frame) -> Ask<Self> {
        Ask::new(self.clone(), question, self.shared().ask_timeout)
    }

    /// Asks a question with several answers. See [`Connection::ask_stream`].
    pub fn ask_stream(&self, question: &Frame) -> Answers<Self> {
        Answers::new(self.clone(), question, self.shared().ask_timeout)
    }
}
