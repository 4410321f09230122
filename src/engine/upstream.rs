//! What comes back to a forwarded request, and what of it goes upstream (RFC 3261 §16.7 to §16.9).

use std::rc::Rc;
use std::time::Duration;

use super::forwarding::{BURIED, Forwarding};
use super::transactions::Heard;
use super::worker::Worker;
use crate::clock;
use crate::script::engine::Ended;
use crate::script::export::Kind;
use crate::script::route::Outcome;
use crate::sip::proxy::{Action, Actions, Best, BranchOutcome};
use crate::sip::transaction::{Event, ServerKey};
use crate::sip::transport::Source;
use crate::sip::{HeaderId, Message, proxy};

/// The longest that a Retry-After keeps a destination back.
const LONGEST_BURIAL: Duration = Duration::from_secs(600);

/// What has come of a branch.
pub(super) enum News {
    /// A response.
    Response(Box<Message>, Source),
    /// Its end without a final response.
    End(BranchOutcome),
}

impl Worker {
    /// Takes what a branch's transaction tells.
    pub(super) fn hear(
        &self,
        forwarding: &Rc<Forwarding>,
        leg: usize,
        event: Event,
        response: Option<Heard<'_>>,
    ) {
        if let (Event::Response(code), Some((message, _))) = (event, response)
            && forwarding.is_quiet()
            && code != 503
        {
            return self.take_response(forwarding, leg, message, false);
        }
        let news = match (event, response) {
            (Event::Response(_), Some((message, source))) => {
                News::Response(Box::new(message.clone()), source)
            }
            (Event::Timeout | Event::Overdue, _) => News::End(BranchOutcome::Timeout),
            (Event::Unreachable, _) => News::End(BranchOutcome::Unreachable),
            _ => return,
        };
        if self.fails_over(forwarding, leg, &news) {
            return;
        }
        forwarding.news.borrow_mut().push_back((leg, news));
        if !forwarding.is_reading.replace(true) {
            self.read_news(forwarding);
        }
    }

