use super::*;

/// A server whose functions exist, with its own check.
fn migrated(dialect: Dialect, text: &str) -> Migration {
    let options = Options { dialect: Some(dialect), ..Options::default() };
    crate::cli::migrate_text("a.cfg", text, &options).unwrap()
}

/// The statements of the main route that these statements become, a line each.
fn main_route(dialect: Dialect, statements: &str) -> Vec<String> {
    let head = if dialect == Dialect::Kamailio { "request_route" } else { "route" };
    let made = migrated(dialect, &format!("{head} {{\n{statements}\n}}\n"));
    inside(&made.script, "fn request_route() {")
}

fn inside(script: &str, head: &str) -> Vec<String> {
    let lines = script.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| *line != "}").map(|line| line.trim().to_owned()).collect()
}

use Dialect::{Kamailio, OpenSer, OpenSips, Ser0, Ser2};

/// Number of the trap, dialect, old statements, new lines.
const TRAPS: &[(u8, Dialect, &str, &[&str])] = &[
    (
        1,
        Ser0,
        "if (method==\"ACK\") { break; }; drop;",
        &["if is_method(\"ACK\") {", "return;", "}", "return;"],
    ),
    (
        2,
        Ser0,
        "if (!t_newtran()) { sl_reply_error(); };",
        &["if !t_newtran() {", "sl_reply_error();", "}"],
    ),
    (
        3,
        Ser2,
        "if (method==\"ACK\") { break; } drop;",
        &["if is_method(\"ACK\") {", "return;", "}", "exit();"],
    ),
    (3, OpenSer, "if (method==\"ACK\") { break; };", &["if is_method(\"ACK\") {", "return;", "}"]),
    (
        3,
        Kamailio,
        "while($var(i)<3) { break; }",
        &["while (avp(\"var.i\") ?? 0) < 3 {", "break;", "}"],
    ),
    (5, Kamailio, "return(0);", &["exit();"]),
    (
        8,
        Ser0,
        "if (uri==myself & from_uri!=myself) { t_relay(); };",
        &["if is_myself(ruri()) && !is_myself(from_uri()) {", "t_relay();", "}"],
    ),
    (
        9,
        Ser0,
        "if (search(\"\\n:on\")) { break; };",
        &["if search(\"(?i)\\n:on\") {", "return;", "}"],
    ),
    (
        9,
        Ser0,
        "if (search(\"^To:.*@icq\\.x\")) { break; };",
        &["if search(\"(?im)^To:.*@icq\\\\.x\") {", "return;", "}"],
    ),
    (
        11,
        OpenSer,
        "if (uri=~\"^sip:[^0]+@[a\\.b]\") { exit; }",
        &["if matches(ruri(), \"(?i)^sip:[^0]+@[a\\\\\\\\.b]\") {", "exit();", "}"],
    ),
    (12, Kamailio, "xlog(\"L_INFO\", 'a\"b\\n');", &["info(\"a\\\"b\\\\n\");"]),
    (13, Kamailio, "log(\"$ru\\n\"); xlog(\"$ru\\n\");", &["dbg(\"$$ru\");", "err(\"$ru\");"]),
    (13, OpenSer, "append_hf(\"X-A: $fU\\r\\n\");", &["append_hf(\"X-A\", from_user());"]),
    (
        14,
        Ser0,
        "if (!method==\"ACK\" | !(uri=~\"a\")) { break; };",
        &["if !is_method(\"ACK\") || !matches(ruri(), \"(?i)a\") {", "return;", "}"],
    ),
    (
        14,
        Kamailio,
        "if (!method==\"ACK\") { exit; }",
        &["if !is_method(\"ACK\") {", "exit();", "}"],
    ),
    (15, Ser0, "if (len_gt(max_len)) { break; };", &["if len_gt(65535) {", "return;", "}"]),
    (15, OpenSer, "if (msg:len >= 2048) { exit; }", &["if len_gt(2047) {", "exit();", "}"]),
    (18, Ser0, "forward(uri:host, uri:port); t_relay();", &["forward();", "t_relay();"]),
    (
        19,
        Kamailio,
        "if (!lookup(\"location\")) { $var(rc) = $rc; }",
        &["if !lookup(\"location\") {", "set_avp(\"var.rc\", -1);", "}"],
    ),
    (20, OpenSer, "m_store(\"$ru\");", &["m_store(ruri());"]),
    (21, Ser0, "jab_send_message();", &["send_message();"]),
    (
        22,
        OpenSer,
        "$avp(s:x) = 1; $avp(i:10) = \"a\"; $avp(s:x) = $null;",
        &["set_avp(\"x\", 1);", "set_avp(\"i10\", \"a\");", "del_avp(\"x\");"],
    ),
    (
        23,
        OpenSips,
        "sl_send_reply(\"404\", \"No\"); strip(\"2\");",
        &["sl_send_reply(404, \"No\");", "strip(2);"],
    ),
    (24, Ser0, "sl_filter_ACK(); t_unref(); t_release();", &[]),
    (
        25,
        Ser0,
        "exec_msg('echo \"a\"');",
        &["unsupported(\"a.cfg:2\", \"exec_msg('echo \\\"a\\\"')\");"],
    ),
    (27, Ser2, "xlog(\"L_ERR\", \"%rm from %fu\\n\");", &["err(\"$rm from $fu\");"]),
];

