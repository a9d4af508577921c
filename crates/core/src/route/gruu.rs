//! Globally routable user agent URIs (RFC 5627): URIs that lead to one device of a user.
//!
//! Nothing of them is stored. A public one is the address-of-record with the instance in its `gr`
//! parameter. A temporary one holds the user, the instance and the moment it was made, encrypted,
//! so that nobody can tell whose it is, or that two are of the same user; whether it is still good
//! stands in the bindings ([`Binding::gruus_since`]).
//!
//! The encryption is of the form "synthetic IV": the MAC of what it holds is also what the key
//! stream is made from, so what was changed is found out, and nothing random is needed.

use crate::address_of_record::AddressOfRecord;
use crate::binding::{Binding, spelling};
use crate::keys::Keys;
use crate::limits;
use crate::reject::Reject;
use crate::route::base64url;
use crate::route::ours::{Ours, unescaped};
use crate::route::plan::Plan;
use crate::time::Instant;
use alloc::vec::Vec;
use ringway_wire::{SipUri, Uri};

/// A URI of ours that names a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Gruu {
    /// Whose device it is.
    pub(crate) aor: AddressOfRecord,
    device: Device,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Device {
    Public { instance: Vec<u8> },
    Temporary { instance: u64, made: Instant },
}

const MAC_LABEL: &[u8] = b"temporary gruu 1";
const STREAM_LABEL: &[u8] = b"temporary gruu stream 1";
const MAC_LEN: usize = 16;
/// What is encrypted has a multiple of so many bytes: the length of a name tells little.
const BLOCK: usize = 16;

impl Gruu {
    /// Whether a URI names a device of ours, and which: `Some(None)` for one that was never ours,
    /// or was changed.
    //= RFC 5627 6.1
    // "proxy examines the Request-URI.  If it contains the "gr" URI"
    fn read(ours: Ours<'_>, uri: &Uri<'_>) -> Option<Option<Self>> {
        let Uri::Sip(sip) = uri else { return None };
        let gr = sip.params.get(b"gr")?;
        if !ours.is_here(sip) {
            return None;
        }
        Some(match gr {
            Some(instance) => ours.address_of_record(uri).map(|aor| {
                let instance = spelling(&unescaped(instance));
                Self { aor, device: Device::Public { instance } }
            }),
            None => Self::open(ours, sip),
        })
    }

    /// Whether this binding is one of the device's.
    fn names(&self, keys: &Keys, binding: &Binding) -> bool {
        match &self.device {
            Device::Public { instance } => !instance.is_empty() && *binding.instance == **instance,
            Device::Temporary { instance, made } => {
                //= RFC 5627 5.3
                // "all of the accumulated temporary GRUUs get invalidated once the last"
                *made >= binding.gruus_since && *instance == tag(keys, &binding.instance)
            }
        }
    }

