//! Names that SER and its children give, or gave, to what has another name here.

/// What to do in the place of a legacy name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The same function has this name.
    Function(&'static str),
    /// Nothing takes its place, or something that is no function.
    Advice(&'static str),
}

use Instead::{Advice, Function};

const REPLY: &str =
    "leave it out: an ACK for a reply without a transaction never reaches the script";
const EDITS: &str = "leave it out: every edit is seen at once";
const LIFE: &str = "leave it out: a transaction ends by itself";
const ONE_STEP: &str = "leave it out: `sht_inc` and its kind are one step for all workers";
const FORWARD: &str = "write `setdsturi(\"sip:host;transport=tcp\"); forward();`";
const CONNECTION: &str = "leave it out: connections are kept and closed by the server";

/// Legacy name and what takes its place, by topic.
pub const RETIRED: &[(&str, Instead)] = &[
    ("log", Function("info")),
    ("xlogl", Function("xlog")),
    ("xlogm", Function("xlog")),
    ("xdbg", Function("dbg")),
    ("xdbgl", Function("dbg")),
    ("xinfo", Function("info")),
    ("xnotice", Function("notice")),
    ("xwarn", Function("warn")),
    ("xerr", Function("err")),
    ("xbug", Function("err")),
    ("xcrit", Function("err")),
    ("xalert", Function("err")),
    ("setbranchflag", Function("setbflag")),
    ("resetbranchflag", Function("resetbflag")),
    ("isbranchflagset", Function("isbflagset")),
    ("rewritehost", Function("sethost")),
    ("seth", Function("sethost")),
    ("rewritehostport", Function("sethostport")),
    ("sethp", Function("sethostport")),
    ("rewriteuser", Function("setuser")),
    ("setu", Function("setuser")),
    ("rewriteuserpass", Function("setuserpass")),
    ("setup", Function("setuserpass")),
    ("rewriteport", Function("setport")),
    ("setp", Function("setport")),
    ("rewriteuri", Function("seturi")),
    ("setduri", Function("setdsturi")),
    ("resetduri", Function("resetdsturi")),
    ("isduriset", Function("isdsturiset")),
    ("strlen", Function("len")),
    ("strempty", Function("is_empty")),
    ("defined", Advice("write `x != ()`")),
    ("route", Advice("a route is a function: `fn name() { … }`, called `name()`")),
    ("sl_reply", Function("sl_send_reply")),
    ("sl_filter_ACK", Advice(REPLY)),
    ("mf_process_maxfwd_header", Function("process_maxfwd")),
    ("msg_apply_changes", Advice(EDITS)),
    ("rl_check_pipe", Function("rl_check")),
    ("sanity_reply", Function("send_reply_error")),
    ("sht_sets", Function("sht_set")),
    ("sht_seti", Function("sht_set")),
    ("sht_setxs", Function("sht_set")),
    ("sht_setxi", Function("sht_set")),
    ("sht_gete", Function("sht_get")),
    ("sht_getw", Function("sht_get")),
    ("sht_rm_name_re", Function("sht_rm_name")),
    ("sht_rm_value_re", Function("sht_rm_value")),
    ("sht_has_name", Function("sht_match_name")),
    ("sht_has_str_value", Function("sht_match_str_value")),
    ("sht_lock", Advice(ONE_STEP)),
    ("sht_unlock", Advice(ONE_STEP)),
    ("addRecordRoute", Function("record_route")),
    ("rewriteFromRoute", Function("loose_route")),
    ("add_rport", Function("force_rport")),
    ("ds_list_exist", Function("ds_list_exists")),
    ("t_unref", Advice(LIFE)),
    ("t_release", Advice(LIFE)),
    ("t_lookup_request", Function("t_check_trans")),
    ("t_precheck_trans", Function("t_check_trans")),
    ("t_forward_nonack", Function("t_relay")),
    ("t_on_negative", Function("t_on_failure")),
    ("t_was_cancelled", Function("t_is_canceled")),
    ("forward_udp", Advice(FORWARD)),
    ("forward_tcp", Advice(FORWARD)),
    ("forward_tls", Advice(FORWARD)),
    ("set_reply_no_connect", Advice(CONNECTION)),
    ("set_reply_close", Advice(CONNECTION)),
    ("set_forward_no_connect", Advice(CONNECTION)),
    ("set_forward_close", Advice(CONNECTION)),
    ("force_tcp_alias", Advice(CONNECTION)),
];

/// What to tell a script writer who has used a legacy name.
pub fn advice(name: &str) -> Option<String> {
    let (_, instead) = RETIRED.iter().find(|(legacy, _)| *legacy == name)?;
    Some(match instead {
        Function(successor) => format!("`{name}` is called `{successor}` here"),
        Advice(advice) => (*advice).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rhai::Engine;

    use super::*;
    use crate::modules;
    use crate::script::check::Checker;

    #[test]
    fn every_successor_exists_and_no_legacy_name_is_exported() {
        let exports = modules::load(&Default::default(), &Default::default()).unwrap().catalogue();
        let engine = Engine::new();
        let library = engine.collect_fn_metadata(None, |it| Some(it.metadata.name.clone()), true);
        let names: BTreeSet<&str> =
            exports.names().chain(library.iter().map(|name| name.as_str())).collect();
        for (name, instead) in RETIRED {
            assert!(exports.forms(name).next().is_none(), "{name} is exported");
            if let Function(successor) = instead {
                assert!(names.contains(successor), "{name}: there is no {successor}");
            }
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let names: BTreeSet<_> = RETIRED.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), RETIRED.len());
    }

    #[test]
    fn the_check_tells_the_successor() {
        let exports = modules::load(&Default::default(), &Default::default()).unwrap().catalogue();
        let checker = Checker::new(Engine::new(), exports);
        for (call, said) in [
            ("rewritehost(\"a\")", "`rewritehost` is called `sethost` here"),
            ("log(\"a\")", "`log` is called `info` here"),
            ("log(1, \"a\")", "`log` is called `info` here"),
            ("t_release()", LIFE),
        ] {
            let text = format!("fn request_route() {{ {call}; }}");
            let found = checker.check_text("a.rhai", &text);
            assert!(found.iter().any(|f| f.help.as_deref() == Some(said)), "{call}: {found:?}");
        }
        let fine = checker.check_text("a.rhai", "fn request_route() { let x = log(2.0); }");
        assert!(fine.iter().all(|f| f.help.is_none()), "{fine:?}");
    }
}
