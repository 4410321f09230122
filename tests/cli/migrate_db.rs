//! `sipjab migrate-db`: what is said, what is written, and what is left alone.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::{folder, sipjab};

/// The tables of a server of SER's time, as SQLite takes them, with rows that cannot be used.
const OLD: &str = "
CREATE TABLE jusers (juid INTEGER PRIMARY KEY AUTOINCREMENT, jab_id VARCHAR(128) NOT NULL,
  jab_passwd VARCHAR(50), sip_id VARCHAR(128) NOT NULL, type INT NOT NULL DEFAULT 0);
INSERT INTO jusers VALUES (1, 'alice', 'hunter2', 'sip:alice@sip.example', 0),
  (2, 'bob', 'hunter2', 'sip:bob@sip.example', 1), (3, 'joe', 'hunter2', 'joe', 0),
  (4, 'not/me', 'hunter2', 'sip:me@sip.example', 0);
CREATE TABLE icq (juid INT PRIMARY KEY, icq_id INT NOT NULL, icq_passwd VARCHAR(50),
  icq_nick VARCHAR(50), type INT NOT NULL DEFAULT 0);
INSERT INTO icq VALUES (1, 1234567, 'hunter2', 'al', 0), (3, 7654321, 'hunter2', 'jo', 0);
CREATE TABLE subscriber (phplib_id VARCHAR(32), username VARCHAR(64) NOT NULL,
  domain VARCHAR(128) NOT NULL, password VARCHAR(25) NOT NULL, ha1 VARCHAR(128) NOT NULL,
  ha1b VARCHAR(128), rpid VARCHAR(128), PRIMARY KEY (username, domain));
INSERT INTO subscriber VALUES ('x', 'alice', 'sip.example', 'hunter2', '', '', NULL),
  ('y', '', 'sip.example', 'hunter2', '', '', NULL);
CREATE TABLE location (username VARCHAR(64) NOT NULL, domain VARCHAR(128) NOT NULL,
  contact VARCHAR(255) NOT NULL, expires DATETIME NOT NULL, q FLOAT NOT NULL, callid VARCHAR(255),
  cseq INT NOT NULL, last_modified TIMESTAMP, replicate INT, state INT, flags INT NOT NULL DEFAULT 0,
  user_agent VARCHAR(50) NOT NULL DEFAULT '', PRIMARY KEY (username, domain, contact));
INSERT INTO location VALUES ('alice', 'sip.example', 'sip:alice@192.0.2.1', '2099-01-01 00:00:00', 0.5,
  'c', 7, '2026-01-01 00:00:00', 0, 0, 1, 'Phone'),
  ('alice', 'sip.example', 'sip:old@192.0.2.1', '2003-01-01 00:00:00', 1, 'c', 7, NULL, 0, 0, 0, ''),
  ('voicemail', 'sip.example', 'sip:vm@192.0.2.9', '0000-00-00 00:00:00', 1, 'c', 7, NULL, 0, 0, 0, '');
CREATE TABLE silo (mid INTEGER PRIMARY KEY AUTOINCREMENT, src_addr VARCHAR(255), dst_addr VARCHAR(255),
  r_uri VARCHAR(255), inc_time INT, exp_time INT, ctype VARCHAR(32), body BLOB);
INSERT INTO silo VALUES (9, 'sip:bob@sip.example', 'sip:alice@sip.example', 'sip:alice@sip.example:5060',
  1700000000, 4000000000, 'text/plain', 'are you there?'),
  (10, 'sip:bob@sip.example', 'sip:alice@sip.example', 'nonsense', 1, 4000000000, 'text/plain', 'x'),
  (11, 'sip:bob@sip.example', 'sip:alice@sip.example', 'sip:alice@sip.example', 1, 2, 'text/plain', 'x');
CREATE TABLE imc_rooms (id INTEGER PRIMARY KEY, name VARCHAR(64), domain VARCHAR(64), flag INT);
INSERT INTO imc_rooms VALUES (1, 'chat', 'sip.example', 0);
CREATE TABLE purplemap (id INTEGER PRIMARY KEY, sip_user VARCHAR(255), ext_user VARCHAR(255),
  ext_prot VARCHAR(16), ext_pass VARCHAR(64));
