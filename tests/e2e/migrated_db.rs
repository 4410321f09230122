//! The database of a SER server: copied, or adopted where it is, and then used by the gateway.

use std::process::Command;

use crate::jabber::{SCRIPT, hears, jabber, parameters, register, row, say};
use crate::jabber_users::SER_TABLES;
use crate::mariadb::{Mariadb, PASSWORD};
use crate::peer::{DOMAIN, Peer, SECRET};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

/// What SER 0.9 had besides; the phone of `bob` is at a port that is filled in.
const MORE_TABLES: &str = "
CREATE TABLE subscriber (phplib_id VARCHAR(32) NOT NULL DEFAULT '', username VARCHAR(64) NOT NULL DEFAULT '',
  domain VARCHAR(128) NOT NULL DEFAULT '', password VARCHAR(25) NOT NULL DEFAULT '',
  ha1 VARCHAR(128) NOT NULL DEFAULT '', ha1b VARCHAR(128) NOT NULL DEFAULT '',
  PRIMARY KEY (username, domain), UNIQUE KEY phplib_id (phplib_id));
INSERT INTO subscriber VALUES ('1', 'alice', 'sip.example', 'geheim', '', '');
CREATE TABLE location (username VARCHAR(64) NOT NULL DEFAULT '', domain VARCHAR(128) NOT NULL DEFAULT '',
  contact VARCHAR(255) NOT NULL DEFAULT '', expires DATETIME NOT NULL DEFAULT '2020-05-28 21:32:15',
  q FLOAT(10,2) NOT NULL DEFAULT '1.00', callid VARCHAR(255) NOT NULL DEFAULT 'Default-Call-ID',
  cseq INT NOT NULL DEFAULT '42', last_modified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, replicate INT UNSIGNED NOT NULL DEFAULT '0',
  state TINYINT UNSIGNED NOT NULL DEFAULT '0', flags INT NOT NULL DEFAULT '0',
  PRIMARY KEY (username, domain, contact));
INSERT INTO location (username, domain, contact, expires) VALUES
  ('alice', 'sip.example', 'sip:alice@PHONE', '2099-01-01 00:00:00');
CREATE TABLE silo (mid INT NOT NULL AUTO_INCREMENT, src_addr VARCHAR(255) NOT NULL DEFAULT '',
  dst_addr VARCHAR(255) NOT NULL DEFAULT '', r_uri VARCHAR(255) NOT NULL DEFAULT '', inc_time INT NOT NULL DEFAULT '0',
  exp_time INT NOT NULL DEFAULT '0', ctype VARCHAR(32) NOT NULL DEFAULT 'text/plain', body BLOB NOT NULL, PRIMARY KEY (mid));
INSERT INTO silo (src_addr, dst_addr, r_uri, exp_time, body) VALUES
  ('sip:bob@sip.example', 'sip:alice@sip.example', 'sip:alice@sip.example', 2000000000, 'hello');
";

/// A SER server's database; `alice` has a phone at this address.
fn ser_database(phone: &Agent) -> Mariadb {
    let database = Mariadb::running();
    database.sql(SER_TABLES);
    database.sql(&MORE_TABLES.replace("PHONE", &phone.local.to_string()));
    database
}

/// Exit code, and what was said; no password is in it.
fn migrate_db(arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sipjab")).arg("migrate-db").args(arguments).output();
    let output = output.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for secret in [PASSWORD, SECRET, "geheim"] {
        assert!(!said.contains(secret), "{said}");
    }
    (output.status.code(), said)
}

