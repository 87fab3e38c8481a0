//! [`Upgrade`], the extractor of axum: handlers decide on connections.

use std::net::SocketAddr;
use std::time::Duration;

use super::{exchange, status};
use axum::Router;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;
use rejoin_client::{Client, ClientBuilder, ConnectError, Connection};
use rejoin_server::{Builder, ConnectRequest, DuplicateId, Identity, Reject, Server, Upgrade};
use rejoin_tests::harness::{self, Heard, disconnected, next, number, numbers, within};
use tokio::net::TcpListener;

/// The app's state, of which the server is a part.
#[derive(Clone)]
struct App {
    server: Server,
    /// The most connections, of which a resumed session is one already.
    most: usize,
}

impl FromRef<App> for Server {
    fn from_ref(app: &App) -> Self {
        app.server.clone()
    }
}

/// The user, as the app's own extractor finds it.
struct User(String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let value = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        let user = value.and_then(|value| value.strip_prefix("Bearer "));
        user.map(|user| Self(user.to_owned())).ok_or((StatusCode::UNAUTHORIZED, "who are you?"))
    }
}

async fn ws(
    User(user): User,
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
) -> Response {
    let upgrade = upgrade.with_remote_addr(peer);
    if user == "mallory" {
        let reject = Reject::forbidden("not you").with_header(WWW_AUTHENTICATE, "Bearer".parse().unwrap());
        return upgrade.refuse(reject.unwrap());
    }
    assert_eq!(upgrade.is_resume(), upgrade.resumes().is_some());
    if !upgrade.is_resume() && app.server.connections("lobby").len() >= app.most {
        return upgrade.refuse(Reject::from_static(StatusCode::CONFLICT, "too many"));
    }
    let id = upgrade.token().map_or(user, str::to_owned);
    upgrade.accept(Identity::new().with_room("lobby").with_id(id)).await
}

/// Never called here.
async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
    panic!("the handler decides")
}

/// An app with a server that echoes.
async fn start(most: usize, configure: impl FnOnce(Builder) -> Builder) -> (Server, SocketAddr) {
    let echo = harness::echo(Server::builder(connect));
    let server = configure(echo).build().unwrap();
    let app = App { server: server.clone(), most };
    let routes = Router::new().route("/ws", any(ws)).with_state(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (server, addr)
}

/// An upgrade request with these lines in it, after which axum closes the connection where it is refused.
fn upgrade(lines: &str) -> String {
    super::upgrade(lines).replace("/?", "/ws?").replace("connection: upgrade", "connection: upgrade, close")
}

fn client(addr: SocketAddr, user: &str) -> ClientBuilder {
    let builder =
        Client::builder(format!("ws://{addr}/ws")).header("authorization", &format!("Bearer {user}"));
    builder.reconnect(Duration::from_millis(1), Duration::from_millis(20))
}

fn refusal(dialled: Result<Connection, ConnectError>) -> (u16, String) {
    let Err(ConnectError::Refused(refusal)) = dialled else { panic!("{dialled:?}") };
    (refusal.status, refusal.body)
}

#[tokio::test]
async fn handler_accepts_with_identity_and_session_resumes() {
    let (server, addr) = start(1, |builder| builder).await;
    let mut ada = client(addr, "ada").connect().await.unwrap();
    assert_eq!((ada.id().as_deref(), ada.room().as_deref()), (Some("ada"), Some("lobby")));
    assert_eq!(server.connection("ada").unwrap().remote_addr().map(|peer| peer.ip()), Some(addr.ip()));
    for n in 0..3 {
        ada.send(&number(n)).unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [n]);
        // The limit of one connection refuses no resume.
        server.cut("ada").unwrap();
        disconnected(&mut ada).await;
        assert_eq!(next(&mut ada).await, Heard::Resumed);
    }
    assert_eq!(refusal(client(addr, "ben").connect().await), (409, "too many".into()));
    let stats = server.stats();
    assert_eq!((stats.resumed, stats.refused), (3, 1));
}

#[tokio::test]
async fn handler_sees_offered_token() {
    let (_server, addr) = start(1, |builder| builder).await;
    let ada = client(addr, "user").token(async || Ok("ada".to_owned())).connect().await.unwrap();
    assert_eq!(ada.id().as_deref(), Some("ada"));
}

#[tokio::test]
async fn handler_refuses_with_status_text_and_headers() {
    let (server, addr) = start(9, |builder| builder).await;
    let request = upgrade("authorization: Bearer mallory\r\n");
    let answer = within("answer", exchange(addr, request.as_bytes())).await;
    assert_eq!(status(&answer), 403, "{answer}");
    assert!(
        answer.contains("\r\nwww-authenticate: Bearer\r\n") && answer.ends_with("\r\n\r\nnot you"),
        "{answer}"
    );
    assert_eq!(server.stats().refused, 1);
}

#[tokio::test]
async fn malformed_request_never_reaches_the_handler() {
    let (server, addr) = start(9, |builder| builder).await;
    let get = "GET /ws HTTP/1.1\r\nhost: a\r\nauthorization: Bearer mallory\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&exchange(addr, get.as_bytes()).await), 426);
    let post = get.replace("GET", "POST");
    assert_eq!(status(&exchange(addr, post.as_bytes()).await), 405);
    let foreign = upgrade("authorization: Bearer mallory\r\norigin: https://evil.test\r\n");
    let answer = exchange(addr, foreign.as_bytes()).await;
    assert!(status(&answer) == 403 && answer.contains("pages of https://evil.test"), "{answer}");
    assert_eq!(server.stats().refused, 3);
    // The extractor in front of it runs first, and the app answers for it.
    assert_eq!(refusal(Client::builder(format!("ws://{addr}/ws")).connect().await).0, 401);
    assert_eq!(server.stats().refused, 3);
}

#[tokio::test]
async fn taken_id_is_refused_by_policy() {
    let (server, addr) = start(9, |builder| builder.duplicate_id(DuplicateId::Reject)).await;
    let _ada = client(addr, "ada").connect().await.unwrap();
    assert_eq!(refusal(client(addr, "ada").connect().await), (409, "connection id is taken".into()));
    assert_eq!(server.stats().refused, 1);
}

#[tokio::test]
async fn extractor_refuses_after_a_shutdown() {
    let (server, addr) = start(9, |builder| builder).await;
    let ada = client(addr, "ada").connect().await.unwrap();
    assert_eq!(server.shutdown(Duration::from_secs(5)).await, 0);
    drop(ada);
    assert_eq!(refusal(client(addr, "ben").connect().await), (503, "server is shutting down".into()));
}
