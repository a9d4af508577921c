//! Digest: the hash (RFC 7616 §3.4.1), the challenge (RFC 8760 §2.3), and the judgement of what
//! comes back.
//!
//! What happens to a request says nothing about whether a user exists: the same steps are taken
//! for a name nobody has, with a secret nobody knows, and the answer is the same but for its
//! nonce.

use super::credentials::{Credentials, Text};
use super::nonce;
use crate::account::Ha1;
use crate::address_of_record::AddressOfRecord;
use crate::boundary::AuthFailure;
use crate::flow::Flow;
use crate::keys::Keys;
use crate::limits;
use crate::reject::Reject;
use crate::snapshot::{Algorithm, Snapshot};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use md5::Md5;
use ringway_wire::{Host, Message, Method, Name, Uri, equal};
use sha2::{Digest, Sha256, Sha512_256};
use subtle::{Choice, ConstantTimeEq};

/// In which role we want to know who somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// As the server the request is for, a registrar above all (RFC 3261 §22.2).
    Server,
    /// As a proxy on its way (RFC 3261 §22.3).
    Proxy,
}

impl Side {
    /// The header that brings the credentials.
    pub const fn credentials(self) -> Name {
        match self {
            Self::Server => Name::Authorization,
            Self::Proxy => Name::ProxyAuthorization,
        }
    }

    /// The name of the header that carries a challenge.
    pub const fn challenge(self) -> &'static str {
        match self {
            Self::Server => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }

    /// The refusal that goes with a challenge.
    pub const fn reject(self) -> Reject {
        match self {
            Self::Server => Reject::Unauthorized,
            Self::Proxy => Reject::ProxyAuthenticationRequired,
        }
    }
}

/// What comes of looking at the credentials of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// None for our realm with an algorithm we offer: challenge.
    Missing,
    /// The password is right, but the nonce is over, from another source, or not ours any more:
    /// challenge with `stale=true`. No failure.
    Stale,
    /// Wrong. For [`AuthFailure::Malformed`] the answer is a 400, else the same challenge that
    /// [`Verdict::Missing`] gets.
    ///
    /// [`AuthFailure::WrongPassword`] and [`AuthFailure::UnknownUser`] are evidence against the
    /// source: it sent back a nonce that went to its address. The others may be forged.
    Wrong {
        /// The user name as given, cut to 64 bytes.
        user: Box<[u8]>,
        /// What is wrong.
        failure: AuthFailure,
    },
    /// Right, if the nonce count is new.
    Right(Claim),
}

/// What must still be spent before a caller is known; the fields of
/// [`Question::Spend`](crate::boundary::Question::Spend).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The account whose password was proved.
    pub account: AddressOfRecord,
    /// A keyed hash of the nonce and the account.
    pub nonce: u64,
    /// The nonce count.
    pub nc: u32,
    /// When the nonce ends.
    pub ends: Instant,
}

/// One place where callers are asked who they are: a role and a realm.
#[derive(Clone, Copy, Debug)]
pub struct Authentication<'a> {
    /// The keys of the installation.
    pub keys: &'a Keys,
    /// Accounts, domains, and the algorithms we offer.
    pub snapshot: &'a Snapshot,
    /// As what we ask.
    pub side: Side,
    /// The domain of the accounts, as it stands in [`Snapshot::domains`].
    pub realm: &'a [u8],
}

