//! TLS for connections that we take and for those that we open. What is in force can be replaced
//! while it is used: connections keep what they began with.

mod certified;
mod clients;
mod files;
mod inspect;
mod names;
mod own;
mod verify;

pub use certified::CertifiedNames;
pub use clients::{Clients, Proof};
pub use files::{Identity, TlsError};
pub use inspect::{Inspected, inspect};
pub use names::{Description, identities, users};
pub use own::{CERTIFICATE as OWN_CERTIFICATE, KEY as OWN_KEY, Names};
pub use verify::DomainVerifier;

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tracing::warn;

/// What is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSetup {
    /// Files with a certificate and its chain, each with the file of its key; with none we make
    /// one ourselves.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// A file with certificates that are trusted besides those of the system.
    pub ca: Option<PathBuf>,
    /// A file with the certificates of those who certify devices.
    pub devices: Option<PathBuf>,
    /// Whether what the system trusts is trusted.
    pub system_roots: bool,
    /// Whether those who connect are asked for a certificate.
    pub ask_clients: bool,
}

impl Default for TlsSetup {
    fn default() -> Self {
        let (certificates, ca, devices) = Default::default();
        Self { certificates, ca, devices, system_roots: true, ask_clients: false }
    }
}

/// Certificates and trust as they are now.
#[derive(Debug)]
pub struct Tls {
    setup: TlsSetup,
    /// Where our own key is kept; `None` is nowhere.
    folder: Option<PathBuf>,
    current: RwLock<Arc<Current>>,
    /// What the files looked like when they were last read.
    seen: Mutex<Seen>,
}

/// What connections begin with.
#[derive(Debug)]
pub struct Current {
    /// For phones and servers.
    pub server: Arc<ServerConfig>,
    /// For browsers: one that asks for a certificate makes them ask the person.
    pub web: Arc<ServerConfig>,
    /// For connections that we open.
    pub client: Arc<ClientConfig>,
    /// What the certificates of those who connect prove.
    pub clients: Clients,
    /// What our certificates say.
    pub certificates: Vec<Description>,
}

/// Size, time and place of files: one that is replaced differs in one of them.
type Seen = (Names, Vec<Option<(u64, i64, i64, u64)>>);

impl Tls {
    /// Reads what is configured, or makes a key and a certificate in `folder`.
    ///
    /// # Errors
    /// If there is no certificate at all.
    pub fn new(setup: &TlsSetup, folder: Option<PathBuf>, names: &Names) -> Result<Self, TlsError> {
        let current = build(setup, folder.as_deref(), names)?;
        let seen = look(setup, folder.as_deref(), names);
        let (setup, current) = (setup.clone(), RwLock::new(Arc::new(current)));
        Ok(Self { setup, folder, current, seen: Mutex::new(seen) })
    }

    /// What is in force.
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads everything anew if a file has changed, a name is new, or `always`. Tells whether it
    /// did. What is in force stays so if that fails.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn refresh(&self, names: &Names, always: bool) -> Result<bool, TlsError> {
        let folder = self.folder.as_deref();
        let now = look(&self.setup, folder, names);
        let before = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *seen, now.clone())
        };
        if before == now && !always && !self.ends_soon() {
            return Ok(false);
        }
        let fresh = Arc::new(build(&self.setup, folder, names)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        // One of our own making was written just now, perhaps.
        let now = look(&self.setup, folder, names);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(true)
    }

    /// Whether one of our own making must be made anew.
    fn ends_soon(&self) -> bool {
        let now = std::time::SystemTime::now();
        let renew = crate::limits::OWN_CERTIFICATE_RENEW_DAYS;
        let soon = |said: &Description| said.days_left(now) < renew;
        self.setup.certificates.is_empty() && self.current().certificates.iter().any(soon)
    }
}

