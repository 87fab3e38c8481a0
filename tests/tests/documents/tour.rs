//! The later programs of `docs/tour.md`.

mod credentials {
    include!(concat!(env!("OUT_DIR"), "/tour-credentials.rs"));

    #[tokio::test(start_paused = true)]
    async fn tour_credentials_admit_users_and_services() {
        let server = with_logins().build().unwrap();
        let line = rejoin_tests::network::Line::to(&server);
        let dial = |name: &'static str, value: &'static str| line.client("/").header(name, value).connect();
        let ada = dial("authorization", "Bearer session-of-ada").await.unwrap();
        let billing = dial("x-api-key", "secret-of-billing").await.unwrap();
        assert!(dial("authorization", "Bearer unknown").await.is_err());
        let members = server.members("lobby");
        let users: Vec<_> = members.iter().map(|member| member.user().unwrap()).collect();
        assert_eq!(users, ["ada", "billing"]);
        ada.close().await;
        billing.close().await;
    }
}

mod history {
    include!(concat!(env!("OUT_DIR"), "/tour-history.rs"));

    #[tokio::test(start_paused = true)]
    async fn tour_history_reaches_newcomers() {
        use crate::{frame, hear};

        let server =
            with_history(rejoin_server::Server::builder(rejoin_tests::harness::connect)).build().unwrap();
        let line = rejoin_tests::network::Line::to(&server);
        for n in 0..30 {
            server.broadcast("news", &frame("said", &n)).unwrap();
        }
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        ada.send(&frame("enter", "")).unwrap();
        for n in 10..30 {
            assert_eq!(hear::<u32>(&mut ada).await, ("said".into(), n));
        }
    }
}

mod limits {
    include!(concat!(env!("OUT_DIR"), "/tour-limits.rs"));

    #[tokio::test(start_paused = true)]
    async fn tour_limits_refuse_one_too_many() {
        let builder = with_limits(rejoin_server::Server::builder(rejoin_tests::harness::connect));
        let server = builder.max_connections(1).build().unwrap();
        let line = rejoin_tests::network::Line::to(&server);
        let _ada = line.client("/?id=ada").connect().await.unwrap();
        let refused = line.client("/?id=ben").connect().await;
        let Err(rejoin_client::ConnectError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.status, 503);
    }
}
