use std::rc::Rc;

use super::*;
use crate::clock;
use crate::script::ending::AtEnd;
use crate::script::ending::sample::end as end_of;
use crate::script::export::Kind;
use crate::script::router::recording::{request, route};
use crate::sip::transaction::{KeySeed, ServerKey};

const TAGGED: &str = "sip:romeo@sip.example>;tag=b1;x=<y";

fn tracker(toml: &str) -> (Tracker, Vec<AtEnd>) {
    let config = "profiles_with_value = 'caller; to-user'\nprofiles_no_value = 'all'\n";
    let config: Config = Params::from_toml(&format!("{config}{toml}")).parse().unwrap();
    let dialogs = Arc::<Dialogs>::default();
    let (known, name) = (dialogs.clone(), config.rr_param.clone());
    let hook: AtEnd = Rc::new(move |ending| {
        super::end(&known, &name, ending);
        None
    });
    (Tracker { config, dialogs }, vec![hook])
}

fn invite() -> Box<Route> {
    route(Kind::Request, request("INVITE", "sip:romeo@sip.example", ""), &Rc::default())
}

/// The same request with another Call-ID, in a transaction of its own.
fn invite_of(call_id: &str) -> Box<Route> {
    let mut route = invite();
    route.message = altered("INVITE", |text| text.replace("call-1", call_id));
    route.key = Some(key(call_id));
    route
}

fn key(name: &str) -> ServerKey {
    thread_local!(static SEED: KeySeed = KeySeed::new());
    let branch = format!("z9hG4bK{name}");
    SEED.with(|seed| seed.by_branch(&branch, "192.0.2.7", None, "INVITE").unwrap())
}

fn altered(method: &str, change: impl FnOnce(String) -> String) -> Message {
    let text = request(method, "sip:romeo@sip.example", "").to_bytes();
    Message::parse(change(String::from_utf8(text.to_vec()).unwrap()).into()).unwrap()
}

/// A request of the caller within the dialog that has call-1.
fn inside(method: &str) -> Message {
    altered(method, |text| {
        text.replace("To: <sip:romeo@sip.example>", "To: <sip:romeo@sip.example>;tag=b1")
    })
}

/// A request of the callee within it.
fn from_callee(method: &str) -> Message {
    altered(method, |text| {
        text.replace("To: <sip:romeo@sip.example>", "To: <sip:juliet@sip.example>;tag=a1").replace(
            "<sip:juliet@sip.example>;tag=a1\r\nTo",
            "<sip:romeo@sip.example>;tag=b1\r\nTo",
        )
    })
}

fn is_known(tracker: &Tracker, message: Message) -> bool {
    is_known_dlg(&mut route(Kind::Request, message, &Rc::default()), tracker).unwrap()
}

fn size(tracker: &Tracker, value: &str) -> i64 {
    get_profile_size_of(&mut invite(), tracker, "caller".into(), value.into()).unwrap()
}

#[test]
fn a_dialog_is_known_from_its_invite_to_its_bye() {
    let (tracker, hooks) = tracker("");
    let mut route = invite();
    assert_eq!(is_known_dlg(&mut route, &tracker), Ok(false));
    assert_eq!(create_dialog(&mut route, &tracker), Ok(true));
    assert!(route.has_transaction, "so that its end is noticed");
    assert_eq!(is_known_dlg(&mut route, &tracker), Ok(true));
    end_of(&hooks, &route.message, route.key, Some(200), 0);
    assert!(is_known(&tracker, inside("INFO")) && is_known(&tracker, from_callee("INFO")));
    let other = altered("INFO", |text| text.replace("tag=a1", "tag=a2"));
    assert!(!is_known(&tracker, other));
    end_of(&hooks, &inside("INVITE"), None, Some(488), 0);
    end_of(&hooks, &inside("BYE"), None, Some(407), 0);
    assert!(is_known(&tracker, inside("BYE")), "it must prove who sent it");
    end_of(&hooks, &from_callee("BYE"), None, Some(200), 0);
    assert!(!is_known(&tracker, inside("INFO")) && tracker.dialogs.is_empty());
}

