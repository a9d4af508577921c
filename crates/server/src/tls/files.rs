//! Certificates and keys as they stand in files, and what is wrong with them.

use super::names::Description;
use crate::limits;
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate with its chain, and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
}

/// Why there is no certificate, or not the one that was asked for.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file holds something else.
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The text holds no certificate, or no key, or they do not belong together.
    Pem(&'static str),
    /// A certificate of our own could not be made.
    Own(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::Content { path, wrong } => write!(f, "{} {wrong}", path.display()),
            Self::Pem(wrong) => f.write_str(wrong),
            Self::Own(cause) => write!(f, "cannot make a certificate: {cause}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Identity {
    /// Reads a certificate with its chain and its key, both PEM.
    ///
    /// # Errors
    /// If one cannot be read, or they do not belong together; it names the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (certificates, keys) = (read(certificate)?, read(key)?);
        Self::from_pem(&certificates, &keys).map_err(|error| match error {
            TlsError::Pem(wrong @ NO_CERTIFICATE) => {
                TlsError::Content { path: certificate.to_owned(), wrong }
            }
            TlsError::Pem(wrong) => TlsError::Content { path: key.to_owned(), wrong },
            other => other,
        })
    }

    pub(super) fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|_| TlsError::Pem(NO_CERTIFICATE))?;
        if chain.first().is_none_or(|first| Description::of(first).is_none()) {
            return Err(TlsError::Pem(NO_CERTIFICATE));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Pem("holds no key"))?;
        let key = any_supported_type(&key)
            .map_err(|_| TlsError::Pem("holds a key of a kind that is not supported"))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => Ok(Self { key: Arc::new(key) }),
            Err(_) => Err(TlsError::Pem("is the key of another certificate")),
        }
    }

    /// What it says.
    pub fn description(&self) -> Option<Description> {
        Description::of(self.key.cert.first()?)
    }
}

const NO_CERTIFICATE: &str = "holds no certificate";

/// The certificates of a file, to be trusted.
pub(super) fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    trust(&mut roots, path)?;
    Ok(roots)
}

/// Adds the certificates of a file to those that are trusted.
pub(super) fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let text = read(path)?;
    let wrong = || TlsError::Content { path: path.to_owned(), wrong: NO_CERTIFICATE };
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
        found = true;
    }
    if found { Ok(()) } else { Err(wrong()) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limits::PEM_BYTES).read_to_end(&mut text))
        .map_err(|cause| TlsError::Io { path: path.to_owned(), cause })?;
    Ok(text)
}
