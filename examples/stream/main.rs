//! An answer that a model writes token by token, for any number of tabs: a resumable stream, as chats with language models need it.
//! Run it:
//!
//! ```text
//! cargo run -p rejoin-examples --bin stream
//! ```
//!
//! The server speaks each token into the answer's room, which keeps them. It prints what three tabs get:
//!
//! ```text
//! first tab: Rooms remember what was said, so everybody reads the whole answer once.
//! second tab, from the middle: Rooms remember what was said, so everybody reads the whole answer once.
//! late tab: Rooms remember what was said, so everybody reads the whole answer once.
//! a tab that had read up to token 8: whole answer once.
//! ```
//!
//! The first tab's socket is cut in the middle: its session resumes. The last tab comes back without its session, for example after
//! a restart of the program, and asks for the tokens behind the last one that it has.

use std::error::Error;
use std::time::Duration;

use rejoin_client::{Client, Event};
use rejoin_server::{ConnectRequest, Frame, History, Identity, Reject, Rewind, Server};

const ANSWER: &str = "Rooms remember what was said, so everybody reads the whole answer once.";

/// `/?answer=7` is the room of an answer, and `&after=token-9` asks for what follows this token.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let Some(answer) = request.query("answer") else {
        return Err(Reject::bad_request("`answer` is missing"));
    };
    let rewind =
        request.query("after").map_or(Rewind::Last(usize::MAX), |id| Rewind::After(id.as_str().into()));
    Ok(Identity::new().with_room(format!("answer-{answer}")).with_rewind(rewind))
}

/// Stands for the model: speaks one token after the other, and calls `between` after each.
async fn speak(
    server: &Server,
    room: &str,
    mut between: impl AsyncFnMut(usize),
) -> Result<(), Box<dyn Error>> {
    for (n, token) in ANSWER.split_inclusive(' ').enumerate() {
        let frame = Frame::new("token", token)?.with_id(format!("token-{n}"));
        server.broadcast(room, &frame)?;
        between(n).await;
    }
    server.broadcast(room, &Frame::event_only("end"))?;
    Ok(())
}

/// Reads an answer to its end.
async fn read(url: String) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut connection = Client::builder(url).connect().await?;
    let mut text = String::new();
    while let Some(event) = connection.recv().await {
        match event {
            Event::Message(frame) if frame.event() == "token" => text += &frame.decode::<String>()?,
            Event::Message(_) => break,
            Event::Closed(closed) => return Err(closed.reason.to_string().into()),
            _ => {}
        }
    }
    connection.close().await;
    Ok(text)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Returns the lines that the tabs get.
async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    // A newcomer gets at most as many frames as its send buffer takes.
    let history = History::new().frames(4096).age(Duration::from_secs(600));
    let server = Server::builder(connect).send_buffer(4096).history(history).build()?;
    let listening = server.listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/?answer=7", listening.local_addr());

    let first = tokio::spawn(read(url.clone()));
    let mut second = None;
    speak(&server, "answer-7", async |n| match n {
        4 => {
            // Its client reconnects within a second, and misses nothing.
            for tab in server.connections("answer-7") {
                server.cut(tab.id()).ok();
            }
        }
        6 => second = Some(tokio::spawn(read(url.clone()))),
        _ => tokio::time::sleep(Duration::from_millis(20)).await,
    })
    .await?;

    let say = |tab: &str, text: String| format!("{tab}: {text}");
    let mut lines = vec![say("first tab", first.await?.map_err(|error| error.to_string())?)];
    if let Some(second) = second {
        let text = second.await?.map_err(|error| error.to_string())?;
        lines.push(say("second tab, from the middle", text));
    }
    for (tab, query) in [("late tab", ""), ("a tab that had read up to token 8", "&after=token-8")] {
        let text = read(format!("{url}{query}")).await.map_err(|error| error.to_string())?;
        lines.push(say(tab, text));
    }
    server.shutdown(Duration::from_secs(1)).await;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tabs_get_the_lines_of_the_header() {
        let header = include_str!("main.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let printed = header.map(str::trim).skip_while(|line| !line.starts_with("first tab"));
        let printed: Vec<_> = printed.take_while(|line| *line != "```").collect();
        assert_eq!(run().await.unwrap(), printed);
    }
}
