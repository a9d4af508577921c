//! What certificates are worth, for people: before the server starts, and while it runs.

use super::files::{self, Identity, TlsError};
use super::names::Description;
use super::{OWN_CERTIFICATE, TlsSetup};
use crate::limits;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A certificate, and where it stands.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The file.
    pub file: PathBuf,
    /// What it says.
    pub said: Description,
}

/// Reads all that is configured as a start does, but makes nothing: of our own making there may
/// be none yet in `folder`.
///
/// # Errors
/// What would keep a server from starting.
pub fn inspect(setup: &TlsSetup, folder: &Path) -> Result<Vec<Inspected>, TlsError> {
    for trusted in setup.ca.iter().chain(&setup.devices) {
        files::trust(&mut RootCertStore::empty(), trusted)?;
    }
    if setup.certificates.is_empty() {
        let file = folder.join(OWN_CERTIFICATE);
        let own = CertificateDer::from_pem_file(&file).ok();
        let said = own.and_then(|certificate| Description::of(&certificate));
        return Ok(said.map(|said| Inspected { file, said }).into_iter().collect());
    }
    let mut all = Vec::new();
    for (file, key) in &setup.certificates {
        let identity = Identity::load(file, key)?;
        all.extend(identity.description().map(|said| Inspected { file: file.clone(), said }));
    }
    Ok(all)
}

impl Description {
    /// How long it is good, in words: `61 days left`.
    pub fn time_left(&self, now: SystemTime) -> String {
        let days = |count: i64| if count == 1 { "1 day".into() } else { format!("{count} days") };
        match self.days_left(now) {
            _ if self.begins > now => "not good yet".into(),
            left @ 0.. => format!("{} left", days(left)),
            over => format!("ended {} ago", days(-1 - over)),
        }
    }

    /// Whether people must do something about it soon.
    pub fn needs_care(&self, now: SystemTime) -> bool {
        self.begins > now || self.days_left(now) < limits::CERTIFICATE_WARN_DAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_is_told_in_whole_days() {
        let day = Duration::from_secs(86_400);
        let now = SystemTime::UNIX_EPOCH + day * 1_000;
        let said = |begins, ends| Description {
            names: vec!["example.org".into()],
            hosts: Vec::new(),
            begins: SystemTime::UNIX_EPOCH + day * begins,
            ends: SystemTime::UNIX_EPOCH + day * ends,
        };
        for (begins, ends, words, care) in [
            (900, 1_061, "61 days left", false),
            (900, 1_001, "1 day left", true),
            (900, 1_000, "0 days left", true),
            (900, 997, "ended 3 days ago", true),
            (1_001, 2_000, "not good yet", true),
        ] {
            let said = said(begins, ends);
            assert_eq!((&*said.time_left(now), said.needs_care(now)), (words, care));
        }
    }
}
