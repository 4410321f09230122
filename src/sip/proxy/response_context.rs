//! The branches of one forwarded request, and what each response to them means upstream (RFC 3261 §16.7 to §16.10).

use std::ops::RangeInclusive;

use smallvec::SmallVec;

use crate::sip::{EditError, HeaderId, Message};

/// What is to be done after something happened, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The response goes upstream now.
    Forward,
    /// The branch is cancelled; its transaction waits with the CANCEL until the next hop has answered (§9.1).
    Cancel(usize),
    /// No branch is under way and nothing final went upstream: the next targets are tried, or the best response goes.
    Exhausted,
}

/// The actions after one event.
pub type Actions = SmallVec<[Action; 4]>;

/// Why a branch ended without a final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchOutcome {
    /// Nothing final came in time (§16.8).
    Timeout,
    /// It could not be sent (§16.9).
    Unreachable,
    /// It was not sent, and this status says why.
    Refused(u16),
    /// The script did not want it: it counts for nothing.
    Skipped,
}

/// Which response is the best (§16.7 step 6).
#[derive(Clone, Debug)]
pub enum Best<'c> {
    /// One that a branch received, with this status to go upstream.
    Received(&'c Message, u16),
    /// None was received; this status is ours.
    Own(u16),
}

impl Best<'_> {
    /// The status as it was received, or as it is ours.
    pub fn found_status(&self) -> u16 {
        match self {
            Self::Received(response, upstream) => response.status().unwrap_or(*upstream),
            Self::Own(status) => *status,
        }
    }
}

/// The branches of one request.
#[derive(Debug)]
pub struct ResponseContext {
    branches: SmallVec<[Branch; 1]>,
    is_invite: bool,
    /// A final response went upstream.
    is_answered: bool,
    /// The caller has given up.
    is_cancelled: bool,
    /// A 6xx came: nothing more is tried (§16.7 step 5).
    is_refused_everywhere: bool,
}

#[derive(Debug, Default)]
struct Branch {
    /// Nothing more is expected of it.
    is_final: bool,
    outcome: Option<BranchOutcome>,
    /// The last final response, unless it went upstream.
    response: Option<Box<Message>>,
    /// Something came back.
    is_heard: bool,
    /// Its answer is not wanted any longer.
    is_cancelled: bool,
}

/// What statuses are worth to the caller, 0 the most; the first row that holds a status counts (§16.7 step 6).
///
/// A 6xx decides. Then the lowest class, in the 4xx class first what tells the caller how to try again; a 408 or 487
/// says less than any answer of a user, and a 503 less than any other.
const WORTH: &[(RangeInclusive<u16>, u8)] = &[
    (600..=699, 0),
    (300..=399, 1),
    (401..=401, 2),
    (407..=407, 2),
    (415..=415, 2),
    (420..=420, 2),
    (484..=484, 2),
    (408..=408, 4),
    (487..=487, 5),
    (400..=499, 3),
    (503..=503, 7),
    (500..=599, 6),
];

fn rank(status: u16) -> u8 {
    let row = WORTH.iter().find(|(statuses, _)| statuses.contains(&status));
    row.map_or(u8::MAX, |(_, rank)| *rank)
}

impl ResponseContext {
    /// The context of a request that no branch has left for.
    pub fn new(is_invite: bool) -> Self {
        Self {
            branches: SmallVec::new(),
            is_invite,
            is_answered: false,
            is_cancelled: false,
            is_refused_everywhere: false,
        }
    }

    /// Adds a branch that is about to be sent.
    pub fn add(&mut self) -> usize {
        self.branches.push(Branch::default());
        self.branches.len() - 1
    }

