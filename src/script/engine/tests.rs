use std::fs;
use std::pin::Pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::modules;
use crate::script::check::Checker;
use crate::script::router::recording::{Recording, message_route};

/// A script in a folder of its own, and the server that it talks to.
struct Stage {
    bundle: Rc<Bundle>,
    router: Rc<Recording>,
    stacks: Stacks,
    _folder: TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        Self::with_files(&[("route.rhai", script)]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads `route.rhai` and what it imports as the server does.
    fn with_files(files: &[(&str, &str)]) -> Result<Self, CompileError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let path = folder.path().join("route.rhai");
        let mut config = ScriptConfig::new(&path);
        (config.max_string_size, config.max_array_size, config.max_map_size) = (4096, 100, 100);
        let exports = modules::load(&BTreeMap::new(), &Default::default()).unwrap();
        let checker = Checker::new(engine(&config, &exports), exports.catalogue());
        let (_, sources) = checker.read(&path).unwrap();
        let bundle = Rc::new(Bundle::compile(&sources, &config, &exports)?);
        let (router, stacks) = (Rc::default(), Stacks::default());
        Ok(Self { bundle, router, stacks, _folder: folder })
    }

    fn start(&self, route: Box<Route>) -> Result<Ended, Waiting> {
        self.bundle.run("request_route", route, &self.stacks).unwrap()
    }

    /// Runs the route once and gives what the server did.
    fn run(&self) -> Result<Vec<String>, ScriptError> {
        let Ok((route, result)) = self.start(message_route(&self.router)) else {
            panic!("the route waits");
        };
        assert!(route.is_some());
        result.map(|()| self.router.journal())
    }

    /// Runs the route once, which fails; gives the error without the folder.
    fn fail(&self) -> String {
        let error = self.run().expect_err("the route fails").to_string();
        let folder = format!("{}/", self._folder.path().display());
        error.replace(&folder, "")
    }
}

fn poll(waiting: &mut Waiting) -> Poll<Result<Ended, Panicked>> {
    Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop()))
}

/// The journal of one run of a script that says what it computed with `sl_send_reply(200, …)`.
fn said(script: &str) -> String {
    let stage = Stage::new(script);
    let first = stage.run().unwrap_or_else(|error| panic!("{script}\n{error}"));
    assert_eq!(stage.run().unwrap(), first, "the second run is like the first");
    first.join("\n").replace("sl 200 ", "")
}

fn clock_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn constants_are_visible_inside_functions() {
    let script = r#"
        const HOST = "sip.example";
        const PORT = 5060 + 2;
        const BOTH = HOST + ":" + PORT;
        const LOUD = HOST.to_upper();
        const LIST = [PORT, 7];
        const MAP = #{ first: HOST };
        fn nested() { LOUD + LIST[1] + MAP.first }
        fn request_route() { sl_send_reply(200, BOTH + nested()); }"#;
    assert_eq!(said(script), "sip.example:5062SIP.EXAMPLE7sip.example");
}

#[test]
fn methods_of_constants_work_inside_functions() {
    let script = r#"
        const TEXT = "abc";
        const LIST = [#{ name: "x" }, #{ name: "y" }];
        const MAP = #{ "1": [7, 8] };
        fn request_route() {
            let out = TEXT.len() + TEXT.to_upper() + TEXT[1] + LIST[1].name + MAP["1"][0];
            for entry in LIST { out += entry.name; }
            let own = LIST;
            own.push(1);
            sl_send_reply(200, out + own.len() + LIST.len() + (8 in MAP["1"]));
        }"#;
    assert_eq!(said(script), "3ABCby7xy32true");
}

#[test]
fn a_constant_belongs_to_its_file() {
    let files = [
        (
            "route.rhai",
            "import \"lib\" as lib;\nconst A = [1];\n\
             fn request_route() { sl_send_reply(200, `${A[0]} ${lib::a()} ${A[0]}`); }",
        ),
        ("lib.rhai", "const A = [2];\nfn inner(A) { A[0] }\nfn a() { A[0] + inner([3]) }"),
    ];
    let stage = Stage::with_files(&files).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stage.run().unwrap(), ["sl 200 1 5 1"]);
}

