//! Signed tokens that expire while their client is connected. Run it:
//!
//! ```text
//! cargo run -p rejoin-examples --bin jwt
//! ```
//!
//! It starts the server on a free port, connects a client whose tokens live for two seconds, and prints what happens:
//!
//! ```text
//! ada is connected with token 1
//! lost the socket: closed by the peer with 3000 credentials expired
//! resumed with token 2
//! a message that was sent meanwhile: you have mail
//! without a token: 401 credentials are missing
//! with a token of another issuer: 401 the token is invalid
//! (the server has noted: no credentials, bearer)
//! ```
//!
//! The client has a source of tokens, which it asks before every dial. The server closes the socket when a token ends, and keeps the
//! session: there is no protocol for refreshing tokens, and no message is lost.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, SystemTimeError};

use rejoin_client::{Client, ConnectError, Event};
use rejoin_server::auth::jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, encode, errors,
};
use rejoin_server::auth::{Auth, Bearer, Jwt};
use rejoin_server::{Frame, Server};
use serde::{Deserialize, Serialize};

type BoxError = Box<dyn Error + Send + Sync>;

/// The claims of a token. `sub` and `exp` have registered names: rejoin reads them.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    room: String,
}

/// An issuer of tokens, such as the login of a website.
struct Issuer {
    key: EncodingKey,
    issued: AtomicU32,
}

impl Issuer {
    fn new(secret: &[u8]) -> Result<Self, errors::Error> {
        Ok(Self { key: EncodingKey::from_secret(secret)?, issued: AtomicU32::new(0) })
    }

    fn token(&self) -> Result<String, BoxError> {
        self.issued.fetch_add(1, Ordering::Relaxed);
        let claims = Claims { sub: "ada".into(), exp: now()? + 2, room: "lobby".into() };
        Ok(encode(&Header::new(Algorithm::HS256), &claims, &self.key)?)
    }

    fn issued(&self) -> u32 {
        self.issued.load(Ordering::Relaxed)
    }
}

fn now() -> Result<u64, SystemTimeError> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}

fn server(secret: &[u8], failures: Arc<Mutex<Vec<&'static str>>>) -> Result<Server, BoxError> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0; // for this example, whose tokens live for seconds
    let jwt = Jwt::new(DecodingKey::from_secret(secret)?, validation)
        .with_claims(|claims: Claims, identity| Ok(identity.with_room(claims.room)));
    let auth = Auth::new().realm("mail").scheme(Bearer::new(jwt)).on_failure(move |failure| {
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push(failure.scheme.unwrap_or("no credentials"));
        failure.reject
    });
    Ok(Server::builder(auth).build()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt::init();
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Returns what happens.
async fn run() -> Result<Vec<String>, BoxError> {
    let mut lines = Vec::new();
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let failures = Arc::default();
    let server = server(&secret, Arc::clone(&failures))?;
    let listening = server.listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listening.local_addr());

    let issuer = Arc::new(Issuer::new(&secret)?);
    let tokens = issuer.clone();
    let mut client = Client::builder(&url)
        .token(move || std::future::ready(tokens.token().map_err(std::io::Error::other)))
        .reconnect(Duration::from_millis(20), Duration::from_secs(1))
        .connect()
        .await?;
    let user = server.users().join(", ");
    lines.push(format!("{user} is connected with token {}", issuer.issued()));
    while lines.len() < 4 {
        match client.recv().await {
            Some(Event::Disconnected { reason }) => {
                lines.push(format!("lost the socket: {reason}"));
                server.user("ada").send(&Frame::new("mail", "you have mail")?)?;
            }
            Some(Event::Reconnected { resumed: true }) => {
                lines.push(format!("resumed with token {}", issuer.issued()));
            }
            Some(Event::Message(frame)) => {
                lines.push(format!("a message that was sent meanwhile: {}", frame.decode::<String>()?));
            }
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
    client.close().await;

    let without = Client::builder(&url).connect().await;
    lines.push(format!("without a token: {}", refusal(without)?));
    let other = Issuer::new(b"another secret, which the server does not know")?;
    let forged = other.token()?;
    let forged = Client::builder(&url).header("authorization", &format!("Bearer {forged}")).connect().await;
    lines.push(format!("with a token of another issuer: {}", refusal(forged)?));
    let noted = failures.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
    lines.push(format!("(the server has noted: {noted})"));
    server.shutdown(Duration::from_secs(1)).await;
    Ok(lines)
}

fn refusal(result: Result<rejoin_client::Connection, ConnectError>) -> Result<String, BoxError> {
    match result {
        Err(ConnectError::Refused(refusal)) => Ok(format!("{} {}", refusal.status, refusal.body)),
        other => Err(format!("not refused: {other:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn expiry_and_refusals_are_as_in_the_header() {
        let header = include_str!("main.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let printed = header.map(str::trim).skip_while(|line| !line.starts_with("ada is connected"));
        let printed: Vec<_> = printed.take_while(|line| *line != "```").collect();
        assert_eq!(run().await.unwrap(), printed);
    }
}
