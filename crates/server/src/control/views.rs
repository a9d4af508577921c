//! What is shown of the server, as JSON and in tables. The keys are an interface: they are
//! documented in `docs/cli.md`, and only ever added to.

use crate::control::doors::{self, CertificateView, ListenerView};
use crate::control::{Failure, Kind};
use crate::metrics::Metrics;
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::calls::{Call, CallState};
use ringway_core::counters::Counters;
use ringway_core::flow::Transport;
use ringway_core::route::explain::Explanation;
use ringway_core::route::plan::{PlannedBranch, Rule, Way};
use ringway_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

/// An account as it is shown: of its secrets only which there are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct AccountView {
    /// `user@domain`.
    pub account: String,
    /// A name for people, may be empty.
    pub name: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// The digest algorithms it can log in with, by their names in headers.
    pub algorithms: Vec<String>,
}

impl From<&Account> for AccountView {
    fn from(account: &Account) -> Self {
        let has = [
            ("MD5", account.ha1.md5.is_some()),
            ("SHA-256", account.ha1.sha256.is_some()),
            ("SHA-512-256", account.ha1.sha512_256.is_some()),
        ];
        Self {
            account: account.aor.to_string(),
            name: account.display_name.clone(),
            enabled: account.enabled,
            algorithms: has.iter().filter(|has| has.1).map(|has| has.0.into()).collect(),
        }
    }
}

/// HA1 of a password for each algorithm, as lower-case hexadecimal digits. `Debug` shows none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// For `MD5`.
    #[serde(default)]
    pub md5: Option<String>,
    /// For `SHA-256`.
    #[serde(default)]
    pub sha256: Option<String>,
    /// For `SHA-512-256`.
    #[serde(default)]
    pub sha512_256: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl From<&Ha1> for Secrets {
    fn from(ha1: &Ha1) -> Self {
        Self {
            md5: ha1.md5.as_ref().map(|hash| to_hex(hash)),
            sha256: ha1.sha256.as_ref().map(|hash| to_hex(hash)),
            sha512_256: ha1.sha512_256.as_ref().map(|hash| to_hex(hash)),
        }
    }
}

impl Secrets {
    /// As the store keeps them.
    ///
    /// # Errors
    /// If a hash has another length, or there is none.
    pub fn to_ha1(&self) -> Result<Ha1, Failure> {
        let ha1 = Ha1 {
            md5: read_hash(self.md5.as_deref())?,
            sha256: read_hash(self.sha256.as_deref())?,
            sha512_256: read_hash(self.sha512_256.as_deref())?,
        };
        if ha1 == Ha1::default() {
            return Err(Failure::new(Kind::Invalid, "an account needs at least one HA1"));
        }
        Ok(ha1)
    }
}

/// An account to be made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// `user@domain`.
    pub account: String,
    /// A name for people, may be empty.
    #[serde(default)]
    pub name: String,
    /// Its hashes.
    pub secrets: Secrets,
}

/// One registered contact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub struct RegistrationView {
    /// Whose, as `user@domain`.
    pub account: String,
    /// The contact URI.
    pub contact: String,
    /// `udp`, `tcp`, …
    pub transport: String,
    /// Where its REGISTER came from, and where its calls go: an address with its port.
    pub source: String,
    /// The proxies that its calls go along (RFC 3327), may be empty.
    pub path: String,
    /// The instance of the device, may be empty.
    pub device: String,
    /// The number of the device's flow (RFC 5626); 0 where it has none.
    pub flow: u32,
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// In how many seconds it ends.
    pub expires_in_s: u64,
    /// When it ends, in seconds since the Unix epoch.
    pub expires_at_s: u64,
    /// When it was last refreshed, in seconds since the Unix epoch.
    pub refreshed_at_s: u64,
    /// The User-Agent of the phone, may be empty.
    pub user_agent: String,
}

impl RegistrationView {
    /// How a binding looks at this moment.
    pub fn of(aor: &AddressOfRecord, binding: &Binding, now: Instant) -> Self {
        Self {
            account: aor.to_string(),
            contact: text(&binding.contact),
            transport: binding.flow.transport.to_string(),
            source: binding.flow.remote.to_string(),
            path: text(&binding.path),
            device: text(&binding.instance),
            flow: binding.reg_id,
            q: binding.q,
            expires_in_s: binding.expires.since(now).as_secs(),
            expires_at_s: binding.expires.as_secs(),
            refreshed_at_s: binding.refreshed.as_secs(),
            user_agent: text(&binding.user_agent),
        }
    }
}