impl<'a> Authentication<'a> {
    /// The challenge that answers this request.
    pub fn challenge(
        &self,
        now: Instant,
        flow: &Flow,
        request: &Message<'_>,
        stale: bool,
    ) -> Challenge<'a> {
        let number = request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes();
        let salt = self.keys.hash64(b"nonce salt", &[request.call_id(), &number]);
        let nonce = nonce::issue(self.keys, now, self.realm, flow, salt);
        let algorithms = &self.snapshot.settings.algorithms;
        Challenge { algorithms, realm: self.realm, nonce, stale }
    }

    /// Judges the credentials of a request, but for the nonce count.
    pub fn verify(&self, now: Instant, flow: &Flow, request: &Message<'_>) -> Verdict {
        let Some((credentials, algorithm)) = self.select(request) else {
            return Verdict::Missing;
        };
        let Some(answer) = Answer::of(&credentials, algorithm) else {
            return wrong(credentials.username, AuthFailure::Malformed);
        };
        if !self.names_a_place_of_ours(request, answer.uri) {
            return wrong(credentials.username, AuthFailure::Malformed);
        }
        let user: Vec<u8> = answer.username.pieces().flatten().copied().collect();
        let aor = AddressOfRecord::new(&user, self.realm);
        let account = aor.and_then(|aor| self.snapshot.accounts.find(&aor));
        let account = account.filter(|account| account.enabled);
        let ha1 = account.and_then(|account| account.ha1.of(algorithm));
        let known = Choice::from(u8::from(ha1.is_some()));
        let nobody = &[0; 32][..algorithm.length()];
        let ha1 = Hash::from_bytes(ha1.unwrap_or(nobody));
        let method = match request.method() {
            //= RFC 3261 13.2.2.4
            // "the ACK MUST contain the same credentials as the INVITE."
            Method::Ack => Method::Invite,
            method => method,
        };
        let expected = answer.response_for(&ha1, method.as_bytes());
        let right = bool::from(expected.bytes().ct_eq(answer.response.bytes()) & known);
        let nonce = nonce::read(self.keys, answer.nonce.raw(), self.realm, flow);
        let ours = nonce.filter(|nonce| nonce.from_its_source);
        match (right, ours, account) {
            (true, Some(nonce), Some(account)) if nonce.is_fresh(now) => {
                let parts = [answer.nonce.raw(), account.aor.as_bytes()];
                Verdict::Right(Claim {
                    account: account.aor.clone(),
                    nonce: self.keys.hash64(b"nonce of account", &parts),
                    nc: answer.nc,
                    ends: nonce.ends(),
                })
            }
            //= RFC 7616 3.3
            // "If stale is true, the client may wish to simply retry the request"
            (true, _, _) => Verdict::Stale,
            (false, None, _) => wrong(credentials.username, AuthFailure::ForeignNonce),
            (false, Some(_), None) => wrong(credentials.username, AuthFailure::UnknownUser),
            (false, Some(_), Some(_)) => wrong(credentials.username, AuthFailure::WrongPassword),
        }
    }

    /// The first credentials for our realm and an algorithm we offer.
    //= RFC 3261 22.3
    // "When multiple proxies are used in a chain, a Proxy-"
    fn select<'m>(&self, request: &Message<'m>) -> Option<(Credentials<'m>, Algorithm)> {
        let offered = &self.snapshot.settings.algorithms;
        request
            .all(self.side.credentials())
            .take(limits::CREDENTIALS_PER_MESSAGE)
            .filter_map(Credentials::parse)
            .filter(|credentials| credentials.realm.is_some_and(|r| r.means(self.realm)))
            .find_map(|credentials| {
                let algorithm = credentials.algorithm().filter(|a| offered.contains(a))?;
                Some((credentials, algorithm))
            })
    }

    /// Whether the `uri` of the credentials fits the request: for REGISTER it names the same
    /// registrar, else the same host or a domain of ours.
    //= RFC 8760 2.6
    // "it MAY still accept it if"
    fn names_a_place_of_ours(&self, request: &Message<'_>, uri: &[u8]) -> bool {
        if uri == request.request_uri() {
            return true;
        }
        let (Ok(said), Ok(target)) = (Uri::parse(uri), request.uri()) else { return false };
        if equal(&said, &target) {
            return true;
        }
        let Uri::Sip(said) = said else { return false };
        let same_host = matches!(target, Uri::Sip(target) if target.host.same(&said.host));
        let is_ours = || match said.host {
            Host::Name(name) => {
                self.snapshot.domains.contains(name.to_ascii_lowercase().as_slice())
            }
            Host::V4(_) | Host::V6(_) => false,
        };
        same_host || request.method() != Method::Register && is_ours()
    }
}

/// A challenge: one header for each algorithm, in this order and each on its own line.
//= RFC 8760 2.3
// "starting with the most preferred"
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// The algorithms offered.
    pub algorithms: &'a [Algorithm],
    realm: &'a [u8],
    nonce: nonce::Text,
    stale: bool,
}

impl Challenge<'_> {
    /// Appends the value of the header for one of the algorithms.
    //= RFC 8760 2.6
    // "A UAS MUST always send a "qop" parameter"
    pub fn write(&self, algorithm: Algorithm, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Digest realm=\"");
        for &byte in self.realm {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.extend_from_slice(b"\", nonce=\"");
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(b"\", algorithm=");
        out.extend_from_slice(algorithm.token().as_bytes());
        out.extend_from_slice(b", qop=\"auth\"");
        if self.stale {
            out.extend_from_slice(b", stale=true");
        }
    }
}

/// Credentials that have all they need.
struct Answer<'a> {
    algorithm: Algorithm,
    username: Text<'a>,
    nonce: Text<'a>,
    uri: &'a [u8],
    cnonce: Text<'a>,
    qop: Text<'a>,
    nc_text: Text<'a>,
    nc: u32,
    response: Hash,
}

impl<'a> Answer<'a> {
    /// `None` if something is missing, or is nothing we could have asked for. A response
    /// without `qop` has no nonce count and could be replayed, so it is not taken: we always
    /// send `qop`, and who sees it must send it back (RFC 8760 §2.6 item 8).
    fn of(credentials: &Credentials<'a>, algorithm: Algorithm) -> Option<Self> {
        // Our challenges offer no userhash (RFC 7616 §3.4.4): nobody can be found by one.
        let hashed = |said: Text<'_>| said.raw().eq_ignore_ascii_case(b"true");
        if credentials.broken || credentials.userhash.is_some_and(hashed) {
            return None;
        }
        let response = Hash::from_hex(credentials.response?.raw())?;
        let qop = credentials.qop.filter(|qop| qop.raw().eq_ignore_ascii_case(b"auth"))?;
        (response.length == algorithm.length()).then_some(Self {
            algorithm,
            username: credentials.username?,
            nonce: credentials.nonce?,
            uri: credentials.uri?.raw(),
            cnonce: credentials.cnonce?,
            qop,
            nc_text: credentials.nc?,
            nc: credentials.nonce_count()?,
            response,
        })
    }