#[test]
fn traps_keep_their_meaning() {
    for (number, dialect, old, new) in TRAPS {
        assert_eq!(main_route(*dialect, old), *new, "trap {number}: {old}");
    }
}

#[test]
fn trap_4_drop_means_what_the_route_makes_of_it() {
    let text = "route { t_on_reply(\"1\"); t_on_branch(\"B\"); t_relay(); }\n\
                onreply_route[1] { drop; }\nbranch_route[B] { drop; }\n";
    let made = migrated(OpenSer, text);
    assert_eq!(inside(&made.script, "fn onreply_route_1() {"), ["drop();"]);
    assert_eq!(inside(&made.script, "fn branch_route_B() {"), ["drop();"]);
    let made =
        migrated(Ser0, "route { t_on_reply(\"1\"); t_relay(); }\nonreply_route[1] { drop; }\n");
    assert_eq!(inside(&made.script, "fn onreply_route_1() {"), ["return;"]);
}

#[test]
fn trap_5_a_route_that_is_asked_answers() {
    let text = "route { if (route(1)) { exit; } }\nroute[1] {\n if (method==\"ACK\") { return(-1); }\n t_relay();\n}\n";
    let made = migrated(OpenSer, text);
    assert_eq!(inside(&made.script, "fn request_route() {"), ["if route_1() {", "exit();", "}"]);
    assert_eq!(
        inside(&made.script, "fn route_1() {"),
        ["if is_method(\"ACK\") {", "return false;", "}", "t_relay()"]
    );
}

#[test]
fn trap_6_reply_route_was_the_failure_route() {
    let text = "route { t_on_negative(\"1\"); t_relay(); }\nreply_route[1] { append_branch(\"sip:a@b\"); t_relay(); }\n";
    let made = migrated(Ser0, text);
    assert_eq!(
        inside(&made.script, "fn request_route() {"),
        ["t_on_failure(\"1\");", "t_relay();"]
    );
    assert_eq!(
        inside(&made.script, "fn failure_route_1() {"),
        ["append_branch(\"sip:a@b\");", "t_relay();"]
    );
}

#[test]
fn trap_7_the_status_is_searched() {
    let text = "route { t_on_reply(\"1\"); t_relay(); }\nonreply_route[1] { if (status=~\"(183)|2[0-9][0-9]\") { log(1, \"a\"); } }\n";
    let made = migrated(Ser0, text);
    let lines = inside(&made.script, "fn onreply_route_1() {");
    assert_eq!(lines, ["if t_check_status(\"(183)|2[0-9][0-9]\") {", "warn(\"a\");", "}"]);
}