fn look(setup: &TlsSetup, folder: Option<&Path>, names: &Names) -> Seen {
    let pairs = setup.certificates.iter().flat_map(|(certificate, key)| [certificate, key]);
    let own = folder.filter(|_| setup.certificates.is_empty());
    let own = own.map(|folder| [folder.join(OWN_CERTIFICATE), folder.join(OWN_KEY)]);
    let files =
        pairs.chain(&setup.ca).chain(&setup.devices).cloned().chain(own.into_iter().flatten());
    let stamp = |file: PathBuf| {
        let data = fs::metadata(file).ok()?;
        Some((data.size(), data.mtime(), data.mtime_nsec(), data.ino()))
    };
    let relevant = if setup.certificates.is_empty() { names.clone() } else { Names::default() };
    (relevant, files.map(stamp).collect())
}

fn build(setup: &TlsSetup, folder: Option<&Path>, names: &Names) -> Result<Current, TlsError> {
    let identities = match &setup.certificates[..] {
        [] => vec![own::identity(folder, names)?],
        some => {
            let load = |(certificate, key): &(PathBuf, PathBuf)| Identity::load(certificate, key);
            some.iter().map(load).collect::<Result<_, _>>()?
        }
    };
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(setup)?);
    let by_name = Arc::new(ByName::new(identities));
    let server = server(&provider, &by_name, None)?;
    let web = Arc::clone(&server);
    let devices = setup.devices.as_deref().map(files::roots_of).transpose()?;
    let clients = Clients::new((setup.ask_clients, &roots), devices, &provider)?;
    let asking = clients.any().map(|anyone| self::server(&provider, &by_name, Some(anyone)));
    let asking = asking.transpose()?;
    Ok(Current {
        server: asking.unwrap_or(server),
        web,
        client: client(&provider, &by_name, &roots)?,
        clients,
        certificates: by_name.all.iter().map(|(said, _)| said.clone()).collect(),
    })
}

fn roots(setup: &TlsSetup) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &setup.ca {
        files::trust(&mut roots, ca)?;
    }
    if setup.system_roots {
        let found = rustls_native_certs::load_native_certs();
        let (taken, left_out) = roots.add_parsable_certificates(found.certs);
        if let Some(error) = found.errors.first() {
            warn!(event = "system_roots", taken, left_out, reason = %error);
        }
    }
    Ok(roots)
}

/// No renegotiation and no early data: rustls knows the first not at all, and takes the second
/// only when told (G6).
fn server(
    provider: &Arc<CryptoProvider>,
    by_name: &Arc<ByName>,
    asked: Option<&Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let own = |error: rustls::Error| TlsError::Own(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        //= RFC 8996 4
        // "TLS 1.0 MUST NOT be used."
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(own)?;
    let builder = match asked {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(by_name) as _);
    config.ticketer = ring::Ticketer::new().map_err(own)?;
    // Who comes back needs one.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn client(
    provider: &Arc<CryptoProvider>,
    by_name: &Arc<ByName>,
    roots: &Arc<RootCertStore>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = DomainVerifier::new(Arc::clone(roots), Arc::clone(provider));
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsError::Own(error.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    //= RFC 3261 26.3.1
    // "Proxy servers, redirect servers, and registrars MUST implement TLS,"
    Ok(Arc::new(builder.with_client_cert_resolver(Arc::clone(by_name) as _)))
}

/// Which certificate is shown: the one for the name that was asked for, else the first.
#[derive(Debug)]
struct ByName {
    all: Vec<(Description, Arc<CertifiedKey>)>,
}

impl ByName {
    fn new(identities: Vec<Identity>) -> Self {
        let said = |identity: Identity| Some((identity.description()?, identity.key));
        Self { all: identities.into_iter().filter_map(said).collect() }
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let parent = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let fits = |host: &String| host == name || Some(host) == parent.as_ref();
        let found = self.all.iter().find(|(said, _)| said.hosts.iter().any(fits));
        found.map(|(_, key)| key)
    }

    fn first(&self) -> Option<Arc<CertifiedKey>> {
        self.all.first().map(|(_, key)| Arc::clone(key))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        name.and_then(|name| self.find(&name).cloned()).or_else(|| self.first())
    }
}

impl ResolvesClientCert for ByName {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.first()
    }

    fn has_certs(&self) -> bool {
        !self.all.is_empty()
    }
}

#[cfg(test)]
mod tests;
