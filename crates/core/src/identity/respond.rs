//! The other end of digest: what a client answers to a challenge (RFC 7616 §3.4, RFC 8760 §2.4).
//! The server never needs it; the phones of the demo and of tests do.

use super::credentials::{Credentials, Text};
use super::digest::{Hash, response};
use crate::account::Ha1;
use alloc::vec::Vec;

/// Who answers.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The user name.
    pub user: &'a [u8],
    /// The password.
    pub password: &'a [u8],
}

/// For which request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its Request-URI.
    pub uri: &'a [u8],
    /// A value never used before; a token.
    pub cnonce: &'a [u8],
    /// How often the nonce was answered, this time included.
    pub nc: u32,
}

impl Login<'_> {
    /// The value of the Authorization or Proxy-Authorization header that answers the first of
    /// these challenges which we understand, the values of WWW-Authenticate or
    /// Proxy-Authenticate in their order. `None` if we understand none.
    //= RFC 8760 2.4
    // "the topmost header field that it supports"
    pub fn respond<'c>(
        &self,
        challenges: impl IntoIterator<Item = &'c [u8]>,
        asked: Asked<'_>,
    ) -> Option<Vec<u8>> {
        challenges.into_iter().find_map(|challenge| self.answer(challenge, asked))
    }

    fn answer(&self, challenge: &[u8], asked: Asked<'_>) -> Option<Vec<u8>> {
        let challenge = Credentials::parse(challenge).filter(|challenge| !challenge.broken)?;
        let algorithm = challenge.algorithm()?;
        let (realm, nonce) = (challenge.realm?, challenge.nonce?);
        let mut offered = challenge.qop?.raw().split(|&b| b == b',');
        offered.find(|qop| qop.trim_ascii().eq_ignore_ascii_case(b"auth"))?;
        let plain: Vec<u8> = realm.pieces().flatten().copied().collect();
        let ha1 = Ha1::from_password(self.user, &plain, self.password);
        let ha1 = Hash::from_bytes(ha1.of(algorithm)?);
        let nc = alloc::format!("{:08x}", asked.nc);
        let given = [nonce, Text::new(nc.as_bytes()), Text::new(asked.cnonce), Text::new(b"auth")];
        let mut hex = [0; 64];
        let response = response(algorithm, &ha1, given, asked.method, asked.uri);
        let response = response.to_hex(&mut hex);
        let mut user = Vec::with_capacity(self.user.len());
        for &byte in self.user {
            if matches!(byte, b'"' | b'\\') {
                user.push(b'\\');
            }
            user.push(byte);
        }
        let mut out = Vec::with_capacity(320);
        for (before, value) in [
            (&b"Digest username=\""[..], &user[..]),
            (b"\", realm=\"", realm.raw()),
            (b"\", nonce=\"", nonce.raw()),
            (b"\", uri=\"", asked.uri),
            (b"\", response=\"", response),
            (b"\", algorithm=", algorithm.token().as_bytes()),
            (b", cnonce=\"", asked.cnonce),
            (b"\", qop=auth, nc=", nc.as_bytes()),
        ] {
            out.extend_from_slice(before);
            out.extend_from_slice(value);
        }
        //= RFC 7616 3.4
        // "The values of the opaque and algorithm fields"
        if let Some(opaque) = challenge.opaque {
            for part in [b", opaque=\"", opaque.raw(), b"\""] {
                out.extend_from_slice(part);
            }
        }
        Some(out)
    }
}

impl core::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Login {{ user: {:?}, .. }}", alloc::string::String::from_utf8_lossy(self.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const MUFASA: Login<'_> = Login { user: b"Mufasa", password: b"Circle of Life" };

    fn respond(challenges: &[&str]) -> Option<String> {
        let asked = Asked {
            method: b"GET",
            uri: b"/dir/index.html",
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc: 1,
        };
        let answer = MUFASA.respond(challenges.iter().map(|text| text.as_bytes()), asked)?;
        Some(String::from_utf8(answer).expect("text"))
    }

    fn challenge(algorithm: &str) -> String {
        alloc::format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    #[test]
    //= RFC 7616 3.9.1 type=test
    fn the_example_of_rfc_7616() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let answer = respond(&[&challenge(algorithm)]).expect("an answer");
            assert_eq!(
                answer,
                alloc::format!(
                    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                     uri=\"/dir/index.html\", response=\"{response}\", algorithm={algorithm}, \
                     cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
                     nc=00000001, opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
                )
            );
        }
    }

    #[test]
    //= RFC 8760 2.4 type=test
    fn the_first_challenge_understood_is_answered() {
        let (unknown, sha, md5) = (challenge("TIGER"), challenge("SHA-512-256"), challenge("MD5"));
        let answer = respond(&["Basic realm=\"x\"", &unknown, &sha, &md5]).expect("an answer");
        assert!(answer.contains("algorithm=SHA-512-256,"), "{answer}");
        let no_qop = "Digest realm=\"a\", nonce=\"b\"";
        let no_nonce = "Digest realm=\"a\", qop=\"auth\"";
        let integrity = "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"";
        let broken = "Digest realm=\"a\", realm=\"a\", nonce=\"b\", qop=\"auth\"";
        for bad in [no_qop, no_nonce, integrity, broken, "Digest", ""] {
            assert_eq!(respond(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn quotes_in_a_name_are_escaped_and_a_password_is_never_shown() {
        let login = Login { user: b"a\"\\", password: b"secret" };
        let asked = Asked { method: b"REGISTER", uri: b"sip:x", cnonce: b"c", nc: 0x1f };
        let challenge = &b"Digest realm=\"x\\\"y\", nonce=\"n\", qop=\"auth\""[..];
        let answer = login.respond([challenge], asked).expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        assert!(
            answer.starts_with("Digest username=\"a\\\"\\\\\", realm=\"x\\\"y\", "),
            "{answer}"
        );
        assert!(answer.ends_with(", qop=auth, nc=0000001f"), "{answer}");
        assert!(!alloc::format!("{login:?}").contains("secret"));
    }
}