#[test]
fn a_constant_cannot_be_changed() {
    for change in ["A.push(2)", "A[0] = 2", "A += 2", "A[0] += 2", "M.x = 2", "M[\"x\"] = 2"] {
        let stage = Stage::new(&format!(
            "const A = [1];\nconst M = #{{ x: 1 }};\nfn request_route() {{ \
             try {{ {change}; }} catch {{ }} sl_send_reply(200, `${{A[0]}}${{A.len()}}${{M.x}}`); }}"
        ));
        for _ in 0..2 {
            assert_eq!(stage.run().unwrap(), ["sl 200 111"], "{change}");
        }
    }
    let stage = Stage::new("const A = [1];\nfn request_route() { A.push(2); }");
    assert!(stage.run().is_err());
}

#[test]
fn imported_files_bring_functions_and_constants() {
    let files = [
        (
            "route.rhai",
            "import \"lib/a\" as a;\nconst N = a::NAME + \"!\";\n\
             fn request_route() { sl_send_reply(200, a::greet(\"x\") + a::NAME + N); }",
        ),
        (
            "lib/a.rhai",
            "import \"lib/b\" as inner;\nexport const NAME = \"A\";\nconst OWN = \"-\";\n\
             fn own() { OWN }\nfn greet(who) { own() + inner::greet(who) + inner::MARK }",
        ),
        ("lib/b.rhai", "export const MARK = \"?\";\nfn greet(who) { \"hello \" + who + MARK }"),
    ];
    let stage = Stage::with_files(&files).unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..3 {
        assert_eq!(stage.run().unwrap(), ["sl 200 -hello x??AA!"]);
    }
}

#[test]
fn an_import_that_is_missing_or_outside_is_refused() {
    for path in ["lib/none", "../out", "/etc/passwd"] {
        let script = format!("import \"{path}\" as x;\nfn request_route() {{ }}");
        assert!(Stage::with_files(&[("route.rhai", &script)]).is_err(), "{path}");
    }
    let circle = [
        ("route.rhai", "import \"a\" as a;\nfn request_route() { a::f(); }"),
        ("a.rhai", "import \"b\" as b;\nfn f() { }"),
        ("b.rhai", "import \"a\" as a;\nfn f() { }"),
    ];
    assert!(Stage::with_files(&circle).is_err(), "a circle of imports");
}

#[test]
fn exit_and_drop_end_the_script_from_anywhere() {
    for word in ["exit", "drop"] {
        let stage = Stage::new(&format!(
            "fn inner() {{ {word}(); }}\nfn outer() {{ inner(); sl_send_reply(500, \"\"); }}\n\
             fn request_route() {{ sl_send_reply(200, \"\"); try {{ outer(); }} catch {{ \
             sl_send_reply(501, \"\"); }} sl_send_reply(502, \"\"); }}"
        ));
        for _ in 0..20 {
            let Ok((route, result)) = stage.start(message_route(&stage.router)) else {
                panic!("the route waits");
            };
            result.unwrap();
            assert_eq!(stage.router.journal(), ["sl 200 "]);
            assert_eq!(route.unwrap().is_dropped, word == "drop");
            assert_eq!(stage.bundle.idle.borrow().len(), 1, "the state is used again");
        }
    }
}

#[test]
fn exit_in_an_imported_file_leaves_the_state_as_it_was() {
    let files = [
        (
            "route.rhai",
            "import \"lib\" as lib;\nconst A = [1];\n\
             fn own() { A[0] }\nfn request_route() { sl_send_reply(200, `${own()}`); lib::a(); }",
        ),
        ("lib.rhai", "const A = [2];\nfn other() { A[0] }\nfn a() { if other() == 2 { exit(); } }"),
    ];
    let stage = Stage::with_files(&files).unwrap_or_else(|error| panic!("{error}"));
    for run in 0..3 {
        assert_eq!(stage.run().unwrap(), ["sl 200 1"], "{run}");
    }
}

