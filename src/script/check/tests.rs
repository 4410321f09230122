use super::super::export::{
    ANY, ANY_XMPP, BRANCH, Export, FAILURE, Given, Kind, ParamType, REQUEST,
};
use super::*;
use ParamType::{Any, Bool, Int, Regex, Route, Status, Str};

fn catalogue() -> Catalogue {
    let export = |name, params, types, kinds| Export {
        name,
        params,
        types,
        kinds,
        gives: Given::Any,
        lack: None,
    };
    Catalogue::new([
        export("sl_send_reply", &["code", "reason"], &[Status, Str], REQUEST),
        export("t_relay", &[], &[], REQUEST | FAILURE),
        export("t_relay", &["target"], &[Str], REQUEST | FAILURE),
        export("t_on_failure", &["route"], &[Route(Kind::Failure)], REQUEST | FAILURE),
        export("t_on_branch", &["route"], &[Route(Kind::Branch)], REQUEST | FAILURE),
        export("search", &["pattern"], &[Regex], ANY),
        export("process_maxfwd", &["limit"], &[Int], REQUEST),
        export("set_flag", &["flag", "on"], &[Int, Bool], REQUEST | FAILURE | BRANCH),
        export("is_method", &["names"], &[Str], ANY),
        export("ruri", &[], &[], ANY),
        export("log", &["value"], &[Any], ANY),
        export("replace", &["pattern", "text"], &[Regex, Str], REQUEST),
        export("stanza_to", &[], &[], ANY_XMPP),
    ])
    .with_globals(["DEBUG"])
}

fn checker() -> Checker {
    Checker::new(Engine::new(), catalogue())
}

/// `severity line:column message (help)` of every finding in a script.
fn lines(findings: &[Diagnostic]) -> Vec<String> {
    let line = |f: &Diagnostic| {
        let help = f.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{} {}:{} {}{help}", f.severity, f.line, f.column, f.message)
    };
    findings.iter().map(line).collect()
}

