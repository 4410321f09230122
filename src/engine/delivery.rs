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
    Lanes, MAX_PAGER, Mapping, MessageId, OutgoingRequest, VIA_RESERVE, error_from_response,
    receipt_for,
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
    /// Returns a stanza to its sender with an error, unless it is one itself.
    fn return_error(&self, stanza: &Stanza, error: &StanzaError) {
        if let Some(reply) = error.reply_to(stanza) {
            self.reply(reply);
        }
    }
    /// A message could not be delivered.
    fn handle_undelivered(&self) {}
    /// Takes what a delivery of a message has come to that it keeps until its fate is known.
    fn conclude(&self, _id: MessageId, _end: End) {}
}

/// What the delivery of a message that is kept has come to.
#[derive(Debug)]
pub(crate) enum End {
    /// The response that counts: the first success, else the first failure.
    Response { code: u16, reason: String, contact: Option<String> },
    /// The script has answered for the recipient.
    Answered,
    /// The script has dropped it.
    Dropped,
    /// It goes back to its sender.
    Refused(StanzaError),
    /// Nothing was tried: we are going down.
    Unsent,
}

/// Who hears what becomes of a message.
#[derive(Clone)]
pub(crate) struct Sender {
    /// The stanza that it was, whose sender hears of a failure; none when he may not, or when the message is kept.
    pub(super) stanza: Option<Stanza>,
    /// What it is known by where it is kept until its fate is known.
    pub(super) id: Option<MessageId>,
    pub(super) home: Rc<dyn Home>,
}

impl Sender {
    /// The sender of a stanza; it need not be at hand where the message is kept.
    fn of(stanza: &Stanza, bounces: bool, id: Option<MessageId>, home: Rc<dyn Home>) -> Self {
        let is_needed = bounces && id.is_none();
        Self { stanza: is_needed.then(|| stanza.clone()), id, home }
    }

    /// For a text of the gateway's own, which comes from nobody.
    pub(super) fn nobody(home: Rc<dyn Home>) -> Self {
        Self { stanza: None, id: None, home }
    }

    /// Returns the message with what a response of ours says.
    fn fail(&self, (status, reason): (u16, &str)) {
        let error = error_from_response(status, reason, None, self.home.mapping());
        self.give_back(error.unwrap_or(StanzaError::from(Condition::UndefinedCondition)));
    }

    /// Returns the message with an error.
    fn give_back(&self, error: StanzaError) {
        match (self.id, &self.stanza) {
            (Some(id), _) => self.home.conclude(id, End::Refused(error)),
            (None, Some(stanza)) => self.home.return_error(stanza, &error),
            (None, None) => {}
        }
    }
}

/// A message that has come as a stanza.
pub(crate) struct Arrival {
    pub(super) request: OutgoingRequest,
    pub(super) stanza: Stanza,
    pub(super) home: Rc<dyn Home>,
    /// The SIP user whose account it came to; none when it came to the component.
    pub(super) account: Option<Rc<str>>,
    /// Its sender may hear of a failure.
    pub(super) bounces: bool,
    /// What it is known by where it is kept.
    pub(super) id: Option<MessageId>,
}

impl Arrival {
    /// A message that has come to the component.
    pub(super) fn of_component(
        request: OutgoingRequest,
        stanza: Stanza,
        home: Rc<dyn Home>,
        id: Option<MessageId>,
    ) -> Self {
        Self { request, stanza, home, account: None, bounces: true, id }
    }
}

