//! The name service, asked through one cache: each question once at a time, however many wait.

use super::cache::{Cache, Known};
use super::records::{Said, read, record_type};
use crate::limits;
use crate::metrics::{Metrics, count};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query as Question};
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, NameServerPool, PoolContext, TlsConfig};
use ringway_core::locate::{Kind, Query, Records};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout_at;
use tracing::warn;

type Pool = NameServerPool<TokioRuntimeProvider>;

/// Name servers, and what they said.
pub(crate) struct Names {
    servers: RetryDnsHandle<Pool>,
    /// `/etc/hosts`, where it counts.
    hosts: Hosts,
    metrics: Arc<Metrics>,
    table: Mutex<Table>,
}

struct Table {
    cache: Cache,
    /// Questions under way, and who tells when they are over.
    asked: HashMap<Query, watch::Receiver<()>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// Asks these servers, or those that the system is set up with, and then its hosts file, too.
    ///
    /// # Errors
    /// If nothing can be asked at all.
    pub(crate) fn new(servers: &[SocketAddr], metrics: Arc<Metrics>) -> io::Result<Self> {
        let (servers, hosts) = if servers.is_empty() {
            (system_servers(), Hosts::from_system().unwrap_or_default())
        } else {
            (servers.iter().map(server).collect(), Hosts::default())
        };
        let mut options = ResolverOpts::default();
        options.timeout = limits::DNS_TRY;
        options.attempts = limits::DNS_TRIES - 1;
        let tls = TlsConfig::new().map_err(io::Error::other)?;
        let context = Arc::new(PoolContext::new(options, tls));
        let pool = Pool::from_config(servers, context, TokioRuntimeProvider::default());
        let table = Table { cache: Cache::new(limits::DNS_CACHE), asked: HashMap::new() };
        Ok(Self {
            servers: RetryDnsHandle::new(pool, limits::DNS_TRIES - 1),
            hosts,
            metrics,
            table: Mutex::new(table),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be said without asking anybody; `None`: not enough.
    pub(crate) fn known(&self, query: &Query) -> Option<Records> {
        if let Some(records) = self.here(query) {
            return Some(records);
        }
        match self.table().cache.find(query, Instant::now()) {
            Known::Fresh(records) => Some(records),
            Known::Silent(stale) => Some(self.stale(stale)),
            Known::Unknown => None,
        }
    }

    /// What this machine says itself (RFC 6761 §6.3 for `localhost`).
    fn here(&self, query: &Query) -> Option<Records> {
        if query.name.rsplit('.').next() == Some("localhost") {
            return Some(match query.kind {
                Kind::A => Records::Addresses(vec![Ipv4Addr::LOCALHOST.into()]),
                Kind::Aaaa => Records::Addresses(vec![Ipv6Addr::LOCALHOST.into()]),
                Kind::Naptr | Kind::Srv => Records::Nothing,
            });
        }
        let question = Question::query(name_of(query)?, record_type(query.kind));
        let found = self.hosts.lookup_static_host(&question)?;
        let ips = found.answers().iter().filter_map(|record| record.data.ip_addr());
        Some(Records::Addresses(ips.collect()))
    }

    fn stale(&self, stale: Option<Records>) -> Records {
        if stale.is_some() {
            count(&self.metrics.dns_stale);
        }
        stale.unwrap_or(Records::Nothing)
    }

    /// Finds out, until `deadline`: of each question the answer, else the last one there was,
    /// else nothing.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        queries: &[Query],
        deadline: Instant,
    ) -> Vec<Records> {
        let unknown = queries.iter().filter(|query| self.known(query).is_none());
        // All of them are under way before one is waited for.
        let begin = |query| self.begin(query).map(|over| (query, over));
        let under_way: Vec<_> = unknown.filter_map(begin).collect();
        for (query, mut over) in under_way {
            // An error says that it is over, too.
            if timeout_at(deadline.into(), over.changed()).await.is_err() {
                self.table().cache.is_slow(Instant::now(), query);
            }
        }
        let answer = |query| {
            self.known(query).unwrap_or_else(|| {
                let stale = self.table().cache.stale(query, Instant::now());
                self.stale(stale)
            })
        };
        queries.iter().map(answer).collect()
    }

    /// Has a question asked, unless it is already; `None`: too many are.
    fn begin(self: &Arc<Self>, query: &Query) -> Option<watch::Receiver<()>> {
        let (tell, over) = watch::channel(());
        {
            let mut table = self.table();
            if let Some(over) = table.asked.get(query) {
                return Some(over.clone());
            }
            if table.asked.len() >= limits::DNS_QUESTIONS {
                count(&self.metrics.dns_refused);
                return None;
            }
            table.asked.insert(query.clone(), over.clone());
        }
        count(&self.metrics.dns_questions);
        let asked = Asked { names: Arc::clone(self), query: query.clone(), tell };
        // It goes on when nobody waits any more: the next one finds the answer.
        tokio::spawn(async move {
            let limit = Instant::now() + limits::DNS_QUESTION;
            let look_up = asked.names.look_up(&asked.query);
            let said = timeout_at(limit.into(), look_up).await.ok().flatten();
            asked.note(said);
        });
        Some(over)
    }

    /// Asks the servers, and follows aliases; `None`: no usable answer.
    async fn look_up(&self, query: &Query) -> Option<(Records, Duration)> {
        let (mut name, mut shortest) = (name_of(query)?, Duration::MAX);
        for _ in 0..=limits::DNS_ALIASES {
            let question = Question::query(name.clone(), record_type(query.kind));
            let mut options = DnsRequestOptions::default();
            options.use_edns = true;
            match self.servers.lookup(question, options).first_answer().await {
                Ok(response) => match read(&response, &name, query.kind)? {
                    Said::Records(records, ttl) => return Some((records, ttl.min(shortest))),
                    Said::Alias(next, ttl) => (name, shortest) = (next, ttl.min(shortest)),
                },
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                    let ttl = Duration::from_secs(none.negative_ttl.unwrap_or(0).into());
                    return Some((Records::Nothing, ttl.min(shortest)));
                }
                Err(_) => return None,
            }
        }
        None
    }
}

/// A question under way. However it ends, others may ask it again.
struct Asked {
    names: Arc<Names>,
    query: Query,
    tell: watch::Sender<()>,
}

impl Asked {
    fn note(&self, said: Option<(Records, Duration)>) {
        let now = Instant::now();
        match said {
            Some((records, ttl)) => {
                let mut table = self.names.table();
                let earlier = table.cache.stale(&self.query, now);
                let is_worse = earlier.is_some_and(|earlier| records.withdraws_tls(&earlier));
                table.cache.answered(now, self.query.clone(), records, ttl);
                drop(table);
                if is_worse {
                    count(&self.names.metrics.dns_tls_withdrawn);
                    let name = &*self.query.name;
                    warn!(event = "tls_withdrawn", name, "it named TLS before: is this forged?");
                }
            }
            None => {
                count(&self.names.metrics.dns_failures);
                self.names.table().cache.was_silent(now, &self.query);
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.names.table().asked.remove(&self.query);
        // Nobody may be left to hear it.
        let _ = self.tell.send(());
    }
}

fn name_of(query: &Query) -> Option<Name> {
    let mut name = Name::from_ascii(&*query.name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A server at an address and port, by datagram and, where an answer is too long, by stream.
fn server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn system_servers() -> Vec<NameServerConfig> {
    match read_system_conf() {
        Ok((config, _)) => config.name_servers,
        Err(error) => {
            warn!(event = "no_name_servers", reason = %error, "names are not looked up");
            Vec::new()
        }
    }
}
