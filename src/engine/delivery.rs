//! From a stanza to MESSAGEs, one for each contact, and from their responses back to its sender.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use super::relay::{Outbound, Tried};
use super::transactions::User;
use super::worker::Worker;
use crate::clock;
use crate::gateway::{
    Lanes, MAX_PAGER, Mapping, OutgoingRequest, VIA_RESERVE, error_from_response, receipt_for,
};
use crate::script::engine::Ended;
use crate::script::error::RouteError;
use crate::script::export::Kind;
use crate::script::route::{FromXmpp, Route, Target};
use crate::sip::Message;
use crate::sip::transport::{Source, Transport};
use crate::xmpp::{Condition, Stanza, StanzaError};

/// MESSAGEs that may wait for one recipient, and for all together.
const LANE: usize = 1000;
const LANES: usize = 100_000;

/// The table of contacts that messages from XMPP are delivered by.
const LOCATION: &str = "location";

/// Where stanzas come from, and where what is said about them goes back: the component, or an account.
pub(crate) trait Home {
    /// How messages are carried.
    fn mapping(&self) -> &Mapping;
    /// Where MESSAGEs go whose recipient is not registered here.
    fn outbound_proxy(&self) -> Option<&str>;
    /// Sends a stanza whose fate nobody asks for.
    fn reply(&self, bytes: Vec<u8>);
    /// A message could not be delivered.
    fn handle_undelivered(&self) {}
}

impl dyn Home {
    /// Returns a stanza to its sender with an error, unless it is one itself.
    pub(super) fn return_error(&self, stanza: &Stanza, error: &StanzaError) {
        if let Some(reply) = error.reply_to(stanza) {
            self.reply(reply);
        }
    }
}

/// A stanza on its way to one or more contacts.
pub(crate) struct Origin {
    /// The stanza, whose sender hears of a failure; none when he may not.
    stanza: Option<Stanza>,
    home: Rc<dyn Home>,
    /// Copies without a fate.
    open: Cell<usize>,
    is_delivered: Cell<bool>,
    /// The first failure of a copy.
    failure: RefCell<Option<StanzaError>>,
}

/// One MESSAGE made from a stanza, or a notice to a SIP user.
pub(crate) struct Carried {
    origin: Rc<Origin>,
    /// The contact, who gets one MESSAGE at a time (RFC 3428 §8).
    lane: String,
}

/// What waits for each contact.
pub(crate) struct Deliveries {
    lanes: RefCell<Lanes<Box<Outbound>>>,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { lanes: RefCell::new(Lanes::new(LANE, LANES)) }
    }
}

impl Deliveries {
    /// Nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.borrow().is_empty()
    }
}

/// The home as a route keeps it.
struct Kept(Rc<dyn Home>);

/// The home of a route's stanza.
fn home_of(xmpp: &FromXmpp) -> Option<Rc<dyn Home>> {
    xmpp.home.downcast_ref::<Kept>().map(|kept| kept.0.clone())
}

impl Worker {
    /// Runs the route for a message that became of a stanza; without one it goes to all contacts. `bounces` says whether the
    /// stanza's sender may hear of a failure.
    pub(super) fn deliver_stanza(
        &self,
        request: OutgoingRequest,
        stanza: Stanza,
        home: &Rc<dyn Home>,
        account: Option<Rc<str>>,
        bounces: bool,
    ) {
        let kind = Kind::XmppMessage;
        if self.shared.is_draining() {
            let error = StanzaError::from(Condition::ServiceUnavailable).with_text("going down");
            if bounces {
                home.return_error(&stanza, &error);
            }
            return;
        }
        if !self.script.current.borrow().has_route(kind.function()) {
            return self.deliver_by_default(
                request.message,
                Some(stanza).filter(|_| bounces),
                home,
            );
        }
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let source = Source::new(Transport::Tcp, any, any);
        let deadline = clock::now() + self.shared.config.script.deadline;
        let router = self.this();
        let mut route = Route::new(kind, request.message, source, None, router, deadline);
        let kept: Rc<dyn Any> = Rc::new(Kept(home.clone()));
        route.xmpp = Some(FromXmpp {
            stanza: stanza.clone(),
            is_refused: false,
            bounces,
            account,
            home: kept,
        });
        let home = home.clone();
        self.run_route(Box::new(route), move |ended| {
            finish_message_route(ended, &stanza, &home, bounces);
        });
    }

