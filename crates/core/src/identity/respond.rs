//! The other end of digest: what a client answers to a challenge (RFC 7616 §3.4, RFC 8760 §2.4).
//! The server is one where it logs in at a peer; so are the phones of the demo and of tests.

use super::credentials::{Credentials, Text, realm_is};
use super::digest::{Hash, response};
use crate::account::Ha1;
use crate::limits;
use crate::snapshot::Algorithm;
use alloc::boxed::Box;
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
        challenges.into_iter().filter_map(Offer::read).find_map(|offer| {
            let realm: Vec<u8> = offer.realm.pieces().flatten().copied().collect();
            let ha1 = Ha1::from_password(self.user, &realm, self.password);
            offer.answer(self.user, &ha1, asked)
        })
    }
}

/// Who we are at a peer. The password is not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerLogin {
    /// The user name.
    pub user: Box<[u8]>,
    /// The only realm it is for.
    pub realm: Box<[u8]>,
    /// The secrets of that user there.
    pub ha1: Ha1,
}

impl PeerLogin {
    /// Its secrets, made from the password.
    pub fn new(user: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let ha1 = Ha1::from_password(user, realm, password);
        Self { user: user.into(), realm: realm.into(), ha1 }
    }

    /// Of some challenges the one to answer: for our realm, understood, the topmost one that is
    /// not MD5 if there is any. `Err`: whether there is one for our realm at all.
    //= RFC 8760 2.4
    // "dictates otherwise.  The client MUST ignore any challenge it does not"
    pub(crate) fn choose<'c>(
        &self,
        challenges: impl Iterator<Item = &'c [u8]>,
    ) -> Result<Offer<'c>, bool> {
        let is_ours = |value: &&[u8]| realm_is(value, &self.realm);
        let ours: Vec<&[u8]> =
            challenges.filter(is_ours).take(limits::CHALLENGES_PER_MESSAGE).collect();
        let mut offers = ours.iter().filter_map(|value| Offer::read(value));
        let first = offers.next().ok_or(!ours.is_empty())?;
        // What asks for less may have been put there by somebody on the way.
        let strong = |offer: &Offer<'_>| offer.algorithm != Algorithm::Md5;
        Ok(if strong(&first) { first } else { offers.find(strong).unwrap_or(first) })
    }

    /// The credentials that answer a challenge.
    pub(crate) fn answer(&self, offer: &Offer<'_>, asked: Asked<'_>) -> Option<Vec<u8>> {
        offer.answer(&self.user, &self.ha1, asked)
    }
}

/// A challenge that can be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'c> {
    algorithm: Algorithm,
    realm: Text<'c>,
    nonce: Text<'c>,
    opaque: Option<Text<'c>>,
    /// Whether it offers `qop=auth`; if not, it offers no qop at all.
    qop: bool,
    /// Whether only the nonce of the credentials before was too old.
    pub(crate) stale: bool,
}

impl<'c> Offer<'c> {
    /// `None` if it is another scheme, broken, or asks for what we cannot do.
    fn read(value: &'c [u8]) -> Option<Self> {
        let said = Credentials::parse(value).filter(|said| !said.broken)?;
        let (realm, nonce, opaque) = (said.realm?, said.nonce?, said.opaque);
        let is_plain = |text: Text<'_>| !text.raw().iter().any(u8::is_ascii_control);
        if ![realm, nonce].into_iter().chain(opaque).all(is_plain) {
            return None;
        }
        let is_auth = |qop: &[u8]| qop.trim_ascii().eq_ignore_ascii_case(b"auth");
        let qop = match said.qop {
            Some(offered) => offered.raw().split(|&b| b == b',').any(is_auth).then_some(true)?,
            None => false,
        };
        let stale = said.stale.is_some_and(|stale| stale.raw().eq_ignore_ascii_case(b"true"));
        Some(Self { algorithm: said.algorithm()?, realm, nonce, opaque, qop, stale })
    }

