//! Those who connect and show a certificate: another server, which proves its domain, or a device,
//! which proves whose it is.

use super::files::TlsError;
use super::names::{identities, users};
use ringway_core::address_of_record::AddressOfRecord;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

type Verifier = Arc<dyn ClientCertVerifier>;

/// Who is believed to say what.
///
/// Whoever certifies devices says nothing about domains, and the other way round: the authorities
/// of the web vouch for no user of ours.
#[derive(Debug)]
pub struct Clients {
    servers: Option<Verifier>,
    devices: Option<Verifier>,
    any: Option<Verifier>,
}

/// What a certificate proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// One of these domains speaks.
    Domains(Vec<String>),
    /// A device of one of these users.
    Users(Vec<AddressOfRecord>),
}

impl Clients {
    /// `servers`: whether other servers are asked, and whom we believe about them.
    pub(super) fn new(
        (asked, servers): (bool, &Arc<RootCertStore>),
        devices: Option<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let servers = (asked && !servers.is_empty()).then_some(servers);
        let build = |roots: &Arc<RootCertStore>| {
            let (roots, provider) = (Arc::clone(roots), Arc::clone(provider));
            WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .clear_root_hint_subjects()
                .build()
                .map_err(|error| TlsError::Own(error.to_string()))
        };
        let Some(devices) = devices else {
            let servers = servers.map(build).transpose()?;
            return Ok(Self { any: servers.clone(), servers, devices: None });
        };
        let mut all = devices.clone();
        all.roots.extend(servers.iter().flat_map(|roots| roots.roots.iter().cloned()));
        Ok(Self {
            servers: servers.map(build).transpose()?,
            devices: Some(build(&Arc::new(devices))?),
            any: Some(build(&Arc::new(all))?),
        })
    }

    /// Whom a handshake lets through; `None` if nobody is asked.
    pub(super) fn any(&self) -> Option<&Verifier> {
        self.any.as_ref()
    }

    /// What a chain that a handshake let through proves.
    pub fn proof(&self, chain: &[CertificateDer<'_>]) -> Option<Proof> {
        let (first, rest) = chain.split_first()?;
        let now = UnixTime::now();
        let believes = |verifier: &Option<Verifier>| {
            verifier.as_ref().is_some_and(|v| v.verify_client_cert(first, rest, now).is_ok())
        };
        if believes(&self.devices) {
            let users = users(first);
            if !users.is_empty() {
                return Some(Proof::Users(users));
            }
        }
        believes(&self.servers).then(|| Proof::Domains(identities(first)))
    }
}
