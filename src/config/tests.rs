use super::*;

const KNOWN: &[&str] = &["maxfwd", "sl", "tm", "xmpp"];

const MINIMAL: &str = r#"
script = "route.rhai"
[sip]
listen = ["udp:127.0.0.1:5060", "tcp:[::1]:0"]
domains = ["SIP.example"]
[modules.xmpp]
xmpp_password = "secret"
[store]
url = "sqlite:sipjab.db"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "sipjab.toml", Path::new("/etc/sipjab"), KNOWN)
}

/// `line:column message (help)` of every finding.
fn findings(text: &str) -> Vec<String> {
    let Err(ConfigError::Invalid(findings)) = parse(text) else { panic!("no findings") };
    let line = |f: &Diagnostic| {
        let help = f.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}{help}", f.line, f.column, f.message)
    };
    findings.iter().map(line).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Xmpp {
    xmpp_password: Secret,
}

#[test]
fn the_minimal_file_is_enough() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.script.file, Path::new("/etc/sipjab/route.rhai"));
    assert_eq!(config.sip.listen[1].to_string(), "tcp:[::1]:0");
    assert_eq!(&*config.sip.domains[0], "sip.example");
    assert_eq!(config.store.url, StoreUrl::Sqlite("/etc/sipjab/sipjab.db".into()));
    assert_eq!(config.sip.timers, SipTimers::default());
    let xmpp = config.modules["xmpp"].parse::<Xmpp>().unwrap();
    assert_eq!(xmpp.xmpp_password.expose(), "secret");
}

#[test]
fn defaults_stand_in_for_every_section() {
    let config = parse("script = 'r.rhai'").unwrap();
    assert_eq!(config.sip, SipConfig::default());
    assert_eq!(config.script, ScriptConfig::new("/etc/sipjab/r.rhai"));
    assert!(config.modules.is_empty());
}

#[test]
fn everything_can_be_set() {
    let config = parse(
        r#"
        workers = 2
        [script]
        file = "r.rhai"
        max_operations = 5000
        deadline = "2s"
        [sip]
        server_header = ""
        user_agent = "gate"
        [sip.timers]
        t1 = "100ms"
        [sip.limits]
        max_connections = 3
        tcp_idle_timeout = "5m"
        [log]
        level = "debug"
        format = "json"
        "#,
    )
    .unwrap();
    assert_eq!(config.workers.get(), 2);
    assert_eq!(config.script.max_operations, 5000);
    assert_eq!(config.sip.timers.t1.as_millis(), 100);
    assert_eq!(config.sip.limits.tcp_idle_timeout.as_secs(), 300);
    assert_eq!(config.log, LogConfig { level: LogLevel::Debug, format: LogFormat::Json });
}

#[test]
fn what_is_missing_is_told_once() {
    let missing = ["0:0 the key `script` is missing"];
    assert_eq!(findings("[sip]\nlisten = ['udp:127.0.0.1:5060']"), missing);
    assert_eq!(findings("workers = 1\n[sip]\n[store]\n[log]"), missing);
}

#[test]
fn many_mistakes_are_told_at_once() {
    let text = r#"scrpt = "route.rhai"
workers = 0
[sip]
lisen = []
listen = ["udp:localhost:5060", "sctp:127.0.0.1:5060"]
domains = ["sip example"]
[sip.timers]
t1 = "500"
t2 = 4
[modules.xmp]
[modules.sl]
[log]
level = "verbose"
"#;
    assert_eq!(
        findings(text),
        [
            "0:0 the key `script` is missing",
            "1:1 unknown key `scrpt` (did you mean `script`?)",
            "2:11 0 is out of range; expected a whole number from 1 to 1024",
            "4:1 unknown key `lisen` (did you mean `listen`?)",
            "5:11 `localhost:5060` is not an address with a port, like `192.0.2.1:5060` or `[2001:db8::1]:5060`",
            "5:33 `sctp:127.0.0.1:5060` must begin with `udp:`, `tcp:`, `tls:`, `ws:` or `wss:`",
            "6:12 `sip example` is not a domain, like `sip.example`",
            "8:6 expected a duration with its unit, like \"500ms\", \"32s\", \"5m\" or \"1h\"",
            "9:6 expected a duration with its unit, like \"500ms\", \"32s\", \"5m\" or \"1h\", found a whole number",
            "10:10 there is no module `xmp` (did you mean `xmpp`?)",
            "13:9 unknown value `verbose` (allowed here: error, warn, info, debug, trace)",
        ]
    );
}

#[test]
fn a_wrong_script_is_not_called_missing_as_well() {
    assert_eq!(
        findings("script = 5"),
        [
            "1:10 expected the path of a script, or a table with `file` and limits, found a whole number"
        ]
    );
    assert_eq!(findings("[script]\ndeadline = '2s'"), ["1:1 the key `file` is missing"]);
}

#[test]
fn broken_toml_is_placed() {
    let found = findings("script = \"a\n[sip\nlisten = []");
    assert_eq!(
        found,
        ["1:12 invalid basic string, expected `\"`", "2:5 unclosed table, expected `]`"]
    );
}

#[test]
fn the_same_address_twice_is_refused() {
    let text = "script='r'\nsip.listen = ['udp:127.0.0.1:5060', 'udp:127.0.0.1:5060']";
    assert_eq!(findings(text), ["2:14 `udp:127.0.0.1:5060` stands here twice"]);
}

#[test]
fn secrets_come_from_files_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pw"), "from file\n").unwrap();
    let text = "script='r'\n[modules.xmpp]\nxmpp_password = { file = \"pw\" }\n\
                [store]\nurl = { env = \"CARGO_MANIFEST_DIR\" }";
    let error = Config::parse(text, "c", folder.path(), KNOWN).unwrap_err().to_string();
    assert!(error.contains("c:5:7: error: expected `sqlite:PATH`"), "{error}");
    let text = text.split("[store]").next().unwrap();
    let config = Config::parse(text, "c", folder.path(), KNOWN).unwrap();
    let xmpp = config.modules["xmpp"].parse::<Xmpp>().unwrap();
    assert_eq!(xmpp.xmpp_password.expose(), "from file");
}

#[test]
fn a_secret_that_is_not_there_is_told() {
    let text = "script='r'\n[modules.xmpp]\nxmpp_password = { env = \"SIPJAB_NOT_SET\" }\n\
                [store]\nurl = { path = \"x\" }";
    assert_eq!(
        findings(text),
        [
            "3:17 neither the environment nor sipjab.env has a variable SIPJAB_NOT_SET",
            "5:7 expected a string, { file = \"path\" } or { env = \"NAME\" }",
        ]
    );
}

#[test]
fn no_finding_repeats_a_password() {
    let text = "script='r'\n[modules.xmpp]\nxmpp_pasword = \"hunter2\"\n[store]\nurl = 'my://u:hunter2@h/d'";
    let config = parse(text).unwrap_err().to_string();
    assert!(!config.contains("hunter2") && !config.contains("^^"), "{config}");
    let text = "script='r'\n[modules.xmpp]\nxmpp_pasword = \"hunter2\"\nxmpp_password = 17";
    let module = parse(text).unwrap().modules["xmpp"].parse::<Xmpp>().unwrap_err().to_string();
    assert!(module.contains("did you mean `xmpp_password`?"), "{module}");
    assert!(!module.contains("hunter2") && !module.contains("17\n"), "{module}");
    assert!(module.contains("sipjab.toml:3:1"), "{module}");
}

#[test]
fn a_missing_file_is_not_a_finding() {
    let error = Config::load(Path::new("/nonexistent/sipjab.toml"), KNOWN).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
}
