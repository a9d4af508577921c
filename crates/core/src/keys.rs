//! Everything that hangs on the server's secret: which partition owns what, keyed hashes that
//! no attacker can steer, and the MAC of cookies that leave the house.

use crate::address_of_record::AddressOfRecord;
use crate::flow::CertifiedName;
use crate::flow::Flow;
use core::hash::Hasher;
use core::net::IpAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::{Hash128, Hasher128, SipHasher13, SipHasher24};

/// The keys of one installation. Made from a secret that is kept with the data, so that calls,
/// whose cookies carry what is needed to route them, outlive a restart.
#[derive(Clone)]
pub struct Keys {
    /// For what stays in the house.
    hash: SipHasher13,
    /// For what leaves it: slower, with a wide margin.
    mac: SipHasher24,
}

impl Keys {
    /// Derives all keys from the installation's secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |label: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("keys have any length");
            mac.update(label);
            let mut key = [0; 16];
            key.copy_from_slice(&mac.finalize().into_bytes()[..16]);
            key
        };
        Self {
            hash: SipHasher13::new_with_key(&derive(b"ringway hash 1")),
            mac: SipHasher24::new_with_key(&derive(b"ringway cookie 2")),
        }
    }

    /// The partition hash of an address-of-record.
    pub fn partition_of(&self, aor: &AddressOfRecord) -> u64 {
        self.hash64(b"aor", &[aor.as_bytes()])
    }

    /// The name of a domain that a certificate proves, in any case and with or without a final
    /// dot.
    pub fn certified_name(&self, domain: &[u8]) -> CertifiedName {
        let lower = domain.to_ascii_lowercase();
        let lower = lower.strip_suffix(b".").unwrap_or(&lower);
        // Zero stands for no name at all.
        CertifiedName(self.hash64(b"certified name", &[lower]).max(1))
    }

    /// What the certificate of a device proves that is this account's. It is never the name of a
    /// domain.
    pub fn certified_account(&self, aor: &AddressOfRecord) -> CertifiedName {
        CertifiedName(self.hash64(b"certified account", &[aor.as_bytes()]).max(1))
    }

    /// The partition hash of a flow of datagrams.
    pub fn home_of_flow(&self, flow: &Flow) -> u64 {
        let ip = match flow.remote.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.hash64(b"flow", &[&ip.octets(), &flow.remote.port().to_be_bytes()])
    }

    /// A keyed 64-bit hash of some parts; `label` keeps different uses apart.
    pub fn hash64(&self, label: &[u8], parts: &[&[u8]]) -> u64 {
        self.hash128(label, parts) as u64
    }

    /// A keyed 128-bit hash of some parts; nobody without the key can make two collide.
    pub fn hash128(&self, label: &[u8], parts: &[&[u8]]) -> u128 {
        let mut piece = Piece::new();
        let hash = match piece.of(label, parts) {
            Some(piece) => self.hash.hash(piece),
            None => in_pieces(self.hash, label, parts),
        };
        hash.as_u128()
    }

    /// The 128-bit MAC of some parts, for cookies others carry for us
    /// (`docs/decisions/0021-seals.md`).
    pub fn mac(&self, label: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        let mut piece = Piece::new();
        let mac = match piece.of(label, parts) {
            Some(piece) => self.mac.hash(piece),
            None => in_pieces(self.mac, label, parts),
        };
        mac.as_bytes()
    }
}

/// A label and some parts, each with its length, one behind the other: one piece is hashed twice
/// as fast as several.
struct Piece([u8; Self::MAX]);

impl Piece {
    /// Longer than nearly all that is hashed.
    const MAX: usize = 256;

    const fn new() -> Self {
        Self([0; Self::MAX])
    }

    /// `None`: it is longer.
    fn of(&mut self, label: &[u8], parts: &[&[u8]]) -> Option<&[u8]> {
        let mut len = label.len();
        self.0.get_mut(..len)?.copy_from_slice(label);
        for part in parts {
            let (at, end) = (len + 4, len + 4 + part.len());
            self.0.get_mut(len..at)?.copy_from_slice(&(part.len() as u32).to_le_bytes());
            self.0.get_mut(at..end)?.copy_from_slice(part);
            len = end;
        }
        self.0.get(..len)
    }
}

/// The same hash, piece by piece.
fn in_pieces<H: Hasher + Hasher128>(mut hasher: H, label: &[u8], parts: &[&[u8]]) -> Hash128 {
    hasher.write(label);
    for part in parts {
        hasher.write(&(part.len() as u32).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish128()
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_matter_in_how_many_pieces_something_is_hashed() {
        let keys = Keys::new(&[3; 32]);
        let text = [b'x'; 300];
        for cut in [0, 1, 7, 8, 100, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 300] {
            let parts = [&text[..cut], b"", b"y"];
            let hash = in_pieces(keys.hash, b"l", &parts);
            assert_eq!(keys.hash128(b"l", &parts), hash.as_u128(), "{cut}");
            let mac = in_pieces(keys.mac, b"l", &parts);
            assert_eq!(keys.mac(b"l", &parts), mac.as_bytes(), "{cut}");
            assert_ne!(keys.mac(b"l", &parts), hash.as_bytes(), "two keys, two functions");
        }
        assert_ne!(keys.hash128(b"l", &[b"ab", b"c"]), keys.hash128(b"l", &[b"a", b"bc"]));
    }

    /// Calls outlive a restart only if the same secret gives the same keys, in every version.
    #[test]
    fn what_was_sealed_is_known_again() {
        let keys = Keys::new(&[7; 32]);
        let mac = u128::from_be_bytes(keys.mac(b"label", &[b"part"]));
        assert_eq!(mac, 0x2bbf_dc3e_57fc_a058_8234_9f68_f133_ca05, "{mac:#034x}");
    }
}
