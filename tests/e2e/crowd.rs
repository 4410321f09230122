//! Many accounts online at once at a real Prosody: `SIPJAB_ACCOUNTS` says how many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::jabber::{SCRIPT, jabber, parameters, row, say};
use crate::peer::{DOMAIN, Peer, SECRET};
use crate::process::PATIENCE;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

/// What `make test` has time for.
const FEW: usize = 100;

/// What one login may take beside the others.
const LOGIN: Duration = Duration::from_millis(200);

fn name(number: usize) -> String {
    format!("user{number}")
}

/// Asserts that the text of each of `count` has come once.
#[track_caller]
fn assert_each_once(got: &BTreeMap<String, usize>, count: usize, way: &str) {
    let missing: Vec<_> = (0..count).map(name).filter(|name| !got.contains_key(name)).collect();
    assert!(missing.is_empty(), "{way}: {} of {count} are missing: {missing:?}", missing.len());
    let doubled: Vec<_> = got.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{way}: doubled: {doubled:?}");
}

#[test]
fn a_crowd_is_online_at_once_and_each_gets_and_sends_his_message() {
    let count = std::env::var("SIPJAB_ACCOUNTS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(FEW);
    let authority = Authority::new("ours");
    let server = Peer::start_with_tls(authority.sign(DOMAIN));
    let mut phone = Agent::bind();
    let basics = parameters(server.client_port).replace("tls = \"where_offered\"\n", "");
    let proxy = phone.local;
    let parameters = format!(
        "{basics}ca = \"ca.pem\"\nalways_online = true\nproxy = \"{proxy}\"\n\
         [log]\nlevel = \"debug\"\n"
    );
    (0..count).for_each(|number| server.add_account(&name(number)));
    let setup = Setup::script(SCRIPT).with(&parameters).file("ca.pem", &authority.pem());
    let sipjab = Sipjab::start(&setup);
    // An argument of a command may be no longer than 128 KB.
    for some in (0..count).collect::<Vec<_>>().chunks(200) {
        let rows: String = some.iter().map(|number| row(&name(*number), SECRET)).collect();
        sipjab.sql(&format!("BEGIN; {rows} COMMIT;"));
    }
    let began = Instant::now();
    let patience = PATIENCE + LOGIN * count as u32;
    sipjab.process.wait_for_count("an account is online", count, patience);
    println!("{count} accounts online at Prosody after {:.1} s", began.elapsed().as_secs_f64());

    let mut sender = Agent::bind();
    let mut carol = Client::login(&server, "carol");
    let mut got = BTreeMap::<String, usize>::new();
    for number in 0..count {
        let (user, text) = (name(number), name(number));
        let answer = say(&mut sender, &user, &jabber("carol"), &text, &sipjab);
        assert_eq!(answer.status(), 200, "{user}: {}", answer.reason());
    }
    while got.len() < count
        && let Some(message) = carol.message_within(PATIENCE)
    {
        let text = message.child_text("body").unwrap_or_default().to_owned();
        assert!(message.attribute("from").starts_with(&format!("{text}@{DOMAIN}/")));
        *got.entry(text).or_default() += 1;
    }
    assert_each_once(&got, count, "to Jabber");

    let mut got = BTreeMap::<String, usize>::new();
    for number in 0..count {
        let user = name(number);
        carol.message(&format!("{user}@{DOMAIN}"), &user);
        while let Some(arrived) = phone.serve(200, "OK", Duration::from_millis(1)) {
            *got.entry(arrived.text()).or_default() += 1;
        }
    }
    while got.len() < count
        && let Some(arrived) = phone.serve(200, "OK", PATIENCE)
    {
        *got.entry(arrived.text()).or_default() += 1;
    }
    assert!(phone.serve(200, "OK", Duration::from_millis(300)).is_none(), "one more than sent");
    assert_each_once(&got, count, "from Jabber");
    println!("each has sent and got his message after {:.1} s", began.elapsed().as_secs_f64());
}
