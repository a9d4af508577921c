//! A key and a certificate of our own making, so that phones and browsers can talk to a fresh
//! install in secret. Nobody else vouches for it.

use super::files::{Identity, TlsError};
use crate::limits;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The file of the key, which only its owner may read.
pub const KEY: &str = "tls.key";
/// The file of the certificate, to be copied to phones that shall trust it.
pub const CERTIFICATE: &str = "tls.crt";

/// Our own identity: the one of the folder, or a new one. A key is kept for good; its
/// certificate is written anew when it ends, or when names are missing in it.
pub(super) fn identity(folder: Option<&Path>, names: &Names) -> Result<Identity, TlsError> {
    let Some(folder) = folder else {
        let key = KeyPair::generate().map_err(cannot)?;
        return Identity::from_pem(
            certify(&key, names)?.as_bytes(),
            key.serialize_pem().as_bytes(),
        );
    };
    let (key_file, file) = (folder.join(KEY), folder.join(CERTIFICATE));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::Io { path, cause }
    };
    let key = match fs::read_to_string(&key_file) {
        Ok(text) => KeyPair::from_pem(&text)
            .map_err(|_| TlsError::Content { path: key_file.clone(), wrong: "holds no key" })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(cannot)?;
            write(&key_file, key.serialize_pem().as_bytes(), 0o600).map_err(at(&key_file))?;
            key
        }
        Err(error) => return Err(at(&key_file)(error)),
    };
    let pem = key.serialize_pem();
    if let Ok(text) = fs::read(&file)
        && let Ok(identity) = Identity::from_pem(&text, pem.as_bytes())
        && is_good(&identity, names)
    {
        return Ok(identity);
    }
    let text = certify(&key, names)?;
    write(&file, text.as_bytes(), 0o644).map_err(at(&file))?;
    Identity::from_pem(text.as_bytes(), pem.as_bytes())
}

/// What a certificate of ours vouches for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// Domains that are names.
    pub domains: Vec<String>,
    /// Our addresses: browsers look for them, SIP does not (RFC 5922 §7.1).
    pub addresses: Vec<IpAddr>,
}

fn is_good(identity: &Identity, names: &Names) -> bool {
    let Some(said) = identity.description() else { return false };
    let lasts = said.days_left(SystemTime::now()) >= limits::OWN_CERTIFICATE_RENEW_DAYS;
    lasts && names.domains.iter().all(|domain| said.names.contains(domain))
}

fn certify(key: &KeyPair, names: &Names) -> Result<String, TlsError> {
    let mut params = CertificateParams::default();
    let common = names.domains.first().map_or("ringway", String::as_str);
    params.distinguished_name.push(DnType::CommonName, common);
    for domain in &names.domains {
        //= RFC 5922 6
        // "provider MUST ensure that the SIP domain used to reach the server"
        let uri = format!("sip:{domain}").try_into().map_err(cannot)?;
        params.subject_alt_names.push(SanType::URI(uri));
        let dns = domain.as_str().try_into().map_err(cannot)?;
        params.subject_alt_names.push(SanType::DnsName(dns));
    }
    params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| TlsError::Own(error.to_string()))?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // A clock that is behind ours shall not find it unborn.
    let now = SystemTime::now();
    let days = |days: i64| Duration::from_secs(days.unsigned_abs() * 86_400);
    params.not_before = (now - days(1)).into();
    params.not_after = (now + days(limits::OWN_CERTIFICATE_DAYS - 1)).into();
    Ok(params.self_signed(key).map_err(cannot)?.pem())
}

fn cannot(error: rcgen::Error) -> TlsError {
    TlsError::Own(error.to_string())
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // One that a crash left behind may have other rights.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