#[test]
fn what_fails_or_is_never_answered_is_no_dialog() {
    let (tracker, hooks) = tracker("");
    for status in [Some(486), Some(302), None] {
        let mut route = invite();
        create_dialog(&mut route, &tracker).unwrap();
        set_dlg_profile_of(&mut route, &tracker, "caller".into(), "juliet".into()).unwrap();
        assert_eq!(size(&tracker, "juliet"), 1);
        end_of(&hooks, &route.message, route.key, status, 0);
        assert!(tracker.dialogs.is_empty());
        assert_eq!(size(&tracker, "juliet"), 0);
    }
    for lost in [Some(481), Some(408)] {
        let mut route = invite();
        create_dialog(&mut route, &tracker).unwrap();
        end_of(&hooks, &route.message, route.key, Some(200), 0);
        end_of(&hooks, &inside("INVITE"), None, lost, 0);
        assert!(tracker.dialogs.is_empty(), "{lost:?}");
    }
    let mut route = invite();
    create_dialog(&mut route, &tracker).unwrap();
    end_of(&hooks, &route.message, route.key, Some(200), 0);
    end_of(&hooks, &inside("BYE"), None, None, 0);
    assert!(tracker.dialogs.is_empty(), "nobody is there any longer");
}

#[test]
fn only_an_invite_without_tag_begins_a_dialog() {
    let (tracker, _) = tracker("");
    for message in [inside("INVITE"), inside("BYE"), request("MESSAGE", "sip:a@b", "")] {
        let mut route = route(Kind::Request, message, &Rc::default());
        assert_eq!(create_dialog(&mut route, &tracker), Ok(false));
        assert!(!route.has_transaction);
    }
    assert!(Params::from_toml(&format!("rr_param = '{TAGGED}'")).parse::<Config>().is_err());
}

#[test]
fn a_spiral_is_one_dialog() {
    let (tracker, hooks) = tracker("");
    let (mut first, mut second) = (invite(), invite());
    second.key = Some(key("second"));
    let ours = "Via: SIP/2.0/UDP h;branch=z9hG4bKours\r\nUser-Agent: test";
    second.message = altered("INVITE", |text| text.replace("User-Agent: test", ours));
    create_dialog(&mut first, &tracker).unwrap();
    create_dialog(&mut second, &tracker).unwrap();
    assert_eq!(second.record_route_params, "");
    end_of(&hooks, &second.message, second.key, Some(486), 0);
    assert!(!tracker.dialogs.is_empty(), "the first pass decides");
    end_of(&hooks, &first.message, first.key, Some(486), 0);
    assert!(tracker.dialogs.is_empty());
}

#[test]
fn who_reuses_a_call_id_has_as_many_dialogs_as_calls() {
    let (tracker, hooks) = tracker("");
    let mut routes: Vec<_> = (0..17).map(|_| invite()).collect();
    for (number, route) in routes.iter_mut().enumerate() {
        route.key = Some(key(&number.to_string()));
        assert_eq!(create_dialog(route, &tracker).is_ok(), number < 16, "{number}");
        set_dlg_profile_of(route, &tracker, "caller".into(), "juliet".into()).unwrap();
        assert_eq!(create_dialog(route, &tracker).is_ok(), number < 16, "once more");
    }
    assert_eq!(size(&tracker, "juliet"), 16);
    for route in &routes[1..16] {
        end_of(&hooks, &route.message, route.key, Some(486), 0);
    }
    end_of(&hooks, &inside("BYE"), None, Some(200), 0);
    assert_eq!(size(&tracker, "juliet"), 1, "it rings, and ends with its INVITE");
    end_of(&hooks, &routes[0].message, routes[0].key, Some(200), 0);
    end_of(&hooks, &inside("BYE"), None, Some(200), 0);
    assert_eq!(size(&tracker, "juliet"), 0);
}

#[test]
fn record_route_names_the_dialog_and_finds_it_without_tags() {
    let (tracker, hooks) = tracker("");
    let mut route = invite();
    create_dialog(&mut route, &tracker).unwrap();
    assert_eq!(route.record_route_params, ";did=1");
    end_of(&hooks, &route.message, route.key, Some(200), 0);
    let bye = |did: &str, call_id: &str| {
        altered("BYE", |text| {
            text.replace("User-Agent: test", &format!("Route: <sip:h;lr;did={did}>"))
                .replace("tag=a1", "tag=other")
                .replace("call-1", call_id)
                .replace("To: <sip:romeo@sip.example>", "To: <sip:romeo@sip.example>;tag=z")
        })
    };
    for stranger in [bye("2", "call-1"), bye("1", "call-2"), bye("x", "call-1")] {
        end_of(&hooks, &stranger, None, Some(200), 0);
        assert!(!tracker.dialogs.is_empty());
    }
    end_of(&hooks, &bye("1", "call-1"), None, Some(200), 0);
    assert!(tracker.dialogs.is_empty());
    let (silent, _) = self::tracker("rr_param = ''");
    let mut route = invite();
    create_dialog(&mut route, &silent).unwrap();
    assert_eq!(route.record_route_params, "");
}

