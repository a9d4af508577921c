//! The registrar: what a REGISTER does to the bindings of its address-of-record
//! (RFC 3261 §10.3, steps 6 to 8).
//!
//! A pure function. Before it stand the checks, the caller's identity and right, and the
//! address-of-record (steps 1 to 5); after it, the commit, and then the 200 with all bindings.

use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::boundary::{RegistrationChange, Write};
use crate::flow::Flow;
use crate::limits;
use crate::reject::Reject;
use crate::snapshot::Settings;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::vec::Vec;
use ringway_wire::{Contacts, Message, Name, NameAddr, Params, Uri, delta_seconds, equal};

/// When and from where a REGISTER came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Now.
    pub now: Instant,
    /// The way back.
    pub flow: Flow,
    /// A hash of its top Via branch.
    pub transaction: u64,
}

/// What a REGISTER does if it is committed.
#[derive(Clone, Default, Debug)]
pub struct Registration {
    /// What the store must keep, and [`Location`](crate::location::Location) show after that.
    /// Empty: nothing changes, the answer can be given at once.
    pub writes: Vec<Write>,
    /// The contacts that change, for events.
    pub changes: Vec<(Box<[u8]>, RegistrationChange)>,
    /// All bindings after it, best first.
    pub bindings: Vec<Binding>,
    /// The request was here before. If its commit is still under way it is answered by that;
    /// if not, like the first time, and its nonce count need not be new.
    pub retransmission: bool,
}

/// Works out what a REGISTER does to the bindings of `aor`. All of it happens, or nothing.
///
/// `existing` are the bindings as they will be when all that is under way is committed.
///
/// # Errors
/// The refusal; with [`Reject::IntervalTooBrief`] goes a Min-Expires of
/// [`Settings::expires_min_s`].
pub fn register(
    settings: &Settings,
    aor: &AddressOfRecord,
    existing: &[Binding],
    request: &Message<'_>,
    arrival: Arrival,
) -> Result<Registration, Reject> {
    let cseq = request.cseq().map_err(|_| Reject::Malformed("CSeq"))?.number;
    let live = existing.iter().filter(|binding| binding.expires > arrival.now);
    let mut update = Update {
        settings,
        request,
        cseq,
        arrival,
        entries: live.map(Entry::known).collect(),
        seen_before: false,
    };
    match request.contact_kind() {
        //= RFC 3261 10.2.3
        // "If no Contact header field is present in a"
        Contacts::None => {}
        Contacts::Star => update.remove_all()?,
        Contacts::List => {
            for contact in request.contacts() {
                update.contact(&contact.map_err(|_| Reject::Malformed("Contact"))?)?;
            }
        }
    }
    update.check_count()?;
    Ok(update.finish(aor))
}

/// Appends the value of one Contact header of the 200.
//= RFC 3261 10.3
// "Each Contact value MUST feature an "expires""
pub fn write_contact(binding: &Binding, now: Instant, out: &mut Vec<u8>) {
    // Rounded up, so that what was just granted is said as it was granted.
    let left = binding.expires.since(now).as_micros().div_ceil(1_000_000).max(1);
    out.push(b'<');
    out.extend_from_slice(&binding.contact);
    out.extend_from_slice(b">;expires=");
    write_number(left, out);
    if binding.q < 1_000 {
        out.extend_from_slice(b";q=0.");
        let mut rest = binding.q;
        loop {
            out.push(b'0' + (rest / 100) as u8);
            rest = rest % 100 * 10;
            if rest == 0 {
                break;
            }
        }
    }
    out.extend_from_slice(&binding.params);
}

/// Puts bindings in the order in which they are shown: by preference, the newest first.
pub fn sort(bindings: &mut [Binding]) {
    bindings.sort_by(|a, b| {
        let newest = |a: &Binding, b: &Binding| b.refreshed.cmp(&a.refreshed);
        b.q.cmp(&a.q).then_with(|| newest(a, b)).then_with(|| a.contact.cmp(&b.contact))
    });
}

/// A REGISTER being worked out.
struct Update<'a> {
    settings: &'a Settings,
    request: &'a Message<'a>,
    cseq: u32,
    arrival: Arrival,
    entries: Vec<Entry<'a>>,
    seen_before: bool,
}

/// One contact: what it was before this request, and what becomes of it.
struct Entry<'a> {
    before: Option<&'a Binding>,
    fate: Fate,
}