/// A message on its way to one or more contacts.
pub(crate) struct Origin {
    sender: Sender,
    /// Copies without a fate.
    open: Cell<usize>,
    is_delivered: Cell<bool>,
    /// The first failure of a copy: code, reason and Contact.
    failure: RefCell<Option<(u16, String, Option<String>)>>,
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

/// Who hears what becomes of a route's stanza.
fn sender_of(xmpp: &FromXmpp) -> Option<Sender> {
    let home = xmpp.home.downcast_ref::<Kept>()?.0.clone();
    Some(Sender::of(&xmpp.stanza, xmpp.bounces, xmpp.id, home))
}

impl Worker {
    /// Runs the route for a message that became of a stanza; without one it goes to all contacts.
    pub(super) fn deliver_stanza(&self, arrival: Arrival) {
        let Arrival { request, stanza, home, account, bounces, id } = arrival;
        let kind = Kind::XmppMessage;
        let sender = Sender::of(&stanza, bounces, id, home);
        if self.shared.is_draining() {
            return match id {
                Some(id) => sender.home.conclude(id, End::Unsent),
                None => sender.give_back(going_down()),
            };
        }
        if !self.script.current.borrow().has_route(kind.function()) {
            return self.deliver_by_default(request.message, sender);
        }
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let source = Source::new(Transport::Tcp, any, any);
        let deadline = clock::now() + self.shared.config.script.deadline;
        let router = self.this();
        let mut route = Route::new(kind, request.message, source, None, router, deadline);
        let home: Rc<dyn Any> = Rc::new(Kept(sender.home.clone()));
        let from = FromXmpp { stanza, is_refused: false, id, bounces, account, home };
        route.xmpp = Some(Box::new(from));
        self.run_route(Box::new(route), move |ended| finish_message_route(ended, &sender));
    }

    /// Delivers the MESSAGE of an XMPP route as the script left it, to each of its targets.
    pub(super) fn deliver_route(&self, route: &mut Route) -> Result<(), RouteError> {
        let function = "t_relay";
        let reason = "the message has met its fate already";
        let xmpp = route.xmpp.as_ref().filter(|xmpp| !xmpp.is_refused && !route.is_relayed);
        let xmpp = xmpp.ok_or(RouteError::State { function, reason })?;
        let sender = sender_of(xmpp).ok_or(RouteError::NotConfigured("there is no XMPP"))?;
        let mut ways = vec![Target {
            destination: route.destination.clone(),
            path: route.path.clone(),
            ..Target::new(route.message.request_uri())
        }];
        ways.extend(route.targets.iter().cloned());
        self.deliver(route.message.clone(), ways, sender)
    }

    /// What `lookup("location"); t_relay();` would do.
    pub(super) fn deliver_by_default(&self, message: Message, sender: Sender) {
        let mut ways = self.shared.locations.targets(LOCATION, message.request_uri(), None);
        if ways.is_empty() {
            ways.push(Target::new(message.request_uri()));
        } else {
            for way in &mut ways {
                way.destination.get_or_insert_with(|| way.uri.clone());
            }
        }
        if let Err(error) = self.deliver(message, ways, sender.clone()) {
            tracing::info!(%error, "a message to SIP cannot be written");
            sender.fail(error.status());
        }
    }

    /// Sends one copy each way: to its destination, else the outbound proxy, else where its Request-URI leads.
    fn deliver(
        &self,
        message: Message,
        mut ways: Vec<Target>,
        sender: Sender,
    ) -> Result<(), RouteError> {
        let copy = |mut message: Message, way: &Target| -> Result<Message, RouteError> {
            message.set_request_uri(&way.uri)?;
            if !way.path.is_empty() {
                message.prepend_header("Route", &way.path)?;
            }
            Ok(message)
        };
        let Some(last) = ways.pop() else { return Ok(()) };
        let first: Result<Vec<_>, _> = ways.iter().map(|way| copy(message.clone(), way)).collect();
        let (first, latest) = (first?, copy(message, &last)?);
        let origin = Rc::new(Origin {
            sender,
            open: Cell::new(ways.len() + 1),
            is_delivered: Cell::new(false),
            failure: RefCell::default(),
        });
        for (copy, way) in first.into_iter().zip(ways) {
            self.send_copy(copy, way.destination.as_deref(), &origin);
        }
        self.send_copy(latest, last.destination.as_deref(), &origin);
        Ok(())
    }

