//! What a certificate says, as far as SIP is concerned (RFC 5922 §7).

use ringway_core::address_of_record::AddressOfRecord;
use ringway_wire::{Host, Uri};
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The SIP domain identities of a certificate, in lower case; none if it cannot be read.
pub fn identities(der: &[u8]) -> Vec<String> {
    X509Certificate::from_der(der).map(|(_, read)| sip_domains(&read)).unwrap_or_default()
}

//= RFC 5922 7.1
// "for encoding a SIP domain identity SHALL be:"
fn sip_domains(certificate: &X509Certificate<'_>) -> Vec<String> {
    // Without any names there is the CN, which one may accept; we do not. One that cannot be
    // read, or stands there twice, names nobody.
    let names = match certificate.subject_alternative_name() {
        Ok(Some(found)) => &found.value.general_names,
        Ok(None) | Err(_) => return Vec::new(),
    };
    let uris: Vec<String> = names.iter().filter_map(by_uri).collect();
    if !uris.is_empty() {
        return uris;
    }
    //= RFC 5922 7.1
    // "identifier as a SIP domain identity if and only if no other"
    let dns = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(dns) => Some(plain(dns)),
        _ => None,
    });
    dns.collect()
}

/// The users whom a certificate names, by `sip:` URIs; none if it cannot be read.
//= RFC 5922 7.1
// "identity (a value with a userpart identifies an individual"
pub fn users(der: &[u8]) -> Vec<AddressOfRecord> {
    let Ok((_, read)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(found)) = read.subject_alternative_name() else { return Vec::new() };
    found.value.general_names.iter().filter_map(user).collect()
}

fn user(name: &GeneralName<'_>) -> Option<AddressOfRecord> {
    let GeneralName::URI(text) = name else { return None };
    let Ok(Uri::Sip(sip)) = Uri::parse(text.as_bytes()) else { return None };
    match (sip.host, sip.user) {
        (Host::Name(host), Some(user)) if !sip.secure => {
            let [user, host] = [user, host].map(String::from_utf8_lossy);
            AddressOfRecord::from_text(&format!("{user}@{}", plain(&host)))
        }
        _ => None,
    }
}

/// The host of a `sip:` URI that names no user.
//= RFC 5922 7.1
// "If the scheme of the URI is not \"sip\", then the"
fn by_uri(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::URI(text) = name else { return None };
    let Ok(Uri::Sip(sip)) = Uri::parse(text.as_bytes()) else { return None };
    match sip.host {
        Host::Name(host) if !sip.secure && sip.user.is_none() && !text.contains('@') => {
            Some(plain(&String::from_utf8_lossy(host)))
        }
        _ => None,
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// What people are told of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Its SIP identities.
    pub names: Vec<String>,
    /// All DNS names in it, for clients that say whom they call.
    pub hosts: Vec<String>,
    /// From when on it is good.
    pub begins: SystemTime,
    /// Until when it is good.
    pub ends: SystemTime,
}

impl Description {
    /// `None` if it cannot be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let time = |at: i64| {
            let seconds = u64::try_from(at).unwrap_or(0);
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        };
        let names = sip_domains(&certificate);
        let san = certificate.subject_alternative_name().ok().flatten();
        let all = san.map(|san| san.value.general_names.iter()).into_iter().flatten();
        let dns = all.filter_map(|name| match name {
            GeneralName::DNSName(dns) => Some(plain(dns)),
            _ => None,
        });
        Some(Self {
            hosts: dns.chain(names.iter().cloned()).collect(),
            names,
            begins: time(validity.not_before.timestamp()),
            ends: time(validity.not_after.timestamp()),
        })
    }

    /// Whole days until it ends; negative once it has.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        let days = |span: Duration| (span.as_secs() / 86_400).cast_signed();
        match self.ends.duration_since(now) {
            Ok(left) => days(left),
            Err(over) => -1 - days(over.duration()),
        }
    }
}