#[test]
fn profiles_count_values_and_the_whole() {
    let (tracker, hooks) = tracker("");
    let mut routes = ["c1", "c2", "c3"].map(invite_of);
    for (route, caller) in routes.iter_mut().zip(["juliet", "juliet", "romeo"]) {
        assert_eq!(set_dlg_profile(route, &tracker, "all".into()), Ok(false), "not yet");
        create_dialog(route, &tracker).unwrap();
        for _ in 0..2 {
            set_dlg_profile_of(route, &tracker, "caller".into(), caller.into()).unwrap();
        }
        assert_eq!(set_dlg_profile(route, &tracker, "all".into()), Ok(true));
    }
    assert_eq!((size(&tracker, "juliet"), size(&tracker, "romeo"), size(&tracker, "")), (2, 1, 0));
    let whole = |name: &str| get_profile_size(&mut invite(), &tracker, name.into()).unwrap();
    assert_eq!((whole("caller"), whole("all"), whole("to-user")), (3, 3, 0));
    let [first, second, _] = &mut routes;
    assert_eq!(is_in_profile(first, &tracker, "caller".into()), Ok(true));
    assert_eq!(is_in_profile_of(first, &tracker, "caller".into(), "romeo".into()), Ok(false));
    assert_eq!(unset_dlg_profile(first, &tracker, "all".into()), Ok(true));
    assert_eq!(unset_dlg_profile(first, &tracker, "all".into()), Ok(false));
    assert_eq!(is_in_profile(first, &tracker, "all".into()), Ok(false));
    let unset = unset_dlg_profile_of(second, &tracker, "caller".into(), "juliet".into());
    assert_eq!((unset, size(&tracker, "juliet"), whole("caller")), (Ok(true), 1, 2));
    end_of(&hooks, &first.message, first.key, Some(600), 0);
    assert_eq!((size(&tracker, "juliet"), whole("caller"), whole("all")), (0, 1, 2));
}

#[test]
fn profiles_are_those_of_the_configuration() {
    let (tracker, _) = tracker("");
    let mut route = invite();
    create_dialog(&mut route, &tracker).unwrap();
    for (name, value) in
        [("caller", None), ("all", Some("x")), ("other", None), ("caller", Some(&*"x".repeat(513)))]
    {
        let set = match value {
            Some(value) => set_dlg_profile_of(&mut route, &tracker, name.into(), value.into()),
            None => set_dlg_profile(&mut route, &tracker, name.into()),
        };
        assert!(set.is_err(), "{name} {value:?}");
    }
    assert!(get_profile_size(&mut route, &tracker, "other".into()).is_err());
    for number in 0..40 {
        let value = number.to_string().into();
        let set = set_dlg_profile_of(&mut route, &tracker, "caller".into(), value);
        assert_eq!(set.is_ok(), number < 32, "{number}");
    }
    for bad in ["profiles_no_value = 'a b'", "max_dialogs = 0", "default_timeout = 0"] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}

#[test]
fn there_is_a_bound_and_time_ends_dialogs() {
    let dialogs = Dialogs::default();
    let start = clock::now();
    let lives = Lives { early: Duration::from_secs(10), confirmed: Duration::from_secs(100) };
    let create = |after: u64, call_id: &str| {
        let new = New { call_id, caller: "a", key: key(call_id), lives, is_spiral: false };
        dialogs.create(start + Duration::from_secs(after), 2, &new)
    };
    let find = |after: u64, call_id: &str| {
        dialogs.find(start + Duration::from_secs(after), call_id, "a", "", None).is_some()
    };
    assert!(create(0, "c1").is_ok() && create(5, "c2").is_ok());
    assert_eq!(create(5, "c3").unwrap_err().status().0, 503);
    assert!(!create(5, "c2").unwrap().1, "it is there already");
    dialogs.settle(start + Duration::from_secs(6), key("c1"), Some("b"));
    assert!(find(14, "c2") && !find(15, "c2"), "early for ten seconds");
    assert!(create(15, "c3").is_ok());
    assert!(find(105, "c1") && !find(106, "c1"));
    let id = dialogs.find(start, "c1", "b", "a", None).unwrap();
    assert!(dialogs.set_timeout(start, id, Duration::from_secs(50)));
    assert!(find(49, "c1") && !find(50, "c1"));
    dialogs.size(start + Duration::from_secs(50), &Profile { name: "all".into(), value: None });
    assert!(dialogs.is_empty());
}