fn codes(made: &Migration) -> Vec<&'static str> {
    made.report.findings.iter().map(|finding| finding.code.name()).collect()
}

#[test]
fn trap_10_an_edit_before_a_question_is_told() {
    let made =
        migrated(OpenSer, "route { remove_hf(\"X-A\"); if (is_present_hf(\"X-A\")) { exit; } }\n");
    assert!(codes(&made).contains(&"edit-order"));
}

#[test]
fn trap_16_named_flags_get_numbers() {
    let made = migrated(OpenSips, "route { setflag(ACC_DO); if (isflagset(ACC_DO)) { exit; } }\n");
    assert!(made.script.contains("const ACC_DO = 1;"), "{}", made.script);
    let made = migrated(Ser2, "flags\n FLAG_A:7;\nroute { setflag(FLAG_A); }\n");
    assert!(made.script.contains("const FLAG_A = 7;"), "{}", made.script);
    let made = migrated(Kamailio, "#!define FLT_ACC 1\nrequest_route { setflag(FLT_ACC); }\n");
    assert!(made.script.contains("const FLT_ACC = 1;"), "{}", made.script);
}

#[test]
fn trap_17_a_second_reply_is_told() {
    let made = migrated(Ser0, "route { save(\"location\"); sl_send_reply(\"200\", \"OK\"); }\n");
    assert!(codes(&made).contains(&"double-reply"));
}

#[test]
fn trap_19_a_failure_route_needs_no_append_branch() {
    let text = "route { t_on_failure(\"1\"); t_relay(); }\nfailure_route[1] { rewritehost(\"b\"); append_branch(); t_relay(); }\n";
    let made = migrated(OpenSer, text);
    assert_eq!(inside(&made.script, "fn failure_route_1() {"), ["sethost(\"b\");", "t_relay();"]);
    let made = migrated(Kamailio, &text.replace("route { t", "request_route { t"));
    assert!(made.script.contains("append_branch();"));
}

#[test]
fn trap_26_routes_without_a_place_stay_as_comments() {
    let made = migrated(Kamailio, "request_route { exit; }\nlocal_route { t_relay(); }\n");
    assert!(made.script.contains("// Nothing here runs this local_route:"), "{}", made.script);
    assert!(codes(&made).contains(&"route"));
}

#[test]
fn one_mistake_costs_one_statement() {
    let made = migrated(OpenSer, "route {\n t_relay();\n x = = 3;\n log(1, \"a\");\n}\n");
    let lines = inside(&made.script, "fn request_route() {");
    assert_eq!(lines, ["t_relay();", "unsupported(\"a.cfg:3\", \"x = = 3\");", "warn(\"a\");"]);
    let shown = made.report.diagnostics().next().unwrap().to_string();
    assert!(shown.starts_with("a.cfg:"), "{shown}");
    assert!(shown.contains('^'), "{shown}");
}

#[test]
fn an_unclosed_block_ends_at_the_next_route() {
    let text = "route {\n if (uri==myself) {\n {\n t_relay();\n };\n};\nfailure_route[1] {\n t_relay();\n}\n";
    let made = migrated(Ser0, text);
    assert_eq!(
        inside(&made.script, "fn request_route() {"),
        ["if is_myself(ruri()) {", "t_relay();", "}"]
    );
    assert!(made.script.contains("failure_route_1"), "{}", made.script);
    assert!(codes(&made).contains(&"parse"));
}

#[test]
fn small_mistakes_of_shipped_files_are_mended() {
    for (old, new) in [
        (
            "if (method==\"ACK\") route(1) else exit;",
            vec!["if is_method(\"ACK\") {", "route_1();", "} else {", "exit();", "}"],
        ),
        ("`if (method==\"ACK\") { exit; }", vec!["if is_method(\"ACK\") {", "exit();", "}"]),
        ("if ($avp(a) != NULL)) { exit; }", vec!["if avp(\"a\") != () {", "exit();", "}"]),
        ("if method==\"ACK\" { exit; }", vec!["if is_method(\"ACK\") {", "exit();", "}"]),
    ] {
        let made = migrated(OpenSer, &format!("route {{\n{old}\n}}\nroute[1] {{ exit; }}\n"));
        assert_eq!(inside(&made.script, "fn request_route() {"), new, "{old}");
    }
    let made =
        migrated(OpenSer, "route {\n if (is_method(\"MESSAGE)) {\n  exit;\n }\n t_relay();\n}\n");
    assert!(codes(&made).contains(&"parse"));
    assert!(made.script.contains("t_relay();"), "{}", made.script);
}