    /// Delivers the MESSAGE of an XMPP route as the script left it, to each of its targets.
    pub(super) fn deliver_route(&self, route: &mut Route) -> Result<(), RouteError> {
        let function = "t_relay";
        let reason = "the message has met its fate already";
        let xmpp = route.xmpp.as_ref().filter(|xmpp| !xmpp.is_refused && !route.is_relayed);
        let xmpp = xmpp.ok_or(RouteError::State { function, reason })?;
        let home = home_of(xmpp).ok_or(RouteError::NotConfigured("there is no XMPP"))?;
        let mut ways = vec![Target {
            destination: route.destination.clone(),
            path: route.path.clone(),
            ..Target::new(route.message.request_uri())
        }];
        ways.extend(route.targets.iter().cloned());
        let stanza = Some(xmpp.stanza.clone()).filter(|_| xmpp.bounces);
        self.deliver(&route.message, ways, stanza, &home)
    }

    /// What `lookup("location"); t_relay();` would do.
    pub(super) fn deliver_by_default(
        &self,
        message: Message,
        stanza: Option<Stanza>,
        home: &Rc<dyn Home>,
    ) {
        let mut ways = self.shared.locations.targets(LOCATION, message.request_uri(), None);
        if ways.is_empty() {
            ways.push(Target::new(message.request_uri()));
        } else {
            for way in &mut ways {
                way.destination.get_or_insert_with(|| way.uri.clone());
            }
        }
        if let Err(error) = self.deliver(&message, ways, stanza, home) {
            tracing::info!(%error, "a message to SIP cannot be written");
        }
    }

    /// Sends one copy each way: to its destination, else the outbound proxy, else where its Request-URI leads.
    fn deliver(
        &self,
        message: &Message,
        ways: Vec<Target>,
        stanza: Option<Stanza>,
        home: &Rc<dyn Home>,
    ) -> Result<(), RouteError> {
        let copies: Result<Vec<_>, RouteError> = ways
            .into_iter()
            .map(|way| {
                let mut copy = message.clone();
                copy.set_request_uri(&way.uri)?;
                if !way.path.is_empty() {
                    copy.prepend_header("Route", &way.path)?;
                }
                Ok((copy, way.destination))
            })
            .collect();
        let copies = copies?;
        let origin = Rc::new(Origin {
            stanza,
            home: home.clone(),
            open: Cell::new(copies.len()),
            is_delivered: Cell::new(false),
            failure: RefCell::default(),
        });
        for (copy, destination) in copies {
            self.send_copy(copy, destination.as_deref(), &origin);
        }
        Ok(())
    }

    fn send_copy(&self, copy: Message, destination: Option<&str>, origin: &Rc<Origin>) {
        let next_hop = destination.or(origin.home.outbound_proxy());
        let next_hop = next_hop.unwrap_or(copy.request_uri()).to_owned();
        let lane = copy.request_uri().to_owned();
        let carried = Rc::new(Carried { origin: origin.clone(), lane });
        let needs_stream = copy.to_bytes().len() + VIA_RESERVE > MAX_PAGER;
        let user = User::Carried(carried.clone());
        let outbound = Box::new(Outbound { needs_stream, ..Outbound::new(copy, next_hop, user) });
        let pushed = self.deliveries.lanes.borrow_mut().push(&carried.lane, outbound);
        match pushed {
            Ok(Some(outbound)) => self.start(outbound, &carried.lane),
            Ok(None) => {}
            Err(_) => {
                let error = StanzaError::from(Condition::ResourceConstraint);
                self.settle_copy(origin, Err(Some(error.with_text("too many messages wait"))));
            }
        }
    }

    /// Begins with one MESSAGE of a lane, and with the next when that one cannot even begin.
    fn start(&self, outbound: Box<Outbound>, lane: &str) {
        let mut next = Some(outbound);
        while let Some(outbound) = next.take() {
            let user = outbound.user.clone();
            match self.try_send_out(outbound) {
                Ok(()) => return,
                Err(Tried::Failed(error)) => {
                    self.report(&user, &error);
                    next = self.deliveries.lanes.borrow_mut().done(lane);
                }
                Err(Tried::MustWait(outbound)) => {
                    let (worker, lane) = (self.this(), lane.to_owned());
                    tokio::task::spawn_local(async move {
                        let Err(error) = worker.send_out(&outbound).await else { return };
                        worker.report(&user, &error);
                        worker.leave(&lane);
                    });
                    return;
                }
            }
        }
    }

