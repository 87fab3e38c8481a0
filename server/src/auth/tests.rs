use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::accept::auth_token::AuthToken;
use crate::accept::{ConnectFn as _, ConnectRequest, Identity, Reject};

/// A request with these headers; `rejoin.auth` is what the client offers as its token.
fn request(uri: &str, headers: &[(&str, &str)]) -> ConnectRequest {
    let mut builder = http::Request::get(uri);
    let mut auth = None;
    for (name, value) in headers {
        match *name {
            "rejoin.auth" => auth = AuthToken::parse(value),
            name => builder = builder.header(name, *value),
        }
    }
    let (parts, ()) = builder.body(()).unwrap().into_parts();
    ConnectRequest::new(Box::new(parts), None, None).with_auth(auth)
}

/// The user that the token names.
async fn verify(token: String) -> Result<Identity, Reject> {
    match token.strip_prefix("of-") {
        Some("nobody") | None => Err(Reject::unauthorized("unknown token")),
        Some("everyone") => Err(Reject::unavailable("no database")),
        Some(user) => Ok(Identity::new().with_user(user)),
    }
}

async fn login(name: String, password: String) -> Result<Identity, Reject> {
    if secrets_match(&password, "open sesame") {
        Ok(Identity::new().with_user(name))
    } else {
        Err(Reject::unauthorized("wrong"))
    }
}

/// The user, or the status of the refusal.
async fn user(auth: &Auth, uri: &str, headers: &[(&str, &str)]) -> Result<String, u16> {
    let decided = auth.connect(request(uri, headers)).await;
    decided.map(|identity| identity.user.unwrap_or_default().into()).map_err(|reject| reject.status.as_u16())
}

fn all() -> Auth {
    let keys = ApiKeys::new().key("key-of-robot", Identity::new().with_user("robot"));
    Auth::new()
        .realm("the \"chat\"")
        .scheme(Bearer::new(verify))
        .scheme(Basic::new(login))
        .scheme(HeaderToken::new("x-api-key", keys))
        .scheme(QueryToken::new("token", verify))
}

const ALADDIN: (&str, &str) = ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");

#[tokio::test]
async fn each_scheme_finds_its_credentials() {
    let auth = all();
    let bearer = |value| ("authorization", value);
    for (uri, headers, found) in [
        ("/", vec![bearer("Bearer of-ada")], Ok("ada")),
        ("/", vec![bearer("bEARER  of-ada ")], Ok("ada")),
        ("/", vec![("rejoin.auth", "b2YtYWRh")], Ok("ada")),
        ("/", vec![ALADDIN], Ok("Aladdin")),
        ("/", vec![("x-api-key", "key-of-robot")], Ok("robot")),
        ("/?token=of-eve", vec![], Ok("eve")),
        // The first scheme whose credentials are there decides.
        ("/?token=of-eve", vec![bearer("Bearer of-ada")], Ok("ada")),
        ("/?token=of-eve", vec![bearer("Bearer of-nobody")], Err(401)),
        ("/?token=of-eve", vec![bearer("Digest x")], Ok("eve")),
        ("/", vec![], Err(401)),
        ("/?token=", vec![], Err(401)),
        ("/", vec![("x-api-key", "key-of-robo")], Err(401)),
        ("/", vec![("rejoin.auth", "_w")], Err(401)),
        ("/", vec![bearer("Bearer of-everyone")], Err(503)),
        ("/", vec![bearer("Bearer")], Err(400)),
        ("/", vec![bearer("Bearer ")], Err(400)),
        ("/", vec![bearer("Basic *")], Err(400)),
        ("/", vec![bearer("Bearer of-ada"), ("rejoin.auth", "b2YtYWRh")], Err(400)),
        ("/", vec![bearer("Bearer of-ada"), bearer("Bearer of-ada")], Err(400)),
        ("/", vec![("x-api-key", "a"), ("x-api-key", "b")], Err(400)),
    ] {
        assert_eq!(
            user(&auth, uri, &headers).await.as_deref(),
            found.as_ref().map(|user| *user),
            "{uri} {headers:?}"
        );
    }
}

