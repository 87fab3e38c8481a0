use super::*;
use crate::Fence;
use bytes::Bytes;

const LOG: LogId = LogId(7);
const KEY: WriterKey = WriterKey(*b"0123456789abcdef");
const NODE: NodeId = NodeId { name: 1, incarnation: 1 };

fn open() -> OpenWriter {
    OpenWriter {
        log: LOG,
        key: KEY,
        owner: NODE,
        nonce: 1,
        proof: [0; 32],
        id: "ann".into(),
        identity: Bytes::new(),
        checkpoint: Bytes::new(),
        body: "open".into(),
    }
}

fn commit(w: u64) -> Commit {
    Commit {
        log: LOG,
        writer: KEY,
        fence: Fence { epoch: 1, w },
        received: Some(w),
        state: None,
        ends: Vec::new(),
        body: format!("commit {w}").into(),
    }
}

async fn begun() -> MemoryStore {
    let store = MemoryStore::new();
    store.lease(NODE, Duration::from_secs(3600)).await.unwrap();
    store.open(open()).await.unwrap();
    store
}

async fn one(store: &MemoryStore, w: u64) -> Result<Committed, CommitError> {
    store.commit(vec![commit(w)]).await.remove(0)
}

async fn bodies(store: &MemoryStore) -> Vec<Bytes> {
    let page = store.read(LOG, Position::default(), ReadLimit::default()).await.unwrap();
    page.entries.into_iter().map(|entry| entry.body).collect()
}

fn at(offset: u64) -> Result<Committed, CommitError> {
    Ok(Committed::At(Position { generation: 0, offset }))
}

#[tokio::test(start_paused = true)]
async fn lost_call_is_not_applied() {
    let store = begun().await;
    store.set_faults(|_| Fault::Lost);
    assert!(matches!(one(&store, 1).await, Err(CommitError::Unsure(_))));
    store.heal();
    assert_eq!(one(&store, 1).await, at(2));
}

#[tokio::test(start_paused = true)]
async fn unanswered_call_is_applied() {
    let store = begun().await;
    store.set_faults(|_| Fault::Unanswered);
    assert!(matches!(one(&store, 1).await, Err(CommitError::Unsure(_))));
    store.heal();
    assert_eq!(one(&store, 1).await, Ok(Committed::Already));
    assert_eq!(bodies(&store).await, ["open", "commit 1"]);
}

#[tokio::test(start_paused = true)]
async fn late_call_is_applied_after_its_error() {
    let store = begun().await;
    store.set_faults(|_| Fault::Late(Duration::from_secs(1)));
    assert!(one(&store, 1).await.is_err());
    store.heal();
    assert_eq!(bodies(&store).await, ["open"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bodies(&store).await, ["open", "commit 1"]);
}

#[tokio::test(start_paused = true)]
async fn call_that_arrives_twice_counts_once() {
    let store = begun().await;
    store.set_faults(|_| Fault::Twice(Duration::from_secs(1)));
    assert_eq!(one(&store, 1).await, at(2));
    store.heal();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bodies(&store).await, ["open", "commit 1"]);
}

#[tokio::test(start_paused = true)]
async fn delayed_call_of_dropped_caller_is_not_applied() {
    let store = begun().await;
    store.set_faults(|_| Fault::Delayed(Duration::from_secs(1)));
    assert!(tokio::time::timeout(Duration::from_millis(10), one(&store, 1)).await.is_err());
    assert_eq!(one(&store, 1).await, at(2));
}

#[tokio::test(start_paused = true)]
async fn slow_answer_is_applied_at_once() {
    let store = begun().await;
    store.set_faults(|_| Fault::SlowAnswer(Duration::from_secs(1)));
    assert!(tokio::time::timeout(Duration::from_millis(10), one(&store, 1)).await.is_err());
    assert_eq!(one(&store, 1).await, Ok(Committed::Already));
}

#[tokio::test(start_paused = true)]
async fn tail_faults_drop_repeat_delay_and_report() {
    let store = begun().await;
    let mut tail = store.tail(LOG);
    let second = Duration::from_secs(1);
    let mut faults = vec![
        TailFault::None,
        TailFault::Gap,
        TailFault::Delayed(second),
        TailFault::Repeated(second * 2),
        TailFault::Dropped,
    ];
    store.set_tail_faults(move || faults.pop().unwrap());
    for w in 1..=5 {
        one(&store, w).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(match tail.next().await.unwrap() {
            Tail::Entry { prev, entry } => {
                assert_eq!(prev + 1, entry.position.offset);
                entry.position.offset
            }
            Tail::Gap => 0,
        });
    }
    assert_eq!(seen, [3, 0, 6, 4, 3]);
}

#[tokio::test(start_paused = true)]
async fn failover_takes_steps_back_and_begins_generation() {
    let store = begun().await;
    store.keep_steps(10);
    for w in 1..=3 {
        one(&store, w).await.unwrap();
    }
    assert_eq!(store.fail_over(2), 2);
    assert_eq!(store.bounds(LOG).await.unwrap().1, Position { generation: 1, offset: 2 });
    assert_eq!(store.read(LOG, Position::default(), ReadLimit::default()).await, Err(ReadError::Generation));
    assert_eq!(one(&store, 2).await, Ok(Committed::At(Position { generation: 1, offset: 3 })));
}

#[tokio::test(start_paused = true)]
async fn failover_brings_ended_sessions_back() {
    let store = begun().await;
    store.keep_steps(10);
    let end = Commit { ends: vec![KEY], ..commit(1) };
    store.commit(vec![end]).await.remove(0).unwrap();
    assert_eq!(store.fail_over(1), 1);
    assert_eq!(store.records(LOG, None, 9).await.unwrap()[0].w, 0);
    let other = OpenWriter { key: WriterKey([1; 16]), ..open() };
    assert_eq!(store.open(other).await, Err(OpenError::IdTaken));
}

#[tokio::test(start_paused = true)]
async fn seeded_faults_repeat() {
    let draws = |seed| {
        let mut faults = FaultRates::default().calls(seed);
        (0..500).map(|_| faults(StoreCall::Commit)).collect::<Vec<_>>()
    };
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    for fault in [Fault::Lost, Fault::Unanswered] {
        assert!(draws(1).contains(&fault), "{fault:?}");
    }
    let mut none = FaultRates { each: 0, ..FaultRates::default() }.calls(1);
    assert!((0..500).all(|_| none(StoreCall::Open) == Fault::None));
}
