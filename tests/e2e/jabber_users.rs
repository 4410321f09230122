//! The users of the module `jabber`: SER's own tables, `sipjab user`, TLS, and who shares what.

use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::jabber::{
    SCRIPT, hears, jabber, parameters, register, row, say, sip_id, stage, until, until_status,
};
use crate::line::Line;
use crate::mariadb::Mariadb;
use crate::peer::{DOMAIN, Peer, SECRET, XmppServer};
use crate::process::PATIENCE;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

/// What SER's manual says of its database.
pub(crate) const SER_TABLES: &str = "
CREATE TABLE jusers( juid INT NOT NULL AUTO_INCREMENT, jab_id VARCHAR(128) NOT NULL,
  jab_passwd VARCHAR(50), sip_id VARCHAR(128) NOT NULL, type INT NOT NULL DEFAULT 0,
  PRIMARY KEY(juid), KEY(jab_id), KEY(sip_id) );
CREATE TABLE icq( juid INT NOT NULL, icq_id INT NOT NULL, icq_passwd VARCHAR(50),
  icq_nick VARCHAR(50), type INT NOT NULL DEFAULT 0, PRIMARY KEY(juid), KEY(icq_id) );
CREATE TABLE msn( juid INT NOT NULL, msn_id VARCHAR(128) NOT NULL, msn_passwd VARCHAR(50),
  msn_nick VARCHAR(50), type INT NOT NULL DEFAULT 0, PRIMARY KEY(juid), KEY(msn_id) );
CREATE TABLE aim( juid INT NOT NULL, aim_id VARCHAR(128) NOT NULL, aim_passwd VARCHAR(50),
  aim_nick VARCHAR(50), type INT NOT NULL DEFAULT 0, PRIMARY KEY(juid), KEY(aim_id) );
CREATE TABLE yahoo( juid INT NOT NULL, yahoo_id VARCHAR(128) NOT NULL, yahoo_passwd VARCHAR(50),
  yahoo_nick VARCHAR(50), type INT NOT NULL DEFAULT 0, PRIMARY KEY(juid), KEY(yahoo_id) );
INSERT INTO jusers VALUES (1, 'alice', 'secret', 'sip:alice@sip.example', 0);
INSERT INTO icq VALUES (1, 1234567, 'x', 'al', 0);
";

#[test]
fn compat_ser_a_database_of_its_manual_is_used_in_place() {
    let mut database = Mariadb::running();
    database.sql(SER_TABLES);
    let server = Peer::Prosody.start();
    let parameters = parameters(server.client_port);
    let store = format!("url = \"{}\"\ntimeout = \"500ms\"\n", database.url());
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters).store(&store));
    let mut bob = Client::login(&server, "bob");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 200);
    assert_eq!(bob.next_message().child_text("body"), Some("hello"));
    let (code, shown) = sipjab.command(&["user", "show", "sip:alice@sip.example"], "");
    assert_eq!(
        (code, &*shown),
        (0, "1 sip:alice@sip.example alice enabled plain\n  icq 1234567\n")
    );

    // Who is online stays so while the database is away; who is not hears that it cannot be done now.
    database.stop();
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "still here", &sipjab).status(), 200);
    assert_eq!(bob.next_message().child_text("body"), Some("still here"));
    assert_eq!(say(&mut phone, "carol", &jabber("bob"), "and I?", &sipjab).status(), 504);
}