#[test]
fn a_run_that_breaks_a_limit_ends_and_the_next_one_works() {
    for (bad, said) in [
        ("loop { }", "Too many operations"),
        ("fall(1)", "Stack overflow"),
        ("throw \"out\"", "out"),
        ("let s = \"x\"; loop { s += s; }", "Length of string too large"),
        ("let a = []; loop { a.push(1); }", "Size of array/BLOB too large"),
        // Rhai does not measure a map that grows by its index.
        ("let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }", "Too many operations"),
        (
            "let m = #{}; let i = 0; loop { let n = #{}; n[`k${i}`] = i; m += n; i += 1; }",
            "Size of object map too large",
        ),
        ("nothing()", "Function not found: nothing"),
        ("1 / 0", "Division by zero"),
        ("let a = [1]; a[5]", "Array index 5 out of bounds"),
    ] {
        let stage = Stage::new(&format!(
            "fn fall(n) {{ fall(n + 1) }}\n\
             fn request_route() {{\n  if avp(\"good\") == () && is_method(\"MESSAGE\") {{\n\
             {bad};\n  }}\n  sl_send_reply(200, \"\");\n}}"
        ));
        let error = stage.fail();
        assert!(error.contains(said), "{bad}: {error}");
        assert!(error.starts_with("route.rhai"), "{bad}: {error}");
        let mut good = message_route(&stage.router);
        good.variables.insert("good".into(), true.into());
        let Ok((_, result)) = stage.start(good) else { panic!("the route waits") };
        assert!(result.is_ok(), "{bad}");
        assert_eq!(stage.router.journal(), ["sl 200 "], "{bad}");
    }
}

#[test]
fn operations_are_counted_for_each_run() {
    let stage = Stage::new("fn request_route() { let i = 0; while i < 5000 { i += 1; } }");
    for _ in 0..20 {
        stage.run().unwrap();
    }
}

#[test]
fn a_variable_that_a_function_is_given_keeps_its_value() {
    let stage = Stage::new(
        "fn request_route() { let name = \"a\"; set_avp(name, 1); set_avp(name, 2); let flag = 3; setflag(flag); \
         let status = 200; if isflagset(flag) && search(name) { sl_send_reply(status, name); } \
         sl_send_reply(status, name); }",
    );
    assert_eq!(stage.run().unwrap(), ["sl 200 a", "sl 200 a"]);
}

#[test]
fn runs_do_not_see_each_others_variables() {
    let stage = Stage::new(
        "fn request_route() { if is_def_var(\"a\") { sl_send_reply(500, \"\"); } let a = 1; \
         if avp(\"a\") != () { sl_send_reply(501, \"\"); } set_avp(\"a\", a); setflag(1); }",
    );
    assert!(stage.run().unwrap().is_empty());
    assert!(stage.run().unwrap().is_empty());
}

#[test]
fn a_functions_error_may_be_caught() {
    let script = "fn request_route() { try { setflag(99); } \
                  catch (e) { sl_send_reply(200, `${e.status} ` + e); } }";
    assert_eq!(said(script), "500 setflag(): flag must be 0 to 31, not 99");
}

#[test]
fn an_uncaught_error_tells_its_place_and_its_reply() {
    let stage =
        Stage::new("fn inner() {\n    setflag(99);\n}\n\nfn request_route() {\n    inner();\n}");
    assert_eq!(stage.fail(), "route.rhai:2:5: setflag(): flag must be 0 to 31, not 99");
    let error = stage.run().unwrap_err();
    assert_eq!(error.status().0, 500);

    let text = "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n";
    let mut route = message_route(&stage.router);
    route.message = crate::sip::Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
    let stage = Stage::new("fn request_route() { info(from_uri()); }");
    let Ok((_, result)) = stage.start(route) else { panic!("the route waits") };
    assert_eq!(result.unwrap_err().status().0, 400, "the sender wrote no From");
}

#[test]
fn an_error_in_an_imported_file_names_that_file() {
    let files = [
        ("route.rhai", "import \"lib\" as lib;\nfn request_route() {\n    lib::outer();\n}"),
        ("lib.rhai", "fn inner() {\n\n    setflag(77);\n}\nfn outer() {\n    inner();\n}"),
    ];
    let stage = Stage::with_files(&files).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stage.fail(), "lib.rhai:3:5: setflag(): flag must be 0 to 31, not 77");
    let files = [
        ("route.rhai", "import \"lib\" as lib;\nfn request_route() {\n    lib::outer();\n}"),
        ("lib.rhai", "fn outer() {\n    1 / 0;\n}"),
    ];
    let stage = Stage::with_files(&files).unwrap_or_else(|error| panic!("{error}"));
    assert!(stage.fail().starts_with("lib.rhai:2:7: Division by zero"), "{}", stage.fail());
}

#[test]
fn a_function_in_the_wrong_route_fails_when_the_check_did_not_see_it() {
    let stage = Stage::new("fn request_route() { stanza_from(); }");
    let error = stage.fail();
    assert!(error.contains("stanza_from() may not be called from request_route"), "{error}");
}