/// One call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct CallView {
    /// Call-ID.
    pub call_id: String,
    /// The caller's URI.
    pub from: String,
    /// The URI that was called.
    pub to: String,
    /// `trying`, `ringing` or `answered`.
    pub state: String,
    /// When it began, in seconds since the Unix epoch.
    pub started_at_s: u64,
    /// When it was answered, in seconds since the Unix epoch.
    pub answered_at_s: Option<u64>,
    /// Seconds since it was answered, or since it began if it was not.
    pub duration_s: u64,
}

impl CallView {
    /// How a call looks at this moment.
    pub fn of(call: &Call, now: Instant) -> Self {
        let state = match call.state {
            CallState::Trying => "trying",
            CallState::Ringing => "ringing",
            CallState::Answered => "answered",
        };
        Self {
            call_id: text(&call.call_id),
            from: text(&call.from),
            to: text(&call.to),
            state: state.into(),
            started_at_s: call.started.as_secs(),
            answered_at_s: call.answered.map(Instant::as_secs),
            duration_s: now.since(call.answered.unwrap_or(call.started)).as_secs(),
        }
    }
}

/// How the server is.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct StatusView {
    /// Of the program.
    pub version: String,
    /// The number of its process.
    pub process: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// The domains it serves.
    pub domains: Vec<String>,
    /// Where it listens.
    pub listeners: Vec<ListenerView>,
    /// Accounts.
    pub accounts: u64,
    /// Registered contacts.
    pub registrations: u64,
    /// Calls that pass now.
    pub calls: u64,
    /// Transactions under way.
    pub transactions: TransactionsView,
    /// Open stream connections.
    pub connections: u64,
    /// Of these, those of whom nobody knows who is behind them.
    #[serde(default)]
    pub connections_unproved: u64,
    /// The certificates that are shown over TLS.
    #[serde(default)]
    pub certificates: Vec<CertificateView>,
    /// How the store is.
    pub store: StoreView,
    /// What was counted since the start.
    pub counters: CountersView,
}

/// Transactions under way.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct TransactionsView {
    /// Towards those who sent us a request.
    pub server: u64,
    /// Towards those to whom we passed one on.
    pub client: u64,
}

/// How the store is.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct StoreView {
    /// Whether a commit made for this question was kept.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub commit_ms: f64,
    /// Why it was not.
    pub trouble: Option<String>,
    /// Changes that wait.
    pub waiting: u64,
    /// Requests that failed since the start.
    pub failed: u64,
}

/// Counters since the start.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct CountersView {
    /// Requests received, by method.
    pub requests: BTreeMap<String, u64>,
    /// Responses received, by class (`2xx`).
    pub responses_received: BTreeMap<String, u64>,
    /// Responses sent, by class.
    pub responses_sent: BTreeMap<String, u64>,
    /// Requests refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Messages dropped without an answer, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Wrong answers to challenges, by reason.
    pub auth_failures: BTreeMap<String, u64>,
    /// Questions of peers who we are, by what came of them.
    pub peer_logins: BTreeMap<String, u64>,
    /// Changes of registrations, by kind.
    pub registrations: BTreeMap<String, u64>,
    /// Calls begun, rung, answered and ended, by end.
    pub calls: BTreeMap<String, u64>,
    /// Connections and handshakes, by what became of them.
    #[serde(default)]
    pub connections: BTreeMap<String, u64>,
}

impl CountersView {
    /// What partitions and the program counted.
    pub fn of(counters: &Counters, metrics: &Metrics) -> Self {
        let table = |table: &BTreeMap<&'static str, u64>| {
            table.iter().map(|(&name, &count)| (name.into(), count)).collect()
        };
        let classes = |classes: &[u64; 7]| {
            (1..=6).map(|class| (format!("{class}xx"), classes[class])).collect()
        };
        Self {
            requests: table(&counters.requests),
            responses_received: classes(&counters.responses_received),
            responses_sent: classes(&counters.responses_sent),
            refused: table(&counters.refused),
            dropped: table(&counters.dropped),
            auth_failures: table(&counters.auth_failures),
            peer_logins: table(&counters.logins),
            registrations: table(&counters.registrations),
            calls: table(&counters.calls),
            connections: doors::connections(metrics),
        }
    }
}

/// Where a call would go, and why.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RouteView {
    /// What was asked, in order.
    pub steps: Vec<StepView>,
    /// Groups of branches, tried one after another; those of one group ring together.
    pub groups: Vec<GroupView>,
    /// The answer to the caller where there is no group.
    pub refusal: Option<RefusalView>,
    /// Where the caller would be told to ask.
    #[serde(default)]
    pub redirect: Option<RedirectView>,
}

