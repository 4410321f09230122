#[path = "cases.rs"]
mod cases;

use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use Dialect::{Kamailio, OpenSer, OpenSips, Ser0, Ser2};
use cases::CASES;

use super::*;
use crate::config::Config;
use crate::modules;
use crate::script::check::Checker;
use crate::script::commons::Commons;
use crate::script::engine::{Bundle, engine};
use crate::script::export::{Given, Kind};
use crate::script::fiber::Stacks;
use crate::script::route::{Outcome, Route, Target};
use crate::script::router::recording::{Recording, request, route};
use crate::sip::Message;
use crate::store::{Row, Statement, Store};

/// What a configuration has become, as the server runs it.
struct Stage {
    bundle: Rc<Bundle>,
    router: Rc<Recording>,
    stacks: Stacks,
    store: Store,
}

impl Stage {
    fn new(dialect: Dialect, old: &str) -> Self {
        let options = Options { dialect: Some(dialect), ..Options::default() };
        let made = crate::cli::migrate_text("a.cfg", old, &options).unwrap();
        let names = modules::names();
        let config = Config::parse(&made.config, "sipjab.toml", Path::new(""), &names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("route.rhai");
        std::fs::write(&file, &made.script).unwrap();
        let tables = modules::tables(&config.modules, |_| true).unwrap();
        let store = Store::in_memory(&tables).unwrap();
        let exports = modules::load(&config.modules, &Commons::with_store(store.clone())).unwrap();
        let checker = Checker::new(engine(&config.script, &exports), exports.catalogue());
        let (findings, sources) = checker.read(&file).unwrap();
        assert!(findings.is_empty(), "{findings:?}\n{}", made.script);
        let bundle = Rc::new(Bundle::compile(&sources, &config.script, &exports).unwrap());
        Self { bundle, router: Rc::default(), stacks: Stacks::default(), store }
    }

    /// Runs a route; gives it back with what the server was asked to do.
    fn run(&self, function: &'static str, of: Box<Route>) -> (Box<Route>, Vec<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let (route, result) = local.block_on(&runtime, async {
            match self.bundle.run(function, of, &self.stacks).unwrap() {
                Ok(ended) => ended,
                Err(waiting) => waiting.await.unwrap(),
            }
        });
        runtime.block_on(local);
        result.unwrap_or_else(|error| panic!("{error}"));
        (route.unwrap(), self.router.journal())
    }

    fn main(&self, message: Message) -> Vec<String> {
        self.run("request_route", route(Kind::Request, message, &self.router)).1
    }

    fn rows(&self, question: &'static str) -> Vec<Row> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.store.query(Statement::new(question))).unwrap()
    }
}

/// A MESSAGE of juliet to romeo, with a body.
fn message() -> Message {
    let text = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello";
    request("MESSAGE", ROMEO, text)
}

const ROMEO: &str = "sip:romeo@sip.example";

/// The old configuration with these statements in its main route and these other blocks.
fn with_main(dialect: Dialect, statements: &str, more: &str) -> String {
    let head = if dialect == Kamailio { "request_route" } else { "route" };
    format!("{head} {{\n{statements}\n}}\n{more}\n")
}

/// What is done with a MESSAGE.
fn does(dialect: Dialect, statements: &str, more: &str) -> Vec<String> {
    Stage::new(dialect, &with_main(dialect, statements, more)).main(message())
}