#[test]
fn users_are_managed_from_the_command_line() {
    let more = "seal_secret = \"a long secret of the test\"\n";
    let (_server, sipjab) = stage(&[], more);
    let run =
        |arguments: &[&str], input: &str| sipjab.command(&[&["user"], arguments].concat(), input);
    assert_eq!(run(&["add", "alice@sip.example", "alice"], "secret\n"), (0, String::new()));
    let (code, said) = run(&["add", "alice@sip.example", "bob"], "secret\n");
    assert_eq!((code, &*said), (1, "sipjab: sip:alice@sip.example has an account already\n"));
    let wrong = "sip:dan@sip.example,dan,secret\nsip:eve@sip.example,eve,\n";
    let taken = "sip:dan@sip.example,dan,secret\nalice@sip.example,alice,secret\n";
    let twice = "sip:dan@sip.example,dan,secret\ndan@sip.example,dan,secret\n";
    for (arguments, input, said) in [
        (&["add", "dan@sip.example", "a@b@c"][..], "secret\n", "`a@b@c` is no Jabber account"),
        (&["add", "dan@sip.example", "dan"], "\n", "no password was given on standard input"),
        (&["import", "-"], wrong, "line 2: the password is empty"),
        (&["import", "-"], taken, "line 2: sip:alice@sip.example has an account already"),
        (&["import", "-"], twice, "line 2: sip:dan@sip.example has an account already"),
    ] {
        let (code, heard) = run(arguments, input);
        assert!(code == 1 && heard.contains(said), "{heard}");
    }
    // The scheme may be left out, by who asks for a user, too.
    assert_eq!(run(&["show", "dan@sip.example"], "").0, 1);
    assert_eq!(run(&["show", "alice@sip.example"], "").0, 0);
    let rows = "sip_id,jab_id,password\nsip:bob@sip.example,bob,secret\nsip:carol@sip.example,carol,\"wro,ng\"\n";
    assert_eq!(run(&["import", "-"], rows), (0, "2 users added\n".to_owned()));
    let (code, said) = run(&["list"], "");
    assert_eq!(code, 0);
    assert_eq!(said.lines().count(), 3);
    assert!(said.lines().all(|line| line.ends_with("enabled sealed")) && !said.contains(SECRET));
    let (code, said) = run(&["verify"], "");
    assert_eq!(code, 1);
    assert!(said.contains("sip:alice@sip.example alice fine"), "{said}");
    assert!(said.contains("sip:bob@sip.example bob fine"), "{said}");
    assert!(said.contains("sip:carol@sip.example carol authentication: not-authorized"), "{said}");
    assert!(said.contains("1 of 3 accounts fail"), "{said}");
    let (code, said) = run(&["export", "--with-passwords"], "");
    assert_eq!((code, said.lines().last()), (0, rows.lines().last()));
    assert_eq!(run(&["disable", "sip:carol@sip.example"], "").0, 0);
    assert_eq!(run(&["verify"], "").0, 0);
    assert_eq!(run(&["verify", "sip:bob@sip.example"], "").0, 0);
    assert_eq!(run(&["remove", "sip:carol@sip.example"], "").0, 0);
    let (code, said) = run(&["enable", "sip:carol@sip.example"], "");
    assert_eq!((code, &*said), (1, "sipjab: sip:carol@sip.example has no account\n"));

    let mut phone = Agent::bind();
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    // A sealed password opens in its own row only.
    sipjab.sql("UPDATE jusers SET jab_passwd = (SELECT jab_passwd FROM jusers WHERE jab_id = 'alice') WHERE jab_id = 'bob'");
    assert_eq!(say(&mut phone, "bob", &jabber("alice"), "hello", &sipjab).status(), 403);
}

fn secure(more: &str, certificate: String, ca: &str) -> (XmppServer, Sipjab) {
    let server = Peer::start_secure(certificate);
    let port = if more.contains("direct") { server.direct_port } else { server.client_port };
    let parameters =
        parameters(port).replace("tls = \"where_offered\"\n", more) + "ca = \"ca.pem\"\n";
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters).file("ca.pem", ca));
    sipjab.sql(&row("alice", SECRET));
    (server, sipjab)
}

#[test]
fn streams_are_encrypted_by_starttls_or_from_the_first_byte() {
    let authority = Authority::new("ours");
    for tls in ["", "tls = \"direct\"\n"] {
        let (_server, sipjab) = secure(tls, authority.sign(DOMAIN), &authority.pem());
        let mut phone = Agent::bind();
        let answer = say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab);
        assert_eq!(answer.status(), 200, "{tls}: {}", answer.reason());
    }
}

/// SCRAM-SHA-256-PLUS over TLS 1.3 (RFC 9266): who sits in between cannot pass on what he hears.
#[test]
fn rfc9266_a_login_is_bound_to_its_tls_connection() {
    let authority = Authority::new("ours");
    let login = |knows_the_connection: bool| {
        let server = Peer::start_binding(authority.sign(DOMAIN), knows_the_connection);
        let parameters = parameters(server.client_port);
        let parameters = parameters.replace("tls = \"where_offered\"\n", "") + "ca = \"ca.pem\"\n";
        let setup = Setup::script(SCRIPT).with(&parameters).file("ca.pem", &authority.pem());
        let sipjab = Sipjab::start(&setup);
        sipjab.sql(&row("alice", SECRET));
        let status = say(&mut Agent::bind(), "alice", &jabber("bob"), ":on", &sipjab).status();
        // The server may write it down after it has told us.
        let said = (status == 200).then(|| server.wait_for("logged in with "));
        let mechanism = said.as_deref().and_then(|line| line.split_once("logged in with "));
        (status, mechanism.map(|(_, name)| name.to_owned()))
    };
    assert_eq!(login(true), (200, Some("SCRAM-SHA-256-PLUS tls-exporter".to_owned())));
    assert_eq!(login(false), (403, None));
}

#[test]
fn a_server_with_the_certificate_of_another_hears_no_password() {
    let authority = Authority::new("ours");
    let (_server, sipjab) = secure("", authority.sign("elsewhere.example"), &authority.pem());
    let mut phone = Agent::bind();
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 504);
    sipjab.process.wait_for("certificate not valid for name");
    assert_eq!(sipjab.command(&["user", "verify"], "").0, 1);
}

#[test]
fn a_server_without_tls_hears_no_password_unless_it_may() {
    let (_server, sipjab) = stage(&[("alice", SECRET)], "");
    let mut phone = Agent::bind();
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let server = Peer::Prosody.start();
    let strict = parameters(server.client_port).replace("where_offered", "required");
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&strict));
    sipjab.sql(&row("alice", SECRET));
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 504);
    sipjab.process.wait_for("the server offers no TLS");
}

