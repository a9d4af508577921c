//! Address-of-record: who somebody is, whatever device they use (RFC 3261 §6, §10.3 step 5).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// A canonical address-of-record, `user@domain`: URI parameters gone, escapes of the user part
/// decoded, the domain in lower case. `sip:` and `sips:` of one name are one (RFC 5630 §5.2).
///
/// The user part may hold any byte but is never empty; [`fmt::Display`] escapes what is not
/// safe to print.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressOfRecord {
    bytes: Box<[u8]>,
    at: u16,
}

impl AddressOfRecord {
    /// Builds one from a decoded user part and a domain; `None` if either is empty or if both
    /// together are longer than 1,024 bytes.
    pub fn new(user: &[u8], domain: &[u8]) -> Option<Self> {
        if user.is_empty() || domain.is_empty() || user.len() + domain.len() > 1_024 {
            return None;
        }
        let mut bytes = Vec::with_capacity(user.len() + 1 + domain.len());
        bytes.extend_from_slice(user);
        bytes.push(b'@');
        bytes.extend(domain.iter().map(u8::to_ascii_lowercase));
        Some(Self { bytes: bytes.into_boxed_slice(), at: user.len() as u16 })
    }

    /// Reads `user@domain` as an administrator types it: `%` escapes decoded, an optional
    /// `sip:` or `sips:` in front.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_prefix("sips:").or_else(|| text.strip_prefix("sip:")).unwrap_or(text);
        let (user, domain) = text.rsplit_once('@')?;
        if domain.bytes().any(|b| !(b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))) {
            return None;
        }
        Self::new(&unescape(user.as_bytes())?, domain.as_bytes())
    }

    /// The user part, decoded.
    pub fn user(&self) -> &[u8] {
        &self.bytes[..usize::from(self.at)]
    }

    /// The domain, in lower case.
    pub fn domain(&self) -> &[u8] {
        &self.bytes[usize::from(self.at) + 1..]
    }

    /// User part, `@` and domain, as they are compared.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for AddressOfRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.user() {
            let plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte);
            if plain {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        write!(f, "@")?;
        self.domain().iter().try_for_each(|&byte| write!(f, "{}", char::from(byte)))
    }
}

impl fmt::Debug for AddressOfRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Decodes `%HH` once (RFC 3261 §19.1.4); `None` where an escape is broken.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            out.push(first);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2)?;
        let digit = |b: u8| char::from(b).to_digit(16);
        out.push((digit(hex[0])? * 16 + digit(hex[1])?) as u8);
        rest = tail;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_is_canonical() {
        let a = AddressOfRecord::from_text("sip:%61lice@Example.ORG").expect("valid");
        assert_eq!(a.user(), b"alice");
        assert_eq!(a.to_string(), "alice@example.org");
        assert_eq!(
            AddressOfRecord::from_text("a b@x").map(|a| a.to_string()),
            Some("a%20b@x".into())
        );
        for bad in ["", "@x", "x@", "alice", "a%4@x", "a@x y", "a@x>"] {
            assert_eq!(AddressOfRecord::from_text(bad), None, "{bad}");
        }
    }
}