#[tokio::test]
async fn refusals_challenge_with_every_scheme() {
    let challenges = async |auth: &Auth, headers: &[(&str, &str)]| {
        let reject = auth.authenticate(&request("/", headers)).await.unwrap_err();
        let headers = reject.headers.unwrap_or_default();
        let challenges = headers.get_all("www-authenticate").into_iter();
        challenges.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let realm = r#"realm="the \"chat\"""#;
    let others =
        [format!(r#"Basic {realm}, charset="UTF-8""#), format!(r#"ApiKey {realm}, header="x-api-key""#)];
    let bearer = format!("Bearer {realm}");
    assert_eq!(challenges(&all(), &[]).await, [&[bearer.clone()][..], &others].concat(), "each once");
    let failed = format!(r#"{bearer}, error="invalid_token""#);
    let wrong = [("authorization", "Bearer of-nobody")];
    assert_eq!(challenges(&all(), &wrong).await, [&[failed][..], &others, &[bearer]].concat());
    let unavailable = [("authorization", "Bearer of-everyone")];
    assert_eq!(challenges(&all(), &unavailable).await, [""; 0], "503 is no question of credentials");
    assert_eq!(challenges(&Auth::new(), &[]).await, [r#"Bearer realm="rejoin""#], "a 401 needs one");
    let own = Auth::new().on_failure(|failure| {
        let challenge = http::HeaderValue::from_static("Own");
        failure.reject.with_header(http::header::WWW_AUTHENTICATE, challenge).unwrap()
    });
    assert_eq!(challenges(&own, &[]).await, ["Own"]);
}

#[tokio::test]
async fn failures_go_to_one_place_and_then_decides_last() {
    let failures = std::sync::Arc::new(Mutex::new(Vec::new()));
    let noted = failures.clone();
    let calls = std::sync::Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    let auth = all()
        .on_failure(move |failure| {
            noted.lock().unwrap().push((failure.scheme, failure.path, failure.reject.status.as_u16()));
            match failure.scheme {
                Some("basic") => Reject::forbidden("no passwords here"),
                _ => failure.reject,
            }
        })
        .then(move |request: ConnectRequest, identity: Identity| {
            called.fetch_add(1, Ordering::Relaxed);
            let room = request.query("room").ok_or_else(|| Reject::bad_request("which room?"));
            async { Ok(identity.with_room(room?)) }
        });
    let wrong = ("authorization", "Basic YTpi");
    assert_eq!(user(&auth, "/a", &[]).await, Err(401));
    assert_eq!(user(&auth, "/b", &[wrong]).await, Err(403));
    assert_eq!(user(&auth, "/c", &[ALADDIN]).await, Err(400), "`then` has refused it");
    let identity = auth.connect(request("/d?room=tea", &[ALADDIN])).await.unwrap();
    assert_eq!((identity.user.as_deref(), identity.room.as_deref()), (Some("Aladdin"), Some("tea")));
    let expected = [(None, "/a".to_owned(), 401), (Some("basic"), "/b".to_owned(), 401)];
    assert_eq!((failures.lock().unwrap().as_slice(), calls.load(Ordering::Relaxed)), (&expected[..], 2));
    let debug = format!("{auth:?}");
    assert_eq!(debug, r#"Auth { schemes: ["bearer", "basic", "header", "query"], .. }"#);
}

#[cfg(feature = "jwt")]
mod tokens {
    use std::time::{Duration, SystemTime};

    use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, encode};
    use rejoin_core::drive::now;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a secret of 32 bytes, or of more";

    fn sign(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret).unwrap()).unwrap()
    }

    fn since_1970() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    /// The refusal's text, or the user.
    async fn decide(jwt: &Jwt, token: String) -> Result<Identity, String> {
        jwt.verify(token).await.map_err(|reject| {
            assert_eq!(reject.status, 401);
            reject.body.into_owned()
        })
    }

    #[tokio::test]
    async fn claims_become_user_and_expiry() {
        let jwt = Jwt::hs256(SECRET);
        let claims = json!({"sub": "ada", "exp": since_1970() + 1000});
        let identity = decide(&jwt, sign(Algorithm::HS256, SECRET, &claims)).await.unwrap();
        assert_eq!(identity.user.as_deref(), Some("ada"));
        let left = identity.expires.unwrap() - now();
        let expected = Duration::from_secs(1060);
        assert!(left <= expected && left > expected - Duration::from_secs(10), "with the leeway: {left:?}");
        let forever = json!({"exp": 1e300});
        let refused = decide(&jwt, sign(Algorithm::HS256, SECRET, &forever)).await;
        assert_eq!(refused.map(|_| ()), Err("the token is invalid".into()), "no time");
    }

    #[tokio::test]
    async fn tokens_that_prove_nothing_are_refused() {
        let jwt = Jwt::hs256(SECRET);
        let exp = since_1970() + 1000;
        let good = json!({"sub": "ada", "exp": exp});
        let invalid = "the token is invalid";
        let [header, payload, signature] = {
            let token = sign(Algorithm::HS256, SECRET, &good);
            let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
            <[String; 3]>::try_from(parts).unwrap()
        };
        // {"alg":"none","typ":"JWT"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        for (what, token, text) in [
            ("another secret", sign(Algorithm::HS256, b"another secret of 32 bytes or more", &good), invalid),
            ("another algorithm", sign(Algorithm::HS512, SECRET, &good), invalid),
            ("no algorithm", format!("{none}.{payload}."), invalid),
            ("no signature", format!("{header}.{payload}."), invalid),
            ("a changed header", format!("{none}.{payload}.{signature}"), invalid),
            ("no token", "x".to_owned(), invalid),
            ("nothing", String::new(), invalid),
            (
                "an old token",
                sign(Algorithm::HS256, SECRET, &json!({"exp": exp - 2000})),
                "the token has expired",
            ),
            (
                "a future token",
                sign(Algorithm::HS256, SECRET, &json!({"exp": exp, "nbf": exp})),
                "the token is not valid yet",
            ),
            ("no exp", sign(Algorithm::HS256, SECRET, &json!({"sub": "ada"})), invalid),
            ("an exp that is none", sign(Algorithm::HS256, SECRET, &json!({"exp": "tomorrow"})), invalid),
            ("an audience", sign(Algorithm::HS256, SECRET, &json!({"exp": exp, "aud": "others"})), invalid),
        ] {
            assert_eq!(decide(&jwt, token).await.map(|_| ()), Err(text.to_owned()), "{what}");
        }
        let mut lax = Validation::new(Algorithm::HS256);
        lax.validate_exp = false;
        lax.required_spec_claims.clear();
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET).unwrap();
        let old = sign(Algorithm::HS256, SECRET, &json!({"exp": exp - 2000}));
        let text = decide(&Jwt::new(key, lax), old).await.unwrap_err();
        assert_eq!(text, "the token has expired", "`exp` is required, whatever the validation says");
    }

    #[tokio::test]
    async fn further_claims_complete_the_identity() {
        let jwt =
            Jwt::hs256(SECRET).with_claims(|rooms: std::collections::HashMap<String, Value>, identity| {
                match rooms.get("room").and_then(Value::as_str) {
                    Some(room) => Ok(identity.with_room(room)),
                    None => Err(Reject::forbidden("no room")),
                }
            });
        let exp = since_1970() + 1000;
        let token = sign(Algorithm::HS256, SECRET, &json!({"sub": "ada", "exp": exp, "room": "tea"}));
        let identity = jwt.verify(token).await.unwrap();
        assert_eq!((identity.user.as_deref(), identity.room.as_deref()), (Some("ada"), Some("tea")));
        let token = sign(Algorithm::HS256, SECRET, &json!({"sub": "ada", "exp": exp}));
        assert_eq!(jwt.verify(token.clone()).await.unwrap_err().status, 403);
        let jwt = jwt.with_claims(|(): (), identity| Ok(identity));
        assert_eq!(jwt.verify(token).await.unwrap_err().status, 401, "claims of another form");
        let debug = format!("{jwt:?}");
        assert!(debug.starts_with("Jwt {") && !debug.contains("secret"), "{debug}");
    }
}