/// Alice, whose contact SER has left, writes to Bob and hears from him.
fn serves(store: &str, phone: &mut Agent) -> Sipjab {
    let server = Peer::Prosody.start();
    let store = format!("url = \"{store}\"\n");
    let sipjab =
        Sipjab::start(&Setup::script(SCRIPT).with(&parameters(server.client_port)).store(&store));
    let mut bob = Client::login(&server, "bob");
    assert_eq!(say(phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 200);
    assert_eq!(bob.next_message().child_text("body"), Some("hello"));
    bob.message(&format!("alice@{DOMAIN}"), "to where SER knew her");
    assert_eq!(hears(phone).text(), "to where SER knew her");
    sipjab
}

#[test]
fn compat_ser_a_database_is_copied_and_then_used() {
    let mut phone = Agent::bind();
    let database = ser_database(&phone);
    let folder = tempfile::TempDir::with_prefix("sipjab-").unwrap();
    let new = format!("sqlite:{}", folder.path().join("new.db").display());
    for (what, copied) in [("1 copied, 0 skipped", true), ("0 copied, 1 skipped", false)] {
        let (code, said) = migrate_db(&["--from", &database.url(), "--to", &new]);
        assert_eq!(code, Some(0), "{said}");
        for table in ["jusers", "icq", "subscriber", "location", "silo"] {
            let line = format!("{table}: 1 row: {what}, 0 refused");
            assert!(said.contains(&line), "{line}\n\nis not in\n\n{said}");
        }
        assert!(said.contains("imc_rooms: not there"), "{said}");
        if copied {
            drop(serves(&new, &mut phone).terminate());
        }
    }
}

#[test]
fn compat_ser_a_database_is_adopted_and_goes_on_to_serve_ser() {
    let mut phone = Agent::bind();
    let database = ser_database(&phone);
    let (code, said) = migrate_db(&["--from", &database.url()]);
    // What SER's table of messages lacks cannot be added.
    assert_eq!(code, Some(1), "{said}");
    let reason = "silo: cannot be used in place: it numbers its rows by another column than `id`, its `username` is called `r_uri`";
    assert!(said.contains(reason), "{said}");
    assert!(said.contains("location: column `ruid` added"), "{said}");
    database.sql("DROP TABLE silo");
    let (code, said) = migrate_db(&["--from", &database.url()]);
    assert_eq!((code, said.contains("added")), (Some(0), false), "{said}");
    let sipjab = serves(&database.url(), &mut phone);
    register(&mut phone, "alice", &sipjab);
    sipjab.terminate();
    // The old server writes as it ever did.
    let insert = "INSERT INTO location (username, domain, contact, expires) VALUES";
    database.sql(&format!(
        "{insert} ('bob', 'sip.example', 'sip:bob@192.0.2.1', '2099-01-01'), \
                  ('carol', 'sip.example', 'sip:carol@192.0.2.1', '2099-01-01');"
    ));
    let (code, said) = migrate_db(&["--from", &database.url()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("location: 3 rows: 3 fine"), "{said}");
}

/// Kamailio's accounts of other networks: one that works, one of another network, one that fails.
fn purplemap() -> String {
    format!(
        "CREATE TABLE purplemap (id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL, sip_user VARCHAR(255) NOT NULL,
  ext_user VARCHAR(255) NOT NULL, ext_prot VARCHAR(16) NOT NULL, ext_pass VARCHAR(64));
INSERT INTO purplemap (sip_user, ext_user, ext_prot, ext_pass) VALUES
  ('sip:alice@sip.example', 'alice@{DOMAIN}', 'prpl-jabber', '{SECRET}'),
  ('sip:alice@sip.example', '123456', 'prpl-icq', 'geheim'),
  ('sip:carol@sip.example', 'carol', 'xmpp', 'geheim');"
    )
}

#[test]
fn compat_kamailio_jabber_accounts_of_purplemap_become_ours() {
    let mut phone = Agent::bind();
    let (database, server) = (Mariadb::running(), Peer::Prosody.start());
    database.sql(&MORE_TABLES.replace("PHONE", &phone.local.to_string()));
    database.sql(&purplemap());
    let (url, port) = (database.url(), server.client_port.to_string());
    let folder = tempfile::TempDir::with_prefix("sipjab-").unwrap();
    let new = format!("sqlite:{}", folder.path().join("new.db").display());
    let at = ["--jaddress", "127.0.0.1", "--jport", &port, "--domain", DOMAIN, "--tls", "off"];
    let (code, said) =
        migrate_db(&[&["--from", &*url, "--to", &new, "--dry-run"][..], &at].concat());
    assert_eq!(code, Some(1), "{said}");
    for line in [
        format!("  jusers sip:alice@sip.example alice@{DOMAIN}: to put in"),
        "Jabber accounts of purplemap: 2 rows: 2 to put into jusers, 0 skipped, 0 refused"
            .to_owned(),
        "sip:carol@sip.example carol authentication: not-authorized".to_owned(),
        "accounts: 2 tried, 1 fail".to_owned(),
    ] {
        assert!(said.contains(&line), "{line}\n\nis not in\n\n{said}");
    }
    drop(server);
    for what in ["2 put into jusers, 0 skipped", "0 put into jusers, 2 skipped"] {
        let (code, said) = migrate_db(&["--from", &url, "--to", &new]);
        assert_eq!(code, Some(0), "{said}");
        let line = format!("Jabber accounts of purplemap: 2 rows: {what}, 0 refused");
        assert!(said.contains(&line), "{line}\n\nis not in\n\n{said}");
        assert!(said.contains("purplemap: 3 rows:"), "{said}");
    }
    drop(serves(&new, &mut phone).terminate());
    // In place, beside a table of accounts that knows one of them by another.
    database.sql("DROP TABLE silo");
    database.sql(SER_TABLES);
    let (code, said) = migrate_db(&["--from", &url]);
    assert_eq!(code, Some(1), "{said}");
    let another = "purplemap sip:alice@sip.example alice@localhost: refused: this SIP user has another account";
    assert!(said.contains(&another.replace("localhost", DOMAIN)), "{said}");
    assert!(said.contains("2 rows: 1 put into jusers, 0 skipped, 1 refused"), "{said}");
}

#[test]
fn a_database_of_sqlite_is_copied_into_mariadb() {
    let (folder, phone) = (tempfile::TempDir::with_prefix("sipjab-").unwrap(), Agent::bind());
    let old = format!("sqlite:{}", folder.path().join("old.db").display());
    let first = ser_database(&phone);
    assert_eq!(migrate_db(&["--from", &first.url(), "--to", &old]).0, Some(0));
    drop(first);
    let database = Mariadb::running();
    for what in ["1 copied, 0 skipped", "0 copied, 1 skipped"] {
        let (code, said) = migrate_db(&["--from", &old, "--to", &database.url()]);
        assert_eq!(code, Some(0), "{said}");
        for table in ["jusers", "icq", "subscriber", "location", "silo"] {
            assert!(said.contains(&format!("{table}: 1 row: {what}")), "{table}: {said}");
        }
    }
}

#[test]
fn a_dry_run_finds_the_accounts_that_fail() {
    let phone = Agent::bind();
    let (database, server) = (ser_database(&phone), Peer::Prosody.start());
    let port = server.client_port.to_string();
    let at = ["--jaddress", "127.0.0.1", "--jport", &port, "--domain", DOMAIN, "--tls", "off"];
    let url = database.url();
    let dry = [&["--from", &*url, "--to", "sqlite:/nowhere/new.db", "--dry-run"][..], &at].concat();
    let (code, said) = migrate_db(&dry);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("accounts: 1 tried, 0 fail\n"), "{said}");
    database.sql(&(row("carol", "wrong") + row("nobody", SECRET).as_str()));
    let (code, said) = migrate_db(&dry);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("jusers: 3 rows: 3 to copy"), "{said}");
    for user in ["carol", "nobody"] {
        let line = format!("sip:{user}@sip.example {user} authentication: not-authorized");
        assert!(said.contains(&line), "{said}");
    }
    assert!(!said.contains("sip:alice@"), "{said}");
    assert!(said.ends_with("accounts: 3 tried, 2 fail\n"), "{said}");
    // The configuration names the server, too.
    let folder = tempfile::TempDir::with_prefix("sipjab-").unwrap();
    let file = folder.path().join("sipjab.toml");
    let text = format!("script = \"r.rhai\"\n{}", parameters(server.client_port));
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let (code, said) = migrate_db(&["-c", &file, "--from", &database.url(), "--dry-run"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("location: column `ruid` to be added"), "{said}");
    assert!(said.ends_with("accounts: 3 tried, 2 fail\n"), "{said}");
    assert_eq!(migrate_db(&["-c", &file, "--from", &database.url()]).0, Some(1));
}