/// Statements of a `request_route` on line 2, and what is found in them.
const STATEMENTS: &[(&str, &[&str])] = &[
    (
        "sl_send_repyl(200, \"OK\");",
        &["error 2:1 there is no function `sl_send_repyl` (did you mean `sl_send_reply`?)"],
    ),
    ("zzz_qqq();", &["error 2:1 there is no function `zzz_qqq`"]),
    ("\"a\".to_uper();", &["error 2:5 there is no method `to_uper` (did you mean `to_upper`?)"]),
    (
        "sl_send_reply(404);",
        &[
            "error 2:1 `sl_send_reply` cannot be called with 1 argument (it is sl_send_reply(code, reason))",
        ],
    ),
    (
        "if t_relay(1, 2) { }",
        &[
            "error 2:4 `t_relay` cannot be called with 2 arguments (it is t_relay() or t_relay(target))",
        ],
    ),
    (
        "sl_send_reply(\"404\", 7);",
        &[
            "error 2:15 `code` of `sl_send_reply` must be a whole number, not text (it is sl_send_reply(code, reason))",
            "error 2:22 `reason` of `sl_send_reply` must be text, not a whole number (it is sl_send_reply(code, reason))",
        ],
    ),
    (
        "sl_send_reply(42, `no ${ruri()}`);",
        &[
            "error 2:15 `code` of `sl_send_reply` must be a SIP status from 100 to 699, not 42 (it is sl_send_reply(code, reason))",
        ],
    ),
    (
        "process_maxfwd(true); set_flag(-1, 1);",
        &[
            "error 2:16 `limit` of `process_maxfwd` must be a whole number, not true or false (it is process_maxfwd(limit))",
            "error 2:36 `on` of `set_flag` must be true or false, not a whole number (it is set_flag(flag, on))",
        ],
    ),
    (
        "is_method('I');",
        &[
            "error 2:11 `names` of `is_method` must be text, not a character (text stands in double quotes; single quotes hold one character)",
        ],
    ),
    (
        "search(\"a(b\");",
        &["error 2:8 `pattern` of `search` is not a valid regular expression (unclosed group)"],
    ),
    (
        "t_on_failure(\"MAIL\");",
        &[
            "error 2:14 there is no route `MAIL` of this kind (write `fn failure_route_MAIL() { … }`)",
        ],
    ),
    ("let a = 1; log(a + b);", &["error 2:20 there is no variable `b`"]),
    ("{ let a = 1; } log(a);", &["error 2:20 there is no variable `a`"]),
    ("log(ruri);", &["error 2:5 there is no variable `ruri` (it is a function: `ruri()`)"]),
    ("log(DEBIG);", &["error 2:5 there is no variable `DEBIG` (did you mean `DEBUG`?)"]),
    (
        "let n = 1; let f = |x| x + n; f.call(1);",
        &[
            "error 2:28 there is no variable `n` (a closure does not see the variables around it; give it a parameter)",
        ],
    ),
    ("for x in [1, 2] { log(y); }", &["error 2:23 there is no variable `y`"]),
    (
        "try { t_relay(); } catch (e) { log(e); logg(e); }",
        &["error 2:40 there is no function `logg` (did you mean `log`?)"],
    ),
    (
        "switch ruri() { \"a\" => is_metod(\"A\"), _ => log(1) }",
        &["error 2:24 there is no function `is_metod` (did you mean `is_method`?)"],
    ),
    (
        "stanza_to();",
        &[
            "error 2:1 `stanza_to` may not be called in request_route (allowed in: xmpp_message_route, xmpp_presence_route, xmpp_iq_route)",
        ],
    ),
    (
        "eval(\"1\");",
        &[
            "error 2:1 `eval` is switched off (a script is checked before it runs, and text that it makes itself could not be)",
        ],
    ),
    (
        "sleep(1);",
        &[
            "error 2:1 `sleep` is switched off (a sleeping route would hold its worker and every message behind it)",
        ],
    ),
    (
        "nat::fix();",
        &[
            "error 2:1 nothing is imported as `nat` (write `import \"…\" as nat;` at the top of the file)",
        ],
    ),
    (
        "import \"a\" as a;",
        &[
            "error 2:1 an import stands inside a function (move it to the top of the file, where it is loaded once)",
        ],
    ),
    (
        "log(if true { t_relai() } else { 1 });",
        &["error 2:15 there is no function `t_relai` (did you mean `t_relay`?)"],
    ),
    ("let m = #{ a: [nope()] };", &["error 2:16 there is no function `nope`"]),
    (
        "return nope() && nope2();",
        &["error 2:8 there is no function `nope`", "error 2:18 there is no function `nope2`"],
    ),
    (
        "if ruri() log(1);",
        &[
            "error 2:11 expected `{` to start a statement block (write `{ … }` even around a single statement)",
        ],
    ),
    (
        "log('two');",
        &[
            "error 2:5 'two' is no single character (text stands in double quotes; single quotes hold one character)",
        ],
    ),
    ("log(\"open);", &["error 2:5 the text is not closed (end it with `\"` on the same line)"]),
    (
        "const A = 1; A = 2;",
        &["error 2:14 `A` is a constant and cannot be changed (define it with `let`)"],
    ),
    (
        "log(1)\nlog(2);",
        &[
            "error 3:1 a `;` is missing before this (every statement but the last of a block ends with `;`)",
        ],
    ),
    ("break;", &["error 2:1 `break` stands outside of a loop"]),
    (
        "fn inner() { }",
        &[
            "error 2:1 a function stands inside another block (close the function above it; functions stand at the top level)",
        ],
    ),
];

#[test]
fn statements_have_these_findings() {
    let checker = checker();
    for (statement, expected) in STATEMENTS {
        let script = format!("fn request_route() {{\n{statement}\n}}\n");
        assert_eq!(lines(&checker.check_text("r", &script)), *expected, "{statement}");
    }
}

