//! What must hold of registrations: what was acknowledged is kept, and what was taken back is
//! gone, also after a restart.

use crate::random::watch::{Asked, Broken, Key, key};
use crate::scenario::sip::{Sip, param, uri_of};
use crate::world::World;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::flow::Flow;
use ringway_core::time::Instant;
use std::collections::BTreeMap;

/// A contact of a user, as texts.
type Place = (String, String);

/// What was promised.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// Contacts that were acknowledged.
    kept: BTreeMap<Place, Promise>,
    /// Contacts whose end was acknowledged: the Call-ID and CSeq number of the REGISTER.
    gone: BTreeMap<Place, (String, u32)>,
    /// All REGISTERs, in the order they came in; the repeated ones, too.
    history: Vec<Ask>,
    /// Refreshes that were answered without a commit.
    pub(crate) leased: u64,
}

/// A REGISTER as it came in.
#[derive(Debug)]
struct Ask {
    transaction: Key,
    user: String,
    contacts: Vec<String>,
}

impl Ask {
    fn new(sip: &Sip) -> Self {
        let contacts = sip.all("Contact").into_iter().map(|contact| uri_of(contact).to_owned());
        Self { transaction: key(sip, 0), user: user_of(sip), contacts: contacts.collect() }
    }

    /// Whether it is about this place.
    fn means(&self, place: &Place) -> bool {
        let named = |contact: &String| *contact == place.1 || contact == "*";
        self.user == place.0 && self.contacts.iter().any(named)
    }
}

#[derive(Debug)]
struct Promise {
    call_id: String,
    until: Instant,
    since: Instant,
    /// Which way leads there.
    flow: Flow,
    /// A later request may or may not have changed it; or its connection may have ended.
    uncertain: bool,
}

impl Promise {
    /// What an acknowledged binding promises.
    fn of(world: &World, call_id: &str, binding: &Binding) -> Self {
        let transport = world.server().listeners()[usize::from(binding.flow.socket.0)].transport;
        Self {
            call_id: call_id.to_owned(),
            until: binding.expires,
            since: world.now(),
            flow: binding.flow,
            uncertain: transport.is_reliable(),
        }
    }
}

impl Promises {
    /// A REGISTER comes in: what it is about is uncertain until it is answered.
    pub(crate) fn asked(&mut self, sip: &Sip) {
        let (ask, cseq) = (Ask::new(sip), sip.cseq());
        let call_id = sip.get("Call-ID").unwrap_or_default();
        for (_, promise) in self.kept.iter_mut().filter(|(place, _)| ask.means(place)) {
            promise.uncertain = true;
        }
        // One that overtook an older one left nothing behind by which that is known to be older
        // (RFC 3261 §10.3 step 7 compares with a binding that exists).
        self.gone
            .retain(|place, (id, number)| !ask.means(place) || id == call_id && *number == cseq);
        self.history.push(ask);
    }

    /// A 200 to a REGISTER goes out.
    pub(crate) fn acknowledged(
        &mut self,
        world: &World,
        asked: &Asked,
        response: &Sip,
    ) -> Result<(), Broken> {
        let (user, id) = (user_of(&asked.sip), asked.sip.get("Call-ID").unwrap_or_default());
        let broken = |what: String| Err(Broken::new(id, format!("200 to REGISTER: {what}")));
        if !asked.trusted {
            return broken("to a stranger".into());
        }
        let said: BTreeMap<&str, u64> =
            response.all("Contact").into_iter().map(|c| (uri_of(c), expires(c))).collect();
        for contact in said.keys() {
            if self.gone.contains_key(&(user.clone(), (*contact).to_owned())) {
                return broken(format!("{contact} came back"));
            }
        }
        let number = asked.sip.cseq();
        let transaction = key(&asked.sip, 0);
        for value in asked.sip.all("Contact") {
            let contact = uri_of(value);
            let place = (user.clone(), contact.to_owned());
            let stored = on_disk(world, &place);
            if contact == "*" {
                let mine = self.kept.keys().filter(|place| place.0 == user);
                let mine: Vec<_> =
                    mine.filter(|place| !self.asked_since(place, &transaction)).cloned().collect();
                for place in mine {
                    self.kept.remove(&place);
                    self.gone.insert(place, (id.to_owned(), number));
                }
                continue;
            }
            if self.asked_since(&place, &transaction) {
                continue;
            }
            if expires(value) == 0 {
                if said.contains_key(contact) || stored.is_some() {
                    return broken(format!("{contact} was taken back and is still there"));
                }
                self.kept.remove(&place);
                self.gone.insert(place, (id.to_owned(), number));
                continue;
            }
            let Some(stored) = stored else {
                // It was kept, and ended before this answer, which is a repeated one.
                let ended = |promise: &Promise| promise.until <= world.now();
                if !said.contains_key(contact) && self.kept.get(&place).is_some_and(ended) {
                    continue;
                }
                return broken(format!("{contact} is not in the store"));
            };
            let visible = match self.covered((world, &place), stored, said.get(contact)) {
                Ok(visible) => visible,
                Err(what) => return broken(format!("{contact} {what}")),
            };
            if !asked.from.contains(&stored.flow.remote) {
                let (remote, from) = (stored.flow.remote, &asked.from);
                return broken(format!("{contact} is kept at {remote}, and was at {from:?}"));
            }
            let promise = Promise::of(world, id, visible.as_ref().unwrap_or(stored));
            self.kept.insert(place, promise);
        }
        Ok(())
    }

