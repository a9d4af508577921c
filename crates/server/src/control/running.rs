//! Answers requests inside the server that runs.

use crate::accounts;
use crate::control::doors::{CertificateView, ListenerView};
use crate::control::trace;
use crate::control::views::{
    AccountView, CallView, CountersView, RegistrationView, RouteView, StatusView, StepView,
    StoreView, TransactionsView,
};
use crate::control::{Change, Each, Failure, Far, Kind, Reply, Request};
use crate::engine::{Engine, Work};
use crate::limits;
use crate::tls::Tls;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{Command, CommitToken, Write};
use ringway_core::route::explain::explain;
use ringway_core::route::plan::Way;
use ringway_store::{Refused, StoreError};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use tracing::info;

/// The partition in the tickets of changes that no partition asked for.
pub(crate) const ADMINISTRATOR: u32 = u32::MAX;

type Committed = Result<CommitToken, StoreError>;

/// Commits that an administrator waits for.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    senders: HashMap<u64, SyncSender<Committed>>,
}

impl Pending {
    /// Tells who waits what came of it.
    pub(crate) fn resolve(&self, ticket: u64, result: Committed) {
        if let Some(sender) = self.waiting().senders.remove(&ticket) {
            // Who has stopped waiting has said so.
            let _ = sender.try_send(result);
        }
    }

    fn begin(&self) -> (u64, Receiver<Committed>) {
        let (sender, receiver) = sync_channel(1);
        let mut waiting = self.waiting();
        waiting.last += 1;
        let ticket = waiting.last;
        waiting.senders.insert(ticket, sender);
        (ticket, receiver)
    }

    fn give_up(&self, ticket: u64) {
        self.waiting().senders.remove(&ticket);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server that runs, for administrators. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Running {
    engine: Arc<Engine>,
    pending: Arc<Pending>,
    configured: Arc<[String]>,
    tls: Option<Arc<Tls>>,
    /// Held while one change is made: nobody decides on accounts that another is changing.
    changes: Arc<Mutex<()>>,
}

impl Running {
    /// `configured` are the domains that are ours whether they have accounts or not.
    pub(crate) fn new(
        engine: Arc<Engine>,
        pending: Arc<Pending>,
        configured: &[String],
        tls: Option<Arc<Tls>>,
    ) -> Self {
        Self { engine, pending, configured: configured.into(), tls, changes: Arc::default() }
    }

    /// On disk first, then in all partitions, then acknowledged.
    fn change(&self, change: &Change) -> Result<Option<Reply>, Failure> {
        let _alone = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let decided = accounts::decide(&self.engine.snapshot().accounts, change)?;
        if !decided.writes.is_empty() {
            self.keep(decided.writes.clone())?;
            self.publish(&decided.writes);
        }
        Ok(decided.reply)
    }

    fn keep(&self, writes: Vec<Write>) -> Result<CommitToken, Failure> {
        let (ticket, kept) = self.pending.begin();
        if let Err(refused) = self.engine.keep((ADMINISTRATOR, ticket), writes) {
            self.pending.give_up(ticket);
            let message = match refused {
                Refused::Full => "the store has too much to do; nothing was changed, try again",
                Refused::Closed => "the server is stopping; nothing was changed",
            };
            return Err(Failure::new(Kind::Busy, message));
        }
        match kept.recv_timeout(limits::CONTROL_COMMIT) {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) => {
                Err(Failure::new(Kind::Failed, format!("nothing was changed: {error}")))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.pending.give_up(ticket);
                let message = "the store does not answer; whether the change was kept is not \
                               known before the next start";
                Err(Failure::new(Kind::Failed, message))
            }
        }
    }

    fn publish(&self, writes: &[Write]) {
        let mut work = Work::default();
        let mut snapshot = (*self.engine.snapshot()).clone();
        accounts::apply(&mut snapshot, writes, &self.configured);
        let is_gone = |aor: &AddressOfRecord| snapshot.accounts.find(aor).is_none();
        let gone = writes.iter().filter_map(|write| match write {
            Write::DropAccount(aor) if is_gone(aor) => Some(aor.clone()),
            _ => None,
        });
        let gone: Vec<AddressOfRecord> = gone.collect();
        self.engine.use_snapshot(snapshot, &mut work);
        // Only now, when no partition lets it register any more.
        for aor in gone {
            self.engine.command_owner(&aor.clone(), Command::Forget(aor), &mut work);
        }
        self.engine.flush(&mut work);
        log(writes, self.engine.snapshot().accounts.len());
    }

    fn list_accounts(&self, each: Each<'_>) -> Result<(), Failure> {
        let snapshot = self.engine.snapshot();
        for some in snapshot.accounts.sorted().chunks(limits::ROWS_PER_REPLY) {
            each(Reply::Accounts(
                some.iter().map(|account| AccountView::from(*account)).collect(),
            ))?;
        }
        Ok(())
    }

    fn registrations_of(&self, aor: &AddressOfRecord, each: Each<'_>) -> Result<(), Failure> {
        let now = self.engine.clock.now();
        let bindings = self.engine.locate(aor);
        let rows = bindings.iter().map(|binding| RegistrationView::of(aor, binding, now));
        each(Reply::Registrations(rows.collect()))
    }

    /// Partition by partition: each is locked only as long as copying its part takes.
    fn list_registrations(&self, each: Each<'_>) -> Result<(), Failure> {
        let now = self.engine.clock.now();
        for partition in 0..self.engine.partitions() {
            let mut rows = Vec::new();
            self.engine.visit_one(partition, |node| {
                for (aor, bindings) in node.bindings() {
                    let live = bindings.iter().filter(|binding| binding.expires > now);
                    rows.extend(live.map(|binding| RegistrationView::of(aor, binding, now)));
                }
            });
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(limits::ROWS_PER_REPLY));
                each(Reply::Registrations(std::mem::replace(&mut rows, rest)))?;
            }
        }
        Ok(())
    }

    fn list_calls(&self, each: Each<'_>) -> Result<(), Failure> {
        let now = self.engine.clock.now();
        for partition in 0..self.engine.partitions() {
            let mut rows = Vec::new();
            self.engine.visit_one(partition, |node| {
                rows.extend(node.calls().into_iter().map(|call| CallView::of(call, now)));
            });
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(limits::ROWS_PER_REPLY));
                each(Reply::Calls(std::mem::replace(&mut rows, rest)))?;
            }
        }
        Ok(())
    }

    fn status(&self) -> StatusView {
        let numbers = self.engine.numbers();
        let snapshot = self.engine.snapshot();
        let domain = |domain: &[u8]| String::from_utf8_lossy(domain).into_owned();
        StatusView {
            version: env!("CARGO_PKG_VERSION").into(),
            process: std::process::id(),
            uptime_s: numbers.uptime_s,
            domains: snapshot.domains.iter().map(|name| domain(name)).collect(),
            listeners: self.engine.listeners().iter().map(ListenerView::from).collect(),
            accounts: snapshot.accounts.len() as u64,
            registrations: numbers.registrations,
            calls: numbers.census.calls as u64,
            transactions: TransactionsView {
                server: numbers.census.server_transactions as u64,
                client: numbers.census.client_transactions as u64,
            },
            connections: numbers.connections,
            connections_unproved: self.engine.connections().unproved() as u64,
            certificates: self.certificates(),
            store: self.store(),
            counters: CountersView::of(&numbers.counters, self.engine.metrics()),
        }
    }

    fn certificates(&self) -> Vec<CertificateView> {
        let now = SystemTime::now();
        let Some(tls) = &self.tls else { return Vec::new() };
        tls.current().certificates.iter().map(|said| CertificateView::at(now, said)).collect()
    }

    /// Whether the store keeps anything now is found out by asking it to.
    fn store(&self) -> StoreView {
        let begin = Instant::now();
        let kept = self.keep(Vec::new());
        let commit_ms = begin.elapsed().as_secs_f64() * 1_000.0;
        let counts = self.engine.store_counts();
        StoreView {
            ok: kept.is_ok(),
            commit_ms: (commit_ms * 1e3).round() / 1e3,
            trouble: kept.err().map(|failure| failure.message),
            waiting: counts.waiting,
            failed: counts.failed,
        }
    }

    fn explain(&self, from: &str, to: &str) -> RouteView {
        let snapshot = self.engine.snapshot();
        let here = (self.engine.setup(), &*snapshot);
        let told = explain(here, (from, to), |aor| self.engine.locate(aor));
        let mut view = RouteView::from(&told);
        for branch in told.plan.groups.iter().flat_map(|group| &group.branches) {
            if let Way::Lookup(hop) = &branch.way {
                let found = self.engine.explain_next_hop(hop).into_iter();
                view.steps.extend(found.map(|found| StepView { step: "look-up".into(), found }));
            }
        }
        view
    }
}

