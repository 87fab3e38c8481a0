//! [`tour`]: connects to the server with valid and invalid credentials.

use std::error::Error;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use rejoin_client::{Client, ConnectError, Event};
use serde_json::{Value, json};

use super::token::{Claims, Signer};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Connects to the server with each kind of credentials, and prints the outcomes. `signer` must be the server's own, so that
/// the tour can create an expired token without waiting.
///
/// # Errors
/// Fails when the server does not answer as the tour expects.
pub async fn tour(server: SocketAddr, signer: &Signer, mut print: impl FnMut(String)) -> Result<()> {
    let response = login(server, "ada", "countess").await?;
    let cookie = response.headers()[SET_COOKIE].to_str()?.split(';').next().unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(response.body())?;
    let token = body["token"].as_str().ok_or("no token")?;
    print(format!("ada logs in: {}, a token for {} s", response.status(), body["expires_in"]));

    let mut enter = async |who: &str, room: &str, header: Option<(&str, &str)>| -> Result<()> {
        print(format!("{who} → {room}: {}", enter(server, room, header).await?));
        Ok(())
    };
    let bearer = format!("Bearer {token}");
    enter("ada, with a header", "office", Some(("authorization", &bearer))).await?;
    enter("ada, with a cookie", "office", Some(("cookie", &cookie))).await?;

    let forged = Signer::random()?.sign(&Claims::new("ada", u64::MAX));
    enter("ada, with a forged signature", "office", Some(("authorization", &format!("Bearer {forged}"))))
        .await?;
    let expired = signer.sign(&Claims::new("ada", 0));
    enter("ada, too late", "office", Some(("authorization", &format!("Bearer {expired}")))).await?;
    enter("without a token", "lobby", None).await?;

    let response = login(server, "ben", "franklin").await?;
    let body: Value = serde_json::from_slice(response.body())?;
    let bearer = format!("Bearer {}", body["token"].as_str().ok_or("no token")?);
    enter("ben", "lobby", Some(("authorization", &bearer))).await?;
    enter("ben", "office", Some(("authorization", &bearer))).await?;

    let response = login(server, "ben", "guess").await?;
    print(format!("ben, with another password: {}, {}", response.status(), str::from_utf8(response.body())?));
    Ok(())
}

/// Connects to a room and returns the server's answer.
async fn enter(server: SocketAddr, room: &str, header: Option<(&str, &str)>) -> Result<String> {
    let mut builder = Client::builder(format!("ws://{server}/ws/{room}"));
    if let Some((name, value)) = header {
        builder = builder.header(name, value);
    }
    let mut connection = match builder.connect().await {
        Ok(connection) => connection,
        Err(ConnectError::Refused(refusal)) => return Ok(format!("{} {}", refusal.status, refusal.body)),
        Err(error) => return Err(error.into()),
    };
    let Some(Event::Message(welcome)) = connection.recv().await else { return Err("no welcome".into()) };
    connection.close().await;
    let payload = welcome.payload().ok_or("an empty welcome")?;
    Ok(format!("{} {}", welcome.event(), str::from_utf8(payload.data())?))
}

/// `POST /login`.
async fn login(server: SocketAddr, user: &str, password: &str) -> Result<Response<Bytes>> {
    let body = json!({ "user": user, "password": password }).to_string();
    let request = Request::post(format!("http://{server}/login"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let http = HttpClient::builder(TokioExecutor::new()).build_http();
    let (parts, body) = http.request(request).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}