INSERT INTO purplemap VALUES (1, 'sip:alice@sip.example', 'alice@jabber.example', 'prpl-jabber', 'hunter2');
";

fn sql(path: &Path, statements: &str) {
    Connection::open(path).unwrap().execute_batch(statements).unwrap();
}

fn rows(path: &Path, question: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(question).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let value = |at| row.get::<_, rusqlite::types::Value>(at).map(|value| format!("{value:?}"));
        (0..columns).map(value).collect::<Result<Vec<_>, _>>().map(|values| values.join(" "))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// Exit code, and everything that was said; no password is in it.
fn migrate_db(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = sipjab(folder, &[&["migrate-db"], arguments].concat());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!said.contains("hunter2"), "{said}");
    (output.status.code(), said)
}

fn old_server() -> tempfile::TempDir {
    let folder = folder(&[]);
    sql(&folder.path().join("old.db"), OLD);
    folder
}

const COPY: [&str; 4] = ["--from", "sqlite:old.db", "--to", "sqlite:new.db"];

#[test]
fn every_table_is_copied_and_what_cannot_be_is_told_with_its_row() {
    let folder = old_server();
    let (code, said) = migrate_db(folder.path(), &COPY);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "  jusers juid=3: refused: `sip_id` \"joe\" is no SIP user: expected sip:user@host",
        "  jusers juid=4: refused: `jab_id` \"not/me\" is no name of an account",
        "jusers: 4 rows: 2 copied, 0 skipped, 2 refused",
        "aim: not there",
        "  icq juid=3: refused: no row of `jusers` that is carried over has this juid",
        "icq: 2 rows: 1 copied, 0 skipped, 1 refused",
        "  subscriber username=\"\" domain=\"sip.example\": refused: `username` is empty",
        "subscriber: 2 rows: 1 copied, 0 skipped, 1 refused",
        "  nothing here reads phplib_id, rpid",
        "location: 3 rows: 1 copied, 1 skipped, 1 refused",
        "  silo mid=10: refused: \"nonsense\" is no address",
        "silo: 3 rows: 1 copied, 1 skipped, 1 refused",
        "imc_rooms: 1 row: 1 copied, 0 skipped, 0 refused",
        "purplemap: 1 row: 1 copied, 0 skipped, 0 refused",
    ] {
        assert!(said.lines().any(|it| it == line), "{line}\n\nis not in\n\n{said}");
    }
    let new = folder.path().join("new.db");
    assert_eq!(
        rows(&new, "SELECT juid, jab_id, sip_id, type, jab_passwd = 'hunter2' FROM jusers"),
        [
            "Integer(1) Text(\"alice\") Text(\"sip:alice@sip.example\") Integer(0) Integer(1)",
            "Integer(2) Text(\"bob\") Text(\"sip:bob@sip.example\") Integer(1) Integer(1)",
        ]
    );
    assert_eq!(
        rows(&new, "SELECT username, domain, body, inc_time FROM silo"),
        [format!(
            "Text(\"alice\") Text(\"sip.example\") Blob({:?}) Integer(1700000000)",
            b"are you there?"
        )]
    );
    let location = "SELECT username, contact, q, cseq, user_agent, length(ruid) FROM location";
    assert_eq!(
        rows(&new, location),
        [
            "Text(\"alice\") Text(\"sip:alice@192.0.2.1\") Real(0.5) Integer(7) Text(\"Phone\") Integer(28)"
        ]
    );
}

#[test]
fn a_second_time_changes_nothing() {
    let folder = old_server();
    migrate_db(folder.path(), &COPY);
    let new = folder.path().join("new.db");
    let all = || {
        ["jusers", "icq", "subscriber", "location", "silo", "imc_rooms", "purplemap"]
            .map(|table| rows(&new, &format!("SELECT * FROM {table}")))
    };
    let before = all();
    let (code, said) = migrate_db(folder.path(), &COPY);
    assert_eq!(code, Some(1));
    assert!(said.contains("jusers: 4 rows: 0 copied, 2 skipped, 2 refused"), "{said}");
    assert!(said.contains("silo: 3 rows: 0 copied, 2 skipped, 1 refused"), "{said}");
    assert_eq!(all(), before);
}