enum Fate {
    Stays,
    Becomes(Binding),
    Goes,
}

impl<'a> Entry<'a> {
    fn known(binding: &'a Binding) -> Self {
        Self { before: Some(binding), fate: Fate::Stays }
    }

    /// The contact as it stands now; none for what came and went within this request.
    fn contact(&self) -> Option<&[u8]> {
        match &self.fate {
            Fate::Becomes(binding) => Some(&binding.contact),
            Fate::Stays | Fate::Goes => self.before.map(|binding| &*binding.contact),
        }
    }
}

impl Update<'_> {
    /// Step 6, the special value `*`.
    fn remove_all(&mut self) -> Result<(), Reject> {
        //= RFC 3261 10.2.2
        // "it MUST NOT be used unless the Expires header"
        if self.request.expires() != Some(0) {
            return Err(Reject::Malformed("Contact"));
        }
        for at in 0..self.entries.len() {
            if self.wrote(at)? {
                return Err(Reject::OutOfOrder);
            }
        }
        self.entries.iter_mut().for_each(|entry| entry.fate = Fate::Goes);
        Ok(())
    }

    /// Step 7, for one contact.
    fn contact(&mut self, contact: &NameAddr<'_>) -> Result<(), Reject> {
        let uri = contact.uri().map_err(|_| Reject::Malformed("Contact"))?;
        let expires_s = self.expires_s(&contact.params)?;
        let found = self.find(contact.uri, &uri);
        if found.map_or(Ok(false), |at| self.wrote(at))? {
            self.seen_before = true;
            return Ok(());
        }
        match (found, expires_s) {
            (Some(at), 0) => self.entries[at].fate = Fate::Goes,
            (None, 0) => {}
            (Some(at), _) => {
                self.entries[at].fate = Fate::Becomes(self.binding(contact, expires_s)?)
            }
            (None, _) => {
                let fate = Fate::Becomes(self.binding(contact, expires_s)?);
                self.entries.push(Entry { before: None, fate });
            }
        }
        Ok(())
    }

    /// The binding time granted; 0 asks for removal.
    fn expires_s(&self, params: &Params<'_>) -> Result<u32, Reject> {
        //= RFC 3261 10.3
        // "If the field value has an "expires" parameter, that value"
        let asked = match params.get(b"expires") {
            Some(value) => delta_seconds(value.unwrap_or_default()),
            //= RFC 3261 10.3
            // "If there is neither, a locally-configured default value MUST"
            None => self.request.expires().unwrap_or(self.settings.expires_default_s),
        };
        //= RFC 3261 10.3
        // "If and only if the requested expiration"
        if asked > 0 && asked < 3_600 && asked < self.settings.expires_min_s {
            return Err(Reject::IntervalTooBrief);
        }
        //= RFC 3261 10.3
        // "The registrar MAY choose an expiration less than the requested"
        Ok(asked.min(self.settings.expires_max_s))
    }

    /// The entry for a contact. One with the same text comes before one that is only equal:
    /// the comparison of URIs is not transitive (§19.1.4), so there may be several.
    //= RFC 3261 10.3
    // "For each address, the registrar then searches the list of"
    fn find(&self, text: &[u8], uri: &Uri<'_>) -> Option<usize> {
        let same_text = |entry: &Entry<'_>| entry.contact() == Some(text);
        let same_uri = |entry: &Entry<'_>| {
            let other = entry.contact().and_then(|contact| Uri::parse(contact).ok());
            other.is_some_and(|other| equal(&other, uri))
        };
        let same = self.entries.iter().position(same_text);
        same.or_else(|| self.entries.iter().position(same_uri))
    }

    /// Whether this very request wrote an entry when it came the first time; an error if it is
    /// older than the entry. Other Call-IDs have no order among each other, and what the request
    /// itself has changed is no obstacle to it.
    //= RFC 3261 10.3
    // "the registrar compares the CSeq value.  If the value"
    fn wrote(&self, at: usize) -> Result<bool, Reject> {
        let Entry { before: Some(before), fate: Fate::Stays } = &self.entries[at] else {
            return Ok(false);
        };
        if *before.call_id != *self.request.call_id() || self.cseq > before.cseq {
            return Ok(false);
        }
        if self.cseq == before.cseq && self.arrival.transaction == before.transaction {
            return Ok(true);
        }
        //= RFC 3261 10.3
        // "If not, the update MUST be"
        Err(Reject::OutOfOrder)
    }

    //= RFC 3261 10.3
    // "Each binding record records the Call-ID and CSeq values from"
    fn binding(&self, contact: &NameAddr<'_>, expires_s: u32) -> Result<Binding, Reject> {
        let params = kept_params(&contact.params);
        if contact.uri.len() + params.len() > limits::CONTACT_BYTES {
            return Err(Reject::TooLarge);
        }
        let q = match contact.params.get(b"q") {
            None => Some(1_000),
            Some(value) => thousandths(value.unwrap_or_default()),
        };
        let Arrival { now, flow, transaction } = self.arrival;
        let user_agent = self.request.header(Name::UserAgent).unwrap_or_default();
        let user_agent = user_agent.get(..limits::USER_AGENT_BYTES).unwrap_or(user_agent);
        Ok(Binding {
            contact: contact.uri.into(),
            params,
            instance: Box::default(),
            reg_id: 0,
            path: Box::default(),
            gruus_since: now,
            q: q.ok_or(Reject::Malformed("Contact"))?,
            expires: now + Duration::from_secs(u64::from(expires_s)),
            refreshed: now,
            call_id: self.request.call_id().into(),
            cseq: self.cseq,
            transaction,
            flow,
            user_agent: one_line(user_agent).collect(),
        })
    }

    /// The limit of contacts stops what adds to them, never a refresh or a removal.
    fn check_count(&self) -> Result<(), Reject> {
        let before = self.entries.iter().filter(|entry| entry.before.is_some()).count();
        let after = self.entries.iter().filter(|entry| !matches!(entry.fate, Fate::Goes)).count();
        if after > self.settings.contacts_per_aor && after > before {
            return Err(Reject::TooManyContacts);
        }
        Ok(())
    }

    fn finish(self, aor: &AddressOfRecord) -> Registration {
        let (mut gone, mut put) = (Vec::new(), Vec::new());
        let (mut changes, mut bindings) = (Vec::new(), Vec::new());
        for Entry { before, fate } in self.entries {
            match (before, fate) {
                (None, Fate::Stays | Fate::Goes) => {}
                (Some(before), Fate::Stays) => bindings.push(before.clone()),
                (Some(before), Fate::Goes) => {
                    gone.push(Write::DropBinding(aor.clone(), before.key().into()));
                    changes.push((before.contact.clone(), RegistrationChange::Removed));
                }
                (before, Fate::Becomes(binding)) => {
                    let change = match before {
                        Some(_) => RegistrationChange::Refreshed,
                        None => RegistrationChange::Added,
                    };
                    changes.push((binding.contact.clone(), change));
                    // The same URI in other words: the new words count (RFC 4475 §3.3.13).
                    if let Some(old) = before.filter(|old| old.contact != binding.contact) {
                        gone.push(Write::DropBinding(aor.clone(), old.key().into()));
                    }
                    bindings.push(binding.clone());
                    put.push(Write::PutBinding(aor.clone(), binding));
                }
            }
        }
        sort(&mut bindings);
        let mut writes = gone;
        writes.extend(put);
        let retransmission = self.seen_before && writes.is_empty();
        Registration { writes, changes, bindings, retransmission }
    }
}

/// The parameters that are kept as they are, such as `+sip.instance` and `reg-id`.
fn kept_params(params: &Params<'_>) -> Box<[u8]> {
    let mut kept = Vec::new();
    for (name, value) in params.iter() {
        if name.eq_ignore_ascii_case(b"q") || name.eq_ignore_ascii_case(b"expires") {
            continue;
        }
        kept.push(b';');
        kept.extend_from_slice(name);
        if let Some(value) = value {
            kept.push(b'=');
            kept.extend(one_line(value));
        }
    }
    kept.into()
}

/// A text without the line ends of a folded header.
fn one_line(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b })
}

/// A `qvalue` (RFC 3261 §25.1) in thousandths.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, digits) = match text {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut value = match whole {
        b'0' => 0,
        b'1' => 1_000,
        _ => return None,
    };
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        value += u16::try_from(char::from(*digit).to_digit(10)?).ok()? * unit;
    }
    (value <= 1_000).then_some(value)
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    if number >= 10 {
        write_number(number / 10, out);
    }
    out.push(b'0' + (number % 10) as u8);
}

#[cfg(test)]
mod tests;
