//! The registrar's way through a partition (RFC 3261 §10.3): without a transaction, in the
//! partition that owns the address-of-record, and acknowledged only when the store has it.

use crate::address_of_record::AddressOfRecord;
use crate::answers::send_back_to;
use crate::binding::Binding;
use crate::boundary::{
    AuthFailure, CommitToken, Event, Outbox, Output, Question, RegistrationChange, Write,
};
use crate::flow::Flow;
use crate::identity::{Authentication, Caller, Claim, Side, Verdict};
use crate::keep_alive::Guard;
use crate::limits;
use crate::location::{AtRest, Lease, Proposal};
use crate::node::{Node, prove};
use crate::proxy::record_route;
use crate::registrar::{self, Arrival, Registration};
use crate::reject::Reject;
use crate::route::gruu;
use crate::route::ours::Ours;
use crate::status;
use crate::time::{Date, Duration, Instant};
use crate::waiting::Waiting;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ringway_wire::{Message, Name, StoredMessage};

/// A registration that is being committed.
#[derive(Debug)]
pub(crate) struct WaitingRegistration {
    request: StoredMessage,
    flow: Flow,
    aor: AddressOfRecord,
    proposal: Proposal,
    after: Vec<Binding>,
    outbound: bool,
    changes: Vec<(Box<[u8]>, RegistrationChange)>,
}

/// What the store was told without anybody waiting for it.
#[derive(Debug)]
pub(crate) struct Noted {
    writes: Vec<Write>,
    number: u64,
}

/// Why a 200 to a REGISTER may be sent: what it says outlives the process.
#[expect(dead_code, reason = "what is proved counts, not what is in it")]
enum Proof {
    /// The store has just kept it.
    Committed(CommitToken),
    /// What the store has is good for so long (`docs/decisions/0024-lease.md`).
    Leased(Lease),
    /// It changes nothing, and the store has all that is there.
    Unchanged(AtRest),
}

/// What the 200 to a REGISTER tells.
struct Granted<'a> {
    _proof: Proof,
    aor: &'a AddressOfRecord,
    bindings: &'a [Binding],
    /// A flow was registered.
    outbound: bool,
}

impl Granted<'_> {
    /// When this device registered last.
    fn last_heard(&self, instance: &[u8]) -> Instant {
        let same = self.bindings.iter().filter(|binding| *binding.instance == *instance);
        same.map(|binding| binding.refreshed).max().unwrap_or_default()
    }
}

