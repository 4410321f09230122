//! A server for tests: it writes down what scripts have it do, and knows what the test tells it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{AccountOrder, Promise, Registered, Router, Saving, Verdict, Waiting};
use crate::clock;
use crate::gateway::ledger::State;
use crate::gateway::{MessageId, OutgoingStanza, Wish};
use crate::script::error::RouteError;
use crate::script::export::Kind;
use crate::script::route::{FromXmpp, Listener, Route, Target};
use crate::sip::Message;
use crate::sip::certificate::Certificate;
use crate::sip::location::{Binding, Location, Rules, Walk};
use crate::sip::transaction::KeySeed;
use crate::sip::transport::{Source, Transport, peer_uri};
use crate::xmpp::{Stanza, StanzaError};

/// Answers for `sip.example` and keeps a journal.
#[derive(Default)]
pub(crate) struct Recording {
    journal: RefCell<Vec<String>>,
    /// Contacts by URI.
    pub(crate) contacts: RefCell<BTreeMap<String, Vec<Target>>>,
    /// The contacts of alice@sip.example, before anyone walks through them.
    pub(crate) bindings: RefCell<Vec<Binding>>,
    /// The same, to walk through.
    pub(crate) location: OnceCell<Location>,
    /// What requests of our own are answered; without it, 200.
    pub(crate) request_status: RefCell<Option<u16>>,
    /// What becomes of stanzas; without it they are handed over.
    pub(crate) verdict: RefCell<Option<Verdict>>,
    /// What becomes of relayed messages.
    pub(crate) relay_error: RefCell<Option<RouteError>>,
    /// What every sender has proved to have.
    pub(crate) certificate: RefCell<Option<Arc<Certificate>>>,
    /// Relays and stanzas wait as long as this is set.
    pub(crate) is_busy: Rc<Cell<bool>>,
}

impl Recording {
    /// What was done since the last look, one line each.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.journal.take()
    }

    fn note(&self, line: String) {
        self.journal.borrow_mut().push(line);
    }

    /// Gives `value` once nothing is busy.
    fn later<T: 'static>(&self, value: T) -> Waiting<T> {
        let is_busy = self.is_busy.clone();
        let mut value = Some(value);
        Box::pin(std::future::poll_fn(move |_| match is_busy.get() {
            true => Poll::Pending,
            false => Poll::Ready(value.take().expect("a future that is ready is not polled")),
        }))
    }
}

/// The headers that a reply carries, in one line.
fn lines(route: &Route, headers: &[(&str, &str)]) -> String {
    let own = route.reply_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = headers.iter().copied().chain(own);
    all.map(|(name, value)| format!(" {name}: {value}")).collect()
}

impl Router for Recording {
    fn reply_stateless(&self, route: &Route, status: u16, reason: &str) -> Result<(), RouteError> {
        self.note(format!("sl {status} {reason}{}", lines(route, &[])));
        Ok(())
    }

    fn new_transaction(&self, route: &mut Route) -> Result<(), RouteError> {
        route.has_transaction = true;
        self.note("transaction".to_owned());
        Ok(())
    }

    fn reply(
        &self,
        route: &Route,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), RouteError> {
        self.note(format!("reply {status} {reason}{}", lines(route, headers)));
        Ok(())
    }

    fn relay(&self, route: &mut Route) -> Waiting<Result<(), RouteError>> {
        let next_hop = route.destination.iter().map(|uri| format!(" by {uri}")).collect::<String>();
        self.note(format!("relay {}{next_hop}", route.message.request_uri()));
        self.later(self.relay_error.borrow().clone().map_or(Ok(()), Err))
    }

    fn recall(&self, _: &mut Route) {}

    fn forward(
        &self,
        route: &mut Route,
        next_hop: Option<&str>,
    ) -> Waiting<Result<(), RouteError>> {
        let next_hop = next_hop.map(|uri| format!(" by {uri}")).unwrap_or_default();
        self.note(format!("forward {}{next_hop}", route.message.request_uri()));
        self.later(self.relay_error.borrow().clone().map_or(Ok(()), Err))
    }

