//! What becomes of calls: accounted by flags, and counted as dialogs.

use std::time::Instant;

use sipjab::config::{StoreConfig, StoreUrl};
use sipjab::store::{Statement, Store};

use crate::phone::{Dialog, Phone};
use crate::process::PATIENCE;
use crate::sipjab::{Setup, Sipjab};

const FLAGS: &str = "[modules.acc]\nlog_flag = 1\ndb_flag = 1\ndb_missed_flag = 2\n\
                     failed_transaction_flag = 3\n";

const ACCOUNTING: &str = r#"
fn request_route() {
    if has_totag() {
        if is_method("BYE") { setflag(1); }
        if loose_route() { t_relay(); }
        return;
    }
    record_route();
    t_newtran();
    setflag(2);
    t_on_failure("LATER");
    t_on_reply("TAKEN");
    t_relay();
}
fn onreply_route_TAKEN() { if t_check_status("200") { setflag(1); } }
fn failure_route_LATER() { if t_check_status("603") { setflag(1); setflag(3); } }
"#;

/// The rows of a table, once there are as many.
fn rows(sipjab: &Sipjab, table: &str, count: usize) -> Vec<String> {
    let url = StoreUrl::Sqlite(sipjab.database());
    let store = Store::open(&StoreConfig { url, ..StoreConfig::default() }, &[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sql = format!("SELECT method, sip_code, callid, to_tag FROM {table} ORDER BY id");
    let end = Instant::now() + PATIENCE;
    loop {
        let found = runtime.block_on(store.query(Statement::new(sql.clone()))).unwrap();
        let text = |row: &sipjab::store::Row| {
            let texts = (0..4).map(|column| row.text(column).unwrap_or_default());
            texts.collect::<Vec<_>>().join(" ")
        };
        if found.len() >= count {
            return found.iter().map(text).collect();
        }
        assert!(Instant::now() < end, "{} of {count} rows in {table}", found.len());
    }
}

/// A call that bob takes; both sides of the dialog.
fn take(alice: &mut Phone, bob: &mut Phone, sipjab: &Sipjab) -> (Dialog, Dialog) {
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 200, "");
    let answer = alice.expect("200 INVITE");
    let caller = dialog.after(&answer);
    alice.ask("ACK", &Dialog { cseq: 1, ..caller.next() }, "", sipjab.udp);
    bob.expect("ACK");
    (caller, Dialog::of_callee(&invite))
}

/// A call that bob rejects.
fn reject(status: u16, alice: &mut Phone, bob: &mut Phone, sipjab: &Sipjab) -> Dialog {
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, status, "");
    let rejection = alice.expect(&format!("{status} INVITE"));
    alice.ack_rejection(&dialog, &rejection, sipjab.udp);
    bob.expect("ACK");
    dialog
}

/// A BYE from here, answered there.
fn hang_up(dialog: &Dialog, here: &mut Phone, there: &mut Phone, sipjab: &Sipjab) {
    here.ask("BYE", dialog, "", sipjab.udp);
    let bye = there.expect("BYE");
    there.answer(&bye, 200, "");
    here.expect("200 BYE");
}

#[test]
fn a_call_its_end_and_missed_calls_are_accounted_by_flags() {
    let sipjab = Sipjab::start(&Setup::script(ACCOUNTING).with(FLAGS));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let (caller, _) = take(&mut alice, &mut bob, &sipjab);
    hang_up(&caller, &mut alice, &mut bob, &sipjab);
    let busy = reject(486, &mut alice, &mut bob, &sipjab);
    let declined = reject(603, &mut alice, &mut bob, &sipjab);
    let (taken, busy, declined) = (&caller.call_id, &busy.call_id, &declined.call_id);
    assert_eq!(
        rows(&sipjab, "acc", 3),
        [
            format!("INVITE 200 {taken} e2e"),
            format!("BYE 200 {taken} e2e"),
            format!("INVITE 603 {declined} e2e"),
        ]
    );
    let missed = rows(&sipjab, "missed_calls", 2);
    assert_eq!(missed, [format!("INVITE 486 {busy} e2e"), format!("INVITE 603 {declined} e2e")]);
    let lines = sipjab.terminate().join("\n");
    assert_eq!(lines.matches("transaction answered").count(), 3, "{lines}");
}

const COUNTING: &str = r#"
fn request_route() {
    if is_method("OPTIONS") {
        sl_send_reply(200, `${get_profile_size("caller")} ${get_profile_size("caller", "a")}`);
        return;
    }
    if has_totag() {
        if !is_known_dlg() { sl_send_reply(481, "Unknown Dialog"); return; }
        if loose_route() { t_relay(); }
        return;
    }
    if get_profile_size("caller", from_user()) >= 2 { sl_send_reply(486, "Enough Calls"); return; }
    create_dialog();
    set_dlg_profile("caller", from_user());
    record_route();
    t_relay();
}
"#;

/// How many calls there are, in all and of `a`.
fn counted(alice: &mut Phone, sipjab: &Sipjab) -> String {
    alice.ask("OPTIONS", &Dialog::to("sip:count@sip.example"), "", sipjab.udp);
    let answer = alice.expect("200 OPTIONS");
    answer.start.split_once("200 ").unwrap().1.to_owned()
}