impl Node {
    /// A REGISTER for one of our domains.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let to = request.to().map_err(|_| Reject::Malformed("To"))?;
        let to = to.uri().map_err(|_| Reject::Malformed("To"))?;
        //= RFC 3261 10.2
        // "This address-of-record MUST be a SIP URI or SIPS URI"
        if matches!(to, ringway_wire::Uri::Other { .. }) {
            return Err(Reject::Malformed("To"));
        }
        let aor = ours.address_of_record(&to);
        // Whom the request is for decides who must prove himself, whether he exists or not.
        let domain = match (&aor, request.uri()) {
            (Some(aor), _) => ours.snapshot.domains.get(aor.domain()).map(|domain| &**domain),
            (None, Ok(ringway_wire::Uri::Sip(uri))) => ours.domain(&uri.host),
            (None, _) => None,
        };
        let realm = domain.ok_or(Reject::NotOurDomain)?;
        let caller = Caller::by_flow(&self.snapshot, &flow);
        let keys = &self.setup.keys;
        let trusted = aor.as_ref().is_some_and(|aor| {
            caller.may_register(&self.snapshot, aor)
                || Caller::is_device((keys, &self.snapshot), &flow, aor)
        });
        let gate = Authentication { keys, snapshot: &self.snapshot, side: Side::Server, realm };
        let mut claim = None;
        if !trusted {
            let right = match gate.verify(now, &flow, request) {
                Verdict::Right(right) => right,
                other => return self.challenge(now, (flow, &gate), request, other, out),
            };
            let may = Caller::Account(right.account.clone());
            //= RFC 3261 10.3
            // "MUST return a 403 (Forbidden) and skip the remaining steps"
            if !aor.as_ref().is_some_and(|aor| may.may_register(&self.snapshot, aor)) {
                return Err(Reject::Forbidden);
            }
            claim = Some(right);
        }
        //= RFC 3261 10.3
        // "MUST send a 404 (Not Found) response and skip the remaining steps."
        let known = aor
            .filter(|aor| self.snapshot.accounts.find(aor).is_some_and(|account| account.enabled));
        let aor = known.ok_or(Reject::NoSuchUser)?;
        let followed = caller.may_register_others(&self.snapshot);
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        registrar::check_contacts(ours, request, (&flow, followed))?;
        self.bind(now, (flow, request), (aor, claim), out)
    }

    /// RFC 3261 §10.3 steps 6 to 8.
    fn bind(
        &mut self,
        now: Instant,
        (flow, request): (Flow, &Message<'_>),
        (aor, claim): (AddressOfRecord, Option<Claim>),
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let before = self.location.expected(&aor, now);
        let branch = request.top_via().ok().and_then(|via| via.branch()).unwrap_or_default();
        // A branch is enough for clients of today; older ones have none.
        let call_id = request.call_id();
        let cseq = request.cseq().map(|cseq| cseq.number).unwrap_or_default().to_be_bytes();
        let transaction = self.setup.keys.hash64(b"register", &[branch, call_id, &cseq]);
        if self.location.is_pending(&aor, transaction) {
            // The commit that is under way answers it.
            return Ok(());
        }
        let settings = &self.snapshot.settings;
        let arrival = Arrival { now, flow, transaction };
        let registration = registrar::register(settings, &aor, &before, request, arrival);
        // The very same request again brings the very same nonce count.
        let again = registration.as_ref().is_ok_and(|registration| registration.retransmission);
        if let Some(claim) = claim.filter(|_| !again)
            && !self.replay.spend(now, &claim.account, claim.nonce, claim.nc, claim.ends)
        {
            return self.refuse_replay(now, (flow, request), &aor, out);
        }
        prove(flow, request, out);
        let registration = registration?;
        if let Some(mut proof) = self.proof_at_hand(&aor, &registration) {
            let Registration { changes, bindings, outbound, .. } = registration;
            tell(&aor, changes, out);
            if let Proof::Leased(Lease { guard }) = &mut proof {
                let guard = guard.take();
                self.guard_elsewhere(now, guard, out);
            }
            let granted = Granted { _proof: proof, aor: &aor, bindings: &bindings, outbound };
            self.send_bindings(now, (flow, request), &granted, out);
            return Ok(());
        }
        let Registration { writes: own, changes, bindings: after, outbound, .. } = registration;
        // The answer tells what will be when all before it is kept. So it waits for that, and
        // what is not certain is written with it: should its own commit fail, this is still true.
        let mut writes = self.location.unsettled(&aor, now);
        if writes.len() > limits::UNSETTLED_CONTACTS_PER_AOR {
            self.note(now, writes, out);
            return Err(Reject::Overloaded);
        }
        let is_behind = self.location.under_way() >= limits::REGISTRATIONS_UNDER_WAY;
        if !own.is_empty() && (is_behind || self.is_draining()) {
            return Err(Reject::Overloaded);
        }
        writes.extend(own);
        let proposal = self.location.propose(aor.clone(), transaction, writes.clone());
        let request = request.to_stored();
        let waiting =
            WaitingRegistration { request, flow, aor, proposal, after, outbound, changes };
        self.ask(now, Question::Keep(writes), Waiting::Kept(Box::new(waiting)), out);
        Ok(())
    }

    /// What lets a REGISTER be answered at once; a refresh is visible then.
    fn proof_at_hand(
        &mut self,
        aor: &AddressOfRecord,
        registration: &Registration,
    ) -> Option<Proof> {
        let at_rest = self.location.at_rest(aor)?;
        match &registration.writes[..] {
            [] => Some(Proof::Unchanged(at_rest)),
            [Write::PutBinding(_, new)] if registration.refresh && !self.is_draining() => {
                self.location.lease(aor, new, at_rest).map(Proof::Leased)
            }
            _ => None,
        }
    }

    fn refuse_replay(
        &self,
        now: Instant,
        (flow, request): (Flow, &Message<'_>),
        aor: &AddressOfRecord,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let (user, source, reason) = (aor.user().into(), flow.remote, AuthFailure::Replay);
        out.event(Event::AuthFailed { user, source, reason });
        let realm = self.snapshot.domains.get(aor.domain()).map(|domain| &**domain);
        let gate = Authentication {
            keys: &self.setup.keys,
            snapshot: &self.snapshot,
            side: Side::Server,
            realm: realm.unwrap_or_default(),
        };
        self.challenge(now, (flow, &gate), request, Verdict::Stale, out)
    }

    /// The store has it. Only the token that proves this leads to the 200.
    pub(crate) fn on_kept(
        &mut self,
        now: Instant,
        mut waiting: WaitingRegistration,
        proof: CommitToken,
        out: &mut Outbox,
    ) {
        if !self.location.commit(waiting.proposal) {
            return self.refuse_not_kept(&waiting, out);
        }
        tell(&waiting.aor, core::mem::take(&mut waiting.changes), out);
        let over = waiting.after.iter().filter(|binding| binding.flow == waiting.flow);
        let longest = over.max_by_key(|binding| binding.expires);
        let guard = longest.and_then(|binding| Guard::of(binding, false));
        self.guard_elsewhere(now, guard, out);
        // A slow commit may take longer than a binding had left.
        waiting.after.retain(|binding| binding.expires > now);
        let WaitingRegistration { request, flow, aor, after, outbound, .. } = &waiting;
        let proof = Proof::Committed(proof);
        let granted = Granted { _proof: proof, aor, bindings: after, outbound: *outbound };
        self.send_bindings(now, (*flow, &request.message()), &granted, out);
    }

    /// Has the flow of a binding guarded.
    pub(crate) fn guard_elsewhere(&mut self, now: Instant, guard: Option<Guard>, out: &mut Outbox) {
        if let Some(guard) = guard {
            self.ask(now, Question::Guard(Box::new(guard)), Waiting::Guarded, out);
        }
    }

    /// The store does not have it, or does not say so in time: nothing has changed.
    pub(crate) fn on_not_kept(
        &mut self,
        now: Instant,
        waiting: WaitingRegistration,
        out: &mut Outbox,
    ) {
        let truth = self.location.withdraw(waiting.proposal, now);
        self.refuse_not_kept(&waiting, out);
        self.note(now, truth, out);
    }

    /// Tells the store something that nobody waits for.
    fn note(&mut self, now: Instant, writes: Vec<Write>, out: &mut Outbox) {
        if writes.is_empty() {
            return;
        }
        let number = self.location.doubt(&writes);
        let noted = Noted { writes: writes.clone(), number };
        self.ask(now, Question::Keep(writes), Waiting::Noted(Box::new(noted)), out);
    }

    /// The store has what it was told.
    pub(crate) fn on_noted(&mut self, noted: &Noted) {
        self.location.settled(&noted.writes, noted.number);
    }

    fn refuse_not_kept(&self, waiting: &WaitingRegistration, out: &mut Outbox) {
        self.refuse(waiting.flow, &waiting.request.message(), Reject::NotKept, out);
    }

    /// RFC 3261 §10.3 step 8, and what extensions add to it.
    fn send_bindings(
        &self,
        now: Instant,
        (flow, request): (Flow, &Message<'_>),
        granted: &Granted<'_>,
        out: &mut Outbox,
    ) {
        let keys = &self.setup.keys;
        let wants_gruus = registrar::supports(request, b"gruu");
        let mut response = self.respond(&mut out.bytes, request, status::OK, flow.remote);
        for binding in granted.bindings {
            response.header_with("Contact", |out| {
                registrar::write_contact(binding, now, out);
                if wants_gruus {
                    let made = granted.last_heard(&binding.instance);
                    gruu::write_params(keys, (granted.aor, binding), made, out);
                }
            });
        }
        //= RFC 3327 5.3
        // "preserving the order as indicated in the Path header field"
        for path in request.all(Name::Path) {
            response.header("Path", path);
        }
        let settings = &self.snapshot.settings;
        let mut within = None;
        if granted.outbound {
            //= RFC 5626 6
            // "outbound option-tag in a Require header field value in its response"
            response.header("Require", b"outbound");
            //= RFC 5626 6
            // "(Section 5.4).  Registrars with a direct flow with a UA MAY include a"
            // Behind an edge it is the edge that sees to the flow.
            let is_direct = request.values(Name::Via).nth(1).is_none();
            if flow.transport.is_reliable() && settings.flow_timer_s > 0 && is_direct {
                let seconds = alloc::format!("{}", settings.flow_timer_s);
                response.header("Flow-Timer", seconds.as_bytes());
                //= RFC 5626 5.4
                // "are received, etc.).  The server MUST wait for an amount of time"
                let silence = u64::from(settings.flow_timer_s) + u64::from(settings.flow_grace_s);
                within = Some(Duration::from_secs(silence));
            }
        }
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        if let Some(listener) = ours.listener(&flow).filter(|_| settings.service_route) {
            response.header("Service-Route", &record_route::service_route(listener));
        }
        //= RFC 3261 10.3
        // "The response SHOULD include a Date header field."
        response.header("Date", alloc::format!("{}", Date(now)).as_bytes());
        let bytes = response.finish(None);
        send_back_to(flow, request, bytes, out);
        out.outputs.extend(within.map(|within| Output::Expect { flow, within }));
    }

    /// Takes out what has ended.
    pub(crate) fn expire_bindings(&mut self, now: Instant, out: &mut Outbox) {
        if self.location.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        let mut leased = Vec::new();
        self.location.expire(now, |aor, binding| {
            // Who takes it back finds nothing; so the store must not bring it back either.
            if binding.lease_until > now {
                leased.push((aor.clone(), binding.clone()));
            }
            let (aor, contact) = (aor.clone(), binding.contact);
            let change = RegistrationChange::Expired;
            out.event(Event::Registration { aor, contact, change });
        });
        let truth = leased
            .iter()
            .flat_map(|(aor, binding)| self.location.truth(aor, [binding.key()].into(), now));
        let truth = truth.collect();
        self.note(now, truth, out);
    }

    /// A connection ended: whoever registered over it cannot be reached any more.
    pub(crate) fn on_flow_closed(&mut self, now: Instant, flow: Flow, out: &mut Outbox) {
        let mut writes = Vec::new();
        let undone = self.location.flow_closed(flow.connection, |aor, binding| {
            writes.push(Write::DropBinding(aor.clone(), binding.key().into()));
            let (aor, contact) = (aor.clone(), binding.contact);
            let change = RegistrationChange::FlowClosed;
            out.event(Event::Registration { aor, contact, change });
        });
        writes.extend(undone);
        self.note(now, writes, out);
        self.requests_lost(now, &flow, out);
        self.callers_lost(now, &flow, out);
    }

    /// The administrator removed the account.
    pub(crate) fn forget(&mut self, aor: &AddressOfRecord, out: &mut Outbox) {
        for binding in self.location.forget(aor) {
            let (aor, contact) = (aor.clone(), binding.contact);
            let change = RegistrationChange::Removed;
            out.event(Event::Registration { aor, contact, change });
        }
    }

    /// All users and their bindings, in order of their names.
    pub fn bindings(&self) -> Vec<(&AddressOfRecord, &[Binding])> {
        self.location.sorted()
    }

    /// The bindings for a node that takes over from this one. What the store may not have goes with
    /// the old node; so nothing is leased there that was not at rest here.
    pub fn survivors(&self) -> impl Iterator<Item = (&AddressOfRecord, Binding)> {
        self.bindings().into_iter().flat_map(|(aor, bindings)| {
            let at_rest = self.location.at_rest(aor).is_some();
            bindings.iter().cloned().map(move |binding| match at_rest {
                true => (aor, binding),
                false => (aor, binding.without_lease()),
            })
        })
    }
}

fn tell(aor: &AddressOfRecord, changes: Vec<(Box<[u8]>, RegistrationChange)>, out: &mut Outbox) {
    for (contact, change) in changes {
        out.event(Event::Registration { aor: aor.clone(), contact, change });
    }
}

/// What the challenge of a replayed nonce count says, for requests that have a context.
impl Node {
    pub(crate) fn refuse_replayed(
        &mut self,
        now: Instant,
        id: crate::arena::Id<crate::proxy::response_context::ResponseContext>,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find(id) else { return };
        let (server, flow) = (context.server, context.flow);
        let Some(request) = context.request() else { return };
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let from = request.from().ok().and_then(|from| from.uri().ok());
        let aor = from.and_then(|uri| ours.address_of_record(&uri));
        let realm = match &aor {
            Some(aor) => ours.snapshot.domains.get(aor.domain()).map(|domain| &**domain),
            None => ours.default_domain(),
        };
        let user = aor.as_ref().map(|aor| aor.user().into()).unwrap_or_default();
        out.event(Event::AuthFailed { user, source: flow.remote, reason: AuthFailure::Replay });
        let gate = Authentication {
            keys: &self.setup.keys,
            snapshot: &self.snapshot,
            side: Side::Proxy,
            realm: realm.unwrap_or_default(),
        };
        let bytes = self.write_challenge(now, (flow, &gate), &request, true, &mut out.bytes);
        let status = gate.side.reject().status();
        self.shut(id);
        self.reply(now, (id, server), crate::servers::Outgoing { status, bytes }, out);
    }
}
