//! The tasks of a server with a store: one for its lease, and one for the log of each realm that is open.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rejoin_store::{
    Attach, AttachError, Attached, Commit, Fence, LogId, OpenError, OpenWriter, ReadError, Record, WriterKey,
};

use crate::inner::{ServerCore, ServerInner};

use super::act::Key;
use super::health::PAUSE;
use super::log::{DurableLog, LogOver, Ready};
use super::node::{DEFAULT, LEASE, StoreNode, log_of};
use super::restore::{RestoreError, restore};
use super::writer::LogWriter;
use super::{apply, ask, attached, commit, windows, worker};

/// How often a store is asked that has failed.
const PROBE: Duration = Duration::from_millis(250);

/// The number of realms whose sessions are brought back at once.
const REALMS: usize = 16;

/// Begins the tasks of a realm's log, and of the server's lease, once: call it when the server has a runtime.
pub(crate) fn begin(shared: &Arc<ServerInner>) {
    let (Some(log), Some(own)) = (&shared.durable, shared.runtimes.own()) else { return };
    if !log.begins() {
        return;
    }
    let over = LogOver(log.clone());
    let node = log.of.clone();
    if node.is_left() {
        return;
    }
    if node.begins() {
        // Not among the tasks that a shutdown waits for: it needs them to the end.
        own.spawn(keep_lease(Arc::downgrade(&shared.core), node.clone()));
    }
    let (weak, log) = (Arc::downgrade(shared), log.clone());
    let tracked = node.logs.track_future(async move {
        let _over = over;
        tokio::select! {
            biased;
            () = log.gone.cancelled() => {}
            result = serve(&weak, &log) => if let Err(error) = result {
                tracing::error!(realm = &*log.realm, %error, "sessions cannot be restored");
            },
        }
    });
    own.spawn(tracked);
}

/// Keeps the lease of a server, until all of its logs are closed.
async fn keep_lease(core: Weak<ServerCore>, node: Arc<StoreNode>) {
    let _over = node.over.clone().drop_guard();
    tokio::select! {
        biased;
        () = node.gone.cancelled() => {}
        () = attached::relieve(&core, &node) => {}
        () = lease(&node) => {
            tracing::error!("the lease of this server has passed, and another one has taken over a session of it");
            node.leave();
            node.gone.cancel();
            // The tasks of the sessions end by themselves, and their clients go on elsewhere.
            for connection in core.upgrade().iter().flat_map(|core| core.registry.running()) {
                connection.session().wake_driver();
            }
        }
        () = node.closed() => {
            node.store.lease(node.node, Duration::ZERO).await.ok();
        }
    }
}

/// Renews the lease. Returns when it has passed.
async fn lease(node: &StoreNode) {
    loop {
        if !node.renewed().await {
            return;
        }
        // Soon again after a failure of any request, to learn when the store is back.
        tokio::select! {
            () = tokio::time::sleep(LEASE / 4) => {}
            _ = node.health.down() => tokio::time::sleep(PROBE).await,
        }
    }
}

/// Serves until the server is gone, or nobody is in the realm. If the store has lost a part of the log, it begins anew with what the
/// store has.
async fn serve(server: &Weak<ServerInner>, log: &Arc<DurableLog>) -> Result<(), RestoreError> {
    log.wait_for_predecessors().await;
    while let Err(error) = run(server, log).await? {
        tracing::error!(realm = &*log.realm, %error, "the log cannot be read on: what is known of all sessions is worth nothing");
        log.set_ready(Ready::NotYet);
        log.queue.clear();
        let Some(shared) = server.upgrade() else { return Ok(()) };
        for connection in shared.registry.running_in_order() {
            if connection.handle().writer().is_some() && connection.host().realm() == &*log.realm {
                windows::moved(&connection);
                shared.forget(&connection);
            }
        }
    }
    Ok(())
}

/// Holds no handle to the server for longer than a step: it ends with the last one. Returns an error of the log if the store has lost
/// a part of it.
async fn run(
    server: &Weak<ServerInner>,
    log: &Arc<DurableLog>,
) -> Result<Result<(), ReadError>, RestoreError> {
    let own = writer(log).await?;
    note_realm(log).await?;
    // Before the log is read: what comes meanwhile is in both.
    let tail = log.store.tail(log.log);
    let Some(shared) = server.upgrade() else {
        // What was said before everybody left is committed.
        commit::run(log.clone(), own).await;
        return Ok(Ok(()));
    };
    let cursor = restore(&shared, log).await?;
    if log.log == DEFAULT {
        // Before anybody may resume a session without saying its realm.
        restore_realms(&shared, log).await?;
    }
    let keeps_histories = shared.options.histories.are_kept();
    drop(shared);
    log.set_ready(Ready::Yes);
    let following = apply::follow(server.clone(), log.clone(), tail, cursor);
    if let Err(error) = worker::run(log.clone(), own, following).await {
        return Ok(Err(error));
    }
    if !log.of.is_left() && log.log != DEFAULT && !keeps_histories {
        // Nobody is here who needs it; what sessions at other servers need stays.
        log.store.trim(log.log, Duration::ZERO).await.ok();
    }
    Ok(Ok(()))
}

