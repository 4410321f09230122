//! One request on its way to several targets, or with routes armed: its branches, and how each leaves (RFC 3261 §16.6).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rhai::ImmutableString;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::kept::Kept;
use super::record_route::Recording;
use super::relay::{Leaving, Outbound, unreachable};
use super::transactions::User;
use super::upstream::News;
use super::worker::Worker;
use crate::clock;
use crate::script::engine::{Bundle, Ended};
use crate::script::error::RouteError;
use crate::script::export::Kind;
use crate::script::route::{Armed, Listener, Outcome, Route, Target as Way};
use crate::script::router::Waiting;
use crate::sip::proxy::{self, BranchOutcome, Breadth, ResponseContext, TargetSet};
use crate::sip::target::Target;
use crate::sip::transaction::{Branch, ServerKey};
use crate::sip::transport::Source;
use crate::sip::{Message, Method, Uri};

/// How long a destination that failed is tried after all others.
pub(super) const BURIED: Duration = Duration::from_secs(30);

/// The most branches of one request, those of all its tries together: a `failure_route` that tries for ever has an end.
const MAX_BRANCHES: usize = 100;

/// One request on its way.
pub(crate) struct Forwarding {
    /// Its server transaction.
    pub(super) key: ServerKey,
    pub(super) state: RefCell<State>,
    /// Groups of targets that are being sent; nothing is decided meanwhile.
    starting: Cell<usize>,
    /// The `failure_route` runs, and decides what becomes of the request.
    pub(super) is_failing: Cell<bool>,
    /// What has come and was not looked at.
    pub(super) news: RefCell<VecDeque<(usize, News)>>,
    /// News are being looked at, or an `onreply_route` waits.
    pub(super) is_reading: Cell<bool>,
}

/// What changes while it is on its way. It is never borrowed while something else of the worker runs.
pub(super) struct State {
    pub(super) context: ResponseContext,
    pub(super) targets: TargetSet<Way>,
    pub(super) legs: Vec<Option<Leg>>,
    /// The request as it was relayed, with the edits of the script.
    pub(super) request: Message,
    pub(super) armed: Armed,
    pub(super) source: Source,
    bundle: Option<Rc<Bundle>>,
    /// Where the Request-URI went last, for a `failure_route` that tries the same again.
    way: Option<Way>,
    pub(super) kept: Kept,
    breadth: Breadth,
    mark: Option<u32>,
}

/// One branch: the copy for one target of the script, with the addresses that it leads to.
pub(super) struct Leg {
    outbound: Box<Outbound>,
    /// The addresses that were not tried.
    pub(super) others: VecDeque<Target>,
    /// The client transaction, and where it was sent.
    pub(super) sent: Option<(Branch, Target)>,
    /// The flags of the way.
    flags: u32,
}

/// The request on its way to one target, before it is known which address that has.
struct Draft {
    message: Message,
    /// Its Route is done with.
    is_followed: bool,
    /// The next hop, when it is not in the message.
    destination: Option<ImmutableString>,
    /// The flags of the way.
    flags: u32,
    recording: Option<Recording>,
    socket: Option<Listener>,
}

impl Forwarding {
    fn new(key: ServerKey, route: &Route, is_spiral: bool) -> Self {
        let message = &route.message;
        Self {
            key,
            state: RefCell::new(State {
                context: ResponseContext::new(message.method() == Method::Invite),
                targets: TargetSet::default(),
                legs: Vec::new(),
                request: message.clone(),
                armed: Armed::default(),
                source: route.source,
                bundle: None,
                way: None,
                kept: Kept::of(route),
                breadth: Breadth::new(proxy::incoming_breadth(message), is_spiral),
                mark: None,
            }),
            starting: Cell::new(0),
            is_failing: Cell::new(false),
            news: RefCell::default(),
            is_reading: Cell::new(false),
        }
    }

    /// Takes over what the script has decided.
    fn take(&self, route: &mut Route) {
        let state = &mut *self.state.borrow_mut();
        let armed = route.armed.as_deref().cloned().unwrap_or_default();
        let is_same = route.kind == Kind::Failure
            && route.destination.is_none()
            && route.message.request_uri() == state.request.request_uri();
        let way = match &state.way {
            Some(last) if is_same => last.clone(),
            _ => Way {
                destination: route.destination.clone(),
                path: route.path.clone(),
                q: route.q,
                flags: route.branch_flags,
                ..Way::new(route.message.request_uri())
            },
        };
        state.way = Some(way.clone());
        let own = (!is_same || route.targets.is_empty()).then_some(way);
        for way in own.into_iter().chain(route.targets.drain(..)) {
            state.targets.push(way.q, way, is_same_way);
        }
        state.request = route.message.clone();
        state.armed = armed;
        state.bundle.clone_from(&route.bundle);
        state.kept.update(route);
    }

