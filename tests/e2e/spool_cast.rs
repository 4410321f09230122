//! Who sends and counts while everything around is killed: a SIP sender, a SIP recipient, an XMPP sender and an XMPP
//! recipient, each on a thread of its own, and the ledger that they write.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::jabber::jabber;
use crate::peer::DOMAIN;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::{Agent, Flow, T1};
use crate::xml::Element;
use crate::xmpp_client::Client;

/// Phones that messages go to and come from.
pub(crate) const PHONES: usize = 20;
/// The resource of every phone's account.
pub(crate) const RESOURCE: &str = "phone";
/// Requests that wait for their reply at a time.
const WINDOW: usize = 32;
/// Stanzas in front of one ping.
const CHUNK: usize = 20;
/// How long a ping may take.
const PONG: Duration = Duration::from_secs(5);
/// How long who was refused waits before he tries again, unless a server returns meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of one message.
#[derive(Clone, Debug, Default)]
struct Line {
    is_accepted: bool,
    delivered: u32,
    reports: u32,
}

impl Line {
    fn is_missing(&self) -> bool {
        self.is_accepted && self.delivered == 0 && self.reports == 0
    }
}

/// How many lines there are of what is asked for again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    accepted: usize,
    delivered: usize,
    missing: usize,
}

impl Counts {
    fn of(line: &Line) -> Self {
        Self {
            accepted: line.is_accepted.into(),
            delivered: (line.delivered > 0).into(),
            missing: line.is_missing().into(),
        }
    }

    fn change(&mut self, before: Self, after: Self) {
        self.accepted = self.accepted + after.accepted - before.accepted;
        self.delivered = self.delivered + after.delivered - before.delivered;
        self.missing = self.missing + after.missing - before.missing;
    }
}

/// Tells that something has happened.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<u64>, Condvar);

impl Pulse {
    /// Something has happened.
    pub(crate) fn beat(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_all();
    }

    /// Waits until something happens, but not for ever.
    pub(crate) fn wait(&self, patience: Duration) {
        let count = self.0.lock().unwrap();
        let before = *count;
        drop(self.1.wait_timeout_while(count, patience, |count| *count == before).unwrap());
    }
}

/// What became of every message of one way, by its text.
#[derive(Debug, Default)]
pub(crate) struct Book {
    lines: Mutex<(BTreeMap<String, Line>, Counts)>,
    changed: Arc<Pulse>,
}

impl Book {
    fn with<T>(&self, text: &str, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut lines = self.lines.lock().unwrap();
        let (lines, counts) = &mut *lines;
        let line = lines.entry(text.to_owned()).or_default();
        let before = Counts::of(line);
        let result = change(line);
        counts.change(before, Counts::of(line));
        self.changed.beat();
        result
    }

    fn count(&self, is: impl Fn(&Line) -> bool) -> usize {
        self.lines.lock().unwrap().0.values().filter(|line| is(line)).count()
    }

    fn counts(&self) -> Counts {
        self.lines.lock().unwrap().1
    }

    /// Messages that were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.counts().accepted
    }

    /// Messages that arrived.
    pub(crate) fn delivered(&self) -> usize {
        self.counts().delivered
    }

    /// Accepted messages that have neither arrived nor come back.
    pub(crate) fn missing(&self) -> usize {
        self.counts().missing
    }

    /// The texts of those, and of messages that arrived twice.
    pub(crate) fn faults(&self) -> Vec<String> {
        let book = self.lines.lock().unwrap();
        let faults = book.0.iter().filter(|(_, line)| line.delivered > 1 || line.is_missing());
        faults.map(|(text, line)| format!("{text}: {line:?}")).collect()
    }

    /// One line of the ledger, and what it shows.
    pub(crate) fn summary(&self, way: &str) -> String {
        format!(
            "{way}: accepted {}, delivered once {}, reported only {}, delivered and reported as uncertain {}, \
             twice {}, missing {}",
            self.accepted(),
            self.count(|line| line.delivered == 1),
            self.count(|line| line.delivered == 0 && line.reports > 0),
            self.count(|line| line.delivered == 1 && line.reports > 0),
            self.count(|line| line.delivered > 1),
            self.missing(),
        )
    }
}

/// How the XMPP side is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a component: phones have addresses in its domain.
    Component,
    /// By an account for each phone.
    Accounts,
}

impl Way {
    /// The address that a phone writes to.
    fn alice(self) -> String {
        match self {
            Self::Component => format!("sip:alice@{DOMAIN}"),
            Self::Accounts => jabber("alice"),
        }
    }

    /// The address that a phone is written to at.
    fn phone(self, number: usize) -> String {
        match self {
            Self::Component => format!("p{number}@sip.example"),
            Self::Accounts => format!("p{number}@{DOMAIN}"),
        }
    }

