//! The configuration: one TOML file, which may be missing.
//!
//! ```text
//! file -> settings (each defined once) -> Config (all checked) -> Startup
//!              └─ problems, all of them, each with its place
//! ```

pub mod problem;
pub mod settings;
mod value;
mod address;
pub mod secret;
pub mod peer;
pub mod routing;
mod read;
pub mod printed;
mod secure;
mod seeing;
#[cfg(test)]
mod tests;

use crate::control::client::Place;
use crate::limits;
use crate::listen::Endpoint;
use crate::log;
use crate::server::{Data, Startup};
use crate::tcp::StreamLimits;
use crate::tls::TlsSetup;
use crate::trace;
use crate::ws::Origins;
use peer::Login;
use problem::{Invalid, Problem};
use ringway_core::flow::Transport;
use ringway_core::snapshot::{Peer, Settings};
use routing::Routing;
use secret::NoSecret;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use tracing::level_filters::LevelFilter;

/// Where the configuration is looked for when no other file is named.
pub const FILE: &str = "/etc/ringway/ringway.toml";
/// Where the system's own server keeps its data.
pub const DATA: &str = "/var/lib/ringway";
/// Its control socket.
pub const CONTROL: &str = "/run/ringway/ringway.sock";

/// What the server shall be; every value is a possible one.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from, if there was one.
    pub file: Option<PathBuf>,
    /// The domains served besides those of the accounts.
    pub domains: Vec<String>,
    /// Where to listen.
    pub listen: Vec<Endpoint>,
    /// The address to announce behind address translation.
    pub advertise: Option<IpAddr>,
    /// The folder for accounts and registrations.
    pub data: PathBuf,
    /// The control socket; where none is named it stands where custom has it.
    pub control: Option<PathBuf>,
    /// Worker threads; 0 is one per processor.
    pub workers: usize,
    /// What is logged.
    pub log: Log,
    /// Numbers and choices of the core.
    pub settings: Settings,
    /// Other servers.
    pub peers: Vec<Peer>,
    /// Who we are at some of them.
    pub logins: Vec<Login>,
    /// Name servers to ask; none: those of the system.
    pub dns: Vec<SocketAddr>,
    /// How domains are served, and where other requests go.
    pub routing: Routing,
    /// What a stream connection may do.
    pub streams: StreamLimits,
    /// What is kept of the messages that pass, and where else they go.
    pub trace: trace::Settings,
    /// A collector that gets a copy of them; with port 0 there is none.
    pub hep: trace::Collector,
    /// The load balancers before us, as networks.
    pub balancers: Vec<(IpAddr, u8)>,
    /// Certificates, keys and trust.
    pub tls: Certificates,
    /// Pages of which other origins may open a WebSocket.
    pub origins: Vec<String>,
}

/// Certificates, keys and trust, as they are configured.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Certificates {
    /// Files of certificates …
    pub certificates: Vec<PathBuf>,
    /// … and of their keys, in the same order.
    pub keys: Vec<PathBuf>,
    /// A file of certificates that are trusted.
    pub ca: Option<PathBuf>,
    /// Whether those that the system trusts are not.
    pub only_ca: bool,
    /// A file of certificates of those who certify devices.
    pub devices: Option<PathBuf>,
}

/// What is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// From this level on.
    pub level: LevelFilter,
    /// How.
    pub form: log::Form,
}

impl Default for Config {
    fn default() -> Self {
        let every = |transport, port| Endpoint { transport, address: None, port };
        Self {
            file: None,
            domains: Vec::new(),
            listen: vec![
                every(Transport::Udp, 5060),
                every(Transport::Tcp, 5060),
                every(Transport::Tls, 5061),
                every(Transport::Wss, 8443),
            ],
            advertise: None,
            data: default_data(),
            control: None,
            workers: 0,
            log: Log { level: LevelFilter::INFO, form: log::Form::Text },
            settings: Settings::default(),
            peers: Vec::new(),
            logins: Vec::new(),
            dns: Vec::new(),
            routing: Routing::default(),
            streams: StreamLimits::default(),
            trace: trace::Settings::default(),
            hep: seeing::nowhere(),
            balancers: Vec::new(),
            tls: Certificates::default(),
            origins: Vec::new(),
        }
    }
}