/// Takes over the server's own writer.
async fn writer(log: &DurableLog) -> Result<LogWriter, RestoreError> {
    let key = log.own_key();
    loop {
        let attach =
            Attach { key, proof: [0; 32], to: log.node, mine: None, nonce: log.nonce(), moved: Bytes::new() };
        match log.ask(|| log.store.attach(attach.clone())).await {
            Ok(Attached::Taken(record))
                if record.log != log.log || *record.identity != *log.realm.as_bytes() =>
            {
                let other = String::from_utf8_lossy(&record.identity).into_owned();
                return Err(RestoreError(format!(
                    "the log of {:?} is that of another realm, {other:?}",
                    log.realm
                )));
            }
            Ok(Attached::Taken(record)) => {
                return Ok(LogWriter::new(Key::new(key.0), record.epoch, record.w, 0));
            }
            // Its task may not have run yet.
            Err(AttachError::NoLease) if log.renewed().await => {}
            Ok(Attached::StillYours { .. }) | Err(AttachError::NoLease) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(AttachError::Unknown) => match open(log, log.log, key).await {
                Ok(()) => return Ok(LogWriter::new(Key::new(key.0), 1, 0, 0)),
                Err(OpenError::NoLease) if log.renewed().await => {}
                Err(OpenError::NoLease | OpenError::KeyTaken) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(RestoreError(error.to_string())),
            },
            Err(error) => return Err(RestoreError(error.to_string())),
        }
    }
}

/// Begins a record of the server itself, which names the realm.
async fn open(log: &DurableLog, of: LogId, key: WriterKey) -> Result<(), OpenError> {
    let open = OpenWriter {
        log: of,
        key,
        owner: log.node,
        nonce: log.nonce(),
        proof: [0; 32],
        id: "".into(),
        identity: Bytes::copy_from_slice(log.realm.as_bytes()),
        checkpoint: Bytes::new(),
        body: Bytes::new(),
    };
    log.ask(|| log.store.open(open.clone())).await.map(drop)
}

/// Notes in the default log that this server has the realm, before it has a session there: after a restart it asks for those.
async fn note_realm(log: &DurableLog) -> Result<(), RestoreError> {
    if log.log == DEFAULT {
        return Ok(());
    }
    loop {
        match open(log, DEFAULT, log.realm_key(log.log)).await {
            // It has been open before.
            Ok(()) | Err(OpenError::KeyTaken) => return Ok(()),
            Err(OpenError::NoLease) if log.renewed().await => {}
            Err(OpenError::NoLease) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(RestoreError(error.to_string())),
        }
    }
}

/// Brings the sessions of the other realms back that earlier lives of this server have had.
async fn restore_realms(shared: &Arc<ServerInner>, log: &Arc<DurableLog>) -> Result<(), RestoreError> {
    // Their keys come before those of sessions.
    let mut noted = log.own_records(DEFAULT, |record| !ask::is_session(record)).await;
    noted.retain(|record| StoreNode::is_realm_key(record.key));
    // In an order that does not depend on hashes.
    noted.sort_by(|one, other| one.identity.cmp(&other.identity));
    let restored = noted.into_iter().map(|record| restore_realm(shared, log, record));
    let restored: Vec<_> = stream::iter(restored).buffered(REALMS).collect().await;
    restored.into_iter().collect()
}

/// Brings the sessions of a realm back that a record of the default log names, and ends the record: the realm has another one now, or
/// needs none.
async fn restore_realm(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    record: Record,
) -> Result<(), RestoreError> {
    let Ok(name) = str::from_utf8(&record.identity) else {
        return Err(RestoreError("the name of a realm is damaged".into()));
    };
    let of = log_of(name);
    if record.key == log.realm_key(of) {
        // A newcomer has opened it meanwhile, and it restores itself.
        return Ok(());
    }
    let own = log.own_records(of, |record| !ask::is_session(record)).await;
    if own.iter().any(ask::is_session) {
        let view = shared.in_realm(name);
        begin(&view);
        let Some(its_log) = &view.durable else { return Ok(()) };
        if its_log.wait_ready(|ready| ready != Ready::NotYet).await == Ready::Never {
            // It has logged why. The next life tries again.
            return Ok(());
        }
    } else if !shared.options.histories.are_kept() {
        log.store.trim(of, Duration::ZERO).await.ok();
    }
    let Some(record) = log.adopt(record).await? else { return Ok(()) };
    let ends = Commit {
        log: DEFAULT,
        writer: record.key,
        fence: Fence { epoch: record.epoch, w: record.w + 1 },
        received: None,
        state: None,
        ends: vec![record.key],
        body: Bytes::new(),
    };
    // One that is not ended is ended by the next life.
    log.health.ask_once(log.store.commit(vec![ends])).await;
    Ok(())
}