    /// Lets the next MESSAGE of a lane begin.
    fn leave(&self, lane: &str) {
        let next = self.deliveries.lanes.borrow_mut().done(lane);
        if let Some(next) = next {
            self.start(next, lane);
        }
    }

    /// Tells of a MESSAGE that could not leave.
    fn report(&self, user: &User, error: &RouteError) {
        let User::Carried(carried) = user else { return };
        let (code, reason) = error.status();
        tracing::debug!(%error, "a message to SIP cannot leave");
        self.tell_origin(&carried.origin, code, reason, None);
    }

    /// Takes the final response to a MESSAGE.
    pub(super) fn finish_delivery(
        &self,
        carried: &Carried,
        code: u16,
        reason: &str,
        contact: Option<&str>,
    ) {
        self.tell_origin(&carried.origin, code, reason, contact);
        self.leave(&carried.lane);
    }

    fn tell_origin(&self, origin: &Rc<Origin>, code: u16, reason: &str, contact: Option<&str>) {
        match error_from_response(code, reason, contact, origin.home.mapping()) {
            Some(error) => self.settle_copy(origin, Err(Some(error))),
            None => self.settle_copy(origin, Ok(code)),
        }
    }

    /// Notes the fate of one copy: a status, or an error. The sender hears of the first that arrived, or of a failure when
    /// none did.
    fn settle_copy(&self, origin: &Rc<Origin>, fate: Result<u16, Option<StanzaError>>) {
        origin.open.set(origin.open.get().saturating_sub(1));
        match fate {
            Ok(code) => {
                // RFC 3428 §7: 202 says that somebody else will deliver it.
                if code == 200
                    && !origin.is_delivered.get()
                    && let Some(stanza) = &origin.stanza
                    && let Some(receipt) = receipt_for(stanza, &self.shared.unique_id())
                {
                    origin.home.reply(receipt);
                }
                origin.is_delivered.set(true);
            }
            Err(error) => {
                let mut failure = origin.failure.borrow_mut();
                *failure = failure.take().or(error);
            }
        }
        if origin.open.get() > 0 || origin.is_delivered.get() {
            return;
        }
        let failure = origin.failure.take();
        match (&origin.stanza, failure) {
            (Some(stanza), Some(error)) => origin.home.return_error(stanza, &error),
            _ => tracing::info!("a notice was not delivered"),
        }
        origin.home.handle_undelivered();
    }
}

/// Sees to it that a message that the script left without a fate returns to its sender.
fn finish_message_route(
    (route, result): Ended,
    stanza: &Stanza,
    home: &Rc<dyn Home>,
    bounces: bool,
) {
    let is_open = |r: &Route| {
        !r.is_relayed && !r.is_dropped && !r.xmpp.as_ref().is_some_and(|xmpp| xmpp.is_refused)
    };
    let is_open = route.as_deref().is_none_or(is_open) && bounces;
    match result {
        Err(error) => {
            let (status, reason) = error.status();
            tracing::warn!(%error, status, "xmpp_message_route failed");
            let error = error_from_response(status, reason, None, home.mapping());
            if let Some(error) = error.filter(|_| is_open) {
                home.return_error(stanza, &error);
            }
        }
        Ok(()) if is_open => {
            tracing::warn!("xmpp_message_route left a message without a fate");
            let error = StanzaError::from(Condition::ServiceUnavailable);
            home.return_error(stanza, &error.with_text("no route takes this message"));
        }
        Ok(()) => {}
    }
}

/// Returns the stanza of a route to its sender with an error.
pub(super) fn refuse_stanza(route: &mut Route, error: &StanzaError) -> Result<(), RouteError> {
    let reason = "there is no stanza to refuse";
    let missing = RouteError::State { function: "xmpp_refuse", reason };
    let xmpp = route.xmpp.as_mut().ok_or_else(|| missing.clone())?;
    let home = home_of(xmpp).ok_or(missing)?;
    if !xmpp.is_refused && !route.is_relayed {
        xmpp.is_refused = true;
        if xmpp.bounces {
            home.return_error(&xmpp.stanza, error);
        }
    }
    Ok(())
}