    fn send_copy(&self, copy: Message, destination: Option<&str>, origin: &Rc<Origin>) {
        let next_hop = destination.or(origin.sender.home.outbound_proxy());
        let next_hop = next_hop.unwrap_or(copy.request_uri()).to_owned();
        let lane = copy.request_uri().to_owned();
        let carried = Rc::new(Carried { origin: origin.clone(), lane });
        let needs_stream = copy.size() + VIA_RESERVE > MAX_PAGER;
        let user = User::Carried(carried.clone());
        let outbound = Box::new(Outbound { needs_stream, ..Outbound::new(copy, next_hop, user) });
        let pushed = self.deliveries.lanes.borrow_mut().push(&carried.lane, outbound);
        match pushed {
            Ok(Some(outbound)) => self.start(outbound, &carried.lane),
            Ok(None) => {}
            Err(_) => self.settle_copy(origin, 503, "too many messages wait", None),
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
        self.settle_copy(&carried.origin, code, reason, None);
    }

    /// Takes the final response to a MESSAGE.
    pub(super) fn finish_delivery(
        &self,
        carried: &Carried,
        code: u16,
        reason: &str,
        contact: Option<&str>,
    ) {
        self.settle_copy(&carried.origin, code, reason, contact);
        self.leave(&carried.lane);
    }

    /// Notes the response to one copy. The sender hears of the first success, or of the first failure when none succeeds.
    fn settle_copy(&self, origin: &Origin, code: u16, reason: &str, contact: Option<&str>) {
        origin.open.set(origin.open.get().saturating_sub(1));
        if origin.is_delivered.get() {
            return;
        }
        let response = || (code, reason.to_owned(), contact.map(str::to_owned));
        if code < 300 {
            origin.is_delivered.set(true);
            return self.tell_sender(&origin.sender, response());
        }
        let first = origin.failure.take().unwrap_or_else(response);
        if origin.open.get() > 0 {
            origin.failure.replace(Some(first));
            return;
        }
        self.tell_sender(&origin.sender, first);
        origin.sender.home.handle_undelivered();
    }

    /// Tells the sender of a message what it has come to.
    fn tell_sender(&self, sender: &Sender, response: (u16, String, Option<String>)) {
        let (code, reason, contact) = response;
        if let Some(id) = sender.id {
            return sender.home.conclude(id, End::Response { code, reason, contact });
        }
        let home = &sender.home;
        match error_from_response(code, &reason, contact.as_deref(), home.mapping()) {
            Some(error) if sender.stanza.is_some() => sender.give_back(error),
            Some(_) => tracing::info!(code, "a notice was not delivered"),
            // RFC 3428 §7: 202 says that somebody else will deliver it.
            None if code == 200 => {
                let stanza = sender.stanza.as_ref();
                let receipt =
                    stanza.and_then(|stanza| receipt_for(stanza, &self.shared.unique_id()));
                if let Some(receipt) = receipt {
                    home.reply(receipt);
                }
            }
            None => {}
        }
    }
}

/// What a sender hears whose message comes too late.
pub(super) fn going_down() -> StanzaError {
    StanzaError::from(Condition::ServiceUnavailable).with_text("going down")
}

/// Sees to it that a message that the script left without a fate returns to its sender.
fn finish_message_route((route, result): Ended, sender: &Sender) {
    let is_refused = |route: &Route| route.xmpp.as_ref().is_some_and(|xmpp| xmpp.is_refused);
    let is_met = |route: &Route| route.is_relayed || is_refused(route);
    if route.as_deref().is_some_and(is_met) {
        if let Err(error) = result {
            tracing::warn!(%error, "xmpp_message_route failed");
        }
        return;
    }
    let is_answered = route.as_deref().is_some_and(|route| route.is_answered);
    let is_dropped = route.as_deref().is_some_and(|route| route.is_dropped);
    if is_answered || is_dropped {
        if let Some(id) = sender.id {
            sender.home.conclude(id, if is_answered { End::Answered } else { End::Dropped });
        }
        return;
    }
    match result {
        Err(error) => {
            tracing::warn!(%error, status = error.status().0, "xmpp_message_route failed");
            sender.fail(error.status());
        }
        Ok(()) => {
            tracing::warn!("xmpp_message_route left a message without a fate");
            let error = StanzaError::from(Condition::ServiceUnavailable);
            sender.give_back(error.with_text("no route takes this message"));
        }
    }
}

/// Returns the stanza of a route to its sender with an error.
pub(super) fn refuse_stanza(route: &mut Route, error: StanzaError) -> Result<(), RouteError> {
    let reason = "there is no stanza to refuse";
    let missing = RouteError::State { function: "xmpp_refuse", reason };
    let xmpp = route.xmpp.as_mut().ok_or_else(|| missing.clone())?;
    let sender = sender_of(xmpp).ok_or(missing)?;
    if !xmpp.is_refused && !route.is_relayed {
        xmpp.is_refused = true;
        sender.give_back(error);
    }
    Ok(())
}
