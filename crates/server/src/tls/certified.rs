//! The names behind the hashes in flows: the core compares hashes, and whoever opens a
//! connection must know whom to ask for.

use crate::limits;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::CertifiedName;
use ringway_core::keys::Keys;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Names that were spoken of lately.
#[derive(Debug)]
pub struct CertifiedNames {
    keys: Keys,
    known: Mutex<Generations>,
}

/// When the young are too many, they become the old, and those old that nobody asked for since
/// are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Box<str>>,
    old: HashMap<u64, Box<str>>,
}

impl CertifiedNames {
    /// None yet.
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys, known: Mutex::default() }
    }

    /// Notes a domain that a certificate proves or must prove.
    pub fn note(&self, domain: &str) -> CertifiedName {
        let name = self.keys.certified_name(domain.as_bytes());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.put(name.0, domain);
        name
    }

    /// A user whose device a certificate proves. Nobody is called by it: a device calls us.
    pub fn account(&self, user: &AddressOfRecord) -> CertifiedName {
        self.keys.certified_account(user)
    }

    /// The domain, unless it was forgotten.
    pub fn find(&self, name: CertifiedName) -> Option<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = known.old.remove(&name.0) {
            known.put(name.0, &old);
        }
        known.young.get(&name.0).map(|name| name.to_string())
    }
}

impl Generations {
    fn put(&mut self, hash: u64, domain: &str) {
        if self.young.contains_key(&hash) {
            return;
        }
        if self.young.len() >= limits::CERTIFIED_NAMES {
            self.old = std::mem::take(&mut self.young);
        }
        let lower = domain.to_ascii_lowercase();
        self.young.insert(hash, lower.strip_suffix('.').unwrap_or(&lower).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_until_too_many_others_were_spoken_of() {
        let names = CertifiedNames::new(Keys::new(&[7; 32]));
        let first = names.note("Example.ORG.");
        assert_eq!(names.note("example.org"), first);
        let kept = names.note("kept.example");
        for n in 0..limits::CERTIFIED_NAMES * 3 {
            names.note(&format!("{n}.example"));
            assert_eq!(names.find(kept).as_deref(), Some("kept.example"));
        }
        assert_eq!(names.find(first), None);
        assert_eq!(names.find(CertifiedName::NONE), None);
        let again = names.note("example.org");
        assert_eq!((again, names.find(again).as_deref()), (first, Some("example.org")));
    }
}