#[test]
fn what_is_there_is_not_overwritten_but_for_a_contact_that_lasts_longer() {
    let folder = old_server();
    migrate_db(folder.path(), &COPY);
    let new = folder.path().join("new.db");
    sql(
        &new,
        "UPDATE jusers SET jab_id = 'other' WHERE juid = 1; UPDATE location SET expires = '2098-01-01 00:00:00'",
    );
    let (_, said) = migrate_db(folder.path(), &COPY);
    assert!(said.contains("  jusers juid=1: refused: another row of this name is there"), "{said}");
    // Whose row it is now, the account behind the transport is not.
    assert!(said.contains("  icq juid=1: refused: no row of `jusers`"), "{said}");
    assert_eq!(rows(&new, "SELECT jab_id FROM jusers WHERE juid = 1"), ["Text(\"other\")"]);
    assert_eq!(rows(&new, "SELECT expires FROM location"), ["Text(\"2099-01-01 00:00:00\")"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let folder = old_server();
    let before = fs::read(folder.path().join("old.db")).unwrap();
    let (code, said) = migrate_db(folder.path(), &[&COPY[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains("jusers: 4 rows: 2 to copy, 0 skipped, 2 refused"), "{said}");
    assert!(said.contains("accounts: not tried"), "{said}");
    assert!(!folder.path().join("new.db").exists());
    let (_, said) = migrate_db(folder.path(), &["--from", "sqlite:old.db", "--dry-run"]);
    assert!(said.contains("location: column `ruid` to be added"), "{said}");
    assert_eq!(fs::read(folder.path().join("old.db")).unwrap(), before);
}

#[test]
fn tables_are_adopted_where_they_are_and_the_old_server_goes_on() {
    let folder = old_server();
    let old = folder.path().join("old.db");
    // Two ways to say that nothing is copied.
    for arguments in
        [&["--from", "sqlite:old.db"][..], &["--from", "sqlite:old.db", "--to", "sqlite:./old.db"]]
    {
        let (code, said) = migrate_db(folder.path(), arguments);
        assert_eq!(code, Some(1));
        assert!(said.contains("jusers: 4 rows: 2 fine, 0 skipped, 2 refused"), "{said}");
        let numbered =
            "silo: cannot be used in place: it numbers its rows by another column than `id`";
        assert!(said.contains(numbered) && said.contains("; --to copies it"), "{said}");
        assert_eq!(said.contains("location: column `ruid` added"), arguments.len() == 2, "{said}");
        let named = "SELECT contact, ruid IS NULL FROM location WHERE contact LIKE 'sip:alice@%'";
        assert_eq!(rows(&old, named), ["Text(\"sip:alice@192.0.2.1\") Integer(0)"]);
    }
    // As SER writes.
    let insert =
        "INSERT INTO location (username, domain, contact, expires, q, callid, cseq) VALUES";
    for user in ["bob", "carol"] {
        sql(
            &old,
            &format!(
                "{insert} ('{user}', 'sip.example', 'sip:{user}@h', '2099-01-01 00:00:00', 1, 'c', 1)"
            ),
        );
    }
    migrate_db(folder.path(), &["--from", "sqlite:old.db"]);
    assert_eq!(rows(&old, "SELECT COUNT(DISTINCT ruid) FROM location"), ["Integer(3)"]);
}

#[test]
fn a_sound_database_has_exit_code_0() {
    let folder = folder(&[]);
    let old = folder.path().join("old.db");
    sql(
        &old,
        "CREATE TABLE imc_rooms (name TEXT, domain TEXT, flag INT); INSERT INTO imc_rooms VALUES ('a', 'b', 0)",
    );
    let (code, said) = migrate_db(folder.path(), &COPY);
    assert_eq!(code, Some(0), "{said}");
    sql(&old, "DROP TABLE imc_rooms");
    let (code, said) = migrate_db(folder.path(), &COPY);
    assert_eq!(code, Some(1));
    assert!(said.contains("none of these tables is there"), "{said}");
}

#[test]
fn old_names_of_columns_are_known() {
    let folder = folder(&[]);
    sql(
        &folder.path().join("old.db"),
        "CREATE TABLE subscriber (user TEXT, password TEXT, ha1 TEXT);
         INSERT INTO subscriber VALUES ('alice', 'hunter2', '');
         CREATE TABLE location (uid TEXT, aor TEXT, contact TEXT, expires INT, q REAL, callid TEXT, cseq INT, flags INT);
         INSERT INTO location VALUES ('1', 'sip:a%20b@SIP.example', 'sip:a@192.0.2.1', 4000000000, 1.0, 'c', 1, 0);
         CREATE TABLE silo (mid INTEGER PRIMARY KEY, from_hdr TEXT, to_hdr TEXT, ruri TEXT, uid TEXT,
           inc_time DATETIME, exp_time DATETIME, ctype TEXT, body BLOB);
         INSERT INTO silo VALUES (1, '\"Bob\" <sip:bob@h>;tag=1', '<sip:a@h>', 'sip:a@h', '1',
           '2026-01-01 00:00:00', '2099-01-01 00:00:00', 'text/plain', 'hello')",
    );
    let (code, said) = migrate_db(folder.path(), &COPY);
    assert_eq!(code, Some(0), "{said}");
    let new = folder.path().join("new.db");
    assert_eq!(
        rows(&new, "SELECT username, domain FROM subscriber"),
        ["Text(\"alice\") Text(\"\")"]
    );
    assert_eq!(
        rows(&new, "SELECT username, domain, expires FROM location"),
        ["Text(\"a b\") Text(\"sip.example\") Text(\"2096-10-02 07:06:40\")"]
    );
    assert_eq!(
        rows(&new, "SELECT src_addr, dst_addr, username, inc_time FROM silo"),
        ["Text(\"sip:bob@h\") Text(\"sip:a@h\") Text(\"a\") Integer(1767225600)"]
    );
}

#[test]
fn many_rows_are_copied_in_pages() {
    let folder = folder(&[]);
    sql(
        &folder.path().join("old.db"),
        "CREATE TABLE jusers (juid INTEGER PRIMARY KEY, jab_id TEXT, jab_passwd TEXT, sip_id TEXT, type INT);
         WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1501)
         INSERT INTO jusers SELECT x, 'u' || x, NULL, CASE WHEN x = 700 THEN NULL ELSE 'sip:u' || x || '@h' END, 0 FROM n",
    );
    for copied in ["1500 copied, 0 skipped", "0 copied, 1500 skipped"] {
        let (code, said) = migrate_db(folder.path(), &COPY);
        assert_eq!(code, Some(1));
        assert!(said.contains(&format!("jusers: 1501 rows: {copied}, 1 refused")), "{said}");
        assert!(said.contains("jusers juid=700: refused: `sip_id` holds nothing"), "{said}");
    }
}

#[test]
fn a_database_that_cannot_be_read_has_exit_code_2() {
    let folder = folder(&[("text.db", &"x".repeat(5000)), ("url", "sqlite:gone.db\n")]);
    for from in [
        "sqlite:gone.db",
        "sqlite:text.db",
        "postgres://u:hunter2@h/d",
        "mysql://u:hunter2@127.0.0.1:1/d",
        "mysql://u:hunter2@127.0.0.1/d?wrong=hunter2",
        "env:NO_SUCH_VARIABLE",
        "file:gone",
        "file:url",
        "",
    ] {
        let (code, said) = migrate_db(folder.path(), &["--from", from]);
        assert_eq!(code, Some(2), "{from}: {said}");
        assert!(said.starts_with("sipjab: --from: "), "{said}");
    }
    assert!(!folder.path().join("gone.db").exists());
    sql(&folder.path().join("old.db"), OLD);
    let (code, said) =
        migrate_db(folder.path(), &["--from", "sqlite:old.db", "--to", "sqlite:no/such/folder.db"]);
    assert_eq!(code, Some(2), "{said}");
}