/// Whole scripts and what is found in them.
const SCRIPTS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "error 0:0 there is no `request_route` (write `fn request_route() { … }`; it runs for every request)",
        ],
    ),
    (
        "fn request_rout() { }",
        &[
            "error 0:0 there is no `request_route` (did you mean `request_rout`?)",
            "warning 1:4 `request_rout` is never called (did you mean `request_route`?)",
        ],
    ),
    ("fn request_route(x) { log(x); }", &["error 1:4 `request_route` takes no parameters"]),
    (
        "fn request_route() { t_on_failure(\"A\"); }\nfn failure_route_A() { }\nfn failure_route_B() { }",
        &["warning 3:4 nothing arms `failure_route_B` (did you mean `A`?)"],
    ),
    (
        "fn request_route() { t_on_failure(\"MIAL\"); }\nfn failure_route_MAIL() { }",
        &[
            "error 1:35 there is no route `MIAL` of this kind (did you mean `MAIL`?)",
            "warning 2:4 nothing arms `failure_route_MAIL` (did you mean `MIAL`?)",
        ],
    ),
    (
        "fn request_route() { t_on_branch(\"B\"); help(); }\nfn branch_route_B() { help(); }\nfn help() { deeper(); }\nfn deeper() {\n  t_relay();\n}",
        &[
            "error 5:3 `t_relay` may not be called in branch_route (allowed in: request_route, failure_route; branch_route_B calls help calls deeper)",
        ],
    ),
    (
        "fn request_route() { }\nfn xmpp_iq_route() {\n  [1].for_each(|x| t_relay());\n}",
        &[
            "error 3:20 `t_relay` may not be called in xmpp_iq_route (allowed in: request_route, failure_route; xmpp_iq_route calls a closure)",
        ],
    ),
    (
        "let x = 1;\nlog(x);\nfn request_route() { log(x); }",
        &[
            "warning 1:1 this stands outside of every function (it never runs for a message; only const, import and fn belong here)",
            "warning 2:1 this stands outside of every function (it never runs for a message; only const, import and fn belong here)",
            "error 3:26 there is no variable `x` (functions do not see a `let` outside of them; make it `const` or pass it on)",
        ],
    ),
    (
        "fn request_route() { }\nfn failure_route() { }",
        &[
            "warning 2:4 `failure_route` is never called (this route needs a name: `failure_route_NAME`)",
        ],
    ),
    (
        "fn request_route() { ruri(); }\nfn ruri() { 1 }",
        &[
            "warning 2:4 this function hides the built-in ruri() (rename it, unless that is what you want)",
        ],
    ),
    (
        "fn request_route() {\n  log(1);\n",
        &["error 3:1 expected `}` to terminate this block (a `{` above this line is not closed)"],
    ),
];

#[test]
fn scripts_have_these_findings() {
    let checker = checker();
    for (script, expected) in SCRIPTS {
        assert_eq!(lines(&checker.check_text("r", script)), *expected, "{script}");
    }
}

/// Scripts without findings.
const GOOD: &[&str] = &[
    "const CODE = 404; fn request_route() { sl_send_reply(CODE, \"x\"); log(DEBUG); log(global::CODE); }",
    "fn request_route() { late(LATER); } fn late(x) { log(x); } const LATER = [1, 2];",
    "fn request_route() { t_on_failure(\"A\"); t_on_failure(\"\"); } fn failure_route_A() { t_relay(\"x\"); }",
    "fn request_route() { for n in [\"A\"] { t_on_failure(n); } } fn failure_route_A() { t_relay(); }",
    "fn request_route() { let m = #{ f: |x| x + 1 }; log(m.f(1)); m.g = |y| y; m.g(2); m[\"h\"] = 1; m.h(); }",
    "fn request_route() { let f = helper; f.call(1); let g = Fn(\"other\"); g.call(); } fn helper(x) { log(x); } fn other() { t_relay(); }",
    "fn request_route() { let s = ruri(); s.to_upper(); log(s.len()); s.sub_string(1, 2).trim(); log(`${s} ${type_of(s)}`); }",
    "fn request_route() { let a = [3, 1]; a.sort(); for (x, i) in a { log(x + i); } log(a[0]); log(a.len); log(1 in a); }",
    "fn request_route() { switch ruri() { 1..5 => log(1), \"x\" if is_method(\"A\") => log(2), _ => () } print(\"x\"); }",
    "fn request_route() { try { throw \"x\"; } catch (e) { log(e); } let x = loop { break 3; }; log(x); }",
    "fn request_route() { if search(\"^a.*(b|c)$\") || !is_method(`A${1}`) { return; } do { log(1); } while false; }",
    "fn request_route() { \"x\".log(); let x = 1; { let y = x; log(y); } x += 1; log(x ?? 2); }",
    "fn request_route() { let s = ruri(); s.replace(\"(\", \")\"); replace(\"a\", \"b\"); }",
    "fn request_route() { \"x\".shown(); } fn shown() { log(this); }",
];