    /// The nonce, as it is written.
    pub(crate) fn nonce(&self) -> &'c [u8] {
        self.nonce.raw()
    }

    /// The value of the header that answers it. Servers of before RFC 2617 offer no qop, and get
    /// neither that nor what belongs to it.
    //= RFC 3261 22.4
    // "8.  RFC 2617 notes that a cnonce value MUST NOT be sent in an"
    //= RFC 8760 2.6
    // "2.  The "uri" parameter of the Authorization header field MUST be"
    fn answer(&self, user: &[u8], ha1: &Ha1, asked: Asked<'_>) -> Option<Vec<u8>> {
        let Self { algorithm, realm, nonce, .. } = *self;
        let ha1 = Hash::from_bytes(ha1.of(algorithm)?);
        let nc = alloc::format!("{:08x}", asked.nc);
        let (count, cnonce) = (Text::new(nc.as_bytes()), Text::new(asked.cnonce));
        let given = [nonce, count, cnonce, Text::new(b"auth")];
        let given = if self.qop { &given[..] } else { &given[..1] };
        let mut hex = [0; 64];
        let response = response(algorithm, &ha1, given, asked.method, asked.uri);
        let mut out = Vec::with_capacity(320);
        out.extend_from_slice(b"Digest username=\"");
        for &byte in user {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        let algorithm = algorithm.token().as_bytes();
        let parts: [(&[u8], &[u8]); 7] = [
            (b"\", realm=\"", realm.raw()),
            (b"\", nonce=\"", nonce.raw()),
            (b"\", uri=\"", asked.uri),
            (b"\", response=\"", response.to_hex(&mut hex)),
            (b"\", algorithm=", algorithm),
            (b", cnonce=\"", asked.cnonce),
            (b"\", qop=auth, nc=", nc.as_bytes()),
        ];
        for (before, value) in &parts[..if self.qop { 7 } else { 5 }] {
            out.extend_from_slice(before);
            out.extend_from_slice(value);
        }
        //= RFC 7616 3.4
        // "The values of the opaque and algorithm fields"
        if let Some(opaque) = self.opaque {
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
        let no_nonce = "Digest realm=\"a\", qop=\"auth\"";
        let integrity = "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"";
        let broken = "Digest realm=\"a\", realm=\"a\", nonce=\"b\", qop=\"auth\"";
        for bad in [no_nonce, integrity, broken, "Digest", ""] {
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

    fn chosen(challenges: &[&str]) -> Result<String, bool> {
        let login = PeerLogin::new(b"Mufasa", b"http-auth@example.org", b"Circle of Life");
        let asked = Asked { method: b"GET", uri: b"/dir/index.html", cnonce: b"c", nc: 2 };
        let offer = login.choose(challenges.iter().map(|text| text.as_bytes()))?;
        let answer = login.answer(&offer, asked).expect("all algorithms are known");
        Ok(String::from_utf8(answer).expect("text"))
    }

    #[test]
    fn c10_only_the_realm_is_answered_and_never_with_less_than_is_offered() {
        let [md5, sha, sha512, tiger] = ["MD5", "SHA-256", "SHA-512-256", "TIGER"].map(challenge);
        let other = sha.replace("http-auth@example.org", "elsewhere");
        for (challenges, algorithm) in [
            (&[&md5, &sha512, &sha][..], "SHA-512-256"),
            (&[&sha, &sha512, &md5], "SHA-256"),
            (&[&tiger, &md5, &other], "MD5"),
        ] {
            let challenges: Vec<&str> = challenges.iter().map(|text| text.as_str()).collect();
            let answer = chosen(&challenges).expect("an answer");
            assert!(answer.contains(&alloc::format!("algorithm={algorithm},")), "{answer}");
            assert!(answer.contains("realm=\"http-auth@example.org\""), "{answer}");
        }
        assert_eq!(chosen(&[&other, "Basic realm=\"http-auth@example.org\""]), Err(false));
        assert_eq!(chosen(&[&other, &tiger]), Err(true));
        assert_eq!(chosen(&[]), Err(false));
        let folded = sha.replace("7ypf/", "7y\r\n X: ");
        assert_eq!(chosen(&[&folded]), Err(true), "nothing is written that could be a line");
        let hashed = alloc::format!("{sha}, userhash=true, charset=UTF-8, stale=TRUE");
        assert!(chosen(&[&hashed]).is_ok());
    }

    #[test]
    //= RFC 3261 22.4 type=test
    // "8.  RFC 2617 notes that a cnonce value MUST NOT be sent in an"
    fn who_offers_no_qop_gets_none() {
        let old = challenge("MD5").replace("qop=\"auth, auth-int\", ", "");
        let answer = chosen(&[&old]).expect("an answer");
        // H(H(A1) ":" nonce ":" H(A2)) of the example of RFC 7616 §3.9.1 without qop.
        let given = [
            "3d78807defe7de2157e2b0b6573a855f",
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "39aff3a2bab6126f332b942af96d3366",
        ]
        .join(":");
        use super::super::digest::hash;
        let digest = hash(Algorithm::Md5, &mut core::iter::once(given.as_bytes()));
        let mut hex = [0; 64];
        let wanted = String::from_utf8_lossy(digest.to_hex(&mut hex)).into_owned();
        assert!(answer.contains(&alloc::format!("response=\"{wanted}\"")), "{answer}");
        for word in ["qop", "nc=", "cnonce"] {
            assert!(!answer.contains(word), "{answer}");
        }
    }
}
