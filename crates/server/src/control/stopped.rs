//! Answers requests on the data of a server that does not run.

use crate::accounts;
use crate::clock::Clock;
use crate::control::client::Place;
use crate::control::views::{AccountView, RegistrationView, RouteView};
use crate::control::{Each, Failure, Far, Kind, Reply, Request};
use crate::limits;
use crate::listen;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::flow::Listener;
use ringway_core::keys::Keys;
use ringway_core::node::Setup;
use ringway_core::route::explain::explain;
use ringway_core::snapshot::Snapshot;
use ringway_store::{Sqlite, Store, StoreError};
use std::sync::Arc;

/// The data of a server that does not run. Nobody else can open them meanwhile, and no server
/// can start with them.
#[derive(Debug)]
pub struct Stopped {
    store: Sqlite,
    snapshot: Snapshot,
    domains: Vec<String>,
    listeners: Arc<[Listener]>,
    clock: Clock,
}

impl Stopped {
    /// Opens the data.
    ///
    /// # Errors
    /// If they are in use, or cannot be opened or read.
    pub(crate) fn open(place: &Place) -> Result<Self, StoreError> {
        let listeners: Arc<[Listener]> = listen::planned(&place.listen, place.advertise).into();
        let mut store = Sqlite::open(&place.data, Arc::clone(&listeners))?;
        let mut snapshot = Snapshot::default();
        snapshot.settings.ring_s = place.ring_s;
        snapshot.peers.clone_from(&place.peers);
        place.routing.apply(&mut snapshot);
        store.accounts(&mut |account| snapshot.accounts.put(account))?;
        accounts::set_domains(&mut snapshot, &place.domains);
        let (domains, clock) = (place.domains.clone(), Clock::start());
        Ok(Self { store, snapshot, domains, listeners, clock })
    }

    fn bindings(
        &mut self,
        wanted: impl Fn(&AddressOfRecord) -> bool,
    ) -> Result<Vec<(AddressOfRecord, Binding)>, Failure> {
        let mut found = Vec::new();
        let snapshot = &self.snapshot;
        self.store
            .bindings(self.clock.now().as_secs(), &mut |aor, binding| {
                if wanted(&aor) && snapshot.accounts.find(&aor).is_some() {
                    found.push((aor, binding));
                }
            })
            .map_err(failed)?;
        Ok(found)
    }

    fn list_registrations(
        &mut self,
        wanted: impl Fn(&AddressOfRecord) -> bool,
        each: Each<'_>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        let rows = self.bindings(wanted)?;
        let rows = rows.iter().map(|(aor, binding)| RegistrationView::of(aor, binding, now));
        each(Reply::Registrations(rows.collect()))
    }

    fn explain(&mut self, from: &str, to: &str) -> Result<RouteView, Failure> {
        let bindings = self.bindings(|_| true)?;
        let setup = Setup {
            keys: Arc::new(Keys::new(&self.store.secret().map_err(failed)?)),
            listeners: Arc::clone(&self.listeners),
            partition: 0,
            partitions: limits::PARTITIONS,
            seed: 0,
            started: self.clock.started(),
        };
        let told = explain((&setup, &self.snapshot), (from, to), |aor| {
            let own = bindings.iter().filter(|(owner, _)| owner == aor);
            own.map(|(_, binding)| binding.clone()).collect()
        });
        Ok(RouteView::from(&told))
    }
}

impl Far for Stopped {
    fn ask(&mut self, request: Request, each: Each<'_>) -> Result<(), Failure> {
        match request {
            Request::Accounts => {
                let all = self.snapshot.accounts.sorted();
                each(Reply::Accounts(all.into_iter().map(AccountView::from).collect()))
            }
            Request::Account { account } => {
                let account = accounts::find(&self.snapshot.accounts, &account)?;
                let aor = account.aor.clone();
                each(Reply::Accounts(vec![account.into()]))?;
                self.list_registrations(|owner| *owner == aor, each)
            }
            Request::Change(change) => {
                let decided = accounts::decide(&self.snapshot.accounts, &change)?;
                self.store.write(&decided.writes).map_err(failed)?;
                accounts::apply(&mut self.snapshot, &decided.writes, &self.domains);
                decided.reply.map_or(Ok(()), each)
            }
            Request::Registrations { account: Some(account) } => {
                let aor = accounts::find(&self.snapshot.accounts, &account)?.aor.clone();
                self.list_registrations(|owner| *owner == aor, each)
            }
            Request::Registrations { account: None } => self.list_registrations(|_| true, each),
            Request::ExplainRoute { from, to } => each(Reply::Route(self.explain(&from, &to)?)),
            Request::Status | Request::Calls | Request::Trace(_) => {
                Err(Failure::new(Kind::Unreachable, "the server does not run"))
            }
        }
    }
}

fn failed(error: StoreError) -> Failure {
    Failure::new(Kind::Failed, format!("nothing was changed: {error}"))
}