impl Config {
    /// The control socket. That of the system's own server stands where its group reaches it:
    /// nobody else may look into the data folder.
    pub fn control(&self) -> PathBuf {
        match &self.control {
            Some(control) => control.clone(),
            None if self.data == Path::new(DATA) => CONTROL.into(),
            None => self.data.join("ringway.sock"),
        }
    }

    /// What the server is started with.
    ///
    /// # Errors
    /// If a password that it needs is not where the file says.
    pub fn startup(&self) -> Result<Startup, NoSecret> {
        Ok(Startup {
            domains: self.domains.clone(),
            listen: self.listen.clone(),
            advertise: self.advertise,
            data: Data::Folder(self.data.clone()),
            accounts: Vec::new(),
            workers: self.workers,
            settings: self.settings.clone(),
            peers: self.peers_with_logins()?,
            dns: self.dns.clone(),
            routing: self.routing.clone(),
            streams: self.streams,
            trace: trace::Settings {
                hep: Some(&self.hep).filter(|hep| hep.to.port() != 0).cloned(),
                ..self.trace.clone()
            },
            balancers: self.balancers.clone(),
            tls: self.tls_setup(),
            origins: Origins::new(&self.origins),
            control: Some(self.control()),
        })
    }

    /// The peers, with who we are there.
    fn peers_with_logins(&self) -> Result<Vec<Peer>, NoSecret> {
        let mut peers = self.peers.clone();
        for login in &self.logins {
            if let Some(peer) = peers.iter_mut().find(|peer| peer.name == login.peer) {
                peer.login = Some(login.open()?);
            }
        }
        Ok(peers)
    }

    fn tls_setup(&self) -> TlsSetup {
        let Certificates { certificates, keys, ca, only_ca, devices } = &self.tls;
        TlsSetup {
            certificates: certificates.iter().cloned().zip(keys.iter().cloned()).collect(),
            ca: ca.clone(),
            devices: devices.clone(),
            system_roots: !only_ca,
            ask_clients: ca.is_some() || self.peers.iter().any(|p| !p.tls_names.is_empty()),
        }
    }

    /// Where commands find the server, whether it runs or not.
    pub fn place(&self) -> Place {
        Place {
            control: self.control(),
            data: self.data.clone(),
            domains: self.domains.clone(),
            listen: self.listen.clone(),
            advertise: self.advertise,
            ring_s: self.settings.ring_s,
            peers: self.peers.clone(),
            routing: self.routing.clone(),
        }
    }
}

/// Reads the configuration: the file that is named, else [`FILE`] if it is there, else what
/// needs no file.
///
/// # Errors
/// All that is wrong with it, or that it cannot be read.
pub fn load(named: Option<&Path>) -> Result<Config, Invalid> {
    let file = match named {
        Some(file) => file,
        // One that is there and cannot be read is no reason to go on as if it were not.
        None => match Path::new(FILE).symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
            _ => Path::new(FILE),
        },
    };
    let mut text = Vec::new();
    let limit = limits::CONFIG_BYTES;
    File::open(file)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut text))
        .map_err(|cause| Invalid::unreadable(file, &cause))?;
    if text.len() as u64 > limit {
        let cause = io::Error::other(format!("it has more than {limit} bytes"));
        return Err(Invalid::unreadable(file, &cause));
    }
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Invalid::new(file, &text, vec![Problem::syntax(at..at + 1, "this is no UTF-8")])
    })?;
    let mut config = parse(file, &text)?;
    config.file = Some(file.to_owned());
    Ok(config)
}

/// Reads the text of a configuration; `file` is its name in what is said about it.
///
/// # Errors
/// All that is wrong with it, in the order of the text.
pub fn parse(file: &Path, text: &str) -> Result<Config, Invalid> {
    let mut config = Config::default();
    let problems = read::read(text, &mut config);
    if problems.is_empty() { Ok(config) } else { Err(Invalid::new(file, text, problems)) }
}

/// `/var/lib/ringway` for root, else the user's own data folder.
fn default_data() -> PathBuf {
    let system = PathBuf::from(DATA);
    if nix::unistd::geteuid().is_root() {
        return system;
    }
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let own = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    own.map_or(system, |own| own.join("ringway"))
}