    /// RFC 3263 §4.3: an address that cannot be reached, says nothing or says 503 gives way to the next one.
    fn fails_over(&self, forwarding: &Rc<Forwarding>, leg: usize, news: &News) -> bool {
        let mut state = forwarding.state.borrow_mut();
        let is_silent = !state.context.has_replied(leg);
        let burial = match news {
            News::Response(response, _) if response.status() == Some(503) => retry_after(response),
            News::End(_) if is_silent => BURIED,
            _ => return false,
        };
        let is_open = state.context.is_open(leg);
        let Some(entry) = state.legs[leg].as_mut() else { return false };
        let Some((_, target)) = entry.sent.take() else { return false };
        self.dead.borrow_mut().bury(clock::now(), target, burial);
        if entry.others.is_empty() || !is_open {
            return false;
        }
        drop(state);
        let (worker, forwarding) = (self.this(), forwarding.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = worker.send_leg(&forwarding, leg).await {
                tracing::debug!(%error, "no further address");
                let outcome = BranchOutcome::Unreachable;
                _ = forwarding.state.borrow_mut().context.handle_outcome(leg, outcome);
            }
            worker.settle(&forwarding);
        });
        true
    }

    /// Looks at what has come, one after the other, also when an `onreply_route` must wait.
    fn read_news(&self, forwarding: &Rc<Forwarding>) {
        loop {
            let next = forwarding.news.borrow_mut().pop_front();
            let Some((leg, news)) = next else { return forwarding.is_reading.set(false) };
            match news {
                News::End(outcome) => {
                    let actions =
                        forwarding.state.borrow_mut().context.handle_outcome(leg, outcome);
                    self.act(forwarding, None, actions);
                }
                News::Response(message, source) => {
                    if self.run_reply_route(forwarding, leg, &message, source) {
                        return;
                    }
                    self.take_response(forwarding, leg, &message, false);
                }
            }
        }
    }

    /// Runs the `onreply_route` that is armed, which goes on with the news at its end; false when there is none.
    fn run_reply_route(
        &self,
        forwarding: &Rc<Forwarding>,
        leg: usize,
        message: &Message,
        source: Source,
    ) -> bool {
        let is_trying = message.status() == Some(100);
        let Some((bundle, name)) = forwarding.armed(Kind::OnReply).filter(|_| !is_trying) else {
            return false;
        };
        let mut outcome = forwarding.outcome(leg);
        outcome.status = message.status().unwrap_or_default();
        (outcome.any_replied, outcome.branch_replied) = (true, true);
        let worker = self.this();
        let route = forwarding.route(Kind::OnReply, message.clone(), source, outcome, &worker);
        let (received, forwarding) = (message.clone(), forwarding.clone());
        self.run_named(bundle, name, route, move |(route, result)| {
            if let Err(error) = result {
                tracing::warn!(%error, "onreply_route failed, the response goes on");
            }
            if let Some(route) = &route {
                forwarding.keep_of(route);
            }
            let is_dropped = route.as_ref().is_some_and(|route| route.is_dropped);
            let message = route.map_or(received, |route| route.message);
            worker.take_response(&forwarding, leg, &message, is_dropped);
            worker.read_news(&forwarding);
        });
        true
    }

    /// Takes a response as the script has left it. Only a provisional one can be dropped.
    fn take_response(
        &self,
        forwarding: &Rc<Forwarding>,
        leg: usize,
        message: &Message,
        is_dropped: bool,
    ) {
        let is_provisional = message.status().is_some_and(|code| code < 200);
        let mut actions = forwarding.state.borrow_mut().context.handle_response(leg, message);
        if is_dropped && is_provisional {
            actions.retain(|action| *action != Action::Forward);
        }
        self.act(forwarding, Some(message), actions);
    }

    /// Does what the response context asks for.
    pub(super) fn act(
        &self,
        forwarding: &Rc<Forwarding>,
        response: Option<&Message>,
        actions: Actions,
    ) {
        for action in actions {
            match action {
                Action::Forward => {
                    if let Some(response) = response {
                        let code = response.status().unwrap_or_default();
                        self.send_upstream(&forwarding.key, code, response.clone());
                    }
                }
                Action::Cancel(leg) => self.cancel_leg(forwarding, leg),
                Action::Exhausted => self.settle(forwarding),
            }
        }
    }

    /// Passes a response on to whoever has sent the request (RFC 3261 §16.7 steps 3 and 9).
    pub(super) fn send_upstream(&self, key: &ServerKey, code: u16, mut response: Message) {
        response.pop_via();
        let source = self.table.borrow().server(key).map(|served| served.source);
        if source.is_some_and(|source| source.transport.is_reliable())
            && let Err(error) = proxy::add_content_length(&mut response)
        {
            return tracing::debug!(%error, code, "a response has grown too large");
        }
        if let Err(refused) = self.respond(key, code, response.to_bytes()) {
            // The transaction may be over; then its client has given up.
            tracing::debug!(%refused, code, "a response has nowhere to go");
        }
    }

    /// Goes on when no branch is on its way: with the next targets, the `failure_route`, or the best response.
    pub(super) fn settle(&self, forwarding: &Rc<Forwarding>) {
        if !forwarding.is_at_rest() || forwarding.state.borrow().context.is_answered() {
            return;
        }
        let state = forwarding.state.borrow();
        let has_more = !state.targets.is_empty() && state.context.may_grow();
        drop(state);
        if has_more {
            let (worker, forwarding) = (self.this(), forwarding.clone());
            tokio::task::spawn_local(async move {
                if let Err(error) = worker.start_group(&forwarding).await {
                    tracing::debug!(%error, "the last targets cannot be reached");
                    worker.settle(&forwarding);
                }
            });
            return;
        }
        self.fail(forwarding);
    }

    /// Every branch has failed: the `failure_route` that is armed decides, once.
    fn fail(&self, forwarding: &Rc<Forwarding>) {
        let armed = forwarding.armed(Kind::Failure);
        forwarding.state.borrow_mut().armed.failure = None;
        let Some((bundle, name)) = armed else { return self.send_best(forwarding) };
        let worker = self.this();
        let outcome = forwarding.outcome(forwarding.state.borrow().context.len().max(1) - 1);
        let state = forwarding.state.borrow();
        let (request, source) = (state.request.clone(), state.source);
        drop(state);
        let route = forwarding.route(Kind::Failure, request, source, outcome, &worker);
        forwarding.is_failing.set(true);
        let forwarding = forwarding.clone();
        self.run_named(bundle, name, route, move |ended| {
            forwarding.is_failing.set(false);
            worker.finish_failure(&forwarding, &ended);
        });
    }

    fn finish_failure(&self, forwarding: &Rc<Forwarding>, (route, result): &Ended) {
        if let Err(error) = result {
            match error.status() {
                (487, _) => tracing::debug!("the caller gave up before the failure_route"),
                _ => {
                    tracing::warn!(%error, "failure_route failed, the best response goes upstream")
                }
            }
        }
        if let Some(route) = route {
            forwarding.keep_of(route);
        }
        if route.as_ref().is_some_and(|route| route.is_relayed) {
            // Its branches may have failed while the route went on.
            return self.settle(forwarding);
        }
        if forwarding.is_at_rest() && !forwarding.state.borrow().context.is_answered() {
            self.send_best(forwarding);
        }
    }

    /// Sends the best response upstream (RFC 3261 §16.7 steps 6 to 9).
    fn send_best(&self, forwarding: &Rc<Forwarding>) {
        let state = forwarding.state.borrow();
        let own = match state.context.best() {
            Some(Best::Received(response, status)) if response.status() == Some(status) => None,
            Some(Best::Received(_, status) | Best::Own(status)) => Some(status),
            None => Some(480),
        };
        let received = state.context.best_response();
        let (request, own_headers) = (state.request.clone(), state.kept.reply_headers());
        drop(state);
        match (own, received) {
            (None, Ok(Some(response))) => {
                let code = response.status().unwrap_or_default();
                self.send_upstream(&forwarding.key, code, response);
            }
            (own, _) => {
                let status = own.unwrap_or(500);
                let headers: Vec<_> = own_headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                if let Err(error) = self.answer(&request, &forwarding.key, status, "", &headers) {
                    // RFC 4320 §4.2: a 408 would come too late for anybody.
                    tracing::debug!(%error, status, "a failure is not told");
                }
            }
        }
        let actions = forwarding.state.borrow_mut().context.handle_answer();
        self.act(forwarding, None, actions);
    }
}

impl Forwarding {
    /// Is no response looked at just now, and no route armed that would?
    fn is_quiet(&self) -> bool {
        !self.is_reading.get() && self.state.borrow().armed.reply.is_none()
    }

    /// What has become of the branches, for a route about one of them.
    fn outcome(&self, leg: usize) -> Outcome {
        let context = &self.state.borrow().context;
        Outcome {
            status: context.best().map_or(0, |best| best.found_status()),
            branch: leg,
            is_cancelled: context.is_cancelled(),
            any_replied: context.any_replied(),
            all_local: context.is_all_local(),
            last_local: context.is_local(leg),
            branch_replied: context.has_replied(leg),
            branch_timed_out: context.has_timed_out(leg),
        }
    }
}

/// How long a server that says 503 is left alone (RFC 3261 §21.5.4).
fn retry_after(response: &Message) -> Duration {
    let value = response.text(HeaderId::RetryAfter).unwrap_or_default();
    let digits = value.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map_or(BURIED, |seconds| Duration::from_secs(seconds).min(LONGEST_BURIAL))
}
