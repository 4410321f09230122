//! What each function of the old programs is called here.

use std::collections::BTreeSet;

/// The names of the functions that scripts may call.
#[derive(Clone, Debug, Default)]
pub struct Functions(BTreeSet<String>);

impl Functions {
    /// The functions of these names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// What a function gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Bool,
    Nothing,
    Number,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// A call, with a place for each argument: `{0:i}`. The letter says how the argument is read:
    ///
    /// `i` number, `t` text with variables, `s` text as it is, `l` text for the log, `r` regular expression, `w` the
    /// same over the whole message, `x` substitution, `b` flag, `n` name of a route, `h` header line, `a` flags of the
    /// registrar, `v` value of any kind as text, `u` URI or host, `q` flags of a challenge, `p` variable of the message, `f` fraction, `m` address.
    Call(&'static str, Gives),
    /// Nothing, without loss; the reason.
    Nothing(&'static str),
}

use Becomes::{Call, Nothing};
use Gives::{Bool, Nothing as Unit, Number};

const BY_ITSELF: &str = "the server does this by itself";
const EDITS: &str = "every edit is seen at once";
const CONNECTION: &str = "connections are kept and closed by the server";

/// Name, number of arguments and what becomes of it. A row stands above what it would be hidden by.
pub(super) const ROWS: &[(&str, usize, Becomes)] = &[
    // replies
    ("sl_send_reply", 2, Call("sl_send_reply({0:i}, {1:t})", Unit)),
    ("sl_reply", 2, Call("sl_send_reply({0:i}, {1:t})", Unit)),
    ("send_reply", 2, Call("send_reply({0:i}, {1:t})", Unit)),
    ("sl_reply_error", 0, Call("sl_reply_error()", Unit)),
    ("send_reply_error", 0, Call("send_reply_error()", Unit)),
    ("sl_filter_ACK", 0, Nothing(BY_ITSELF)),
    ("sl_filter_ack", 0, Nothing(BY_ITSELF)),
    ("options_reply", 0, Call("options_reply()", Bool)),
    ("append_to_reply", 1, Call("append_to_reply({0:h})", Unit)),
    // transactions
    ("t_newtran", 0, Call("t_newtran()", Bool)),
    ("t_reply", 2, Call("t_reply({0:i}, {1:t})", Bool)),
    ("t_relay", 0, Call("t_relay()", Bool)),
    ("t_relay", 2, Call("t_relay({0:t}, {1:i})", Bool)),
    ("t_relay_to_udp", 0, Call("t_relay()", Bool)),
    ("t_relay_to_tcp", 0, Call("t_relay()", Bool)),
    ("t_relay_to_udp", 2, Call("t_relay_to_udp({0:t}, {1:i})", Bool)),
    ("t_relay_to_tcp", 2, Call("t_relay_to_tcp({0:t}, {1:i})", Bool)),
    ("t_forward_nonack", 0, Call("t_relay()", Bool)),
    ("t_forward_nonack", 2, Call("t_relay({0:t}, {1:i})", Bool)),
    ("t_check_trans", 0, Call("t_check_trans()", Bool)),
    ("t_precheck_trans", 0, Call("t_check_trans()", Bool)),
    ("t_lookup_request", 0, Call("t_check_trans()", Bool)),
    ("t_lookup_cancel", 0, Call("t_check_trans()", Bool)),
    ("t_retransmit_reply", 0, Call("t_retransmit_reply()", Bool)),
    ("t_on_failure", 1, Call("t_on_failure({0:n})", Unit)),
    ("t_on_negative", 1, Call("t_on_failure({0:n})", Unit)),
    ("t_on_reply", 1, Call("t_on_reply({0:n})", Unit)),
    ("t_on_branch", 1, Call("t_on_branch({0:n})", Unit)),
    ("t_is_set", 1, Call("t_is_set({0:s})", Bool)),
    ("t_is_branch_route", 0, Call("t_is_branch_route()", Bool)),
    ("t_is_failure_route", 0, Call("t_is_failure_route()", Bool)),
    ("t_check_status", 1, Call("t_check_status({0:r})", Bool)),
    ("t_was_cancelled", 0, Call("t_is_canceled()", Bool)),
    ("t_is_canceled", 0, Call("t_is_canceled()", Bool)),
    ("t_any_replied", 0, Call("t_any_replied()", Bool)),
    ("t_local_replied", 1, Call("t_local_replied({0:s})", Bool)),
    ("t_branch_timeout", 0, Call("t_branch_timeout()", Bool)),
    ("t_branch_replied", 0, Call("t_branch_replied()", Bool)),
    ("t_set_fr", 1, Call("t_set_fr({0:i})", Unit)),
    ("t_set_fr", 2, Call("t_set_fr({0:i}, {1:i})", Unit)),
    ("t_replicate", 1, Call("t_replicate({0:t})", Bool)),
    ("t_release", 0, Nothing("a transaction ends by itself")),
    ("t_unref", 0, Nothing("a transaction ends by itself")),
    ("forward", 0, Call("forward()", Bool)),
    ("forward", 1, Call("forward({0:t}, 0)", Bool)),
    ("forward", 2, Call("forward({0:t}, {1:i})", Bool)),
    // routes
    ("record_route", 0, Call("record_route()", Unit)),
    ("record_route", 1, Call("record_route({0:t})", Unit)),
    ("record_route_preset", 1, Call("record_route_preset({0:t})", Unit)),
    ("record_route_preset", 2, Call("record_route_preset({0:t}, {1:t})", Unit)),
    ("remove_record_route", 0, Call("remove_record_route()", Unit)),
    ("addRecordRoute", 0, Call("record_route()", Unit)),
    ("rewriteFromRoute", 0, Call("loose_route()", Bool)),
    ("loose_route", 0, Call("loose_route()", Bool)),
    ("add_rr_param", 1, Call("add_rr_param({0:t})", Unit)),
    ("check_route_param", 1, Call("check_route_param({0:r})", Bool)),
    ("is_direction", 1, Call("is_direction({0:s})", Bool)),
    ("add_path", 0, Call("add_path()", Unit)),
    ("add_path", 1, Call("add_path({0:t})", Unit)),
    ("add_path_received", 0, Call("add_path_received()", Unit)),
    ("add_path_received", 1, Call("add_path_received({0:t})", Unit)),
    // hops, the registrar
    ("mf_process_maxfwd_header", 1, Call("process_maxfwd({0:i})", Bool)),
    ("process_maxfwd", 1, Call("process_maxfwd({0:i})", Bool)),
    ("is_maxfwd_lt", 1, Call("is_maxfwd_lt({0:i})", Bool)),
    ("save", 1, Call("save({0:s})", Bool)),
    ("save", 2, Call("save({0:s}, {1:a})", Bool)),
    ("save", 3, Call("save({0:s}, {1:a}, {2:t})", Bool)),
    ("save_noreply", 1, Call("save({0:s}, 2)", Bool)),
    ("save_memory", 1, Call("save({0:s}, 1)", Bool)),
    ("save_contacts", 1, Call("save({0:s})", Bool)),
    ("save_mem_nr", 1, Call("save({0:s}, 3)", Bool)),
    ("lookup", 1, Call("lookup({0:s})", Bool)),
    ("lookup", 2, Call("lookup({0:s})", Bool)),
    ("lookup", 3, Call("lookup({0:s}, {2:t})", Bool)),
    ("lookup_contacts", 1, Call("lookup({0:s})", Bool)),
    ("lookup_branches", 1, Call("lookup_branches({0:s})", Bool)),
    ("registered", 1, Call("registered({0:s})", Bool)),
    ("registered", 2, Call("registered({0:s}, {1:t})", Bool)),
    ("unregister", 2, Call("unregister({0:s}, {1:t})", Bool)),
    ("unregister", 3, Call("unregister({0:s}, {1:t}, {2:t})", Bool)),
    // headers and bodies
    ("search", 1, Call("search({0:w})", Bool)),
    ("search_body", 1, Call("search_body({0:w})", Bool)),
    ("search_hf", 2, Call("search_hf({0:s}, {1:r})", Bool)),
    ("search_hf", 3, Call("search_hf({0:s}, {1:r})", Bool)),
    ("is_method", 1, Call("is_method({0:s})", Bool)),
    ("append_hf", 1, Call("append_hf({0:h})", Unit)),
    ("append_hf", 2, Call("append_hf({0:h})", Unit)),
    ("insert_hf", 1, Call("insert_hf({0:h})", Unit)),
    ("insert_hf", 2, Call("insert_hf({0:h})", Unit)),
    ("remove_hf", 1, Call("remove_hf({0:s})", Bool)),
    ("is_present_hf", 1, Call("is_present_hf({0:s})", Bool)),
    ("subst", 1, Call("subst({0:x})", Bool)),
    ("subst_uri", 1, Call("subst_uri({0:x})", Bool)),
    ("subst_user", 1, Call("subst_user({0:x})", Bool)),
    ("subst_body", 1, Call("subst_body({0:x})", Bool)),
    ("set_body", 2, Call("set_body({0:t}, {1:s})", Unit)),
    ("has_body", 0, Call("has_body()", Bool)),
    ("has_body", 1, Call("has_body({0:s})", Bool)),
    ("msg_apply_changes", 0, Nothing(EDITS)),
    ("starts_with", 2, Call("{0:v}.starts_with({1:t})", Bool)),
    ("pcre_match", 2, Call("matches({0:v}, {1:r})", Bool)),
    // questions
    ("is_request", 0, Call("is_request()", Bool)),
    ("is_reply", 0, Call("is_reply()", Bool)),
    ("is_first_hop", 0, Call("is_first_hop()", Bool)),
    ("is_myself", 1, Call("is_myself({0:u})", Bool)),
    ("is_uri_host_local", 0, Call("is_myself(ruri())", Bool)),
    ("is_from_local", 0, Call("is_myself(from_uri())", Bool)),
    ("is_domain_local", 1, Call("is_myself({0:u})", Bool)),
    ("has_totag", 0, Call("has_totag()", Bool)),
    ("len_gt", 1, Call("len_gt({0:i})", Bool)),
    ("does_uri_exist", 0, Call("does_uri_exist()", Bool)),
    ("db_does_uri_exist", 0, Call("does_uri_exist()", Bool)),
    ("db_does_uri_exist", 2, Call("does_uri_exist()", Bool)),
    ("alias_db_lookup", 1, Call("alias_db_lookup({0:s})", Bool)),
    ("alias_db_lookup", 2, Call("alias_db_lookup({0:s}, {1:s})", Bool)),
    ("is_e164", 1, Call("is_e164({0:t})", Bool)),
    ("is_numeric", 1, Call("is_numeric({0:v})", Bool)),
    ("is_gruu", 0, Call("is_gruu()", Bool)),
    ("is_supported", 1, Call("is_supported({0:s})", Bool)),
    ("uri_param", 1, Call("uri_param({0:s})", Bool)),
    ("uri_param", 2, Call("uri_param({0:s}, {1:t})", Bool)),
    ("add_uri_param", 1, Call("add_uri_param({0:t})", Unit)),
    ("cmp_uri", 2, Call("cmp_uri({0:t}, {1:t})", Bool)),
    ("cmp_aor", 2, Call("cmp_aor({0:t}, {1:t})", Bool)),
    ("strlen", 1, Call("{0:v}.len()", Number)),
    ("strempty", 1, Call("{0:v}.is_empty()", Bool)),
    ("not_empty", 1, Call("!{0:v}.is_empty()", Bool)),
    // who it is
    ("www_authorize", 2, Call("www_authorize({0:t}, {1:s})", Bool)),
    ("proxy_authorize", 2, Call("proxy_authorize({0:t}, {1:s})", Bool)),
    ("www_authenticate", 2, Call("www_authorize({0:t}, {1:s})", Bool)),
    ("proxy_authenticate", 2, Call("proxy_authorize({0:t}, {1:s})", Bool)),
    ("www_challenge", 2, Call("www_challenge({0:t}, {1:q})", Unit)),
    ("www_challenge", 3, Call("www_challenge({0:t}, {1:q})", Unit)),
    ("proxy_challenge", 2, Call("proxy_challenge({0:t}, {1:q})", Unit)),
    ("proxy_challenge", 3, Call("proxy_challenge({0:t}, {1:q})", Unit)),
    ("auth_check", 3, Call("auth_check({0:t}, {1:s}, {2:i})", Bool)),
    ("auth_challenge", 2, Call("auth_challenge({0:t}, {1:q})", Unit)),
    ("consume_credentials", 0, Call("consume_credentials()", Bool)),
    ("check_from", 0, Call("check_from()", Bool)),
    ("check_to", 0, Call("check_to()", Bool)),
    ("db_check_from", 0, Call("check_from()", Bool)),
    ("db_check_to", 0, Call("check_to()", Bool)),
    // the Request-URI and the next hop
    ("rewritehost", 1, Call("sethost({0:t})", Unit)),
    ("sethost", 1, Call("sethost({0:t})", Unit)),
    ("seth", 1, Call("sethost({0:t})", Unit)),
    ("rewritehostport", 1, Call("sethostport({0:t})", Unit)),
    ("sethostport", 1, Call("sethostport({0:t})", Unit)),
    ("sethp", 1, Call("sethostport({0:t})", Unit)),
    ("rewriteuser", 1, Call("setuser({0:t})", Unit)),
    ("setuser", 1, Call("setuser({0:t})", Unit)),
    ("setu", 1, Call("setuser({0:t})", Unit)),
    ("rewriteuserpass", 1, Call("setuserpass({0:t})", Unit)),
    ("setuserpass", 1, Call("setuserpass({0:t})", Unit)),
    ("rewriteport", 1, Call("setport({0:i})", Unit)),
    ("setport", 1, Call("setport({0:i})", Unit)),
    ("setp", 1, Call("setport({0:i})", Unit)),
    ("rewriteuri", 1, Call("seturi({0:t})", Unit)),
    ("seturi", 1, Call("seturi({0:t})", Unit)),
    ("revert_uri", 0, Call("revert_uri()", Unit)),
    ("prefix", 1, Call("prefix({0:t})", Unit)),
    ("strip", 1, Call("strip({0:i})", Unit)),
    ("strip_tail", 1, Call("strip_tail({0:i})", Unit)),
    ("append_branch", 0, Call("append_branch()", Bool)),
    ("append_branch", 1, Call("append_branch({0:t})", Bool)),
    ("append_branch", 2, Call("append_branch({0:t}, {1:f})", Bool)),
    ("clear_branches", 0, Call("clear_branches()", Unit)),
    ("setdsturi", 1, Call("setdsturi({0:t})", Unit)),
    ("setduri", 1, Call("setdsturi({0:t})", Unit)),
    ("resetdsturi", 0, Call("resetdsturi()", Unit)),
    ("resetduri", 0, Call("resetdsturi()", Unit)),
    ("isdsturiset", 0, Call("isdsturiset()", Bool)),
    ("isduriset", 0, Call("isdsturiset()", Bool)),
    ("force_rport", 0, Call("force_rport()", Unit)),
    ("add_rport", 0, Call("force_rport()", Unit)),
    // flags
    ("setflag", 1, Call("setflag({0:b})", Unit)),
    ("resetflag", 1, Call("resetflag({0:b})", Unit)),
    ("isflagset", 1, Call("isflagset({0:b})", Bool)),
    ("setbflag", 1, Call("setbflag({0:b})", Unit)),
    ("resetbflag", 1, Call("resetbflag({0:b})", Unit)),
    ("isbflagset", 1, Call("isbflagset({0:b})", Bool)),
    ("setbflag", 2, Call("setbflag({1:b}, {0:i})", Unit)),
    ("isbflagset", 2, Call("isbflagset({1:b}, {0:i})", Bool)),
    ("setbranchflag", 1, Call("setbflag({0:b})", Unit)),
    ("resetbranchflag", 1, Call("resetbflag({0:b})", Unit)),
    ("isbranchflagset", 1, Call("isbflagset({0:b})", Bool)),
    // NAT
    ("nat_uac_test", 1, Call("nat_uac_test({0:i})", Bool)),
    ("fix_nated_contact", 0, Call("fix_nated_contact()", Bool)),
    ("fix_nated_register", 0, Call("fix_nated_register()", Unit)),
    ("set_contact_alias", 0, Call("set_contact_alias()", Bool)),
    ("set_contact_alias", 1, Call("set_contact_alias()", Bool)),
    ("add_contact_alias", 0, Call("add_contact_alias()", Bool)),
    ("add_contact_alias", 3, Call("add_contact_alias({0:t}, {1:i}, {2:t})", Bool)),
    ("handle_ruri_alias", 0, Call("handle_ruri_alias()", Bool)),
    ("handle_ruri_alias", 1, Call("handle_ruri_alias()", Bool)),
    ("fix_nated_sdp", 1, Call("fix_nated_sdp({0:i})", Bool)),
    ("fix_nated_sdp", 2, Call("fix_nated_sdp({0:i}, {1:t})", Bool)),
    ("is_rfc1918", 1, Call("is_rfc1918({0:t})", Bool)),
    // guards
    ("sanity_check", 0, Call("sanity_check()", Bool)),
    ("sanity_check", 1, Call("sanity_check({0:i})", Bool)),
    ("sanity_check", 2, Call("sanity_check({0:i}, {1:i})", Bool)),
    ("pike_check_req", 0, Call("pike_check_req()", Bool)),
    ("rl_check", 0, Call("rl_check()", Bool)),
    ("rl_check", 1, Call("rl_check({0:t})", Bool)),
    ("rl_drop", 0, Call("rl_drop()", Unit)),
    ("allow_source_address", 0, Call("allow_source_address()", Bool)),
    ("allow_source_address", 1, Call("allow_source_address({0:i})", Bool)),
    ("check_source_address", 1, Call("allow_source_address({0:i})", Bool)),
    ("check_source_address", 2, Call("allow_source_address({0:i})", Bool)),
    ("check_address", 4, Call("allow_address({0:i}, {1:t}, {2:i})", Bool)),
    ("allow_trusted", 0, Call("allow_trusted()", Bool)),
    ("ds_select_dst", 2, Call("ds_select_dst({0:i}, {1:i})", Bool)),
    ("ds_select_domain", 2, Call("ds_select_dst({0:i}, {1:i})", Bool)),
    ("ds_next_dst", 0, Call("ds_next_dst()", Bool)),
    ("ds_next_domain", 0, Call("ds_next_dst()", Bool)),
    ("ds_mark_dst", 0, Call("ds_mark_dst()", Bool)),
    ("ds_mark_dst", 1, Call("ds_mark_dst({0:s})", Bool)),
    ("ds_is_from_list", 0, Call("ds_is_from_list()", Bool)),
    ("ds_is_from_list", 1, Call("ds_is_from_list({0:i})", Bool)),
    ("is_from_gw", 0, Call("ds_is_from_list()", Bool)),
    ("acc_log_request", 1, Call("acc_log_request({0:t})", Bool)),
    ("acc_db_request", 2, Call("acc_db_request({0:t}, {1:s})", Bool)),
    ("sht_lock", 1, Nothing("one step for all workers")),
    ("sht_unlock", 1, Nothing("one step for all workers")),
    ("sht_reset", 1, Call("sht_reset({0:s})", Unit)),
    // variables
    ("is_avp_set", 1, Call("avp({0:p}) != ()", Bool)),
    ("avp_delete", 1, Call("del_avp({0:p})", Bool)),
    ("avp_copy", 2, Call("set_avp({1:p}, avp({0:p}))", Unit)),
    // accounts, presence, rooms and stored messages
    ("xmpp_send_message", 0, Call("xmpp_send_message()", Bool)),
    ("jab_send_message", 0, Call("send_message()", Bool)),
    ("xjab_send_message", 0, Call("send_message()", Bool)),
    ("jab_go_online", 0, Call("go_online()", Bool)),
    ("jab_go_offline", 0, Call("go_offline()", Bool)),
    ("jab_join_jconf", 0, Call("join_conference()", Bool)),
    ("jab_exit_jconf", 0, Call("exit_conference()", Bool)),
    ("m_store", 0, Call("m_store()", Bool)),
    ("m_store", 1, Call("m_store({0:m})", Bool)),
    ("m_store", 2, Call("m_store({0:m})", Bool)),
    ("m_dump", 0, Call("m_dump()", Bool)),
    ("m_dump", 1, Call("m_dump({0:m})", Bool)),
    ("m_dump", 2, Call("m_dump({0:m})", Bool)),
    ("imc_manager", 0, Call("imc_manager()", Bool)),
    ("handle_publish", 0, Call("handle_publish()", Bool)),
    ("handle_publish", 1, Call("handle_publish({0:t})", Bool)),
    ("handle_subscribe", 0, Call("handle_subscribe()", Bool)),
    ("handle_subscribe", 1, Call("handle_subscribe({0:t})", Bool)),
    ("handle_subscription", 1, Call("handle_subscribe()", Bool)),
    ("subscribe", 1, Call("handle_subscribe()", Bool)),
    ("pua_xmpp_notify", 0, Call("pua_xmpp_notify()", Bool)),
    ("pua_xmpp_req_winfo", 2, Call("pua_xmpp_req_winfo({0:t}, {1:t})", Bool)),
    ("pua_set_publish", 0, Call("pua_set_publish()", Bool)),
    ("create_dialog", 0, Call("create_dialog()", Bool)),
    ("create_dialog", 1, Call("create_dialog()", Bool)),
    ("dlg_manage", 0, Call("create_dialog()", Bool)),
    ("set_dlg_profile", 1, Call("set_dlg_profile({0:s})", Bool)),
    ("set_dlg_profile", 2, Call("set_dlg_profile({0:s}, {1:t})", Bool)),
    ("dlg_set_timeout", 1, Call("dlg_set_timeout({0:i})", Bool)),
    ("match_dialog", 0, Call("is_known_dlg()", Bool)),
    ("is_known_dlg", 0, Call("is_known_dlg()", Bool)),
    ("unset_dlg_profile", 1, Call("unset_dlg_profile({0:s})", Bool)),
    ("unset_dlg_profile", 2, Call("unset_dlg_profile({0:s}, {1:t})", Bool)),
    ("is_in_profile", 1, Call("is_in_profile({0:s})", Bool)),
    ("is_in_profile", 2, Call("is_in_profile({0:s}, {1:t})", Bool)),
    ("get_profile_size", 2, Call("set_avp({1:p}, get_profile_size({0:s}))", Unit)),
    ("get_profile_size", 3, Call("set_avp({2:p}, get_profile_size({0:s}, {1:t}))", Unit)),
    ("force_send_socket", 1, Call("force_send_socket({0:s})", Unit)),
    ("subst_hf", 3, Call("subst_hf({0:s}, {1:x}, {2:s})", Bool)),
    ("uri_param_any", 1, Call("uri_param_any({0:s})", Bool)),
    ("ds_load_update", 0, Nothing("a call counts until it fails or ends")),
    ("ds_load_unset", 0, Nothing("a call counts until it fails or ends")),
    // without meaning here
    ("set_reply_no_connect", 0, Nothing(CONNECTION)),
    ("set_reply_close", 0, Nothing(CONNECTION)),
    ("set_forward_no_connect", 0, Nothing(CONNECTION)),
    ("set_forward_close", 0, Nothing(CONNECTION)),
    ("force_tcp_alias", 0, Nothing(CONNECTION)),
    ("tcp_keepalive_enable", 3, Nothing(CONNECTION)),
    ("setdebug", 1, Nothing("the level of the log is `[log] level`")),
    ("resetdebug", 0, Nothing("the level of the log is `[log] level`")),
];

/// Functions that a later version of this program has: what reports call "not yet".
#[cfg(test)]
pub(super) const LATER: &[&str] = &[
    "go_online",
    "go_offline",
    "send_message",
    "join_conference",
    "exit_conference",
    "m_store",
    "m_dump",
    "imc_manager",
    "handle_publish",
    "handle_subscribe",
    "pua_xmpp_notify",
    "pua_xmpp_req_winfo",
    "pua_set_publish",
];

/// Old functions without a row whose work a later version takes over: presence agents, lists and rooms.
pub(super) const LATER_OLD: &[&str] = &[
    "target_online",
    "authorize_message",
    "store_winfo",
    "dump_stored_winfo",
    "handle_rls_subscription",
    "is_simple_rls_target",
    "have_flat_list",
    "query_resource_list",
    "query_rls_services",
    "handle_notify",
    "rls_handle_subscribe",
    "rls_handle_notify",
    "set_xcap_filename",
    "dialoginfo_set",
    "bla_set_flag",
    "bla_handle_notify",
    "pua_update_contact",
    "pres_auth_status",
    "pres_refresh_watchers",
    "imc_room_active",
    "imc_room_member",
    "validate_dialog",
    "fix_route_dialog",
];

/// The row of a call.
pub(super) fn row(name: &str, arity: usize) -> Option<Becomes> {
    ROWS.iter().find(|(known, count, _)| *known == name && *count == arity).map(|(.., it)| *it)
}

/// Whether any row has this name.
pub(super) fn is_known(name: &str) -> bool {
    ROWS.iter().any(|(known, ..)| *known == name)
}

/// The names that a template calls.
pub(super) fn called(template: &str) -> &str {
    let end = template.find('(').unwrap_or(template.len());
    template[..end].trim_start_matches('!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_hidden() {
        let mut seen = BTreeSet::new();
        for (name, arity, _) in ROWS {
            assert!(seen.insert((name, arity)), "{name}/{arity} stands twice");
        }
        for name in LATER_OLD {
            assert!(!is_known(name), "{name} has a row");
        }
    }

    #[test]
    fn every_template_calls_what_exists_or_will() {
        let exports = crate::modules::load(&Default::default(), &Default::default()).unwrap();
        let catalogue = exports.catalogue();
        for (name, _, becomes) in ROWS {
            let Call(template, _) = becomes else { continue };
            let called = called(template);
            let exists = catalogue.forms(called).next().is_some();
            let is_method = called.contains('.');
            assert!(exists || is_method || LATER.contains(&called), "{name}: no {called}");
        }
        for name in LATER {
            let is_used =
                ROWS.iter().any(|(_, _, it)| matches!(it, Call(t, _) if called(t) == *name));
            assert!(is_used, "{name} is in no row");
        }
    }
}
