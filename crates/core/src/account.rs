//! Who may register and call: accounts and their digest secrets.

use crate::address_of_record::AddressOfRecord;
use alloc::string::String;

/// One SIP account. Passwords are never kept; what is kept is HA1, the hash of
/// `user:realm:password` for each algorithm (RFC 7616 §3.4.2), the realm being the domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Whose account it is; also the digest username (user part) and realm (domain).
    pub aor: AddressOfRecord,
    /// The secrets; an algorithm without one is refused to this account.
    pub ha1: Ha1,
    /// A name for people, may be empty.
    pub display_name: String,
    /// A disabled account is answered as if it did not exist.
    pub enabled: bool,
}

/// HA1 for each digest algorithm (RFC 8760 §2.1). `Debug` never shows the hashes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Ha1 {
    /// For `MD5`.
    pub md5: Option<[u8; 16]>,
    /// For `SHA-256`.
    pub sha256: Option<[u8; 32]>,
    /// For `SHA-512-256`.
    pub sha512_256: Option<[u8; 32]>,
}

impl core::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let has = |some: bool| if some { "set" } else { "-" };
        write!(
            f,
            "Ha1 {{ md5: {}, sha256: {}, sha512_256: {} }}",
            has(self.md5.is_some()),
            has(self.sha256.is_some()),
            has(self.sha512_256.is_some())
        )
    }
}
