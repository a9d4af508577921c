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
use crate::binding::Binding;
use crate::keys::Keys;
use crate::route::base64url;
use crate::time::Instant;
use alloc::vec::Vec;

const MAC_LABEL: &[u8] = b"temporary gruu 1";
const STREAM_LABEL: &[u8] = b"temporary gruu stream 1";
const MAC_LEN: usize = 16;
/// What is encrypted has a multiple of so many bytes: the length of a name tells little.
const BLOCK: usize = 16;

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
