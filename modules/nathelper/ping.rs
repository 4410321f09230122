//! Requests to registered contacts, which keep the ways through their NATs open and tell whether they live.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ahash::AHashMap;

use super::{Config, contact};
use crate::script::error::RouteError;
use crate::script::question::question;
use crate::script::router::{Registered, Router, Waiting};
use crate::sip::Uri;
use crate::sip::location::{Binding, Walk};

/// The table whose contacts are asked.
const TABLE: &str = "location";

/// The most contacts that are asked at the same time; who does not answer takes half a minute.
const MAX_ASKED: usize = 100_000;

/// Longer than a question is on its way, in seconds.
const PATIENCE: u64 = 64;

/// Asks the contacts, each once in an interval, spread over its seconds.
pub(super) struct Pinger {
    config: Config,
    /// The seconds that have passed.
    second: Cell<u64>,
    /// Who was asked and has not answered yet, by the contact's own name.
    asked: RefCell<AHashMap<Arc<str>, Asked>>,
    /// Who did not answer.
    silent: RefCell<AHashMap<Arc<str>, Silence>>,
}

struct Asked {
    address: String,
    at: u64,
    answer: Waiting<Result<u16, RouteError>>,
}

/// The seconds of the first and the last question without an answer.
#[derive(Clone, Copy)]
struct Silence {
    first: u64,
    last: u64,
}

impl Pinger {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            second: Cell::default(),
            asked: RefCell::default(),
            silent: RefCell::default(),
        }
    }

    /// Takes what was answered, and asks those whose second it is; to be called every second.
    pub(super) async fn tick(&self, router: &dyn Router) {
        let now = self.second.get() + 1;
        self.second.set(now);
        self.take_answers(now, router);
        let interval = u64::from(self.config.natping_interval);
        let mut walk = Walk::part(now % interval, interval);
        while !walk.is_done() {
            let is_meant = |binding: &Binding| self.config.is_asked(binding);
            for contact in router.registered(TABLE, &mut walk, &is_meant) {
                self.ask(now, router, contact);
            }
            tokio::task::yield_now().await;
        }
        if now.is_multiple_of(interval) {
            let recent = now.saturating_sub(2 * interval + PATIENCE);
            self.silent.borrow_mut().retain(|_, silence| silence.last >= recent);
        }
    }

    fn ask(&self, now: u64, router: &dyn Router, contact: Registered) {
        let mut asked = self.asked.borrow_mut();
        if asked.contains_key(&contact.ruid) || asked.len() >= MAX_ASKED {
            return;
        }
        let Config { sipping_method: method, sipping_from: from, .. } = &self.config;
        let (uri, next_hop) = way(&contact);
        let id = router.unique_id();
        let Some(message) = question(method, from, &uri, &contact.target.path, &id) else { return };
        let answer = router.request(message, &next_hop);
        asked.insert(contact.ruid, Asked { address: contact.address, at: now, answer });
    }

    fn take_answers(&self, now: u64, router: &dyn Router) {
        let mut context = Context::from_waker(Waker::noop());
        self.asked.borrow_mut().retain(|ruid, asked| {
            let Poll::Ready(status) = asked.answer.as_mut().poll(&mut context) else { return true };
            // 408 is nobody's answer but ours, and 503 where there is no way.
            match status {
                Ok(status) if !matches!(status, 408 | 503) => {
                    self.silent.borrow_mut().remove(ruid);
                }
                _ => self.note_silence(now, router, ruid, asked),
            }
            false
        });
    }

    fn note_silence(&self, now: u64, router: &dyn Router, ruid: &Arc<str>, asked: &Asked) {
        let mut silent = self.silent.borrow_mut();
        let new = Silence { first: asked.at, last: asked.at };
        let silence = silent.entry(ruid.clone()).or_insert(new);
        silence.last = asked.at;
        let longest = u64::from(self.config.keepalive_timeout);
        if longest > 0 && now - silence.first >= longest {
            silent.remove(ruid);
            router.unregister(TABLE, &format!("sip:{}", asked.address), Some(ruid));
            tracing::info!(%ruid, "a contact that does not answer was removed");
        }
    }
}

impl Config {
    /// Is this contact to be asked?
    fn is_asked(&self, binding: &Binding) -> bool {
        let has = |flag: Option<u8>| flag.is_some_and(|flag| binding.branch_flags >> flag & 1 == 1);
        let is_nated =
            || binding.received.is_some() || has(self.nat_bflag) || binding.uri.contains(";alias=");
        (self.sipping_bflag.is_none() || has(self.sipping_bflag))
            && (self.ping_nated_only == 0 || is_nated())
    }
}