    /// The flags as the last route has left them.
    pub(super) fn flags(&self) -> u32 {
        self.state.borrow().kept.flags
    }

    /// Keeps the flags of a route that goes on.
    pub(super) fn note_flags(&self, flags: u32) {
        self.state.borrow_mut().kept.flags = flags;
    }

    /// Keeps what a route has left behind.
    pub(super) fn keep_of(&self, route: &Route) {
        self.state.borrow_mut().kept.update(route);
    }

    /// A run of a route about `message`.
    pub(super) fn route(
        &self,
        kind: Kind,
        message: Message,
        source: Source,
        outcome: Outcome,
        worker: &Rc<Worker>,
    ) -> Box<Route> {
        let state = self.state.borrow();
        let deadline = clock::now() + worker.shared.config.script.deadline;
        let key = Some(self.key);
        let mut route = Box::new(Route::new(kind, message, source, key, worker.clone(), deadline));
        route.has_transaction = true;
        let leg = state.legs.get(outcome.branch).and_then(Option::as_ref);
        route.branch_flags = leg.map_or(0, |leg| leg.flags);
        state.kept.lend(&mut route);
        route.outcome = Some(outcome);
        route.armed = Some(Box::new(state.armed.clone()));
        route
    }

    /// The route of this kind that is armed, with the script that has it.
    pub(super) fn armed(&self, kind: Kind) -> Option<(Rc<Bundle>, String)> {
        let state = self.state.borrow();
        let name = format!("{}_{}", kind.function(), state.armed.route(kind)?);
        let bundle = state.bundle.clone().filter(|bundle| bundle.has_route(&name))?;
        Some((bundle, name))
    }

    /// Is nothing on its way any longer that could still decide?
    pub(super) fn is_at_rest(&self) -> bool {
        self.starting.get() == 0
            && !self.is_failing.get()
            && !self.state.borrow().context.is_pending()
    }
}