    fn replicate(&self, _: &mut Route, uri: &str) -> Waiting<Result<(), RouteError>> {
        self.note(format!("replicate {uri}"));
        self.later(Ok(()))
    }

    fn retransmit(&self, _: &Route) -> bool {
        self.note("retransmit".to_owned());
        true
    }

    fn request(&self, message: Message, next_hop: &str) -> Waiting<Result<u16, RouteError>> {
        self.note(format!("request {} {next_hop}", message.method().as_str()));
        self.later(Ok(self.request_status.borrow().unwrap_or(200)))
    }

    fn send_stanza(&self, _: &Route, stanza: OutgoingStanza, promise: Promise) -> Waiting<Verdict> {
        self.note(format!("stanza from {} to {}", stanza.from, stanza.to));
        let success = || match promise {
            Promise::HandedOver | Promise::Delivered => (200, "OK"),
            Promise::Queued => (202, "Accepted"),
        };
        let verdict = self.verdict.borrow().clone();
        self.later(verdict.unwrap_or_else(|| {
            let (status, reason) = success();
            Verdict::new(status, reason)
        }))
    }

    fn message_fate(&self, id: MessageId) -> Waiting<Option<State>> {
        self.note(format!("fate {id}"));
        self.later(Some(State::Delivered))
    }

    fn order_account(&self, order: AccountOrder) -> Waiting<Verdict> {
        let AccountOrder { sip_id, wish, address, promise, .. } = order;
        let wish = match wish {
            Wish::Online => "online".to_owned(),
            Wish::Offline => "offline".to_owned(),
            Wish::Send { to, .. } => format!("send {to}"),
            Wish::Say { room, .. } => format!("say {room}"),
            Wish::Join { room, nick } => format!("join {room}/{nick}"),
            Wish::Exit { room } => format!("exit {room}"),
        };
        self.note(format!("account {sip_id} {wish} from {address:?} {promise:?}"));
        let verdict = self.verdict.borrow().clone();
        self.later(verdict.unwrap_or_else(|| match promise {
            Promise::Queued => Verdict::new(202, "Accepted"),
            Promise::HandedOver | Promise::Delivered => Verdict::new(200, "OK"),
        }))
    }

    fn refuse_stanza(&self, route: &mut Route, error: StanzaError) -> Result<(), RouteError> {
        if let Some(xmpp) = &mut route.xmpp {
            xmpp.is_refused = true;
        }
        let text = error.text.unwrap_or_default();
        self.note(format!("refuse {} {text}", error.condition.name()));
        Ok(())
    }

    fn is_myself(&self, host: &str, _: Option<u16>) -> bool {
        host == "sip.example"
    }

    fn listener(
        &self,
        transport: Option<Transport>,
        ip: IpAddr,
        port: Option<u16>,
    ) -> Option<Listener> {
        let local: SocketAddr = ([192, 0, 2, 1], 5060).into();
        let of = transport.unwrap_or(Transport::Udp);
        let is_it = ip == local.ip() && port.is_none_or(|port| port == local.port());
        (is_it && of == Transport::Udp).then_some((of, local))
    }

    fn has_passed(&self, message: &Message) -> bool {
        message.vias().flatten().any(|via| via.branch == Some("z9hG4bKours"))
    }

    fn local_address(&self, source: Source) -> Result<SocketAddr, RouteError> {
        Ok(source.local)
    }

    fn save(&self, _: &mut Route, table: &str, saving: Saving<'_>) -> Result<bool, RouteError> {
        let mut line = format!("save {table}");
        for (is_set, word) in [
            (saving.is_volatile, " in memory"),
            (saving.is_silent, " silently"),
            (saving.replaces_all, " alone"),
        ] {
            line += if is_set { word } else { "" };
        }
        self.note(saving.uri.map_or(line.clone(), |uri| format!("{line} for {uri}")));
        Ok(true)
    }