/// The URI of a contact and the next hop that leads there.
fn way(contact: &Registered) -> (String, String) {
    let target = &contact.target;
    if let Some(next_hop) = &target.destination {
        return (target.uri.to_string(), next_hop.to_string());
    }
    let uri = Uri::parse(&target.uri).ok();
    let resolved = uri.and_then(|uri| contact::resolved(&uri));
    resolved.unwrap_or_else(|| (target.uri.to_string(), target.uri.to_string()))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::config::Params;
    use crate::script::route::Target;
    use crate::script::router::recording::Recording;

    fn config(toml: &str) -> Config {
        Params::from_toml(&format!("natping_interval = 5\n{toml}")).parse().unwrap()
    }

    fn binding(ruid: &str, uri: &str) -> Binding {
        let now = clock::now();
        Binding::new(uri.to_owned(), ruid, now, now + Duration::from_secs(600))
    }

    /// What is done in some seconds.
    fn after(pinger: &Pinger, router: &Rc<Recording>, seconds: usize) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        (0..seconds).for_each(|_| runtime.block_on(pinger.tick(&**router)));
        router.journal()
    }

    fn router(bindings: Vec<Binding>) -> Rc<Recording> {
        let router = Rc::<Recording>::default();
        *router.bindings.borrow_mut() = bindings;
        router
    }

    #[test]
    fn each_contact_is_asked_once_in_an_interval() {
        let names: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        let bindings: Vec<_> =
            names.iter().map(|name| binding(name, &format!("sip:{name}@h"))).collect();
        let (pinger, router) = (Pinger::new(&config("")), router(bindings));
        let mut firsts = after(&pinger, &router, 5);
        assert_eq!(firsts.len(), 20);
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts.len(), 20);
        let longest = (0..5).map(|_| after(&pinger, &router, 1).len()).max();
        assert!(longest < Some(20), "they are spread out");
    }

    #[test]
    fn those_behind_a_nat_are_told_by_where_they_are_reached_or_a_flag() {
        let mut received = binding("1", "sip:a@10.0.0.9");
        received.received =
            Some((crate::sip::transport::Transport::Udp, "192.0.2.9:4000".parse().unwrap()));
        let mut flagged = binding("2", "sip:b@h");
        flagged.branch_flags = 1 << 6;
        let aliased = binding("3", "sip:c@10.0.0.8;alias=192.0.2.8~5070~2");
        let all = vec![received, flagged, aliased, binding("4", "sip:d@h")];
        let asked = |toml: &str| {
            let mut lines = after(&Pinger::new(&config(toml)), &router(all.clone()), 5);
            lines.sort();
            lines
        };
        assert_eq!(asked("").len(), 4);
        assert_eq!(
            asked("ping_nated_only = 1"),
            [
                "request OPTIONS sip:192.0.2.8:5070;transport=tcp",
                "request OPTIONS sip:192.0.2.9:4000"
            ]
        );
        assert_eq!(asked("ping_nated_only = 1\nnat_bflag = 6").len(), 3);
        assert_eq!(asked("sipping_bflag = 6\nsipping_method = 'INFO'"), ["request INFO sip:b@h"]);
    }

    #[test]
    fn who_is_silent_for_too_long_is_removed() {
        let (pinger, router) =
            (Pinger::new(&config("keepalive_timeout = 12")), router(vec![binding("1", "sip:a@h")]));
        router.contacts.borrow_mut().insert("sip:a@sip.example".into(), vec![Target::new("x")]);
        let counts = |lines: Vec<String>| {
            let count = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
            (count("request"), count("unregister"))
        };
        *router.request_status.borrow_mut() = Some(408);
        assert_eq!(counts(after(&pinger, &router, 10)), (2, 0));
        *router.request_status.borrow_mut() = Some(404);
        assert_eq!(counts(after(&pinger, &router, 10)), (2, 0), "any answer will do");
        *router.request_status.borrow_mut() = Some(408);
        let lines = after(&pinger, &router, 25);
        assert!(lines.contains(&"unregister location sip:alice@sip.example 1".to_owned()));
        *router.request_status.borrow_mut() = Some(408);
        let patient = Pinger::new(&config(""));
        assert_eq!(counts(after(&patient, &router, 100)).1, 0, "nobody wishes so");
    }

    #[test]
    fn who_has_not_answered_yet_is_not_asked_again() {
        let (pinger, router) = (Pinger::new(&config("")), router(vec![binding("1", "sip:a@h")]));
        router.is_busy.set(true);
        assert_eq!(after(&pinger, &router, 50).len(), 1);
        router.is_busy.set(false);
        assert_eq!(after(&pinger, &router, 5).len(), 1);
    }
}