#[test]
fn no_more_accounts_are_open_than_may_be() {
    let (_server, sipjab) =
        stage(&[("alice", SECRET), ("bob", SECRET)], "workers = 1\nmax_jobs = 1\n");
    let mut phone = Agent::bind();
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let answer = say(&mut phone, "bob", &jabber("alice"), ":on", &sipjab);
    assert_eq!((answer.status(), answer.reason()), (503, "The Gateway Is Full"));
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":off", &sipjab).status(), 200);
    until(&mut phone, "bob", ":on", 200, &sipjab);
}

#[test]
fn two_users_of_one_account_both_hear_it() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "");
    sipjab.sql(&format!(
        "INSERT INTO jusers (jab_id, jab_passwd, sip_id) VALUES ('alice@{DOMAIN}', '{SECRET}', '{}')",
        sip_id("desk")
    ));
    let (mut one, mut two) = (Agent::bind(), Agent::bind());
    for (phone, user) in [(&mut one, "alice"), (&mut two, "desk")] {
        register(phone, user, &sipjab);
        assert_eq!(say(phone, user, &jabber("bob"), ":on", &sipjab).status(), 200);
    }
    Client::login(&server, "bob").message(&format!("alice@{DOMAIN}"), "to the account");
    assert_eq!(hears(&mut one).text(), "to the account");
    assert_eq!(hears(&mut two).text(), "to the account");
}

#[test]
fn a_server_that_is_away_at_the_start_is_waited_for() {
    let mut server = Peer::Prosody.start();
    server.stop();
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters(server.client_port)));
    sipjab.sql(&row("alice", SECRET));
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    server.start(Peer::Prosody);
    let mut bob = Client::login(&server, "bob");
    until_status(&mut phone, "hello", 200, &sipjab);
    assert_eq!(bob.next_message().child_text("body"), Some("hello"));
}

#[test]
fn a_message_that_no_phone_takes_goes_back_to_its_sender() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let mut bob = Client::login(&server, "bob");
    bob.message(&format!("alice@{DOMAIN}"), "are you there?");
    assert!(phone.serve(486, "Busy Here", PATIENCE).is_some());
    let back = bob.next_message();
    assert_eq!((back.attribute("type"), back.child_text("body")), ("error", None));
    assert!(phone.serve(200, "OK", Duration::from_millis(200)).is_none());
}

#[test]
fn accounts_that_are_always_online_need_no_order() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "always_online = true\n");
    let mut phone = Agent::bind();
    // Nobody but the registrar hears of this one.
    sipjab.write_script(&SCRIPT.replace("{ go_online(); }", "{}"));
    sipjab.process.wait_for("script live");
    register(&mut phone, "alice", &sipjab);
    let mut bob = Client::login(&server, "bob");
    let deadline = Instant::now() + PATIENCE;
    loop {
        bob.message(&format!("alice@{DOMAIN}"), "there?");
        if phone.serve(200, "OK", Duration::from_millis(500)).is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "the account is not online");
    }
}

/// A phone that registers says nothing of its user; a message does.
#[test]
fn xep_0352_the_server_is_told_whether_the_user_is_there() {
    let server = Peer::Prosody.start();
    let line = Line::to(server.client_port);
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters(line.port)));
    sipjab.sql(&row("alice", SECRET));
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let mark = line.wait_for("<inactive xmlns='urn:xmpp:csi:0'/>", 0);
    let mut bob = Client::login(&server, "bob");
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 200);
    let mark = line.wait_for("<active xmlns='urn:xmpp:csi:0'/>", mark);
    line.wait_for("<body>hello</body>", mark);
    bob.message(&format!("alice@{DOMAIN}"), "hello yourself");
    assert_eq!(hears(&mut phone).text(), "hello yourself");
}

/// XEP-0198: what comes while the line is down is neither lost nor doubled, and rooms stay joined.
#[test]
fn a_line_that_is_cut_is_mended_and_nothing_is_lost_or_doubled() {
    let server = Peer::Prosody.start();
    let line = Line::to(server.client_port);
    let tables = parameters(line.port) + "[log]\nlevel = \"debug\"\n";
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&tables));
    sipjab.sql(&row("alice", SECRET));
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let mut bob = Client::login(&server, "bob");
    let mut expected = Vec::new();
    for round in 0..5 {
        let mark = sipjab.process.lines().len();
        for number in 0..10 {
            let text = format!("{round}-{number}");
            bob.message(&format!("alice@{DOMAIN}"), &text);
            expected.push(text);
            if number == 5 {
                line.cut();
            }
        }
        assert!(sipjab.logs(mark, "is_resumed=true", PATIENCE).is_some(), "no resumption");
        for text in expected.drain(..) {
            assert_eq!(hears(&mut phone).text(), text);
        }
        let text = format!("answer {round}");
        assert_eq!(say(&mut phone, "alice", &jabber("bob"), &text, &sipjab).status(), 200);
        assert_eq!(bob.next_message().child_text("body"), Some(&*text));
    }
    assert!(phone.serve(200, "OK", Duration::from_millis(300)).is_none(), "one more than sent");
}