    /// Who answers a ping behind messages to this address.
    fn gateway(self, phone: &str) -> String {
        match self {
            Self::Component => "sip.example".to_owned(),
            Self::Accounts => format!("{phone}/{RESOURCE}"),
        }
    }
}

/// What everybody on stage knows.
pub(crate) struct Stage {
    /// How phones are reached.
    pub(crate) way: Way,
    /// How many messages go each way.
    pub(crate) count: usize,
    /// Where sipjab listens.
    pub(crate) sip: Mutex<SocketAddr>,
    /// Where XMPP clients connect.
    pub(crate) client_port: u16,
    /// From SIP to XMPP.
    pub(crate) to_xmpp: Book,
    /// From XMPP to SIP.
    pub(crate) to_sip: Book,
    /// Either has changed.
    pub(crate) changed: Arc<Pulse>,
    /// A server has come back.
    pub(crate) returned: Pulse,
    /// Nothing more will be sent.
    pub(crate) is_over: AtomicBool,
}

impl Stage {
    /// The stage before anybody has said anything.
    pub(crate) fn new(way: Way, count: usize, sip: SocketAddr, client_port: u16) -> Self {
        let changed = Arc::<Pulse>::default();
        let book = || Book { changed: changed.clone(), ..Book::default() };
        Self {
            way,
            count,
            sip: Mutex::new(sip),
            client_port,
            to_xmpp: book(),
            to_sip: book(),
            changed: changed.clone(),
            returned: Pulse::default(),
            is_over: AtomicBool::new(false),
        }
    }
}

fn text(way: &str, number: usize) -> String {
    format!("{way} number {number:06} end")
}

/// The text of ours in a text that quotes it.
fn quoted(body: &str) -> Option<&str> {
    let start = body.find("to-")?;
    let end = start + body[start..].find(" end")? + " end".len();
    Some(&body[start..end])
}

impl Stage {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A phone's owner: sends every message until it is answered with 2xx.
    pub(crate) fn send_from_sip(&self) {
        let mut agent = Agent::bind_udp("127.0.0.1");
        let mut next = 0;
        let mut open: BTreeMap<String, (Outgoing, Instant)> = BTreeMap::new();
        while !self.is_over() && (next < self.count || !open.is_empty()) {
            while next < self.count && open.len() < WINDOW {
                let from = format!("sip:p{}@sip.example", next % PHONES);
                let message = Outgoing::new(&from, &self.way.alice(), &text("to-xmpp", next));
                self.transmit(&agent, &message);
                open.insert(message.branch.clone(), (message, Instant::now()));
                next += 1;
            }
            if let Some((answer, _)) = agent.next(Duration::from_millis(20)) {
                self.take_answer(&mut open, &answer);
            }
            let now = Instant::now();
            for (message, sent) in open.values_mut().filter(|(_, sent)| now > *sent + T1) {
                *sent = now;
                self.transmit(&agent, message);
            }
        }
    }

    /// A refused message is sent again a little later, in another transaction.
    fn take_answer(&self, open: &mut BTreeMap<String, (Outgoing, Instant)>, answer: &Message) {
        static AGAIN: AtomicU64 = AtomicU64::new(0);
        let status = answer.status();
        if status < 200 {
            return;
        }
        let Some((mut message, _)) = open.remove(answer.branch()) else { return };
        match status {
            200..=299 => self.to_xmpp.with(&message.body, |line| line.is_accepted = true),
            _ => {
                message.branch += &format!("x{}", AGAIN.fetch_add(1, Ordering::Relaxed));
                open.insert(message.branch.clone(), (message, Instant::now()));
            }
        }
    }

    fn transmit(&self, agent: &Agent, message: &Outgoing) {
        let to = *self.sip.lock().unwrap();
        agent.send_udp(&message.to_bytes("UDP", agent.local), to);
    }

    /// Every phone: answers what comes, and counts it.
    pub(crate) fn receive_on_sip(&self, agent: &mut Agent) {
        let mut seen = HashSet::new();
        loop {
            // At the end everything that has come is looked at.
            let Some((request, flow)) = agent.next(Duration::from_millis(100)) else {
                if self.is_over() {
                    return;
                }
                continue;
            };
            if request.status() != 0 {
                continue;
            }
            let is_new = seen.insert(request.branch().to_owned());
            if let Flow::Udp(_) = flow {
                agent.answer(&request, flow, 200, "OK");
            }
            let body = request.text();
            let Some(text) = quoted(&body).filter(|_| is_new) else { continue };
            match text.starts_with("to-sip") {
                true => self.to_sip.with(text, |line| line.delivered += 1),
                false => self.to_xmpp.with(text, |line| line.reports += 1),
            }
        }
    }

