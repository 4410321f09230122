//! Two hundred SIP users with accounts of their own: everybody writes to many, and everybody answers.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::jabber::{SCRIPT, jabber, parameters, register, row, sip_id};
use crate::mariadb::Mariadb;
use crate::peer::{Peer, SECRET};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::{Agent, T1};
use crate::sipjab::{Setup, Sipjab};

/// SIP users; each writes to [`OTHERS`].
const USERS: usize = 200;
/// Those behind him in the row.
const OTHERS: usize = 20;
/// Requests that wait for their reply at a time.
const WINDOW: usize = 48;

/// One telephone for all, which writes and answers.
struct Crowd {
    phone: Agent,
    sip: SocketAddr,
    /// Who writes to whom, and what.
    waiting: VecDeque<(usize, usize, String)>,
    open: BTreeMap<String, (Outgoing, Instant)>,
    /// How often each text has come.
    heard: BTreeMap<String, usize>,
    seen: HashSet<String>,
}

fn name(user: usize) -> String {
    format!("user{user}")
}

impl Crowd {
    fn write(&mut self) {
        while self.open.len() < WINDOW
            && let Some((from, to, text)) = self.waiting.pop_front()
        {
            let message = Outgoing::new(&sip_id(&name(from)), &jabber(&name(to)), &text);
            self.transmit(&message);
            self.open.insert(message.branch.clone(), (message, Instant::now()));
        }
        let late = self.open.values().filter(|(_, sent)| sent.elapsed() > T1);
        late.for_each(|(message, _)| self.transmit(message));
        self.open.values_mut().filter(|(_, sent)| sent.elapsed() > T1).for_each(|(_, sent)| {
            *sent = Instant::now();
        });
    }

    fn transmit(&self, message: &Outgoing) {
        self.phone.send_udp(&message.to_bytes("UDP", self.phone.local), self.sip);
    }

    /// Takes what comes; false when nothing has.
    fn listen(&mut self, patience: Duration) -> bool {
        let Some((message, flow)) = self.phone.next(patience) else { return false };
        match message.status() {
            0 => {
                self.phone.answer(&message, flow, 200, "OK");
                self.hear(&message);
            }
            100..=199 => {}
            200..=299 => drop(self.open.remove(message.branch())),
            _ => panic!("{}", message.start),
        }
        true
    }

    fn hear(&mut self, message: &Message) {
        if !self.seen.insert(message.branch().to_owned()) {
            return;
        }
        let text = message.text();
        let mut words = text.split(' ');
        let mut user = || words.find_map(|word| word.parse::<usize>().ok()).expect("a user");
        let (from, to) = (user(), user());
        assert!(message.header("From").contains(&jabber(&name(from))), "{text}: {message:?}");
        assert!(message.header("To").contains(&sip_id(&name(to))), "{text}: {message:?}");
        if text.ends_with("hello") && !self.heard.contains_key(&text) {
            self.waiting.push_back((to, from, format!("{to} to {from} and back")));
        }
        *self.heard.entry(text).or_default() += 1;
    }
}

#[test]
fn two_hundred_users_of_mariadb_write_to_twenty_others_and_back_exactly_once() {
    let database = Mariadb::running();
    let server = Peer::start_keeping();
    let parameters = parameters(server.client_port) + "reply = \"queued\"\nalways_online = true\n";
    let store = format!("url = \"{}\"\n", database.url());
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters).store(&store));
    (0..USERS).for_each(|user| server.add_account(&name(user)));
    database.sql(&(0..USERS).map(|user| row(&name(user), SECRET)).collect::<String>());
    let mut phone = Agent::bind_udp("127.0.0.1");
    (0..USERS).for_each(|user| register(&mut phone, &name(user), &sipjab));
    let others = (1..=OTHERS).flat_map(|step| (0..USERS).map(move |user| (user, user + step)));
    let others = others.map(|(from, to)| (from, to % USERS));
    let waiting = others.map(|(from, to)| (from, to, format!("{from} to {to} hello"))).collect();
    let mut crowd = Crowd {
        phone,
        sip: sipjab.udp,
        waiting,
        open: BTreeMap::new(),
        heard: BTreeMap::new(),
        seen: HashSet::new(),
    };
    let all = 2 * USERS * OTHERS;
    let (began, mut deadline) = (Instant::now(), Instant::now() + PATIENCE);
    while crowd.heard.len() < all || !crowd.open.is_empty() {
        crowd.write();
        if crowd.listen(Duration::from_millis(20)) {
            deadline = Instant::now() + PATIENCE;
        }
        let (heard, open) = (crowd.heard.len(), crowd.open.len());
        assert!(Instant::now() < deadline, "{heard} of {all} have come, {open} are not answered");
    }
    println!("{all} messages in {:?}", began.elapsed());
    // What would come twice comes before the end.
    sipjab.terminate();
    while crowd.listen(Duration::from_millis(100)) {}
    let twice: Vec<_> = crowd.heard.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