    fn contacts(&self, table: &str, uri: &str, method: Option<&str>) -> Vec<Target> {
        if let Some(method) = method {
            self.note(format!("contacts for {method}"));
        }
        let contacts = self.contacts.borrow().get(uri).filter(|_| table == "location").cloned();
        contacts.unwrap_or_default()
    }

    fn unregister(&self, table: &str, uri: &str, contact: Option<&str>) -> usize {
        self.note(format!("unregister {table} {uri} {}", contact.unwrap_or("all")));
        self.contacts.borrow_mut().remove(uri).unwrap_or_default().len()
    }

    fn registered(
        &self,
        _: &str,
        walk: &mut Walk,
        is_meant: &dyn Fn(&Binding) -> bool,
    ) -> Vec<Registered> {
        let location = self.location.get_or_init(|| {
            let mut location = Location::new(Rules::default(), "run", false);
            for (number, binding) in self.bindings.borrow().iter().enumerate() {
                location.restore(clock::now(), number.to_string(), binding.clone());
            }
            location
        });
        let seen = location.walk(clock::now(), walk, 2);
        let found = seen.into_iter().map(|(_, binding)| binding).filter(|it| is_meant(it));
        let registered = |binding: &Binding| Registered {
            address: "alice@sip.example".to_owned(),
            ruid: binding.ruid.clone(),
            target: Target {
                destination: binding.received.map(|(transport, at)| peer_uri(transport, at).into()),
                path: binding.path.as_str().into(),
                ..Target::new(binding.uri.as_str())
            },
        };
        found.map(registered).collect()
    }

    fn time(&self) -> (Instant, Duration) {
        (clock::now(), clock::unix_time())
    }

    fn unique_id(&self) -> String {
        "unique".to_owned()
    }

    fn peer_certificate(&self, _: Source) -> Option<Arc<Certificate>> {
        self.certificate.borrow().clone()
    }
}

/// A request of `juliet@sip.example` that has come over UDP; `more` are header lines and the body.
pub(crate) fn request(method: &str, uri: &str, more: &str) -> Message {
    let text = format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         From: \"Juliet\" <sip:juliet@sip.example>;tag=a1\r\n\
         To: <{uri}>\r\n\
         Call-ID: call-1\r\n\
         CSeq: 7 {method}\r\n\
         User-Agent: test\r\n\
         {more}"
    );
    let text = if text.contains("\r\n\r\n") { text } else { format!("{text}\r\n") };
    Message::parse(Bytes::from(text)).expect("the request is well formed")
}

/// A run about a message, with ten seconds of time.
pub(crate) fn route(kind: Kind, message: Message, router: &Rc<Recording>) -> Box<Route> {
    let address = |text: &str| text.parse().expect("an address with a port");
    let source = Source::new(Transport::Udp, address("192.0.2.7:5062"), address("192.0.2.1:5060"));
    let key = KeySeed::new().by_branch("z9hG4bK1", "192.0.2.7", Some(5062), "MESSAGE");
    let deadline = clock::now() + Duration::from_secs(10);
    Box::new(Route::new(kind, message, source, key, router.clone(), deadline))
}

/// A run about a MESSAGE to `romeo@xmpp.example`.
pub(crate) fn message_route(router: &Rc<Recording>) -> Box<Route> {
    let text = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello";
    route(Kind::Request, request("MESSAGE", "sip:romeo@xmpp.example", text), router)
}

/// A run about a stanza to `juliet@sip.example`.
pub(crate) fn stanza_route(stanza: Stanza, router: &Rc<Recording>) -> Box<Route> {
    let message = request("MESSAGE", "sip:juliet@sip.example", "");
    let mut route = route(Kind::XmppMessage, message, router);
    route.xmpp = Some(Box::new(FromXmpp {
        stanza,
        is_refused: false,
        id: None,
        account: None,
        bounces: true,
        home: Rc::new(()),
    }));
    route
}
