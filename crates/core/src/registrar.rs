//! The registrar: what a REGISTER does to the bindings of its address-of-record
//! (RFC 3261 §10.3, steps 6 to 8).
//!
//! A pure function. Before it stand the checks, the caller's identity and right, and the
//! address-of-record (steps 1 to 5); after it, the commit, and then the 200 with all bindings.

mod contact;
mod device;

pub(crate) use contact::check_contacts;
pub(crate) use device::supports;

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
use device::{Device, Road};
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
    /// A flow was registered, and the client knows what that means: the answer requires outbound
    /// (RFC 5626 §6).
    pub outbound: bool,
    /// It moves the end of one binding, asks for no shorter time than before, and changes nothing
    /// else: if [`Location::lease`](crate::location::Location::lease) covers it, it need not be
    /// committed.
    pub refresh: bool,
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
        road: Road::of(request)?,
        outbound: false,
        asked_until: arrival.now,
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
            update.check_flows()?;
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
    road: Road,
    outbound: bool,
    /// The end that was asked for, of the last contact that is bound.
    asked_until: Instant,
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
    /// It stays, but its temporary GRUUs do not.
    Voided(Binding),
    Goes,
}

impl<'a> Entry<'a> {
    fn known(binding: &'a Binding) -> Self {
        Self { before: Some(binding), fate: Fate::Stays }
    }

    /// The binding as it stands now, or as it was; none for what came and went within this
    /// request.
    fn binding(&self) -> Option<&Binding> {
        match &self.fate {
            Fate::Becomes(binding) | Fate::Voided(binding) => Some(binding),
            Fate::Stays | Fate::Goes => self.before,
        }
    }

    /// The binding as it will be.
    fn left(&self) -> Option<&Binding> {
        self.binding().filter(|_| !matches!(self.fate, Fate::Goes))
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
        let asked_s = self.asked_s(&contact.params)?;
        let granted_s = asked_s.saturating_sub(self.spread(asked_s));
        let device = self.road.device(&contact.params)?;
        self.outbound |= device.reg_id > 0 && self.road.knows_outbound();
        let found = self.find(contact.uri, &uri, &device);
        if found.map_or(Ok(false), |at| self.wrote(at))? {
            self.seen_before = true;
            return Ok(());
        }
        if granted_s == 0 {
            if let Some(at) = found {
                self.entries[at].fate = Fate::Goes;
            }
            return Ok(());
        }
        //= RFC 5627 5.1
        // "If the contact is not a SIP URI, the REGISTER request MUST be"
        if !device.instance.is_empty() && !matches!(uri, Uri::Sip(_)) {
            return Err(Reject::ContactNotAllowed);
        }
        let binding = self.binding(contact, device, granted_s)?;
        self.asked_until = self.arrival.now + Duration::from_secs(u64::from(asked_s));
        let fate = Fate::Becomes(binding);
        match found {
            Some(at) => self.entries[at].fate = fate,
            None => self.entries.push(Entry { before: None, fate }),
        }
        Ok(())
    }

    /// RFC 5626 §6: a request registers one flow; that is the one it came over.
    fn check_flows(&self) -> Result<(), Reject> {
        let made = self.entries.iter().filter_map(|entry| match &entry.fate {
            Fate::Becomes(binding) => Some(binding),
            Fate::Stays | Fate::Voided(_) | Fate::Goes => None,
        });
        let (mut all, mut flows) = (0, 0);
        for binding in made {
            all += 1;
            flows += usize::from(binding.reg_id > 0);
        }
        //= RFC 5626 6
        // "header field parameter, the entire registration SHOULD be rejected with a 400 (Bad"
        if flows > 0 && all > 1 { Err(Reject::Malformed("Contact")) } else { Ok(()) }
    }

    /// Since when temporary GRUUs of a device are good, if this request registers it.
    //= RFC 5627 5.1
    // "the registrar finds the one that was most recently registered, and"
    fn gruus_since(&mut self, device: &Device) -> Instant {
        let now = self.arrival.now;
        let live = self.entries.iter().filter_map(Entry::left);
        let same = live.filter(|binding| binding.instance == device.instance);
        let mut since = None;
        let mut last: Option<&Binding> = None;
        for binding in same {
            since = since.max(Some(binding.gruus_since));
            let counts = device.reg_id == 0 || binding.reg_id == device.reg_id;
            if counts && last.is_none_or(|last| last.refreshed <= binding.refreshed) {
                last = Some(binding);
            }
        }
        //= RFC 5627 5.1
        // "MUST invalidate all previously generated temporary GRUUs for the AOR"
        let goes_on = last.is_none_or(|last| *last.call_id == *self.request.call_id());
        if let (true, Some(since)) = (goes_on, since) {
            return since;
        }
        for entry in &mut self.entries {
            let other = entry.left().filter(|binding| binding.instance == device.instance);
            if let Some(binding) = other.filter(|_| matches!(entry.fate, Fate::Stays)) {
                entry.fate = Fate::Voided(Binding { gruus_since: now, ..binding.clone() });
            }
        }
        now
    }

