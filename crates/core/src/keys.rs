//! Everything that hangs on the server's secret: which partition owns what, keyed hashes that
//! no attacker can steer, and the MAC of cookies that leave the house.

use crate::address_of_record::AddressOfRecord;
use crate::flow::CertifiedName;
use crate::flow::Flow;
use core::hash::Hasher;
use core::net::IpAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The keys of one installation. Made from a secret that is kept with the data, so that calls,
/// whose cookies carry what is needed to route them, outlive a restart.
#[derive(Clone)]
pub struct Keys {
    hash: SipHasher13,
    mac: Hmac<Sha256>,
}

impl Keys {
    /// Derives all keys from the installation's secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |label: &[u8]| {
            let mut mac = keyed(secret);
            mac.update(label);
            <[u8; 32]>::from(mac.finalize().into_bytes())
        };
        let seed = derive(b"ringway hash 1");
        let mut key = [0; 16];
        key.copy_from_slice(&seed[..16]);
        Self { hash: SipHasher13::new_with_key(&key), mac: keyed(&derive(b"ringway cookie 1")) }
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
        let mut hasher = self.hash;
        hasher.write(label);
        for part in parts {
            hasher.write_u32(part.len() as u32);
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// The 128-bit MAC of some parts, for cookies others carry for us.
    pub fn mac(&self, label: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.mac.clone();
        mac.update(label);
        for part in parts {
            mac.update(&(part.len() as u32).to_be_bytes());
            mac.update(part);
        }
        let full = mac.finalize().into_bytes();
        let mut out = [0; 16];
        out.copy_from_slice(&full[..16]);
        out
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys")
    }
}