/// Names whose account changed, but for imports. The names are escaped.
fn log(writes: &[Write], accounts: usize) {
    // Each that is added is also dropped, in case it was there before.
    if let [.., write] = writes
        && writes.len() <= 2
    {
        match write {
            Write::PutAccount(account) if writes.len() == 2 => {
                info!(event = "account_added", account = %account.aor, accounts);
            }
            Write::PutAccount(account) => info!(event = "password_changed", account = %account.aor),
            Write::DropAccount(aor) => info!(event = "account_removed", account = %aor, accounts),
            Write::PutBinding(..) | Write::DropBinding(..) => {}
        }
    } else {
        info!(event = "accounts_added", added = writes.len() / 2, accounts);
    }
}

impl Far for Running {
    fn ask(&mut self, request: Request, each: Each<'_>) -> Result<(), Failure> {
        match request {
            Request::Status => each(Reply::Status(Box::new(self.status()))),
            Request::Accounts => self.list_accounts(each),
            Request::Account { account } => {
                let snapshot = self.engine.snapshot();
                let account = accounts::find(&snapshot.accounts, &account)?;
                each(Reply::Accounts(vec![account.into()]))?;
                self.registrations_of(&account.aor, each)
            }
            Request::Change(change) => self.change(&change)?.map_or(Ok(()), each),
            Request::Registrations { account: Some(account) } => {
                let snapshot = self.engine.snapshot();
                let account = accounts::find(&snapshot.accounts, &account)?;
                self.registrations_of(&account.aor, each)
            }
            Request::Registrations { account: None } => self.list_registrations(each),
            Request::Calls => self.list_calls(each),
            Request::Trace(wanted) => trace::trace(&self.engine, &wanted, each),
            Request::ExplainRoute { from, to } => each(Reply::Route(self.explain(&from, &to))),
        }
    }
}