    /// The response of somebody with this HA1.
    fn response_for(&self, ha1: &Hash, method: &[u8]) -> Hash {
        let given = [self.nonce, self.nc_text, self.cnonce, self.qop];
        response(self.algorithm, ha1, &given, method, self.uri)
    }
}

/// The response to a challenge; `given` is nonce, nc, cnonce and qop, or the nonce alone where no
/// qop was offered.
//= RFC 7616 3.4.1
// "KD ( H(A1), unq(nonce)"
pub(super) fn response(
    algorithm: Algorithm,
    ha1: &Hash,
    given: &[Text<'_>],
    method: &[u8],
    uri: &[u8],
) -> Hash {
    let hash = |parts: &mut dyn Iterator<Item = &[u8]>| hash(algorithm, parts);
    let (mut hex1, mut hex2) = ([0; 64], [0; 64]);
    let ha2 = hash(&mut [method, b":", uri].into_iter());
    let colon = || core::iter::once(&b":"[..]);
    let given = given.iter().flat_map(|text| colon().chain(text.pieces()));
    let ha2 = colon().chain(core::iter::once(ha2.to_hex(&mut hex2)));
    hash(&mut core::iter::once(ha1.to_hex(&mut hex1)).chain(given).chain(ha2))
}

/// A hash of one of the algorithms.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    bytes: [u8; 32],
    length: usize,
}

impl Hash {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn from_bytes(from: &[u8]) -> Self {
        assert!(from.len() <= 32, "no algorithm is longer");
        let mut bytes = [0; 32];
        bytes[..from.len()].copy_from_slice(from);
        Self { bytes, length: from.len() }
    }

    fn from_hex(text: &[u8]) -> Option<Self> {
        if !text.len().is_multiple_of(2) || text.len() > 64 {
            return None;
        }
        let digit = |b: u8| char::from(b).to_digit(16);
        let mut bytes = [0; 32];
        for (pair, byte) in text.chunks_exact(2).zip(&mut bytes) {
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Self { bytes, length: text.len() / 2 })
    }

    //= RFC 8760 2.2
    // "Each set of four bits is represented by its familiar"
    pub(super) fn to_hex(self, out: &mut [u8; 64]) -> &[u8] {
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.bytes()) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        &out[..2 * self.length]
    }
}

/// `H(data)` of an algorithm, the data being in pieces.
pub(crate) fn hash(algorithm: Algorithm, parts: &mut dyn Iterator<Item = &[u8]>) -> Hash {
    fn with<D: Digest>(parts: &mut dyn Iterator<Item = &[u8]>) -> Hash {
        let mut digest = D::new();
        parts.for_each(|part| digest.update(part));
        Hash::from_bytes(&digest.finalize())
    }
    match algorithm {
        Algorithm::Md5 => with::<Md5>(parts),
        Algorithm::Sha256 => with::<Sha256>(parts),
        Algorithm::Sha512_256 => with::<Sha512_256>(parts),
    }
}

impl Ha1 {
    /// The secrets of a user whose password is known.
    //= RFC 7616 3.4.2
    // "A1       = unq(username) ":" unq(realm) ":" passwd"
    pub fn from_password(user: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let of =
            |algorithm| hash(algorithm, &mut [user, b":", realm, b":", password].into_iter()).bytes;
        let mut md5 = [0; 16];
        md5.copy_from_slice(&of(Algorithm::Md5)[..16]);
        Self {
            md5: Some(md5),
            sha256: Some(of(Algorithm::Sha256)),
            sha512_256: Some(of(Algorithm::Sha512_256)),
        }
    }

    /// The secret for one algorithm.
    pub fn of(&self, algorithm: Algorithm) -> Option<&[u8]> {
        match algorithm {
            Algorithm::Md5 => self.md5.as_ref().map(|hash| &hash[..]),
            Algorithm::Sha256 => self.sha256.as_ref().map(|hash| &hash[..]),
            Algorithm::Sha512_256 => self.sha512_256.as_ref().map(|hash| &hash[..]),
        }
    }
}

fn wrong(user: Option<Text<'_>>, failure: AuthFailure) -> Verdict {
    let user = user.into_iter().flat_map(Text::pieces).flatten().copied();
    Verdict::Wrong { user: user.take(limits::USER_IN_EVENT_BYTES).collect(), failure }
}

#[cfg(test)]
mod tests;