/// A redirection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RedirectView {
    /// The SIP status.
    pub status: u16,
    /// The URIs, the preferred one first.
    pub contacts: Vec<String>,
}

/// One step of a decision.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct StepView {
    /// Its name.
    pub step: String,
    /// What it found.
    pub found: String,
}

/// Branches that ring together.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct GroupView {
    /// For how many seconds at most; 0 is until the caller gives up.
    pub timeout_s: u32,
    /// Whether it is only tried if nobody was reached before.
    #[serde(default)]
    pub is_substitute: bool,
    /// The branches.
    pub branches: Vec<BranchView>,
}

/// One branch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct BranchView {
    /// The Request-URI it gets.
    pub target: String,
    /// `udp`, `tcp`, …; none if a look-up decides.
    pub transport: Option<String>,
    /// The far address; none if a look-up decides.
    pub remote: Option<SocketAddr>,
    /// `registered`, `in_dialog`, `route_header`, `request_uri` or `configured`.
    pub rule: String,
    /// Preference in thousandths, of a registered contact.
    pub q: Option<u16>,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RefusalView {
    /// The SIP status.
    pub status: u16,
    /// Its name in logs and counters.
    pub reason: String,
}

impl From<&Explanation> for RouteView {
    fn from(told: &Explanation) -> Self {
        let steps = told
            .steps
            .iter()
            .map(|(step, found)| StepView { step: (*step).into(), found: found.clone() });
        let groups = told.plan.groups.iter().map(|group| GroupView {
            timeout_s: group.timeout_s,
            is_substitute: group.is_substitute,
            branches: group.branches.iter().map(BranchView::from).collect(),
        });
        let otherwise = told.plan.otherwise;
        let redirect = told.plan.redirect.as_ref();
        let is_refused = told.plan.groups.is_empty() && redirect.is_none();
        let refusal = || RefusalView { status: otherwise.status(), reason: otherwise.to_string() };
        Self {
            steps: steps.collect(),
            groups: groups.collect(),
            refusal: is_refused.then(refusal),
            redirect: redirect.map(|redirect| RedirectView {
                status: redirect.how.status(),
                contacts: redirect.places.iter().map(|place| text(&place.uri)).collect(),
            }),
        }
    }
}

impl From<&PlannedBranch> for BranchView {
    fn from(branch: &PlannedBranch) -> Self {
        let (transport, remote) = match &branch.way {
            Way::Flow(flow) => (Some(flow.transport), Some(flow.remote)),
            Way::Address { remote, transport } => (Some(*transport), Some(*remote)),
            Way::Lookup(hop) => (hop.transport.or(hop.secure.then_some(Transport::Tls)), None),
        };
        let (rule, q) = match branch.rule {
            Rule::Registered { q } => ("registered", Some(q)),
            Rule::InDialog => ("in_dialog", None),
            Rule::RouteHeader => ("route_header", None),
            Rule::RequestUri => ("request_uri", None),
            Rule::Configured => ("configured", None),
        };
        Self {
            target: text(&branch.target),
            transport: transport.map(|transport| transport.to_string()),
            remote,
            rule: rule.into(),
            q,
        }
    }
}

/// Bytes from the network as text; what is no UTF-8 becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As lower-case hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to memory cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A hash from hexadecimal digits in either case; `None` if there are too many or too few.
pub(crate) fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut hash = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(hash)
}

fn read_hash<const N: usize>(text: Option<&str>) -> Result<Option<[u8; N]>, Failure> {
    let Some(text) = text else { return Ok(None) };
    match from_hex(text.as_bytes()) {
        Some(hash) => Ok(Some(hash)),
        None => {
            let message = format!("a hash must have {} hexadecimal digits", 2 * N);
            Err(Failure::new(Kind::Invalid, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_there_and_back() {
        let ha1 = Ha1::from_password(b"alice", b"example.org", b"secret");
        let secrets = Secrets::from(&ha1);
        // printf alice:example.org:secret | md5sum
        assert_eq!(secrets.md5.as_deref(), Some("543e1aec5d3614f03141652d6ada51b2"));
        assert_eq!(secrets.to_ha1(), Ok(ha1));
        assert_eq!(format!("{secrets:?}"), "Secrets");
        let none = Secrets { md5: None, sha256: None, sha512_256: None };
        assert!(none.to_ha1().is_err(), "nobody could log in");
        for md5 in ["", "543e", "g43e1aec5d3614f03141652d6ada51b2"] {
            let broken = Secrets { md5: Some(md5.into()), ..secrets.clone() };
            assert!(broken.to_ha1().is_err(), "{md5}");
        }
    }
}