#[test]
fn passwords_go_to_the_environment_file() {
    let text = "modparam(\"xmpp\", \"xmpp_password\", \"hunter2\")\nmodparam(\"usrloc\", \"db_url\", \"mysql://u:pw@h/d\")\nroute { exit; }\n";
    let made = migrated(OpenSer, text);
    assert!(!made.config.contains("hunter2") && !made.config.contains("pw@"), "{}", made.config);
    assert!(!made.report.markdown().contains("hunter2") && !made.report.json().contains("pw@"));
    assert_eq!(
        made.environment,
        "SIPJAB_XMPP_PASSWORD=hunter2\nSIPJAB_STORE_URL=mysql://u:pw@h/d\n"
    );
}

#[test]
fn a_misspelt_function_is_told() {
    let made = migrated(Kamailio, "request_route { if (is_methos(\"ACK\")) { exit; } }\n");
    let found = made.report.findings.iter().find(|it| it.code == Code::Unknown).unwrap();
    assert_eq!(found.help, "did you mean `is_method`?");
}

#[test]
fn a_list_of_very_many_modules_is_told_once() {
    let made = migrated(Kamailio, &format!("modparam(\"{}\", \"x\", 1)\n", "a|".repeat(600)));
    let found = made.report.findings.iter().filter(|it| it.code == Code::Parameter);
    assert_eq!(found.count(), 1);
}

#[test]
fn what_is_no_configuration_is_refused_or_told() {
    let options = Options::default();
    let migrate = |text: &str| crate::cli::migrate_text("a.cfg", text, &options);
    assert!(migrate(&"(".repeat(1000)).is_err());
    assert!(migrate(&"x".repeat(MAX_SIZE + 1)).is_err());
    for text in [
        "",
        "route {",
        "}",
        "\u{1}\u{2}\u{3}",
        "route { \"",
        "if if if",
        "#!ifdef A\n",
        "modparam(",
        "$",
        "route{route(",
        "@",
    ] {
        let made = migrate(text).unwrap();
        assert!(made.script.contains("fn request_route()"), "{text}");
    }
    // Nobody looks for what a name of a megabyte may stand for.
    assert!(migrate(&format!("route {{ {}(); }}", "x".repeat(1 << 20))).is_ok());
    let chain = format!("route {{ {} exit; }}", "if (a) exit; else ".repeat(3000));
    assert!(migrate(&chain).is_ok());
    assert!(migrate(&format!("route {{ if ({}a) exit; }}", "!".repeat(5000))).is_ok());
}

#[test]
fn a_missing_jdomain_is_asked_for() {
    let text = "loadmodule \"jabber.so\"\nmodparam(\"jabber\", \"jaddress\", \"jabber.example\")\nroute { jab_go_online(); }\n";
    let made = migrated(Ser0, text);
    assert!(made.config.contains("jdomain = \"jabber.example\"\n"), "{}", made.config);
    let finding = made.report.findings.iter().find(|it| it.message.contains("jdomain")).unwrap();
    assert_eq!((finding.code, finding.place.line), (Code::Decision, 1));
    let made = migrated(Ser0, &text.replace("jabber.example", "127.0.0.1"));
    assert!(made.config.contains("jdomain = \"jabber.invalid\"\n"), "{}", made.config);
    let named = text.replace("jaddress", "jdomain");
    assert_eq!(migrated(Ser0, &named).config.matches("jdomain").count(), 1);
}