impl Worker {
    /// Relays through a response context.
    pub(super) fn fork(&self, route: &mut Route) -> Waiting<Result<(), RouteError>> {
        match self.forwarding_of(route) {
            Ok(forwarding) => {
                let worker = self.this();
                begin(async move { worker.start_group(&forwarding).await })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn forwarding_of(&self, route: &mut Route) -> Result<Rc<Forwarding>, RouteError> {
        let mark = match route.targets.is_empty() {
            true => None,
            false => Some(self.loop_mark(&route.message)?),
        };
        let key = self.begin_transaction(route)?;
        let table = self.table.borrow();
        let served = table.server(&key).ok_or(RouteError::Cancelled)?;
        if served.is_cancelled {
            return Err(RouteError::Cancelled);
        }
        let known = served.forwarding.clone();
        drop(table);
        let is_ours = |branch: &str| self.shared.mint.parse(branch).is_some();
        let begin = || Forwarding::new(key, route, proxy::is_spiral(&route.message, is_ours));
        let forwarding = known.unwrap_or_else(|| Rc::new(begin()));
        let state = forwarding.state.borrow();
        if !state.context.may_grow() {
            let reason = "the request is answered, or a 6xx forbids any other try";
            return Err(RouteError::State { function: "t_relay", reason });
        }
        let branches = state.context.len() + state.targets.len();
        if branches + 1 + route.targets.len() > MAX_BRANCHES {
            return Err(RouteError::Overload("the number of branches"));
        }
        if state.breadth.limit() == 0 {
            return Err(RouteError::Breadth);
        }
        drop(state);
        forwarding.take(route);
        let state = &mut *forwarding.state.borrow_mut();
        state.mark = mark.or(state.mark);
        if let Some(served) = self.table.borrow_mut().server_mut(&key) {
            served.forwarding = Some(forwarding.clone());
        }
        Ok(forwarding.clone())
    }

    /// RFC 5393 §4.2: the mark of a request that is forked, unless it has been here with the same.
    fn loop_mark(&self, message: &Message) -> Result<u32, RouteError> {
        let Ok(received) = Message::parse(message.wire().clone()) else {
            return Err(RouteError::Loop);
        };
        let mark = proxy::loop_mark(&self.shared.tags, &received);
        let is_ours = |branch: &str| self.shared.mint.parse(branch).is_some();
        match proxy::has_looped(&received, mark, is_ours) {
            true => Err(RouteError::Loop),
            false => Ok(mark),
        }
    }

    /// Sends the next targets; an error when none of all that are left could be sent to.
    pub(super) async fn start_group(
        self: &Rc<Self>,
        forwarding: &Rc<Forwarding>,
    ) -> Result<(), RouteError> {
        let starting = Starting::of(forwarding);
        let mut failure = None;
        loop {
            let (group, share) = forwarding.next_group();
            if group.is_empty() {
                break;
            }
            if self.send_group(forwarding, group, share, &mut failure).await {
                failure = None;
                break;
            }
        }
        drop(starting);
        match failure {
            Some(error) => Err(error),
            None => {
                self.settle(forwarding);
                Ok(())
            }
        }
    }

    /// Sends one group, and tells whether anything of it has left. A name that takes long holds up no other branch.
    async fn send_group(
        self: &Rc<Self>,
        forwarding: &Rc<Forwarding>,
        group: Vec<(usize, Way)>,
        share: u32,
        failure: &mut Option<RouteError>,
    ) -> bool {
        let mut is_sent = false;
        let mut take = |(leg, result): (usize, Result<bool, RouteError>)| match result {
            Ok(is_wanted) => is_sent |= is_wanted,
            Err(error) => {
                let outcome = BranchOutcome::Refused(error.status().0);
                _ = forwarding.state.borrow_mut().context.handle_outcome(leg, outcome);
                failure.get_or_insert(error);
            }
        };
        let mut waiting = JoinSet::new();
        for (leg, way) in group {
            let (worker, forwarding) = (self.clone(), forwarding.clone());
            let mut start =
                Box::pin(
                    async move { (leg, worker.start_leg(&forwarding, leg, way, share).await) },
                );
            match start.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => take(result),
                Poll::Pending => drop(waiting.spawn_local(start)),
            }
        }
        while let Some(joined) = waiting.join_next().await {
            // A branch whose start has panicked is never heard of; its siblings go on.
            if let Ok(result) = joined {
                take(result);
            }
        }
        is_sent
    }

    /// Sends one branch; false when the script did not want it, or nobody does any longer.
    async fn start_leg(
        self: &Rc<Self>,
        forwarding: &Rc<Forwarding>,
        leg: usize,
        way: Way,
        share: u32,
    ) -> Result<bool, RouteError> {
        let mut copy = forwarding.copy(&way)?;
        let message = &mut copy.message;
        proxy::count_hop(message)?;
        proxy::set_breadth(message, share)?;
        self.remove_own_route(copy.is_followed, message)?;
        proxy::add_path(message, &way.path)?;
        if let Some(armed) = forwarding.armed(Kind::Branch) {
            let Some(shaped) = self.run_branch_route(forwarding, leg, armed, copy).await else {
                let outcome = BranchOutcome::Skipped;
                _ = forwarding.state.borrow_mut().context.handle_outcome(leg, outcome);
                return Ok(false);
            };
            copy = shaped;
        }
        let Draft { mut message, destination, flags, recording, socket, .. } = copy;
        proxy::clean_request_uri(&mut message)?;
        let next_hop = proxy::next_hop(&mut message, destination.as_deref())?;
        let user = User::Leg(Rc::downgrade(forwarding), leg);
        let leaving = forwarding.leaving();
        let outbound = Outbound::new(message, next_hop, user);
        let outbound = Box::new(Outbound { leaving, recording, socket, ..outbound });
        let targets = self.targets_of(&outbound).await?;
        let entry = Leg { outbound, others: targets, sent: None, flags };
        forwarding.state.borrow_mut().legs[leg] = Some(entry);
        self.send_leg(forwarding, leg).await
    }

    /// The copy as the `branch_route` leaves it; none when it leaves it out.
    async fn run_branch_route(
        self: &Rc<Self>,
        forwarding: &Rc<Forwarding>,
        leg: usize,
        (bundle, name): (Rc<Bundle>, String),
        copy: Draft,
    ) -> Option<Draft> {
        let outcome = Outcome { branch: leg, ..Outcome::default() };
        let source = forwarding.state.borrow().source;
        let mut route = forwarding.route(Kind::Branch, copy.message, source, outcome, self);
        route.destination = copy.destination;
        route.branch_flags = copy.flags;
        let (ended, end) = oneshot::channel();
        self.run_named(bundle, name, route, move |how| drop(ended.send(how)));
        let (route, result): Ended = end.await.ok()?;
        if let Err(error) = &result {
            tracing::warn!(%error, "branch_route failed, its branch is left out");
        }
        let route = route.filter(|route| result.is_ok() && !route.is_dropped)?;
        forwarding.keep_of(&route);
        Some(Draft {
            recording: Recording::of(&route),
            socket: route.send_socket,
            destination: route.destination,
            flags: route.branch_flags,
            message: route.message,
            is_followed: copy.is_followed,
        })
    }

    /// The addresses that a copy may go to, the dead ones last.
    async fn targets_of(&self, outbound: &Outbound) -> Result<VecDeque<Target>, RouteError> {
        let mut found = self.targets(outbound).await?;
        self.dead.borrow().put_last(clock::now(), &mut found);
        let ways = found.into_iter().flat_map(|target| {
            let ways = self.ways(outbound, target);
            ways.map(move |transport| Target { transport, ..target })
        });
        Ok(ways.collect())
    }

    /// Sends a branch to the next of its addresses that can be reached; false when nobody wants it any longer.
    pub(super) async fn send_leg(
        self: &Rc<Self>,
        forwarding: &Rc<Forwarding>,
        leg: usize,
    ) -> Result<bool, RouteError> {
        let mut failure = None;
        while let Some((host, target)) = forwarding.next_address(leg) {
            if let Err(error) = self.open_way(&host, target).await {
                self.dead.borrow_mut().bury(clock::now(), target, BURIED);
                failure = Some(error.to_string());
                continue;
            }
            let state = &mut *forwarding.state.borrow_mut();
            if !state.context.is_open(leg) {
                // The caller has given up, or another branch was faster.
                _ = state.context.handle_outcome(leg, BranchOutcome::Timeout);
                return Ok(false);
            }
            let Some(entry) = state.legs[leg].as_mut() else { break };
            match self.transmit(&entry.outbound, target) {
                Ok(branch) => {
                    entry.sent = Some((branch, target));
                    return Ok(true);
                }
                Err(error @ RouteError::Unreachable { .. }) => failure = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let state = forwarding.state.borrow();
        let Some(entry) = &state.legs[leg] else { return Err(RouteError::Cancelled) };
        let reason = failure.unwrap_or_else(|| "no target".to_owned());
        Err(unreachable(&entry.outbound, 503, reason))
    }
}

impl Forwarding {
    /// The next targets as branches, and the breadth that each gets (RFC 5393 §5.3).
    fn next_group(&self) -> (Vec<(usize, Way)>, u32) {
        let state = &mut *self.state.borrow_mut();
        let limit = state.breadth.limit();
        if limit == 0 || !state.context.may_grow() {
            state.targets.clear();
        }
        let group = state.targets.next_group(limit);
        let share = if group.is_empty() { 0 } else { state.breadth.share(group.len()) };
        let group = group.into_iter().map(|way| {
            state.legs.push(None);
            (state.context.add(), way)
        });
        (group.collect(), share)
    }

    /// The request as it came from the script, for one way.
    fn copy(&self, way: &Way) -> Result<Draft, RouteError> {
        let State { request, kept, source, .. } = &*self.state.borrow();
        let mut message = request.clone();
        if message.request_uri() != way.uri {
            message.set_request_uri(&way.uri)?;
        }
        Ok(Draft {
            message,
            is_followed: kept.is_followed(),
            destination: way.destination.clone(),
            flags: way.flags,
            recording: kept.recording(*source),
            socket: kept.send_socket(),
        })
    }

    /// Where a branch goes next, and the host that it asked for.
    fn next_address(&self, leg: usize) -> Option<(String, Target)> {
        let state = &mut *self.state.borrow_mut();
        let entry = state.legs[leg].as_mut()?;
        Some((entry.outbound.host().to_owned(), entry.others.pop_front()?))
    }

    fn leaving(&self) -> Leaving {
        let State { armed, mark, .. } = &*self.state.borrow();
        Leaving { mark: *mark, ringing: armed.ringing, silence: armed.silence }
    }
}

/// RFC 3261 §16.5: the same resource by the same way. Phones behind NATs may share a URI, not a way.
fn is_same_way(a: &Way, b: &Way) -> bool {
    let is_same_uri = || match (Uri::parse(&a.uri), Uri::parse(&b.uri)) {
        (Ok(one), Ok(other)) => one.is_equivalent(&other),
        _ => a.uri == b.uri,
    };
    let next = |way: &Way| way.destination.clone().unwrap_or_else(|| way.uri.clone());
    a.path == b.path && is_same_uri() && (next(a) == next(b) || a.destination == b.destination)
}

/// As long as it lives, a group is being sent.
struct Starting(Rc<Forwarding>);

impl Starting {
    fn of(forwarding: &Rc<Forwarding>) -> Self {
        forwarding.starting.set(forwarding.starting.get() + 1);
        Self(forwarding.clone())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.starting.set(self.0.starting.get() - 1);
    }
}

/// Does now what can be done at once, and the rest in a task of its own, which goes on when nobody waits for it.
pub(super) fn begin<T: 'static>(
    future: impl Future<Output = Result<T, RouteError>> + 'static,
) -> Waiting<Result<T, RouteError>> {
    let mut future: Pin<Box<dyn Future<Output = Result<T, RouteError>>>> = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Box::pin(std::future::ready(result)),
        Poll::Pending => {
            let (done, end) = oneshot::channel();
            tokio::task::spawn_local(async move { drop(done.send(future.await)) });
            Box::pin(async { end.await.unwrap_or(Err(RouteError::Deadline)) })
        }
    }
}
