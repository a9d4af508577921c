//! Session-ID (RFC 7989 §5): one identifier of each end of a session, the same in all its legs.

use crate::error::Malformed;
use crate::header::params::Params;
use crate::scan::trim;

/// Who sends the message, and who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionId<'a> {
    /// The identifier of the sender: 32 lower-case hexadecimal digits, or [`SessionId::NIL`].
    pub local: &'a [u8],
    /// That of the other end, where it is given (RFC 7329 had none).
    pub remote: Option<&'a [u8]>,
}

impl<'a> SessionId<'a> {
    /// The identifier of an end that is not known yet.
    pub const NIL: &'static [u8; 32] = b"00000000000000000000000000000000";

    /// Reads the value.
    ///
    /// # Errors
    /// If it is against the grammar: an identifier of another length, or two of the other end.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
        let (local, rest) = value.split_at(end);
        let malformed = || Malformed::grammar("Session-ID");
        let local = trim(local);
        let params = Params::parse_header(rest).ok_or_else(malformed)?;
        //= RFC 7989 5
        // "The Session-ID header field MUST NOT have more than one \"remote\""
        if !is_uuid(local) || params.repeats(b"remote") {
            return Err(malformed());
        }
        let remote = match params.get(b"remote") {
            None => None,
            Some(Some(remote)) if is_uuid(remote) => Some(remote),
            Some(_) => return Err(malformed()),
        };
        Ok(Self { local, remote })
    }

    /// The identifiers of both ends, as far as they are known.
    pub fn known(self) -> impl Iterator<Item = &'a [u8]> {
        let both = [Some(self.local), self.remote];
        both.into_iter().flatten().filter(|uuid| uuid != Self::NIL)
    }
}

fn is_uuid(text: &[u8]) -> bool {
    let digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.len() == SessionId::NIL.len() && text.iter().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    const A: &str = "ab30317f1a784dc48ff824d0d3715d86";
    const B: &str = "47755a9de7794ba387653f2099600ef2";

    #[test]
    fn both_ends_or_one() {
        let nil = core::str::from_utf8(SessionId::NIL).expect("digits");
        for (text, local, remote) in [
            (format!("{A};remote={B}"), A, Some(B)),
            (format!("{A} ;\r\n  Remote = {nil};x=\"y;remote\""), A, Some(nil)),
            (A.into(), A, None),
            (format!("{nil};x"), nil, None),
        ] {
            let read = SessionId::parse(text.as_bytes()).expect("a good one");
            assert_eq!((read.local, read.remote), (local.as_bytes(), remote.map(str::as_bytes)));
        }
        let both = format!("{A};remote={nil}");
        let known: Vec<_> = SessionId::parse(both.as_bytes()).expect("good").known().collect();
        assert_eq!(known, [A.as_bytes()]);
    }

    #[test]
    fn what_is_none() {
        for text in [
            String::new(),
            A[1..].into(),
            format!("{A}0"),
            A.to_uppercase(),
            format!("{A};remote"),
            format!("{A};remote={}", &B[1..]),
            format!("{A};remote={B};remote={B}"),
            format!("{A}, {B}"),
            format!("{A};="),
        ] {
            assert!(SessionId::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
