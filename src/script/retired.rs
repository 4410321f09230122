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
const SAVE: &str = "write `save(\"location\", flags)` with 1, in memory, or 2, without a reply";
const USER: &str = "write `auth_user() == \"name\"`";
const FLAG: &str = "set a flag with `setflag` that `[modules.acc]` names";
const LOADS: &str =
    "leave it out: a call counts until it fails or ends, and goes along with `ds_next_dst`";
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
    ("ds_load_update", Advice(LOADS)),
    ("ds_load_unset", Advice(LOADS)),
    ("dlg_manage", Function("create_dialog")),
    ("match_dialog", Function("is_known_dlg")),
    ("avp_delete", Function("del_avp")),
    ("is_avp_set", Advice("write `avp(\"name\") != ()`")),
    ("ws_handle_handshake", Advice("leave it out: the listener answers the handshake")),
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
    ("save_memory", Advice(SAVE)),
    ("save_noreply", Advice(SAVE)),
    ("is_user", Advice(USER)),
    ("is_from_local", Advice("write `is_myself(from_uri())`")),
    ("is_uri_host_local", Advice("write `is_myself(ruri())`")),
    ("do_accounting", Advice(FLAG)),
    ("get_uri_param", Function("uri_param_value")),
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

    /// The words of `ser.cfg` and of the configurations that ship with its children, which everybody has used.
    const WORDS: &[&str] = &[
        "log xlog xlogl xdbg xinfo xnotice xwarn xerr xalert xcrit",
        "setflag resetflag isflagset setbflag setbranchflag resetbflag isbflagset isbranchflagset",
        "rewritehost sethost seth rewritehostport sethostport sethp rewriteuser setuser setu",
        "rewriteuserpass rewriteport setport setp rewriteuri seturi revert_uri prefix strip strip_tail",
        "append_branch setdsturi setduri resetdsturi resetduri isdsturiset isduriset",
        "forward forward_udp forward_tcp forward_tls force_rport add_rport force_send_socket len_gt",
        "sl_send_reply sl_reply sl_reply_error sl_filter_ACK send_reply send_reply_error",
        "t_newtran t_lookup_request t_reply t_relay t_relay_to_udp t_relay_to_tcp t_release",
        "t_retransmit_reply t_check_trans t_precheck_trans t_check_status t_on_failure t_on_negative",
        "t_on_reply t_on_branch t_was_cancelled t_is_canceled t_is_set t_is_branch_route t_unref",
        "t_set_fr t_any_replied t_local_replied t_forward_nonack t_replicate",
        "record_route loose_route add_rr_param check_route_param is_direction has_totag",
        "rewriteFromRoute addRecordRoute mf_process_maxfwd_header",
        "save lookup registered unregister save_noreply save_memory",
        "search is_method append_hf insert_hf remove_hf is_present_hf append_to_reply subst subst_uri",
        "subst_user subst_hf has_body starts_with msg_apply_changes",
        "is_request is_reply is_first_hop is_myself check_from check_to does_uri_exist is_user",
        "www_authorize proxy_authorize www_challenge proxy_challenge consume_credentials auth_check",
        "auth_challenge route exit drop defined strlen strempty",
        "do_accounting nat_uac_test set_contact_alias fix_nated_contact fix_nated_register",
        "handle_ruri_alias sanity_check allow_source_address set_reply_no_connect alias_db_lookup",
        "allow_trusted is_from_local is_uri_host_local acc_log_request acc_db_request ds_select_dst",
        "ds_next_dst set_dlg_profile get_profile_size pike_check_req dlg_manage",
    ];

    #[test]
    fn every_common_word_of_ser_is_a_function_or_has_advice() {
        let exports = modules::load(&Default::default(), &Default::default()).unwrap().catalogue();
        let engine = Engine::new();
        let library = engine.collect_fn_metadata(None, |it| Some(it.metadata.name.clone()), true);
        let names: BTreeSet<&str> =
            exports.names().chain(library.iter().map(|name| name.as_str())).collect();
        let words = WORDS.iter().flat_map(|line| line.split(' '));
        let unknown: Vec<_> =
            words.filter(|word| !names.contains(word) && advice(word).is_none()).collect();
        assert!(unknown.is_empty(), "neither exported nor retired: {unknown:?}");
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
