//! RFC 3261 §16.7: what the branches of one request answered, and which answer goes back.

use crate::address_of_record::AddressOfRecord;
use crate::arena::Id;
use crate::calls::CallKey;
use crate::clients::Client;
use crate::flow::Flow;
use crate::proxy::log_in::BranchLogin;
use crate::proxy::next_address::Untried;
use crate::reject::Reject;
use crate::route::own_route::OwnRoute;
use crate::route::plan::{Group, PlannedBranch};
use crate::servers::Server;
use crate::status;
use crate::timers::TimerId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ringway_wire::{Message, StoredMessage};

/// All that belongs to one forwarded request: the request, its branches, their answers.
#[derive(Debug)]
pub(crate) struct ResponseContext {
    /// The server transaction that the answers go to.
    pub(crate) server: Id<Server>,
    /// Where the request came from.
    pub(crate) flow: Flow,
    /// The account that proved to have sent it.
    pub(crate) caller: Option<AddressOfRecord>,
    /// Whether a peer of our trust domain proved to have sent it.
    pub(crate) trusted: bool,
    /// The request as received; gone once a final response went back.
    pub(crate) request: Option<StoredMessage>,
    /// How many Record-Route entries it had.
    pub(crate) record_routes: usize,
    /// What its Route headers said.
    pub(crate) route: OwnRoute,
    /// Whether it is an INVITE.
    pub(crate) is_invite: bool,
    /// How many branches may be open at the same time (RFC 5393 §5.3.3).
    pub(crate) breadth: u32,
    /// Groups that were not tried yet.
    pub(crate) groups: VecDeque<Group>,
    /// What to answer if there was nothing to try.
    pub(crate) otherwise: Reject,
    /// The users that redirections led to.
    pub(crate) followed: Vec<AddressOfRecord>,
    /// The contacts that were tried, where redirections are followed: none is tried twice.
    pub(crate) tried: Vec<PlannedBranch>,
    /// The contacts of the next group are being looked up again.
    pub(crate) looking_again: bool,
    /// The branches tried so far.
    pub(crate) branches: Vec<Branch>,
    /// A final response has gone back.
    pub(crate) answered: bool,
    /// No further branches: the caller gave up, or somebody answered for all.
    pub(crate) closed: bool,
    /// The caller sent a CANCEL.
    pub(crate) cancelled: bool,
    /// When the group that rings now gives way to the next.
    pub(crate) group_timer: Option<TimerId>,
    /// The call in the live view that this INVITE began.
    pub(crate) call: Option<CallKey>,
}

/// One branch.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Its client transaction.
    pub(crate) client: Option<Id<Client>>,
    /// How far it is.
    pub(crate) state: BranchState,
    /// The next Timer C of an INVITE (§16.6 step 11).
    pub(crate) timer_c: Option<TimerId>,
    /// What else can be tried in its place; gone once it is cancelled.
    pub(crate) untried: Option<Box<Untried>>,
    /// What is needed to log in where it goes, if that is a peer that may ask for it.
    pub(crate) login: Option<Box<BranchLogin>>,
}

impl Branch {
    /// Whether it ended without the word of anybody who would know the user.
    fn reached_nobody(&self) -> bool {
        match &self.state {
            BranchState::Done(Outcome::Local(_) | Outcome::TimedOut | Outcome::Followed) => true,
            BranchState::Done(Outcome::Response { status, .. }) => {
                *status == status::REQUEST_TIMEOUT || (500..600).contains(status)
            }
            _ => false,
        }
    }
}

/// How far a branch is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BranchState {
    /// Its next hop is being looked up.
    Locating,
    /// Sent, nothing heard.
    Calling {
        /// A CANCEL goes out with the first provisional response (§9.1).
        cancel: bool,
    },
    /// Nothing was heard for so long that another address is tried beside it. Nobody waits for it
    /// any more, but its answer counts.
    Silent {
        /// Its group has rung long enough: a CANCEL goes out if it speaks up after all (§9.1).
        cancel: bool,
    },
    /// A provisional response came.
    Proceeding,
    /// A provisional response came, and a CANCEL was sent.
    Cancelling,
    /// It is over.
    Done(Outcome),
}

/// How a branch ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With this response, our Via already taken off.
    Response {
        /// Its status.
        status: u16,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
    /// Without one: we say this in its place.
    Local(Reject),
    /// No response within the transaction's time: as good as a 408 (§16.8).
    TimedOut,
    /// A 2xx went back as it came.
    Answered,
    /// It redirected, and others are asked in its place; or it wanted to know who we are, and gets
    /// the request once more.
    Followed,
}