#[test]
fn a_user_has_so_many_calls_until_they_end() {
    // Two workers, which must count together.
    let setup = Setup::script(COUNTING)
        .with("[modules.dialog]\nprofiles_with_value = \"caller\"\ndefault_timeout = 3600\n");
    let sipjab = Sipjab::start(&setup);
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let (first, _) = take(&mut alice, &mut bob, &sipjab);
    let (_, second) = take(&mut alice, &mut bob, &sipjab);
    assert!(first.routes[0].contains(";did="), "{:?}", first.routes);
    assert_eq!(counted(&mut alice, &sipjab), "2 2");
    let third = Dialog::to(&bob.uri());
    alice.ask("INVITE", &third, "", sipjab.udp);
    alice.expect("486 INVITE");
    hang_up(&first, &mut alice, &mut bob, &sipjab);
    assert_eq!(counted(&mut alice, &sipjab), "1 1");
    hang_up(&second, &mut bob, &mut alice, &sipjab);
    assert_eq!(counted(&mut alice, &sipjab), "0 0");
    // The dialog is over, so a request within it is nobody's.
    alice.ask("BYE", &first.next(), "", sipjab.udp);
    alice.expect("481 BYE");
    reject(486, &mut alice, &mut bob, &sipjab);
    assert_eq!(counted(&mut alice, &sipjab), "0 0", "a failure is no call");
    let cancelled = Dialog::to(&bob.uri());
    alice.ask("INVITE", &cancelled, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    assert_eq!(counted(&mut alice, &sipjab), "1 1", "it rings");
    alice.ask("CANCEL", &cancelled, "", sipjab.udp);
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&invite, 487, "");
    alice.expect("487 INVITE");
    assert_eq!(counted(&mut alice, &sipjab), "0 0");
    sipjab.terminate();
}

const SPREADING: &str = r#"
fn request_route() {
    if has_totag() { if loose_route() { t_relay(); } return; }
    if is_method("OPTIONS") { sl_send_reply(if ds_reload() { 200 } else { 500 }, ""); return; }
    if !ds_select_dst(3, 10) { sl_send_reply(503, "Every Server Is Full"); return; }
    record_route();
    t_on_failure("NEXT");
    t_relay();
}
fn failure_route_NEXT() { if t_check_status("500") && ds_next_dst() { t_relay(); } }
"#;

#[test]
fn calls_go_where_the_fewest_are_in_the_table_of_destinations() {
    let setup =
        Setup::script(SPREADING).with("[modules.dispatcher]\ntable_name = \"dispatcher\"\n");
    let sipjab = Sipjab::start(&setup);
    let (mut alice, mut one, mut two) = (Phone::bind(), Phone::bind(), Phone::bind());
    let busy = Dialog::to("sip:x@sip.example");
    alice.ask("INVITE", &busy, "", sipjab.udp);
    alice.expect("503 INVITE");
    for phone in [&one, &two] {
        sipjab.sql(&format!(
            "INSERT INTO dispatcher (setid, destination, attrs) VALUES (3, 'sip:{}', 'maxload=1')",
            phone.local
        ));
    }
    alice.ask("OPTIONS", &Dialog::to("sip:x@sip.example"), "", sipjab.udp);
    alice.expect("200 OPTIONS");
    let (first, _) = take(&mut alice, &mut one, &sipjab);
    let failing = Dialog::to("sip:x@sip.example");
    alice.ask("INVITE", &failing, "", sipjab.udp);
    let invite = two.expect("INVITE");
    two.answer(&invite, 500, "");
    alice.expect("500 INVITE");
    let (second, _) = take(&mut alice, &mut two, &sipjab);
    alice.ask("INVITE", &busy.next(), "", sipjab.udp);
    alice.expect("503 INVITE");
    hang_up(&first, &mut alice, &mut one, &sipjab);
    let (third, _) = take(&mut alice, &mut one, &sipjab);
    hang_up(&second, &mut alice, &mut two, &sipjab);
    hang_up(&third, &mut alice, &mut one, &sipjab);
    sipjab.terminate();
}

#[test]
fn a_call_that_comes_through_us_twice_is_one_and_one_that_is_dropped_none() {
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let script =
        COUNTING.replace("get_profile_size(\"caller\", from_user()) >= 2", "false").replace(
            "record_route();\n",
            &format!(
                "if ruri_user() == \"gone\" {{ drop(); }}\n\
             if ruri_user() == \"first\" {{ setuser(\"second\"); }} else {{ seturi(\"{}\"); }}\n",
                bob.uri()
            ),
        );
    let sipjab = Sipjab::start(
        &Setup::script(&script).with("[modules.dialog]\nprofiles_with_value = \"caller\"\n"),
    );
    let first = Dialog::to(&format!("sip:first@{}", sipjab.udp));
    alice.ask("INVITE", &first, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    let vias = invite.headers.iter().filter(|(name, _)| name == "Via").count();
    assert_eq!(vias, 3, "it went through us twice");
    assert_eq!(counted(&mut alice, &sipjab), "1 1");
    bob.answer(&invite, 486, "");
    let rejection = alice.expect("486 INVITE");
    alice.ack_rejection(&first, &rejection, sipjab.udp);
    assert_eq!(counted(&mut alice, &sipjab), "0 0");
    let gone = Dialog::to("sip:gone@sip.example");
    alice.ask("INVITE", &gone, "", sipjab.udp);
    // The first request after it has seen the script's end, or the next one does.
    let end = Instant::now() + PATIENCE;
    while counted(&mut alice, &sipjab) != "0 0" {
        assert!(Instant::now() < end, "a dropped call counts");
    }
    sipjab.terminate();
}