    /// The binding time asked for, as far as it may be granted; 0 asks for removal.
    fn asked_s(&self, params: &Params<'_>) -> Result<u32, Reject> {
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

    /// What is taken off a binding time: chance enough, and the same for the same request.
    fn spread(&self, seconds: u32) -> u32 {
        let most = u64::from(seconds) * u64::from(self.settings.expires_spread_percent);
        let share = self.arrival.transaction % 1_001;
        (most * share / 100_000) as u32
    }

    /// The entry for a contact. One with the same text comes before one that is only equal:
    /// the comparison of URIs is not transitive (§19.1.4), so there may be several. A flow is found
    /// by its device and number; it also takes the place of the same contact without a flow.
    //= RFC 3261 10.3
    // "For each address, the registrar then searches the list of"
    fn find(&self, text: &[u8], uri: &Uri<'_>, device: &Device) -> Option<usize> {
        let is_flow = device.reg_id > 0;
        let place = |same: &dyn Fn(&Binding) -> bool| {
            self.entries.iter().position(|entry| entry.binding().is_some_and(same))
        };
        let same_flow = |known: &Binding| {
            is_flow && known.reg_id == device.reg_id && known.instance == device.instance
        };
        let may = |known: &Binding| !is_flow || known.reg_id == 0;
        let same_text = |known: &Binding| may(known) && *known.contact == *text;
        let same_uri = |known: &Binding| {
            may(known) && Uri::parse(&known.contact).is_ok_and(|other| equal(&other, uri))
        };
        place(&same_flow).or_else(|| place(&same_text)).or_else(|| place(&same_uri))
    }

    /// Whether this very request wrote an entry when it came the first time; an error if it is
    /// older than the entry. Other Call-IDs have no order among each other, and what the request
    /// itself has changed is no obstacle to it.
    //= RFC 3261 10.3
    // "the registrar compares the CSeq value.  If the value"
    fn wrote(&self, at: usize) -> Result<bool, Reject> {
        let Entry { before: Some(before), fate: Fate::Stays | Fate::Voided(_) } = &self.entries[at]
        else {
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
    fn binding(
        &mut self,
        contact: &NameAddr<'_>,
        device: Device,
        granted_s: u32,
    ) -> Result<Binding, Reject> {
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
        let expires = now + Duration::from_secs(u64::from(granted_s));
        let user_agent = user_agent.get(..limits::USER_AGENT_BYTES).unwrap_or(user_agent);
        Ok(Binding {
            contact: contact.uri.into(),
            params,
            gruus_since: self.gruus_since(&device),
            instance: device.instance,
            reg_id: device.reg_id,
            path: self.road.path.clone(),
            q: q.ok_or(Reject::Malformed("Contact"))?,
            expires,
            refreshed: now,
            lease_until: Binding::lease(now, expires),
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

    /// Whether nothing but the end of one binding moves, and not because less was asked for: what
    /// chance takes off does not count.
    fn is_refresh(&self) -> bool {
        let mut altered = self.entries.iter().filter(|entry| !matches!(entry.fate, Fate::Stays));
        let (Some(Entry { before: Some(before), fate: Fate::Becomes(new) }), None) =
            (altered.next(), altered.next())
        else {
            return false;
        };
        new.refreshes(before) && self.asked_until >= before.expires
    }

    fn finish(self, aor: &AddressOfRecord) -> Registration {
        let refresh = self.is_refresh();
        let (mut gone, mut put) = (Vec::new(), Vec::new());
        let (mut changes, mut bindings) = (Vec::new(), Vec::new());
        for Entry { before, fate } in self.entries {
            match (before, fate) {
                (None, Fate::Stays | Fate::Voided(_) | Fate::Goes) => {}
                (Some(before), Fate::Stays) => bindings.push(before.clone()),
                (Some(_), Fate::Voided(binding)) => {
                    bindings.push(binding.clone());
                    put.push(Write::PutBinding(aor.clone(), binding));
                }
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
                    if let Some(old) = before.filter(|old| old.key() != binding.key()) {
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
        let outbound = self.outbound;
        Registration { writes, changes, bindings, retransmission, outbound, refresh }
    }
}

/// The parameters that are kept as they are, such as `+sip.instance` and `reg-id`. A client cannot
/// name its own GRUUs (RFC 5627 §5.1).
fn kept_params(params: &Params<'_>) -> Box<[u8]> {
    let ours = [&b"q"[..], b"expires", b"pub-gruu", b"temp-gruu"];
    let mut kept = Vec::new();
    for (name, value) in params.iter() {
        if ours.iter().any(|known| name.eq_ignore_ascii_case(known)) {
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
pub(crate) fn thousandths(text: &[u8]) -> Option<u16> {
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