impl BranchState {
    /// Whether nobody waits for it.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Done(_))
    }
}

/// What to send back when all branches are done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Best {
    /// The response of this branch.
    Response(usize),
    /// A refusal of our own.
    Local(Reject),
    /// All branches timed out.
    TimedOut,
}

impl ResponseContext {
    /// The request, until it is answered.
    pub(crate) fn request(&self) -> Option<Message<'_>> {
        self.request.as_ref().map(StoredMessage::message)
    }

    /// A branch that was not sent yet will not be.
    pub(crate) fn drop_unsent(&mut self) {
        for branch in &mut self.branches {
            if matches!(branch.state, BranchState::Locating) {
                branch.state = BranchState::Done(Outcome::TimedOut);
            }
        }
    }

    /// Whether every branch has ended.
    pub(crate) fn all_done(&self) -> bool {
        self.branches.iter().all(|b| b.state.is_done())
    }

    /// Whether there is a group to try and its time has come: every branch has ended or been given
    /// up. One that never answered cannot be cancelled (§9.1); nobody waits for it, unless its
    /// share of the breadth is needed.
    pub(crate) fn is_next_groups_turn(&self) -> bool {
        let Some(next) = self.groups.front() else { return false };
        if next.is_substitute && !self.branches.iter().all(Branch::reached_nobody) {
            return false;
        }
        let over = |b: &Branch| {
            b.state.is_done() || matches!(b.state, BranchState::Calling { cancel: true })
        };
        let fits = self.breadth.saturating_sub(self.open()) >= next.branches.len() as u32;
        self.all_done() || fits && self.branches.iter().all(over)
    }

    /// How many branches are open.
    pub(crate) fn open(&self) -> u32 {
        self.branches.iter().filter(|b| !b.state.is_done()).count() as u32
    }

    /// Whether a 6xx came: nobody else is asked then (§16.7 step 5).
    pub(crate) fn has_6xx(&self) -> bool {
        let is_6xx = |b: &Branch| {
            matches!(b.state, BranchState::Done(Outcome::Response { status: 600..=699, .. }))
        };
        self.branches.iter().any(is_6xx)
    }

    /// §16.7 step 6: the best final response. A peer's own word goes before ours.
    pub(crate) fn best(&self) -> Best {
        let responses = self.branches.iter().enumerate().filter_map(|(at, b)| match b.state {
            BranchState::Done(Outcome::Response { status, .. }) => Some((rank(status), at)),
            _ => None,
        });
        // A real answer says more than our guess that nobody answered.
        if let Some((_, at)) = responses.min() {
            return Best::Response(at);
        }
        match self.local() {
            Some(reject) => Best::Local(reject),
            None if self.branches.is_empty() => Best::Local(self.otherwise),
            None => Best::TimedOut,
        }
    }

    fn local(&self) -> Option<Reject> {
        let local = self.branches.iter().filter_map(|b| match b.state {
            BranchState::Done(Outcome::Local(reject)) => Some(reject),
            _ => None,
        });
        local.min_by_key(|reject| rank(reject.status()))
    }
}

/// Lower is better: 6xx, then the lowest class, then within 4xx what helps the caller to try
/// again in another way (§16.7 step 6).
//= RFC 3261 16.7
// "It MUST choose from the 6xx class responses if any exist in the context."
fn rank(status: u16) -> (u8, u8) {
    //= RFC 3261 16.7
    // "It MUST choose from the 6xx"
    let class = match status {
        600..=699 => 0,
        300..=399 => 1,
        400..=499 => 2,
        _ => 3,
    };
    //= RFC 3261 16.7
    // "responses that provide information affecting resubmission of this request"
    let helps = match status {
        status::UNAUTHORIZED | status::PROXY_AUTHENTICATION_REQUIRED => 0,
        status::UNSUPPORTED_MEDIA_TYPE | status::BAD_EXTENSION | status::ADDRESS_INCOMPLETE => 1,
        // A 503 says something about one server, not about the user.
        status::SERVICE_UNAVAILABLE => 4,
        // Others say more about the user than that nobody answered, or that we cancelled.
        status::REQUEST_TIMEOUT | status::REQUEST_TERMINATED | status::FLOW_FAILED => 3,
        _ => 2,
    };
    (class, helps)
}
