//! Questions in both directions: a shop that asks its customer back before it answers. Run it:
//!
//! ```text
//! cargo run -p rejoin-examples --bin ask
//! ```
//!
//! It starts the server on a free port, connects a customer, and prints what the customer gets:
//!
//! ```text
//! price of tea: 3
//! price of coal: no_such_item: we do not sell coal
//! counting: 1 2 3
//! (the shop asks: tea for 6?)
//! two tea: paid 6
//! waiting: no answer within the timeout
//! ```
//!
//! The socket may be lost at any moment: each question is answered once all the same, or the call returns an error.

use std::error::Error;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use rejoin_client::{Client, Event, Sender, router as client_router};
use rejoin_server::router::{BoxError, Decoded, Router, Streamed};
use rejoin_server::{
    Cancelled, ConnectRequest, Connection, ErrorAnswer, Frame, Identity, PayloadError, Reject, Server,
};
use tokio::sync::mpsc;

fn price_of(item: &str) -> Result<u32, ErrorAnswer> {
    match item {
        "tea" => Ok(3),
        "bread" => Ok(2),
        // The customer gets this code and text. Of any other error, only the code `internal`.
        _ => Err(ErrorAnswer::new("no_such_item", format!("we do not sell {item}"))),
    }
}

/// The returned frame is the answer.
async fn price(Decoded(item): Decoded<String>) -> Result<Frame, BoxError> {
    Ok(Frame::new("price", &price_of(&item)?)?)
}

/// Several answers; the last one is marked as such.
async fn count(Decoded(n): Decoded<u32>) -> Streamed<impl Stream<Item = Result<Frame, PayloadError>>> {
    Streamed(stream::iter((1..=n).map(|i| Frame::new("item", &i))))
}

/// Asks the customer whose question it handles.
async fn buy(customer: Connection, Decoded((n, item)): Decoded<(u32, String)>) -> Result<Frame, BoxError> {
    let total = n * price_of(&item)?;
    let question = Frame::new("confirm", &(&item, total))?;
    let confirmed = customer.ask(&question).timeout(Duration::from_secs(60)).await?;
    if !confirmed.decode::<bool>()? {
        return Err(ErrorAnswer::new("declined", "not bought").into());
    }
    Ok(Frame::new("paid", &total)?)
}

/// Stops its work when the customer no longer waits.
async fn wait(cancelled: Cancelled) -> Option<Frame> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(3600)) => Some(Frame::event_only("done")),
        () = cancelled.wait() => None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Returns the lines that the customer gets.
async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let router =
        Router::builder().on("price", price).on("count", count).on("buy", buy).on("wait", wait).build()?;
    let server = Server::builder(connect).router(router).build()?;
    let listening = server.listen("127.0.0.1:0").await?;
    let connection = Client::builder(format!("ws://{}/", listening.local_addr())).connect().await?;
    let shop = connection.sender();
    let (lines, mut said) = mpsc::unbounded_channel();
    let answering = tokio::spawn(answer(connection, lines.clone()));

    for item in ["tea", "coal"] {
        let line = match shop.ask(&Frame::new("price", item)?).await {
            Ok(price) => format!("price of {item}: {}", price.decode::<u32>()?),
            Err(rejoin_client::AskError::Answer(error)) => format!("price of {item}: {error}"),
            Err(error) => return Err(error.into()),
        };
        lines.send(line)?;
    }
    let mut counted = String::from("counting:");
    let mut answers = shop.ask_stream(&Frame::new("count", &3)?);
    while let Some(answer) = answers.next().await {
        counted = format!("{counted} {}", answer?.decode::<u32>()?);
    }
    lines.send(counted)?;
    let paid = shop.ask(&Frame::new("buy", &(2, "tea"))?).await?;
    lines.send(format!("two tea: {} {}", paid.event(), paid.decode::<u32>()?))?;
    // The server is notified when the time is over.
    let late = shop.ask(&Frame::event_only("wait")).timeout(Duration::from_millis(20)).await;
    lines.send(format!("waiting: {}", late.expect_err("it takes an hour")))?;

    shop.close().await;
    answering.await?;
    server.shutdown(Duration::from_secs(1)).await;
    drop(lines);
    let mut all = Vec::new();
    while let Some(line) = said.recv().await {
        all.push(line);
    }
    Ok(all)
}

/// Answers the shop's questions.
async fn answer(mut connection: rejoin_client::Connection, lines: mpsc::UnboundedSender<String>) {
    let confirm = move |Decoded((item, total)): Decoded<(String, u32)>| {
        let lines = lines.clone();
        async move {
            lines.send(format!("(the shop asks: {item} for {total}?)")).ok();
            Frame::new("yes", &true)
        }
    };
    let router = client_router::Router::builder().on("confirm", confirm).build();
    let router = router.expect("it has one handler");
    let sender: Sender = connection.sender();
    while let Some(event) = connection.recv().await {
        if let Event::Message(frame) = event {
            router.handle(&sender, frame).await;
        }
    }
}

async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
    Ok(Identity::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn customer_gets_the_lines_of_the_header() {
        let header = include_str!("main.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let printed = header.map(str::trim).skip_while(|line| !line.starts_with("price of tea"));
        let printed: Vec<_> = printed.take_while(|line| *line != "```").collect();
        assert_eq!(run().await.unwrap(), printed);
    }
}