    /// What is visible of a binding that was acknowledged; nothing if its connection has ended
    /// since. A refresh may be answered by the lease of what is in the store.
    fn covered(
        &mut self,
        (world, place): (&World, &Place),
        stored: &Binding,
        said: Option<&u64>,
    ) -> Result<Option<Binding>, String> {
        let left = |until: Instant| until.since(world.now()).as_micros().div_ceil(1_000_000);
        let Some(visible) = shown(world, place) else {
            let is_covered = said.is_some_and(|said| *said <= left(stored.lease_until));
            return match stored.flow.transport.is_reliable() && is_covered {
                true => Ok(None),
                false => Err(format!("is not visible, and was {said:?}: {stored:?}")),
            };
        };
        if said != Some(&left(visible.expires)) {
            return Err(format!("has {} s here, not {said:?}", left(visible.expires)));
        }
        if visible.expires > stored.lease_until || !visible.refreshes(stored) {
            return Err(format!("is {visible:?}, and in the store {stored:?}"));
        }
        self.leased += u64::from(visible.expires != stored.expires);
        Ok(Some(visible))
    }

    /// Whether another request was about this place since this one came in first.
    fn asked_since(&self, place: &Place, transaction: &Key) -> bool {
        let first = self.history.iter().position(|ask| ask.transaction == *transaction);
        let since = &self.history[first.unwrap_or(0)..];
        since.iter().any(|ask| ask.transaction != *transaction && ask.means(place))
    }

    /// All promises hold now.
    pub(crate) fn hold(&self, world: &World) -> Result<(), Broken> {
        for (place, promise) in &self.kept {
            if promise.uncertain || promise.until <= world.now() {
                continue;
            }
            let found = shown(world, place);
            if found.as_ref().map(|binding| binding.expires) != Some(promise.until) {
                let what = format!("{place:?} was acknowledged, and there is {found:?}");
                return Err(Broken::new(&promise.call_id, what));
            }
        }
        for (place, (call_id, _)) in &self.gone {
            if let Some(found) = shown(world, place) {
                let what = format!("{place:?} was taken back, and there is {found:?}");
                return Err(Broken::new(call_id, what));
            }
        }
        Ok(())
    }

    /// Whether a copy of a request that came then goes to a contact that had registered from
    /// elsewhere.
    pub(crate) fn leads_elsewhere(
        &self,
        world: &World,
        (flow, request): (&Flow, &Sip),
        since: Instant,
    ) -> bool {
        let place = (user_of(request), request.uri().to_owned());
        let sure = |promise: &&Promise| {
            !promise.uncertain && promise.until > world.now() && promise.since < since
        };
        let promise = self.kept.get(&place).filter(sure);
        // A large one goes over a stream to the same place.
        promise.is_some_and(|promise| promise.flow.remote != flow.remote)
    }

    /// A contact of the user that a response is about which has been there at least since then.
    pub(crate) fn somebody(&self, world: &World, sip: &Sip, since: Instant) -> Option<&str> {
        let user = user_of(sip);
        let there = |(place, promise): &(&Place, &Promise)| {
            let sure = !promise.uncertain && promise.until > world.now();
            place.0 == user && sure && promise.since < since
        };
        self.kept.iter().find(there).map(|(place, _)| place.1.as_str())
    }

    /// What has ended is no promise any more, whatever the clock will say.
    pub(crate) fn forget_ended(&mut self, now: Instant) {
        self.kept.retain(|_, promise| promise.until > now);
    }

    /// The server starts anew: what it has of a binding is good until the end of its lease, and
    /// never for a shorter time than was acknowledged.
    pub(crate) fn restarted(&mut self, world: &World, longest: Instant) {
        for (place, promise) in &mut self.kept {
            let lease = on_disk(world, place).map_or(promise.until, |stored| stored.lease_until);
            promise.until = promise.until.max(lease.min(longest));
        }
    }

    /// The server starts under another clock: what has ended by it may come back or not, and
    /// nothing lives longer than it could have been given now.
    pub(crate) fn clock_was_set(&mut self, world: &World, longest: Instant) {
        self.gone.clear();
        self.kept.retain(|place, promise| {
            let stored = on_disk(world, place).map_or(promise.until, |stored| stored.lease_until);
            promise.until = stored.min(longest);
            promise.until > world.now()
        });
    }

    /// The account is gone, and with it its contacts.
    pub(crate) fn forget(&mut self, user: &str) {
        self.kept.retain(|place, _| place.0 != user);
    }
}

fn user_of(sip: &Sip) -> String {
    sip.get("To").map(uri_of).unwrap_or_default().trim_start_matches("sip:").to_owned()
}

/// The binding time in a Contact, in seconds.
fn expires(contact: &str) -> u64 {
    let after = &contact[contact.rfind('>').unwrap_or(0)..];
    param(after, "expires").and_then(|text| text.parse().ok()).unwrap_or(3_600)
}

fn on_disk<'w>(world: &'w World, place: &Place) -> Option<&'w Binding> {
    let aor = AddressOfRecord::from_text(&place.0)?;
    let mine = |(owner, binding): &(&AddressOfRecord, &Binding)| {
        **owner == aor && *binding.contact == *place.1.as_bytes()
    };
    let found = world.disk.bindings().find(mine).map(|(_, binding)| binding);
    found.filter(|binding| binding.lease_until > world.now())
}

/// The binding as callers see it.
fn shown(world: &World, place: &Place) -> Option<Binding> {
    let aor = AddressOfRecord::from_text(&place.0)?;
    let all = world.server().nodes().iter().flat_map(|node| node.locate(&aor, world.now()));
    all.into_iter().find(|binding| *binding.contact == *place.1.as_bytes())
}
