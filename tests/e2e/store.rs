//! The store with SQLite and with MariaDB, and with one that is away, late or silent.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use sipjab::config::{StoreConfig, StoreUrl};
use sipjab::store::{Column, ColumnType, Statement, Store, StoreError, Table, Value};
use tokio::runtime::Runtime;

use crate::mariadb::{Kind, Mariadb, PASSWORD, each_database};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab, run_to_end};

static USERS: Table = Table::new(
    "users",
    3,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("name", ColumnType::Text(64)),
        Column::new("size", ColumnType::BigInt).default("0"),
        Column::new("weight", ColumnType::Real).nullable(),
        Column::new("photo", ColumnType::Blob).nullable(),
        Column::new("life", ColumnType::LongText).nullable(),
        Column::new("born", ColumnType::DateTime).nullable(),
    ],
)
.unique(&[&["name"]])
.indexes(&[&["size"]]);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The store, once it reads and writes: a server on a busy machine may not let it in at the first attempt.
fn open(config: &StoreConfig) -> Result<Store, StoreError> {
    let store = Store::open(config, std::slice::from_ref(&USERS))?;
    thread::scope(|scope| {
        scope.spawn(|| runtime().block_on(until_up(&store)));
    });
    Ok(store)
}

async fn until_up(store: &Store) {
    let end = Instant::now() + PATIENCE;
    loop {
        let read = store.query(Statement::new("SELECT 1")).await.map(drop);
        let nothing = Statement::new("DELETE FROM users WHERE name = 'nobody'");
        let written = store.execute(vec![nothing]).await.map(drop);
        match read.and(written) {
            Ok(()) => return,
            Err(StoreError::Away(_)) if Instant::now() < end => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn user(name: &str, size: i64) -> Statement {
    Statement::new("INSERT INTO users (name, size) VALUES (?, ?)").bind(name).bind(size)
}

async fn names(store: &Store) -> Vec<String> {
    let rows = store.query(Statement::new("SELECT name FROM users ORDER BY id")).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

each_database!(every_kind_of_value_comes_back);
fn every_kind_of_value_comes_back(kind: Kind) {
    let database = kind.start();
    let store = open(&database.config()).unwrap();
    runtime().block_on(async {
        let (born, life) = (Duration::from_secs(1_700_000_000), "é".repeat(100_000));
        let sql = "INSERT INTO users (name, size, weight, photo, life, born) \
                   VALUES (?, ?, ?, ?, ?, ?)";
        let all = Statement::new(sql).bind("Jülia 🌹").bind(i64::MIN).bind(0.5);
        let all = all.bind(vec![0_u8, 255]).bind(&*life).bind(Value::date_time(born));
        assert_eq!(store.execute(vec![all]).await, Ok(1));
        // Without bound values MySQL answers in text.
        let sql = "SELECT name, size, weight, photo, life, born FROM users";
        let bound = Statement::new(format!("{sql} WHERE name = ?")).bind("Jülia 🌹");
        for question in [Statement::new(sql), bound] {
            let rows = store.query(question).await.unwrap();
            let row = &rows[0];
            assert_eq!((row.text(0), row.int(1)), (Some("Jülia 🌹"), Some(i64::MIN)));
            assert_eq!((row.real(2), row.bytes(3)), (Some(0.5), Some(&[0, 255][..])));
            assert_eq!((row.text(4), row.unix_time(5)), (Some(&*life), Some(born)));
        }
        assert_eq!(store.execute(vec![user("nobody", 1)]).await, Ok(1));
        let question = Statement::new("SELECT photo FROM users WHERE size = ?").bind(1);
        assert_eq!(store.query(question).await.unwrap()[0].value(0), Some(&Value::Null));
    });
}

each_database!(a_list_is_done_as_a_whole_or_not_at_all);
fn a_list_is_done_as_a_whole_or_not_at_all(kind: Kind) {
    let database = kind.start();
    let store = open(&database.config()).unwrap();
    runtime().block_on(async {
        let lists = [vec!["a", "b"], vec!["c", "a"], vec!["d"], vec!["b"], vec!["c", "e"]];
        let changes: Vec<_> = lists
            .map(|list| store.execute(list.into_iter().map(|name| user(name, 0)).collect()))
            .into();
        let mut done = Vec::new();
        for change in changes {
            done.push(change.await);
        }
        let taken = Err(StoreError::Duplicate);
        assert_eq!(done, [Ok(2), taken.clone(), Ok(1), taken, Ok(2)]);
        assert_eq!(names(&store).await, ["a", "b", "d", "c", "e"]);
        let replace = "REPLACE INTO users (name, size) VALUES (?, ?)";
        let replace = Statement::new(replace).bind("a").bind(7);
        assert!(store.execute(vec![replace]).await.is_ok());
        let sum = store.query(Statement::new("SELECT SUM(size), COUNT(*) FROM users")).await;
        let sum = sum.unwrap();
        assert_eq!((sum[0].int(0), sum[0].int(1)), (Some(7), Some(5)));
    });
}

each_database!(changes_are_made_in_order_though_nobody_waits);
fn changes_are_made_in_order_though_nobody_waits(kind: Kind) {
    let database = kind.start();
    let store = open(&database.config()).unwrap();
    runtime().block_on(async {
        for name in 0..500 {
            drop(store.execute(vec![user(&name.to_string(), 0)]));
        }
        assert_eq!(store.execute(Vec::new()).await, Ok(0));
        let all: Vec<_> = (0..500).map(|name| name.to_string()).collect();
        assert_eq!(names(&store).await, all);
    });
}

each_database!(wrong_statements_are_refused_and_the_store_goes_on);
fn wrong_statements_are_refused_and_the_store_goes_on(kind: Kind) {
    let database = kind.start();
    let store = open(&database.config()).unwrap();
    runtime().block_on(async {
        let error = store.query(Statement::new("SELECT x FROM users")).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(said) if said.contains('x')), "{error}");
        for wrong in ["INSERT", "INSERT INTO users (name) VALUES (NULL)", "DELETE FROM nowhere"] {
            let error = store.execute(vec![Statement::new(wrong)]).await.unwrap_err();
            assert!(matches!(error, StoreError::Refused(_)), "{wrong}: {error}");
        }
        let change = Statement::new("INSERT INTO users (name) VALUES ('sly')");
        let error = store.query(change).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "a question that changes: {error}");
        assert_eq!(store.execute(vec![user("good", 1)]).await, Ok(1));
        assert_eq!(names(&store).await, ["good"]);
    });
}

// The table as another program has made it, with other types and a column more.
each_database!(a_table_that_is_there_is_used_and_one_that_does_not_fit_is_mended);
fn a_table_that_is_there_is_used_and_one_that_does_not_fit_is_mended(kind: Kind) {
    let database = kind.start();
    let empty = Store::open(&database.config(), &[]).unwrap();
    let theirs = "CREATE TABLE users (id INTEGER PRIMARY KEY, NAME CHAR(30) NOT NULL UNIQUE, \
                  size INTEGER DEFAULT 0 NOT NULL, weight FLOAT, photo BLOB, extra INTEGER)";
    let row = "INSERT INTO users (id, name) VALUES (1, 'old')";
    runtime().block_on(async {
        let made = empty.execute(vec![Statement::new(theirs)]).await;
        assert!(made.is_ok(), "{made:?}");
        assert_eq!(empty.execute(vec![Statement::new(row)]).await, Ok(1));
        let mut missing = Vec::new();
        while let Err(error) = open(&database.config()) {
            let StoreError::Misfit { table, column, mend } = error else { panic!("{error}") };
            assert_eq!(table, "users");
            missing.push(column);
            let mended = empty.execute(vec![Statement::new(mend)]).await;
            assert!(mended.is_ok(), "{mended:?}");
        }
        assert_eq!(missing, ["life", "born"]);
        let store = open(&database.config()).unwrap();
        assert_eq!(names(&store).await, ["old"]);
    });
}

/// Two functions of the store, and one way without it.
const SCRIPT: &str = r#"
fn request_route() {
    if ruri_user() == "plain" { sl_send_reply(200, "OK"); return; }
    t_newtran();
    acc_db_request("200 Seen", "acc");
    if alias_db_lookup("dbaliases") { t_reply(200, ruri_user()); return; }
    t_reply(404, "Not Found");
}
"#;

fn setup(url: &str, timeout: &str) -> Setup {
    Setup::script(SCRIPT).store(&format!("url = \"{url}\"\ntimeout = \"{timeout}\"\n"))
}

fn to(user: &str) -> Outgoing {
    Outgoing::new("sip:a@sip.example", &format!("sip:{user}@sip.example"), "text")
}

each_database!(a_route_reads_and_writes_the_store);
fn a_route_reads_and_writes_the_store(kind: Kind) {
    let database = kind.start();
    let sipjab = Sipjab::start(&setup(&database.url(), "10s"));
    let ours = Store::open(&database.config(), &[]).unwrap();
    let alias = "INSERT INTO dbaliases (alias_username, alias_domain, username, domain) \
                 VALUES ('romeo', 'sip.example', 'montague', 'sip.example')";
    runtime().block_on(ours.execute(vec![Statement::new(alias)])).unwrap();
    let mut agent = Agent::bind();
    let answer = agent.ask(&to("romeo"), sipjab.udp);
    assert_eq!((answer.status(), answer.reason()), (200, "montague"));
    assert_eq!(agent.ask(&to("juliet"), sipjab.udp).status(), 404);
    let rows = runtime().block_on(ours.query(Statement::new("SELECT sip_code FROM acc"))).unwrap();
    let codes: Vec<_> = rows.iter().filter_map(|row| row.text(0)).collect();
    assert_eq!(codes, ["200", "200"]);
    let lines = sipjab.terminate().join("\n");
    assert!(!lines.contains(PASSWORD), "{lines}");
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start_with_a_reason() {
    let configuration = "script = \"route.rhai\"\nsip.listen = [\"udp:127.0.0.1:0\"]\n\
                         store.url = \"sqlite:/nowhere/sip.db\"\n";
    let output = run_to_end("run", configuration, SCRIPT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/nowhere/sip.db") && said.contains("folder must be there"), "{said}");
    assert_eq!(run_to_end("check", configuration, SCRIPT).status.code(), Some(0));
}

/// SER's `acc` of old has other columns, which matters only to who uses it.
#[test]
fn a_table_that_does_not_fit_stops_only_a_script_that_uses_it() {
    let database = Kind::Sqlite.start();
    let empty = Store::open(&database.config(), &[]).unwrap();
    let old = "CREATE TABLE acc (sip_from VARCHAR(128), sip_method VARCHAR(16))";
    runtime().block_on(empty.execute(vec![Statement::new(old)])).unwrap();
    let configuration = format!(
        "script = \"route.rhai\"\nsip.listen = [\"udp:127.0.0.1:0\"]\nstore.url = \"{}\"\n",
        database.url()
    );
    let output = run_to_end("run", &configuration, SCRIPT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ALTER TABLE acc ADD COLUMN method VARCHAR(16)"), "{said}");

    let other = SCRIPT.replace("acc_db_request(\"200 Seen\", \"acc\");", "");
    let setup = Setup::script(&other).store(&format!("url = \"{}\"\n", database.url()));
    let sipjab = Sipjab::start(&setup);
    assert_eq!(Agent::bind().ask(&to("romeo"), sipjab.udp).status(), 404);
    assert!(sipjab.logs(0, "a table does not fit", PATIENCE).is_some());
}

#[test]
fn a_database_that_comes_late_is_used_when_it_comes() {
    let mut server = Mariadb::new();
    let sipjab = Sipjab::start(&setup(&server.url(), "2s"));
    let mut agent = Agent::bind();
    let answer = agent.ask(&to("romeo"), sipjab.udp);
    assert_eq!((answer.status(), answer.header("Retry-After")), (503, "10"));
    assert_eq!(agent.ask(&to("plain"), sipjab.udp).status(), 200);

    server.start();
    assert!(sipjab.logs(0, "store connected", PATIENCE).is_some());
    answers_with(&mut agent, &sipjab, 404);

    server.stop();
    answers_with(&mut agent, &sipjab, 503);
    server.start();
    answers_with(&mut agent, &sipjab, 404);
    let lines = sipjab.terminate().join("\n");
    assert!(lines.contains("store away") && !lines.contains(PASSWORD), "{lines}");
}

/// Waits until a request that needs the store is answered so.
fn answers_with(agent: &mut Agent, sipjab: &Sipjab, status: u16) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = agent.ask(&to("romeo"), sipjab.udp);
        if answer.status() == status {
            return;
        }
        assert!(Instant::now() < end, "{} instead of {status}", answer.start);
    }
}

/// The next final response to anything.
fn next_final(agent: &mut Agent) -> Message {
    loop {
        let (answer, _) = agent.next(PATIENCE).expect("an answer for everybody");
        if answer.status() >= 200 {
            return answer;
        }
    }
}

#[test]
fn a_database_that_stalls_holds_up_only_who_needs_it() {
    let server = Mariadb::running();
    let sipjab = Sipjab::start(&setup(&server.url(), "2s"));
    let mut agent = Agent::bind();
    assert_eq!(agent.ask(&to("romeo"), sipjab.udp).status(), 404);

    server.freeze();
    let stalled: Vec<_> = (0..200).map(|_| to("romeo")).collect();
    for message in &stalled {
        agent.send_udp(&message.to_bytes("UDP", agent.local), sipjab.udp);
    }
    // They wait for the store, and this one comes through.
    let plain = to("plain");
    agent.send_udp(&plain.to_bytes("UDP", agent.local), sipjab.udp);
    let first = next_final(&mut agent);
    assert_eq!((first.status(), first.branch()), (200, &*plain.branch));
    for _ in &stalled {
        let answer = next_final(&mut agent);
        assert_eq!((answer.status(), answer.header("Retry-After")), (503, "10"));
    }
    server.thaw();
    answers_with(&mut agent, &sipjab, 404);
    sipjab.terminate();
}

#[test]
fn a_server_that_never_answers_does_not_stop_the_start() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mysql://sip:{PASSWORD}@{}/sip", silent.local_addr().unwrap());
    let config =
        StoreConfig { url: StoreUrl::Mysql(url.as_str().into()), ..StoreConfig::default() };
    let store = Store::open(&config, std::slice::from_ref(&USERS)).unwrap();
    let answer = runtime().block_on(store.query(Statement::new("SELECT 1")));
    assert!(matches!(answer, Err(StoreError::Away(_))), "{answer:?}");
}

const COUNTER: &str = r#"
fn request_route() {
    t_newtran();
    t_reply(200, `${sht_inc("counts", "all")} ${sht_get("counts", ruri_user())}`);
    sht_set("counts", ruri_user(), "seen", 600);
}
"#;

// What a table of htable holds outlives an orderly end, and is written while the server runs.
each_database!(a_shared_table_outlives_the_server);
fn a_shared_table_outlives_the_server(kind: Kind) {
    let database = kind.start();
    let setup = Setup::script(COUNTER).store(&format!("url = \"{}\"\n", database.url())).with(
        "[[modules.htable.table]]\nname = \"counts\"\ndbtable = \"counts\"\ndbmode = 1\n\
         initval = 10\n",
    );
    let mut agent = Agent::bind();
    let sipjab = Sipjab::start(&setup);
    assert_eq!(agent.ask(&to("romeo"), sipjab.udp).reason(), "11 10");
    assert_eq!(agent.ask(&to("romeo"), sipjab.udp).reason(), "12 seen");
    let sipjab = sipjab.restart();
    assert_eq!(agent.ask(&to("romeo"), sipjab.udp).reason(), "13 seen");
    let ours = Store::open(&database.config(), &[]).unwrap();
    let count = || {
        let sql = "SELECT key_value FROM counts WHERE key_name = 'all'";
        let rows = runtime().block_on(ours.query(Statement::new(sql))).unwrap();
        rows.first().and_then(|row| row.int(0))
    };
    let end = Instant::now() + PATIENCE;
    while count() != Some(13) {
        assert!(Instant::now() < end, "{:?}", count());
    }
    sipjab.terminate();
}

const TRUNKS: &str = r#"
fn request_route() {
    t_newtran();
    if !ds_select_dst(1, 8) { t_reply(503, "No Trunk"); return; }
    t_reply(if allow_trusted() { 200 } else { 403 }, pv("$du"));
}
"#;

each_database!(kamailios_tables_of_trunks_and_peers_are_read);
fn kamailios_tables_of_trunks_and_peers_are_read(kind: Kind) {
    let database = kind.start();
    let setup = Setup::script(TRUNKS).store(&format!("url = \"{}\"\n", database.url())).with(
        "[modules.permissions]\ntrusted_table = \"trusted\"\n\
         [modules.dispatcher]\ntable_name = \"dispatcher\"\n",
    );
    let sipjab = Sipjab::start(&setup);
    let ours = Store::open(&database.config(), &[]).unwrap();
    let rows = [
        "INSERT INTO dispatcher (setid, destination, priority) VALUES (1, 'sip:192.0.2.1', 1)",
        "INSERT INTO dispatcher (setid, destination, priority) VALUES (1, 'sip:192.0.2.2', 9)",
        "INSERT INTO trusted (src_ip, proto, ruri_pattern) VALUES ('127.0.0.1', 'udp', '^sip:romeo@')",
    ];
    runtime().block_on(ours.execute(rows.map(Statement::new).to_vec())).unwrap();
    let mut agent = Agent::bind();
    let answer = agent.ask(&to("romeo"), sipjab.udp);
    assert_eq!((answer.status(), answer.reason()), (200, "sip:192.0.2.2"));
    assert_eq!(agent.ask(&to("juliet"), sipjab.udp).status(), 403);
    sipjab.terminate();
}
