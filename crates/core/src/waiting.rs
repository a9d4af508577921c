//! Who waits for which answer, until when. The reasons to wait are few, and all are here.

use crate::arena::Id;
use crate::boundary::{Answer, AskId, Outbox, Output, Question};
use crate::limits;
use crate::node::{Node, Timer};
use crate::proxy::ack::WaitingAck;
use crate::proxy::follow::Following;
use crate::proxy::response_context::ResponseContext;
use crate::proxy::stateless::WaitingPassing;
use crate::role::register::{Noted, WaitingRegistration};
use crate::route::plan::PlannedBranch;
use crate::route::rules::Service;
use crate::time::Instant;
use crate::timers::TimerId;
use alloc::boxed::Box;

/// What goes on when the answer is there.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A request whose nonce count is being spent.
    Spent {
        /// Its context.
        context: Id<ResponseContext>,
    },
    /// A request whose user is being located.
    Located {
        /// Its context.
        context: Id<ResponseContext>,
        /// How its domain is served.
        service: Service,
    },
    /// A group whose contacts are being looked up again.
    LookedAgain {
        /// Its context.
        context: Id<ResponseContext>,
    },
    /// A branch whose next hop is being looked up.
    Resolved {
        /// Its context.
        context: Id<ResponseContext>,
        /// Which branch.
        branch: usize,
        /// What it was planned as.
        planned: PlannedBranch,
        /// Its share of Max-Breadth.
        share: u32,
    },
    /// An ACK whose next hop is being looked up, or its device located.
    Ack(Box<WaitingAck>),
    /// A request that passes without state, whose user is being located, or next hop looked up.
    Passing(Box<WaitingPassing>),
    /// A registration that is being committed.
    Kept(Box<WaitingRegistration>),
    /// A request that a phone redirected to users who are being located.
    Following(Box<Following>),
    /// A flow that somebody else looks after; what comes of it is of no interest.
    Guarded,
    /// A change nobody waits for; only its failure is of interest.
    Noted(Box<Noted>),
}

/// One open question.
#[derive(Debug)]
pub(crate) struct Open {
    waiting: Waiting,
    deadline: TimerId,
}

impl Node {
    /// Asks. What this partition itself knows is answered at once.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        question: Question,
        waiting: Waiting,
        out: &mut Outbox,
    ) {
        if question.owner(&self.setup.keys).is_some_and(|home| self.is_home(home)) {
            let answer = self.know(now, question);
            return self.go_on(now, waiting, answer, out);
        }
        if self.open.len() >= limits::ASKS {
            return self.go_on(now, waiting, Answer::Failed, out);
        }
        self.last_ask += 1;
        let ask = AskId(self.last_ask);
        let deadline = self.timers.schedule(now + limits::ASK_DEADLINE, Timer::Ask(ask));
        self.open.insert(ask, Open { waiting, deadline });
        out.outputs.push(Output::Ask { ask, question });
    }

    /// An answer came, or the time for it is over. One that nobody waits for is too late.
    pub(crate) fn on_answer(&mut self, now: Instant, ask: AskId, answer: Answer, out: &mut Outbox) {
        if let Some(open) = self.open.remove(&ask) {
            self.timers.cancel(open.deadline);
            self.go_on(now, open.waiting, answer, out);
        }
    }

    /// Answers from what this partition owns.
    pub(crate) fn know(&mut self, now: Instant, question: Question) -> Answer {
        match question {
            Question::Locate(aor) => Answer::Located(self.location.live(&aor, now)),
            Question::Spend { account, nonce, nc, ends } => {
                Answer::Spent(self.replay.spend(now, &account, nonce, nc, ends))
            }
            Question::Guard(guard) => self.guard(now, *guard),
            Question::Keep(_) | Question::Resolve(_) => Answer::Failed,
        }
    }

    fn go_on(&mut self, now: Instant, waiting: Waiting, answer: Answer, out: &mut Outbox) {
        match (waiting, answer) {
            (Waiting::Spent { context }, Answer::Spent(fresh)) => {
                self.on_spent(now, context, fresh, out);
            }
            (Waiting::Located { context, service }, Answer::Located(bindings)) => {
                self.on_located(now, (context, service), &bindings, out);
            }
            (Waiting::Spent { context } | Waiting::Located { context, .. }, _) => {
                self.no_answer(now, context, out);
            }
            (Waiting::LookedAgain { context }, Answer::Located(bindings)) => {
                self.on_looked_again(now, context, Some(&bindings), out);
            }
            (Waiting::LookedAgain { context }, _) => {
                self.on_looked_again(now, context, None, out);
            }
            (Waiting::Resolved { context, branch, planned, share }, answer) => {
                let flows = match answer {
                    Answer::Resolved(flows) => flows,
                    _ => alloc::vec::Vec::new(),
                };
                self.on_resolved(now, (context, branch), (&planned, share), &flows, out);
            }
            (Waiting::Ack(ack), Answer::Located(bindings)) => {
                self.on_ack_located(now, &ack, &bindings, out);
            }
            (Waiting::Ack(ack), Answer::Resolved(flows)) => self.on_ack_resolved(&ack, &flows, out),
            (Waiting::Passing(passing), Answer::Located(bindings)) => {
                self.on_passing_located(now, &passing, &bindings, out);
            }
            (Waiting::Passing(passing), Answer::Resolved(flows)) => {
                self.on_passing_resolved(&passing, &flows, out);
            }
            (Waiting::Passing(passing), _) => self.on_passing_unknown(&passing, out),
            (Waiting::Following(following), Answer::Located(bindings)) => {
                self.on_followed(now, *following, &bindings, out);
            }
            (Waiting::Following(following), _) => self.on_followed(now, *following, &[], out),
            (Waiting::Noted(noted), Answer::Kept(_)) => self.on_noted(&noted),
            (Waiting::Ack(_) | Waiting::Noted(_) | Waiting::Guarded, _) => {}
            (Waiting::Kept(registration), Answer::Kept(token)) => {
                self.on_kept(now, *registration, token, out);
            }
            (Waiting::Kept(registration), _) => self.on_not_kept(now, *registration, out),
        }
    }
}