    fn open(ours: Ours<'_>, uri: &SipUri<'_>) -> Option<Self> {
        let (keys, domain) = (&ours.setup.keys, ours.domain(&uri.host)?);
        let mut sealed = Vec::new();
        base64url::decode(uri.user?, |bytes| {
            sealed.extend_from_slice(bytes);
            (sealed.len() <= limits::GRUU_BYTES).then_some(())
        })?;
        let (mac, hidden) = sealed.split_first_chunk::<MAC_LEN>()?;
        let mut said = hidden.to_vec();
        mask(keys, mac, &mut said);
        let expected = keys.mac(MAC_LABEL, &[domain, &said]);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], &mac[..])) {
            return None;
        }
        let (made, rest) = said.split_first_chunk::<8>()?;
        let (instance, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let user = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        Some(Self {
            aor: AddressOfRecord::new(user, domain)?,
            device: Device::Temporary {
                instance: u64::from_be_bytes(*instance),
                made: Instant::from_micros(u64::from_be_bytes(*made)),
            },
        })
    }

    /// Who is called by a URI that names a device: the device, or why there is none. `None` if it
    /// names no device of ours.
    pub(crate) fn called(ours: Ours<'_>, uri: &Uri<'_>) -> Option<Result<Self, Reject>> {
        let gruu = Self::read(ours, uri)?;
        let accounts = &ours.snapshot.accounts;
        //= RFC 5627 6.1
        // "currently valid GRUU within the domain, it SHOULD be rejected with a"
        let is_there = |gruu: &Self| accounts.find(&gruu.aor).is_some_and(|a| a.enabled);
        Some(gruu.filter(is_there).ok_or(Reject::NoSuchUser))
    }

    /// The plan for a request to this device.
    pub(crate) fn plan(&self, ours: Ours<'_>, bindings: &[Binding], secure: bool) -> Plan {
        let keys = &ours.setup.keys;
        let its = bindings.iter().filter(|binding| self.names(keys, binding));
        let its: Vec<Binding> = its.cloned().collect();
        match (its.is_empty(), &self.device) {
            (false, _) => Plan::for_user(&its, ours.snapshot, secure),
            //= RFC 5627 6.1
            // "MUST return a 480 (Temporarily Unavailable) response.  If there are"
            (true, Device::Public { .. }) => Plan::refuse(Reject::TemporarilyUnavailable),
            //= RFC 5627 5.1
            // "addressed to those GRUUs will be rejected by the domain with a 404"
            (true, Device::Temporary { .. }) => Plan::refuse(Reject::NoSuchUser),
        }
    }
}

/// Appends the parameters of a Contact that tell a client the GRUUs of this binding's device;
/// nothing where it names none. `made` is when the device registered last.
//= RFC 5627 5.2
// "the most recently created temporary"
pub(crate) fn write_params(
    keys: &Keys,
    (aor, binding): (&AddressOfRecord, &Binding),
    made: Instant,
    out: &mut Vec<u8>,
) {
    if binding.instance.is_empty() {
        return;
    }
    out.extend_from_slice(b";pub-gruu=\"");
    write_public(aor, &binding.instance, out);
    out.extend_from_slice(b"\";temp-gruu=\"");
    write_temporary(keys, aor, (&binding.instance, made.max(binding.gruus_since)), out);
    out.push(b'"');
}

fn write_public(aor: &AddressOfRecord, instance: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"sip:");
    escape(aor.user(), b"-_.!~*'()&=+$,;?/", out);
    out.push(b'@');
    out.extend_from_slice(aor.domain());
    out.extend_from_slice(b";gr=");
    escape(instance, b"-_.!~*'()[]/:&+$", out);
}

fn write_temporary(
    keys: &Keys,
    aor: &AddressOfRecord,
    (instance, made): (&[u8], Instant),
    out: &mut Vec<u8>,
) {
    let mut said = Vec::with_capacity(80);
    said.extend_from_slice(&made.as_micros().to_be_bytes());
    said.extend_from_slice(&tag(keys, instance).to_be_bytes());
    // A name of ours has 1,024 bytes at most.
    said.extend_from_slice(&(aor.user().len() as u16).to_be_bytes());
    said.extend_from_slice(aor.user());
    said.resize(said.len().next_multiple_of(BLOCK), 0);
    let mac = keys.mac(MAC_LABEL, &[aor.domain(), &said]);
    mask(keys, &mac, &mut said);
    let mut sealed = mac.to_vec();
    sealed.append(&mut said);
    out.extend_from_slice(b"sip:");
    base64url::encode(&sealed, out);
    out.push(b'@');
    out.extend_from_slice(aor.domain());
    out.extend_from_slice(b";gr");
}

/// Hides what is plain, and shows what is hidden.
fn mask(keys: &Keys, mac: &[u8; MAC_LEN], text: &mut [u8]) {
    for (number, block) in text.chunks_mut(MAC_LEN).enumerate() {
        let stream = keys.mac(STREAM_LABEL, &[mac, &number.to_be_bytes()]);
        block.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
    }
}

fn tag(keys: &Keys, instance: &[u8]) -> u64 {
    keys.hash64(b"instance", &[instance])
}

/// Appends a text with all but letters, digits and some signs escaped (RFC 3261 §25.1).
fn escape(text: &[u8], signs: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || signs.contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(alloc::format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