#[test]
fn a_route_that_waits_lets_others_run() {
    let runtime = clock_runtime();
    let _entered = runtime.enter();
    let stage = Stage::new(
        "fn request_route() { let who = from_user(); \
         if avp(\"slow\") != () { set_avp(\"me\", \"slow\"); t_relay(); } \
         sl_send_reply(200, `${who} ${avp(\"me\")}`); }",
    );
    stage.router.is_busy.set(true);
    let slow = || {
        let mut route = message_route(&stage.router);
        route.variables.insert("slow".into(), true.into());
        route
    };
    let Err(mut first) = stage.start(slow()) else { panic!("the first must wait") };
    let Err(mut second) = stage.start(slow()) else { panic!("the second must wait") };
    assert_eq!(stage.router.journal(), ["relay sip:romeo@xmpp.example"; 2]);
    assert_eq!(stage.run().unwrap(), ["sl 200 juliet "], "a third one passes");
    assert!(poll(&mut first).is_pending());
    stage.router.is_busy.set(false);
    for waiting in [&mut second, &mut first] {
        let Poll::Ready(Ok((Some(route), Ok(())))) = poll(waiting) else {
            panic!("nothing keeps it waiting");
        };
        assert!(route.is_relayed);
        assert_eq!(stage.router.journal(), ["sl 200 juliet slow"]);
    }
}

#[test]
fn a_route_that_waits_too_long_ends() {
    let runtime = clock_runtime();
    let _entered = runtime.enter();
    let stage = Stage::new("fn request_route() { t_relay(); }");
    stage.router.is_busy.set(true);
    let mut late = message_route(&stage.router);
    late.deadline = clock::now();
    let Err(waiting) = stage.start(late) else { panic!("it must wait") };
    let (_, result) = runtime.block_on(waiting).unwrap();
    let error = result.unwrap_err();
    assert!(matches!(error, ScriptError::Function { error: RouteError::Deadline, .. }), "{error}");
}

#[test]
fn a_route_that_computes_too_long_ends() {
    let stage = Stage::new("fn request_route() { try { loop { } } catch { } }");
    let mut late = message_route(&stage.router);
    late.deadline = clock::now();
    let Ok((_, result)) = stage.start(late) else { panic!("the route waits") };
    let error = result.unwrap_err();
    assert!(matches!(error, ScriptError::Function { error: RouteError::Deadline, .. }), "{error}");
    assert_eq!(error.status().0, 500);
}

#[test]
fn a_route_that_waits_may_be_given_up() {
    let runtime = clock_runtime();
    let _entered = runtime.enter();
    let stage = Stage::new("fn request_route() { t_relay(); }");
    stage.router.is_busy.set(true);
    let Err(waiting) = stage.start(message_route(&stage.router)) else { panic!("it must wait") };
    drop(waiting);
    stage.router.is_busy.set(false);
    stage.router.journal();
    assert_eq!(stage.run().unwrap(), ["relay sip:romeo@xmpp.example"]);
}

#[test]
fn what_would_hold_up_or_harm_the_server_is_off() {
    for bad in ["sleep(1)", "sleep(0.1)", "eval(\"1\")", "open_file(\"x\")"] {
        let script = format!("fn request_route() {{ {bad}; }}");
        match Stage::with_files(&[("route.rhai", &script)]) {
            Ok(stage) => assert!(stage.run().is_err(), "{bad}"),
            Err(error) => assert!(error.to_string().contains("eval"), "{error}"),
        }
    }
}

#[test]
fn a_function_that_needs_a_message_is_refused_outside_of_a_route() {
    for script in ["info(\"x\");", "const A = from_uri();", "exit();"] {
        let script = format!("{script}\nfn request_route() {{ }}");
        let error = Stage::with_files(&[("route.rhai", &script)]).err().map(|e| e.to_string());
        assert!(error.is_some_and(|error| error.contains("route.rhai")), "{script}");
    }
}

#[test]
fn every_route_of_the_script_is_known() {
    let stage = Stage::new("fn request_route() { }\nfn xmpp_message_route() { }\nfn other() { }");
    assert!(
        stage.bundle.has_route("request_route") && stage.bundle.has_route("xmpp_message_route")
    );
    assert!(!stage.bundle.has_route("other"));
}