    /// Logs in as soon as there is a server.
    fn login(&self, user: &str) -> Option<Client> {
        while !self.is_over() {
            if let Ok(mut client) = Client::try_login(self.client_port, user)
                && client.try_send("<presence><priority>1</priority></presence>")
            {
                return Some(client);
            }
            self.returned.wait(PAUSE);
        }
        None
    }

    /// Alice: counts what comes.
    pub(crate) fn receive_on_xmpp(&self) {
        while let Some(mut client) = self.login("alice") {
            let mut is_last = false;
            loop {
                if self.is_over() && !is_last {
                    // What the server has brought until its answer is all that there is.
                    is_last = true;
                    client.try_send("<iq type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq>");
                }
                match client.next_element(Duration::from_millis(100)) {
                    Ok(stanza) if stanza.attribute("id") == "last" => return,
                    Ok(stanza) => {
                        if let Some(text) = stanza.child_text("body").and_then(quoted) {
                            self.to_xmpp.with(text, |line| line.delivered += 1);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        }
    }

    /// Bob: sends messages and a ping behind them; what the gateway answers the ping for, it has accepted. The rest is
    /// sent again, as copies with the same origin id.
    pub(crate) fn send_from_xmpp(&self) {
        let mut open: Vec<usize> = Vec::new();
        let mut next = 0;
        while let Some(mut client) = self.login("bob") {
            while !self.is_over() {
                // A chunk has few recipients, and each must be pinged.
                while open.len() < CHUNK
                    && next < self.count
                    && (open.is_empty() || next % CHUNK > 0)
                {
                    open.push(next);
                    next += 1;
                }
                match open.is_empty() {
                    true if self.listen(&client).is_err() => break,
                    true => {}
                    false if !self.send_chunk(&mut client, &mut open) => break,
                    false => {}
                }
            }
        }
    }

    /// False when the stream is over.
    fn send_chunk(&self, client: &mut Client, open: &mut Vec<usize>) -> bool {
        static PINGS: AtomicU64 = AtomicU64::new(0);
        for number in &*open {
            let (to, body) = (self.way.phone(number / CHUNK % PHONES), text("to-sip", *number));
            let sent = client.try_send(&format!(
                "<message to='{to}' type='chat' id='m{number}'><body>{body}</body>\
                 <origin-id xmlns='urn:xmpp:sid:0' id='o{number}'/></message>"
            ));
            if !sent {
                return false;
            }
        }
        let gateway = |number: usize| self.way.gateway(&self.way.phone(number / CHUNK % PHONES));
        let gateways: BTreeSet<_> = open.iter().map(|number| gateway(*number)).collect();
        let mut pings = BTreeMap::new();
        for gateway in gateways {
            let ping = format!("ping{}", PINGS.fetch_add(1, Ordering::Relaxed));
            client.try_send(&format!(
                "<iq type='get' to='{gateway}' id='{ping}'><ping xmlns='urn:xmpp:ping'/></iq>"
            ));
            pings.insert(ping, gateway);
        }
        let (deadline, mut refused) = (Instant::now() + PONG, HashSet::new());
        let mut is_refused = false;
        while !pings.is_empty() && Instant::now() < deadline {
            match client.next_element(Duration::from_millis(100)) {
                Ok(stanza) if stanza.name == "iq" => {
                    let Some(pinged) = pings.remove(stanza.attribute("id")) else { continue };
                    if stanza.attribute("type") != "result" {
                        is_refused = true;
                        continue;
                    }
                    open.retain(|number| {
                        let is_accepted = gateway(*number) == pinged && !refused.contains(number);
                        if is_accepted {
                            self.to_sip.with(&text("to-sip", *number), |it| it.is_accepted = true);
                        }
                        !is_accepted
                    });
                }
                Ok(stanza) => refused.extend(self.take_error(&stanza)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        if is_refused {
            self.returned.wait(PAUSE);
        }
        true
    }

    /// Notes what comes back; the number of a message that was refused.
    fn take_error(&self, stanza: &Element) -> Option<usize> {
        let number = stanza.attribute("id").strip_prefix('m')?.parse().ok()?;
        let condition = stanza.condition()?;
        let words = stanza.child("error").and_then(|error| error.child_text("text"));
        let is_report = words.is_some_and(|words| words.contains("may have arrived"));
        if is_report {
            self.to_sip.with(&text("to-sip", number), |line| line.reports += 1);
            return None;
        }
        // Refused before it was accepted, by the gateway or by a server without one.
        matches!(
            condition,
            "resource-constraint"
                | "service-unavailable"
                | "remote-server-not-found"
                | "recipient-unavailable"
        )
        .then_some(number)
    }

    fn listen(&self, client: &Client) -> Result<(), ()> {
        match client.next_element(Duration::from_millis(100)) {
            Ok(stanza) => {
                self.take_error(&stanza);
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        }
    }
}