    /// How many branches there were.
    pub fn len(&self) -> usize {
        self.branches.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// May further targets be tried? Not after an answer, a 6xx or the caller's CANCEL.
    pub fn may_grow(&self) -> bool {
        !(self.is_answered || self.is_cancelled || self.is_refused_everywhere)
    }

    /// The caller has given up.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// A final response went upstream.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// A 6xx came.
    pub fn is_refused_everywhere(&self) -> bool {
        self.is_refused_everywhere
    }

    /// Is this branch without a final response and wanted?
    pub fn is_open(&self, branch: usize) -> bool {
        self.branches.get(branch).is_some_and(|branch| !branch.is_final && !branch.is_cancelled)
    }

    /// Does any branch wait for its final response?
    pub fn is_pending(&self) -> bool {
        self.branches.iter().any(|branch| !branch.is_final)
    }

    /// Did any response come?
    pub fn any_replied(&self) -> bool {
        self.branches.iter().any(|branch| branch.is_heard)
    }

    /// Did a response of this branch come?
    pub fn has_replied(&self, branch: usize) -> bool {
        self.branches.get(branch).is_some_and(|branch| branch.is_heard)
    }

    /// Did this branch time out?
    pub fn has_timed_out(&self, branch: usize) -> bool {
        let outcome = self.branches.get(branch).and_then(|branch| branch.outcome);
        outcome == Some(BranchOutcome::Timeout)
    }

    /// Did this branch end without a final response?
    pub fn is_local(&self, branch: usize) -> bool {
        self.branches.get(branch).is_some_and(|branch| branch.response.is_none())
    }

    /// Did every branch end without a final response?
    pub fn is_all_local(&self) -> bool {
        self.branches.iter().all(|branch| branch.response.is_none())
    }

    /// A final response was sent upstream by the script.
    pub fn handle_answer(&mut self) -> Actions {
        self.is_answered = true;
        self.cancel_others(usize::MAX)
    }

    /// The caller has sent CANCEL (§16.10).
    pub fn handle_cancel(&mut self) -> Actions {
        if self.is_cancelled || self.is_answered {
            return Actions::new();
        }
        self.is_cancelled = true;
        self.cancel_others(usize::MAX)
    }

    /// A response came for a branch (§16.7).
    pub fn handle_response(&mut self, branch: usize, response: &Message) -> Actions {
        let code = response.status().unwrap_or_default();
        let Some(entry) = self.branches.get_mut(branch) else { return Actions::new() };
        entry.is_heard = true;
        match code {
            100..=199 => self.handle_provisional(branch, code),
            200..=299 => self.handle_success(branch),
            _ if entry.is_final => Actions::new(),
            _ => {
                entry.is_final = true;
                entry.response = Some(Box::new(response.clone()));
                self.handle_refusal(branch, code)
            }
        }
    }

    /// A branch ended without a final response.
    pub fn handle_outcome(&mut self, branch: usize, outcome: BranchOutcome) -> Actions {
        let Some(entry) = self.branches.get_mut(branch) else { return Actions::new() };
        if entry.is_final {
            return Actions::new();
        }
        entry.is_final = true;
        entry.outcome = Some(outcome);
        self.exhausted().into_iter().collect()
    }

    /// RFC 4320 §4.1: a request other than INVITE has no provisional response but our own 100.
    fn handle_provisional(&self, branch: usize, code: u16) -> Actions {
        let is_wanted = code != 100 && self.is_invite && !self.is_answered;
        let is_wanted = is_wanted && !self.branches[branch].is_final;
        is_wanted.then_some(Action::Forward).into_iter().collect()
    }

    /// Every 2xx to an INVITE goes upstream, also a late or second one (§16.7 step 5).
    fn handle_success(&mut self, branch: usize) -> Actions {
        self.branches[branch].is_final = true;
        let mut actions = Actions::new();
        if self.is_invite || !self.is_answered {
            actions.push(Action::Forward);
        }
        self.is_answered = true;
        actions.extend(self.cancel_others(branch));
        actions
    }

    fn handle_refusal(&mut self, branch: usize, code: u16) -> Actions {
        let mut actions = Actions::new();
        if code >= 600 {
            self.is_refused_everywhere = true;
            actions = self.cancel_others(branch);
        }
        actions.extend(self.exhausted());
        actions
    }

    fn exhausted(&self) -> Option<Action> {
        (!self.is_answered && !self.is_pending()).then_some(Action::Exhausted)
    }

    /// Only an INVITE can be cancelled (RFC 3261 §9.1).
    fn cancel_others(&mut self, spared: usize) -> Actions {
        if !self.is_invite {
            return Actions::new();
        }
        let branches = self.branches.iter_mut().enumerate();
        let pending = branches
            .filter(|(index, branch)| *index != spared && !branch.is_final && !branch.is_cancelled);
        let cancel = |(index, branch): (usize, &mut Branch)| {
            branch.is_cancelled = true;
            Action::Cancel(index)
        };
        pending.map(cancel).collect()
    }

    /// The best of what came, once every branch is over (§16.7 step 6); `None` when no branch counts.
    ///
    /// A 503 goes upstream as 500, because it is about the next hop and not about us.
    pub fn best(&self) -> Option<Best<'_>> {
        let found = self.branches.iter().filter_map(|branch| branch.found(self.is_cancelled));
        let (status, response) =
            found.min_by_key(|(status, response)| (rank(*status), response.is_none(), *status))?;
        let upstream = if status == 503 { 500 } else { status };
        Some(match response {
            Some(response) => Best::Received(response, upstream),
            None => Best::Own(upstream),
        })
    }

    /// The best response as a message that may go upstream, but for its Via: a 401 or 407 carries the challenges of all
    /// branches (§16.7 step 7). `None` when it is ours to write.
    pub fn best_response(&self) -> Result<Option<Message>, EditError> {
        let Some(Best::Received(best, _)) = self.best() else { return Ok(None) };
        let mut message = best.clone();
        if matches!(best.status(), Some(401 | 407)) {
            let others = self.branches.iter().filter_map(|branch| branch.response.as_deref());
            let others = others.filter(|other| !std::ptr::eq(*other, best));
            for other in others.filter(|other| matches!(other.status(), Some(401 | 407))) {
                copy_challenges(other, &mut message)?;
            }
        }
        Ok(Some(message))
    }
}

impl Branch {
    /// The final status of the branch with the response that it has; `None` when it counts for nothing.
    fn found(&self, is_cancelled: bool) -> Option<(u16, Option<&Message>)> {
        if let Some(response) = &self.response {
            return Some((response.status()?, Some(response)));
        }
        match self.outcome? {
            BranchOutcome::Skipped => None,
            _ if is_cancelled => Some((487, None)),
            BranchOutcome::Timeout => Some((408, None)),
            BranchOutcome::Unreachable => Some((503, None)),
            BranchOutcome::Refused(status) => Some((status, None)),
        }
    }
}

fn copy_challenges(from: &Message, to: &mut Message) -> Result<(), EditError> {
    for id in [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate] {
        for header in from.headers().filter(|header| header.id == id) {
            let value = String::from_utf8_lossy(header.value);
            to.append_header(id.name(), value.trim())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