#[test]
fn good_scripts_have_no_findings() {
    let checker = checker();
    for script in GOOD {
        assert_eq!(lines(&checker.check_text("r", script)), [""; 0], "{script}");
    }
}

/// The findings in `route.rhai` of a folder with these files, with the file's name in front.
fn in_folder(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let findings = checker().check_file(&folder.path().join("route.rhai")).unwrap();
    let file = |f: &Diagnostic| Path::new(&f.file).file_name().unwrap().display().to_string();
    lines(&findings).iter().zip(&findings).map(|(l, f)| format!("{} {l}", file(f))).collect()
}

#[test]
fn imported_files_are_checked_too() {
    let route = "import \"lib/nat\" as nat;\nfn request_route() {\n  nat::fix(1);\n  nat::fixx();\n  nat::fix();\n  nat::own();\n  log(nat::MAX + nat::MIN);\n  log(nat::NO);\n}\nfn xmpp_iq_route() { nat::fix(2); }";
    let nat = "import \"lib/nat\" as again;\nexport const MAX = 1;\nconst MIN = 2;\nfn fix(x) { own(); again::fix(x); }\nprivate fn own() { t_relay(); nope(); }\nfn spare() { }\nfn request_route() { }";
    assert_eq!(
        in_folder(&[("route.rhai", route), ("lib/nat.rhai", nat)]),
        [
            "route.rhai error 4:8 there is no function `fixx` (did you mean `fix`?)",
            "route.rhai error 5:8 `fix` cannot be called with no arguments (it is fix(x))",
            "route.rhai error 6:8 `own` is private to the imported file",
            "route.rhai error 7:23 `nat` has no constant `MIN` (write `export const MIN` in that file)",
            "route.rhai error 8:12 `nat` has no constant `NO`",
            "nat.rhai error 5:20 `t_relay` may not be called in xmpp_iq_route (allowed in: request_route, failure_route; xmpp_iq_route calls fix calls own)",
            "nat.rhai error 5:31 there is no function `nope`",
            "nat.rhai warning 7:4 `request_route` never runs, because its file is imported (routes belong into the script itself; what they call may be imported)",
        ]
    );
}

#[test]
fn compat_rhai_names_that_mean_two_functions_are_refused() {
    let route = "import \"lib\" as lib;\nfn own() { }\nfn same() { }\n\
                 fn request_route() { own(); is_method(\"A\"); lib::same(); lib::a(); same(); }";
    let lib = "fn own() { }\nfn same() { }\nfn is_method(x) { x }\n\
               fn a() { own(); is_method(\"A\"); is_method(1); }";
    let found = in_folder(&[("route.rhai", route), ("lib.rhai", lib)]);
    let clashes = found.iter().filter(|line| line.contains("means another function"));
    let places: Vec<_> = clashes.filter_map(|line| line.split(" `").next()).collect();
    assert_eq!(places, ["lib.rhai error 4:10", "lib.rhai error 4:17", "lib.rhai error 4:33"]);
}

#[test]
fn imports_that_cannot_be_loaded_are_placed() {
    let route = "import \"../x\" as x;\nimport \"gone\" as gone;\nimport \"bad\" as bad;\nimport \"a\" + \"b\" as c;\nfn request_route() { bad::any(1); gone::any(); log(gone::X); }";
    let found = in_folder(&[("route.rhai", route), ("bad.rhai", "fn x( {")]);
    assert_eq!(found[0], "route.rhai error 1:8 `../x` leaves the script folder");
    assert!(found[1].starts_with("route.rhai error 2:8 cannot read `gone`: "), "{}", found[1]);
    assert!(found[2].starts_with("route.rhai error 4:1 the path of an import must be plain"));
    assert!(found[3].starts_with("bad.rhai error 1:"), "{}", found[3]);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_script_that_cannot_be_read_is_not_a_finding() {
    assert!(checker().check_file(Path::new("/nonexistent/route.rhai")).is_err());
}

#[test]
fn a_finding_underlines_the_whole_word() {
    let script = "fn request_route() { sl_send_repyl(200, \"OK\"); }";
    let finding = &checker().check_text("route.rhai", script)[0];
    assert_eq!(finding.width, "sl_send_repyl".len());
    assert!(finding.to_string().contains("route.rhai:1:22: error: "));
}