#[test]
fn scripts_do_what_the_old_ones_did() {
    let mut wrong = Vec::new();
    for (number, dialect, statements, more, expected) in CASES {
        let done = does(*dialect, statements, more);
        if done != *expected {
            wrong.push(format!("trap {number}: {statements} {more}\n  {done:?}\n  {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn response(status: &str) -> Message {
    let text = format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours\r\n\
         From: <sip:juliet@sip.example>;tag=a\r\nTo: <{ROMEO}>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
    );
    Message::parse(text.into()).unwrap()
}

#[test]
fn trap_4_drop_in_a_reply_route_keeps_back_what_it_kept_back() {
    let blocks = "onreply_route[1] { if (status=~\"1..\") { drop; } }";
    for (dialect, is_dropped) in [(Ser0, false), (OpenSer, true), (Kamailio, true)] {
        let arm = with_main(dialect, "t_on_reply(\"1\"); t_relay();", blocks);
        let stage = Stage::new(dialect, &arm);
        let mut of = route(Kind::OnReply, response("183 Progress"), &stage.router);
        of.outcome = Some(Outcome { status: 183, ..Outcome::default() });
        assert_eq!(stage.run("onreply_route_1", of).0.is_dropped, is_dropped, "{dialect:?}");
    }
}

#[test]
fn trap_5_what_the_last_function_of_a_route_says_is_its_answer() {
    let old = with_main(
        OpenSer,
        "if (route(1)) { sl_send_reply(\"200\", \"found\"); }",
        "route[1] { lookup(\"location\"); }",
    );
    let stage = Stage::new(OpenSer, &old);
    let contact = Target::new("sip:romeo@192.0.2.9");
    stage.router.contacts.borrow_mut().insert(ROMEO.to_owned(), vec![contact]);
    assert!(stage.main(message()).contains(&"sl 200 found".to_owned()));
}

#[test]
fn trap_6_the_failure_route_of_ser_0_8_runs_when_a_branch_has_failed() {
    let old = "route { t_on_negative(\"1\"); t_relay(); }\n\
               reply_route[1] { rewritehost(\"spare.example\"); append_branch(); t_relay(); }\n";
    let stage = Stage::new(Ser0, old);
    assert_eq!(stage.main(message()), ["relay sip:romeo@sip.example"]);
    let (_, done) = stage.run("failure_route_1", route(Kind::Failure, message(), &stage.router));
    assert_eq!(done, ["relay sip:romeo@spare.example"]);
}

#[test]
fn trap_7_a_status_is_searched_and_not_compared() {
    let old = with_main(
        OpenSer,
        "t_on_reply(\"1\"); t_relay();",
        "onreply_route[1] { if (status=~\"(180)|(183)|2[0-9][0-9]\") { setflag(5); } }",
    );
    let stage = Stage::new(OpenSer, &old);
    for (status, is_meant) in [("183 Progress", true), ("200 OK", true), ("486 Busy", false)] {
        let mut of = route(Kind::OnReply, response(status), &stage.router);
        of.outcome = Some(Outcome { status: status[..3].parse().unwrap(), ..Outcome::default() });
        let (route, _) = stage.run("onreply_route_1", of);
        assert_eq!(route.flags & (1 << 5) != 0, is_meant, "{status}");
    }
}

#[test]
fn trap_10_two_headers_of_one_name_are_two() {
    let statements = "append_hf(\"X-A: 1\\r\\n\"); append_hf(\"X-A: 2\\r\\n\"); t_relay();";
    let stage = Stage::new(OpenSer, &with_main(OpenSer, statements, ""));
    let of = route(Kind::Request, message(), &stage.router);
    let (route, _) = stage.run("request_route", of);
    let text = String::from_utf8(route.message.to_bytes().to_vec()).unwrap();
    assert_eq!(text.matches("X-A: ").count(), 2, "{text}");
}

/// What the report says of the order of edits and questions.
fn told_of_order(old: &str) -> Vec<(Code, usize, String)> {
    let options = Options { dialect: Some(Kamailio), ..Options::default() };
    let made = crate::cli::migrate_text("a.cfg", old, &options).unwrap();
    let found = made.report.findings.iter().filter(|it| it.message.contains("is edited"));
    found.map(|it| (it.code, it.place.line, it.message.clone())).collect()
}

#[test]
fn trap_10_both_places_are_told() {
    let old =
        "request_route {\n  remove_hf(\"X-A\");\n  if (is_present_hf(\"X-A\")) { t_relay(); }\n}\n";
    let [(code, line, message)] = told_of_order(old).try_into().unwrap();
    assert_eq!((code, line), (Code::EditOrder, 3));
    assert_eq!(message, "header `x-a` is edited at a.cfg:2:3, before this");

    let old = "request_route {\n  remove_hf(\"X-A\");\n  route(A);\n}\n\
               route[A] {\n  if (is_present_hf(\"X-A\")) { t_relay(); }\n}\n";
    let [(code, line, message)] = told_of_order(old).try_into().unwrap();
    assert_eq!((code, line), (Code::Decision, 6));
    assert!(message.contains("by another route, at a.cfg:2:3"), "{message}");

    for innocent in [
        "is_present_hf(\"X-A\"); remove_hf(\"X-A\");",
        "remove_hf(\"X-B\"); if (is_present_hf(\"X-A\")) { t_relay(); }",
        "remove_hf(\"X-A\"); msg_apply_changes(); if ($hdr(X-A) == \"\") { t_relay(); }",
        "if (is_method(\"ACK\")) { remove_hf(\"X-A\"); exit; } if (is_present_hf(\"X-A\")) { t_relay(); }",
    ] {
        assert_eq!(told_of_order(&with_main(Kamailio, innocent, "")), [], "{innocent}");
    }
}

#[test]
fn trap_17_a_reply_behind_save_hurts_nobody() {
    let old = "route { save(\"location\"); sl_send_reply(\"200\", \"again\"); t_relay(); }";
    let stage = Stage::new(Ser0, old);
    let done = stage.main(request("REGISTER", "sip:sip.example", ""));
    assert_eq!(done.first().map(String::as_str), Some("save location"), "{done:?}");
}

/// Whose messages they are: the Request-URI's that the script has made, the one's that came, or To's.
#[test]
fn trap_20_a_message_is_stored_for_whom_it_was() {
    let romeo = request(
        "MESSAGE",
        "sip:romeo@sip.example",
        "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello",
    );
    let text = String::from_utf8(romeo.to_bytes().to_vec()).unwrap();
    let text = text.replace("To: <sip:romeo@", "To: <sip:everybody@");
    for (dialect, call, owner) in [
        (Ser0, "m_store(\"0\")", "new"),
        (Ser0, "m_store(\"1\")", "romeo"),
        (Ser0, "m_store(\"2\")", "everybody"),
        (Ser2, "m_store(\"0\", \"\")", "new"),
        (OpenSer, "m_store(\"$ru\")", "new"),
        (OpenSer, "m_store(\"$tu\")", "everybody"),
        (Kamailio, "m_store(\"sip:desk@sip.example\")", "desk"),
        (Kamailio, "m_store()", "new"),
    ] {
        let stage =
            Stage::new(dialect, &with_main(dialect, &format!("rewriteuser(\"new\"); {call};"), ""));
        stage.main(Message::parse(text.clone().into()).unwrap());
        let rows = stage.rows("SELECT username, domain FROM silo");
        let owners: Vec<_> = rows.iter().filter_map(|row| row.text(0)).collect();
        assert_eq!(owners, [owner], "{dialect:?}: {call}");
    }
}

/// The order of the old samples: first the contact, then what has waited for it.
#[test]
fn trap_20_what_was_stored_is_sent_behind_the_registration() {
    let old = "route { if (method==\"REGISTER\") { save(\"location\"); m_dump(); break; }; m_store(\"0\"); }";
    let stage = Stage::new(Ser0, old);
    stage.main(message());
    let contact = Target::new("sip:romeo@192.0.2.9");
    stage.router.contacts.borrow_mut().insert(ROMEO.to_owned(), vec![contact]);
    let done = stage.main(request("REGISTER", ROMEO, ""));
    assert_eq!(done.first().map(String::as_str), Some("save location"), "{done:?}");
    assert!(done.iter().any(|line| line.starts_with("request MESSAGE")), "{done:?}");
}

/// The account is that of From; the destination is looked for in the Request-URI, in the one that came, and in To.
#[test]
fn trap_21_orders_for_jabber_are_for_the_sender_and_go_where_they_went() {
    let head = "modparam(\"jabber\", \"jdomain\", \"jabber.example=*\")\n\
                modparam(\"jabber\", \"aliases\", \"1;icq.jabber.example;\")\n";
    let romeo = "sip:romeo*xmpp.example@jabber.example";
    for (statements, to, expected) in [
        ("jab_send_message();", romeo, Some("send romeo@xmpp.example")),
        ("rewriteuri(\"sip:a@b\"); jab_send_message();", romeo, Some("send romeo@xmpp.example")),
        ("jab_send_message();", "sip:77@icq.jabber.example", Some("send 77@icq.jabber.example")),
        ("jab_send_message();", "sip:romeo@elsewhere.example", None),
        ("jab_go_online();", "sip:anywhere.example", Some("online")),
        ("jab_go_offline();", romeo, Some("offline")),
        (
            "jab_join_jconf();",
            "sip:me*room*conf.example@jabber.example",
            Some("join room@conf.example/me"),
        ),
        (
            "jab_join_jconf();",
            "sip:*room*conf.example@jabber.example",
            Some("join room@conf.example/juliet"),
        ),
        ("jab_join_jconf();", romeo, None),
        (
            "jab_exit_jconf();",
            "sip:*room*conf.example@jabber.example",
            Some("exit room@conf.example"),
        ),
    ] {
        let stage = Stage::new(Ser0, &format!("{head}route {{ {statements} }}\n"));
        let text = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello";
        let done = stage.main(request("MESSAGE", to, text));
        let wanted = expected.map(|wish| format!("account sip:juliet@sip.example {wish} from"));
        assert_eq!(done.len(), usize::from(wanted.is_some()), "{statements} {to}: {done:?}");
        let is_it = wanted.is_none_or(|wanted| done[0].starts_with(&wanted));
        assert!(is_it, "{statements} {to}: {done:?}");
    }
}

#[test]
fn trap_22_a_variable_with_one_value_at_a_time_stays_a_plain_one() {
    let script = |statements: &str, more: &str| {
        let options = Options { dialect: Some(Kamailio), ..Options::default() };
        let old = with_main(Kamailio, statements, more);
        crate::cli::migrate_text("a.cfg", &old, &options).unwrap().script
    };
    for (statements, more, has_several) in [
        ("$avp(x) = 1; $avp(x) = 2; xlog(\"$avp(x)\");", "", false),
        ("$avp(x) = 1; $avp(x) = $null; $avp(x) = 2; $avp(x) = $null;", "", false),
        (
            "if (is_method(\"ACK\")) { $avp(x) = 1; } else { $avp(x) = 2; } $avp(x) = $null;",
            "",
            false,
        ),
        ("if (is_method(\"ACK\")) { $avp(x) = 1; exit; } $avp(x) = 2; $avp(x) = $null;", "", false),
        ("$(avp(x)[*]) = 1; $(avp(x)[*]) = 2; $avp(x) = $null;", "", false),
        ("$avp(x) = 1; $avp(y) = 2; $avp(x) = $null;", "", false),
        ("$avp(x) = 1; $avp(x) = 2; $avp(x) = $null;", "", true),
        ("if (is_method(\"ACK\")) { $avp(x) = 1; } $avp(x) = 2; $avp(x) = $null;", "", true),
        ("while (is_method(\"ACK\")) { $avp(x) = 1; } $avp(x) = $null;", "", true),
        ("route(A); route(A); $avp(x) = $null;", "route[A] { $avp(x) = 1; return; }", true),
        ("if (route(A)) { $avp(x) = 2; }", "route[A] { $avp(x) = 1; $avp(x) = $null; }", false),
        (
            "t_on_failure(\"A\"); t_relay();",
            "failure_route[A] { $avp(x) = 1; xlog(\"$(avp(x)[1])\"); }",
            true,
        ),
    ] {
        let script = script(statements, more);
        assert_eq!(script.contains("push_avp("), has_several, "{statements} {more}\n{script}");
    }
}

#[test]
fn trap_23_numbers_are_the_same_in_the_configuration() {
    let most = |dialect: Dialect, written: &str| {
        let old = format!(
            "loadmodule \"maxfwd.so\"\nmodparam(\"maxfwd\", \"max_limit\", {written})\n{}",
            with_main(dialect, "t_relay();", "")
        );
        let options = Options { dialect: Some(dialect), ..Options::default() };
        let made = crate::cli::migrate_text("a.cfg", &old, &options).unwrap();
        let codes: Vec<_> = made.report.findings.iter().map(|it| it.code).collect();
        let names = modules::names();
        let config = Config::parse(&made.config, "sipjab.toml", Path::new(""), &names).unwrap();
        let params = config.modules["maxfwd"].parse::<modules::maxfwd::Config>().unwrap();
        (params.max_limit, codes.contains(&Code::Octal))
    };
    assert_eq!(most(Ser0, "0100"), (64, true));
    assert_eq!(most(OpenSer, "0100"), (64, false));
    assert_eq!(most(Kamailio, "\"0100\""), (100, false));
    assert_eq!(most(OpenSips, "\"40\""), (40, false));
    assert_eq!(most(Kamailio, "0x20"), (32, false));
}

/// What the log says while a route runs.
fn logged(dialect: Dialect, statements: &str) -> String {
    let stage = Stage::new(dialect, &with_main(dialect, statements, ""));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Sink(sink.clone()))
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || stage.main(message()));
    String::from_utf8(lines.lock().unwrap().clone()).unwrap()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn trap_27_the_log_says_what_it_said() {
    let said = "MESSAGE sip:romeo@sip.example from sip:juliet@sip.example, 100 %";
    for (dialect, text) in [
        (Ser0, "%rm %ru from %fu, 100 %%\\n"),
        (Ser2, "%rm %ru from %fu, 100 %%\\n"),
        (OpenSer, "$rm $ru from $fu, 100 %\\n"),
        (Kamailio, "$rm $ru from $fu, 100 %\\n"),
    ] {
        let log = logged(dialect, &format!("xlog(\"L_ERR\", \"{text}\");"));
        assert_eq!(log.matches(said).count(), 1, "{dialect:?}: {log}");
        assert!(!log.contains("\\n"), "{dialect:?}: {log}");
    }
    // `log` fills nothing in.
    assert!(logged(OpenSer, "log(1, \"$rm %rm\\n\");").contains("$rm %rm"));
}

#[test]
fn traps_10_and_22_loops_in_loops_and_routes_in_routes_end() {
    let options = Options { dialect: Some(Kamailio), ..Options::default() };
    let inner = "append_hf(\"X-A: 1\\r\\n\"); $avp(x) = $null; while ($avp(x)) { $avp(x) = 1; ";
    let loops = with_main(Kamailio, &format!("{}{}", inner.repeat(30), "}".repeat(30)), "");
    assert!(crate::cli::migrate_text("a.cfg", &loops, &options).is_ok());
    let mut routes = with_main(Kamailio, "route(0a);", "");
    for number in 0..3000 {
        let (next, call) = (number + 1, "$avp(x) = 1; remove_hf(\"X-A\");");
        routes += &format!("route[{number}a] {{ {call} route({next}a); route({next}a); }}\n");
    }
    routes += "route[3000a] { $avp(x) = $null; }\n";
    assert!(crate::cli::migrate_text("a.cfg", &routes, &options).is_ok());
}

#[test]
fn cases_in_cases_that_fall_through_do_not_grow_without_end() {
    let case = |number: usize| format!("case {number}: xlog(\"a\"); ");
    let head = format!("switch ($var(a)) {{ {}", (0..5).map(case).collect::<String>());
    let old = with_main(Kamailio, &(head.repeat(30) + &*"}".repeat(30)), "");
    let options = Options { dialect: Some(Kamailio), ..Options::default() };
    let made = crate::cli::migrate_text("a.cfg", &old, &options).unwrap();
    assert!(made.script.len() < 1_000_000, "{}", made.script.len());
    assert!(made.script.contains("unsupported("), "{}", made.script);
}

#[test]
fn trap_26_what_nothing_runs_is_never_called() {
    let old = "request_route { t_relay(); }\nlocal_route { drop; }\nevent_route[tm:local-request] { drop; }\n";
    assert_eq!(Stage::new(Kamailio, old).main(message()), ["relay sip:romeo@sip.example"]);
}

/// What the table says of a function is what the module has.
#[test]
fn functions_give_what_the_table_says() {
    let exports = modules::load(&Default::default(), &Default::default()).unwrap();
    let catalogue = exports.catalogue();
    let mut wrong = Vec::new();
    for (old, _, becomes) in functions::ROWS {
        let functions::Becomes::Call(template, gives) = becomes else { continue };
        let Some((name, rest)) = template.split_once('(') else { continue };
        let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        // A method of a value, or something of the language.
        if !is_name || !rest.ends_with(')') || rest[..rest.len() - 1].contains(')') {
            continue;
        }
        let arguments = match rest.trim_end_matches(')') {
            "" => 0,
            inner => inner.matches(", ").count() + 1,
        };
        // A header line becomes its name and its value.
        let arguments = arguments + template.matches(":h}").count();
        // What a later version has is not there yet.
        if catalogue.forms(name).next().is_none() {
            continue;
        }
        let mut forms = catalogue.forms(name).filter(|it| it.params.len() == arguments).peekable();
        if forms.peek().is_none() {
            wrong.push(format!("{old}: there is no {template}"));
        }
        wrong.extend(
            forms
                .filter(|form| match gives {
                    functions::Gives::Bool => form.gives != Given::Bool,
                    functions::Gives::Nothing => form.gives == Given::Bool,
                    functions::Gives::Number => form.gives != Given::Int,
                })
                .map(|form| format!("{old}: {template} gives {:?}", form.gives)),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
