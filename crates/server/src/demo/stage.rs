//! The server of the demo: the real one, on free ports of the loopback interface, with two
//! accounts in a store that is gone when the demo ends.

use super::phone::Profile;
use crate::listen::Endpoint;
use crate::server::{CannotStart, Data, Running, Startup, start};
use crate::tcp::StreamLimits;
use crate::tls::TlsSetup;
use crate::trace::Settings as TraceSettings;
use crate::ws::Origins;
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::Write;
use ringway_core::flow::Transport;
use ringway_core::snapshot::Settings;
use ringway_store::{Sqlite, Store, StoreError};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The domain of the demo; nobody on the Internet can own it (RFC 2606).
pub const DOMAIN: &str = "demo.test";
/// The users of the demo.
pub const USERS: [&str; 2] = ["alice", "bob"];
/// UDP and TCP want the same free port; another program may take it in between.
const ATTEMPTS: usize = 5;
/// Signs that nobody mistakes for another when they are read off a screen and typed.
const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Signs in a password: 60 bits.
const PASSWORD: usize = 12;

/// The running server and what one must know to use it.
#[derive(Debug)]
pub struct Stage {
    server: Running,
    /// Removed with all that is in it when the stage is.
    folder: TempDir,
    passwords: [String; 2],
}

/// Why there is no stage.
#[derive(Debug)]
pub enum CannotStage {
    /// No temporary folder, or no randomness.
    System(io::Error),
    /// The store did not take the accounts.
    Store(StoreError),
    /// The server did not start.
    Server(CannotStart),
}

impl fmt::Display for CannotStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "no place for temporary data: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Server(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CannotStage {}

impl Stage {
    /// Makes the accounts and starts the server.
    ///
    /// # Errors
    /// If there is no place for temporary data, or no address of loopback to listen on.
    pub fn set() -> Result<Self, CannotStage> {
        let folder = tempfile::Builder::new().prefix("ringway-demo-").tempdir();
        let folder = folder.map_err(CannotStage::System)?;
        let mut store = Sqlite::open(folder.path(), Arc::default()).map_err(CannotStage::Store)?;
        let mut writes = Vec::new();
        let mut passwords = [String::new(), String::new()];
        for (user, password) in USERS.iter().zip(&mut passwords) {
            *password = new_password().map_err(CannotStage::System)?;
            let name = format!("{user}@{DOMAIN}");
            let Some(aor) = AddressOfRecord::from_text(&name) else { continue };
            let ha1 = Ha1::from_password(aor.user(), aor.domain(), password.as_bytes());
            let display_name = String::new();
            writes.push(Write::PutAccount(Account { aor, ha1, display_name, enabled: true }));
        }
        store.write(&writes).map_err(CannotStage::Store)?;
        drop(store);
        let server = start_on_free_ports(&folder).map_err(CannotStage::Server)?;
        Ok(Self { server, folder, passwords })
    }

    /// Where the server listens; `None` if it does not, on this kind of address.
    pub fn address(&self, transport: Transport, v6: bool) -> Option<SocketAddr> {
        let mut listeners = self.server.listeners().iter();
        let listener = listeners.find(|l| l.transport == transport && l.local.is_ipv6() == v6)?;
        Some(listener.local)
    }

    /// What is typed into a phone of the first or the second user, so that it can be used over
    /// this transport and, if there is a choice, this kind of address.
    pub fn profile(&self, nth: usize, transport: Transport, v6: bool) -> Option<Profile> {
        let server = self.address(transport, v6).or_else(|| self.address(transport, !v6))?;
        Some(Profile {
            user: USERS.get(nth)?.to_string(),
            password: self.passwords.get(nth)?.clone(),
            domain: DOMAIN.into(),
            server,
            transport,
        })
    }

    /// Stops the server and removes its data.
    ///
    /// # Errors
    /// If the data could not be removed.
    pub fn clear(self, patience: Duration) -> io::Result<()> {
        self.server.shutdown(patience);
        self.folder.close()
    }
}

fn start_on_free_ports(folder: &TempDir) -> Result<Running, CannotStart> {
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let has_v6 = UdpSocket::bind((v6, 0)).is_ok();
    let listen = [IpAddr::V4(Ipv4Addr::LOCALHOST), v6]
        .into_iter()
        .filter(|ip| ip.is_ipv4() || has_v6)
        .flat_map(|ip| {
            let endpoint = |transport| Endpoint { transport, address: Some(ip), port: 0 };
            [endpoint(Transport::Udp), endpoint(Transport::Tcp)]
        });
    let startup = Startup {
        domains: vec![DOMAIN.into()],
        listen: listen.collect(),
        advertise: None,
        data: Data::Folder(folder.path().into()),
        control: None,
        accounts: Vec::new(),
        workers: 0,
        settings: Settings::default(),
        peers: Vec::new(),
        dns: Vec::new(),
        routing: crate::config::routing::Routing::default(),
        streams: StreamLimits::default(),
        trace: TraceSettings::default(),
        balancers: Vec::new(),
        tls: TlsSetup::default(),
        origins: Origins::default(),
    };
    let mut attempts = 1;
    loop {
        match start(&startup) {
            Err(CannotStart::Listen(cannot))
                if cannot.cause.kind() == io::ErrorKind::AddrInUse && attempts < ATTEMPTS =>
            {
                attempts += 1;
            }
            result => return result,
        }
    }
}

fn new_password() -> io::Result<String> {
    let mut random = [0; PASSWORD];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let sign = |byte: u8| char::from(SIGNS[usize::from(byte) % SIGNS.len()]);
    Ok(random.into_iter().map(sign).collect())
}
