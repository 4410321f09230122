//! Our own binary, built by cargo for this benchmark.

use std::fs;
use std::process::Command;

use crate::case::{Case, Reply, Work};
use crate::error::Error;
use crate::program::{Program, Purpose, Site};

/// The name for options and JSON.
pub(crate) const NAME: &str = "sipjab";

/// The binary of this package.
#[derive(Debug)]
pub(crate) struct Sipjab;

impl Program for Sipjab {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> String {
        format!("sipjab {}", env!("CARGO_PKG_VERSION"))
    }

    fn plays(&self, _case: &Case) -> bool {
        true
    }

    fn prepare(&self, case: &Case, site: Site<'_>) -> Result<Command, Error> {
        fs::write(site.folder.join("sipjab.toml"), configuration(case, site))?;
        fs::write(site.folder.join("route.rhai"), route(case.work))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipjab"));
        command.args(["run", "-c", "sipjab.toml"]);
        // like Kamailio's, its memory stays with it once it was used
        if site.purpose == Purpose::Speed {
            command.env("MIMALLOC_PURGE_DELAY", "-1");
        }
        Ok(command)
    }

    fn notes(&self) -> String {
        "sipjab: one worker per core, the settings of a new installation, but messages in memory where the case does not\n\
         say otherwise. Except for the memory figure, its allocator\n\
         gives nothing back to the system."
            .to_owned()
    }

    fn uri_of_xmpp_user(&self) -> &'static str {
        "sip:bob@xmpp.example"
    }

    fn jid_of_sip_user(&self, name: &str) -> String {
        format!("{name}@sip.example")
    }
}

fn configuration(case: &Case, site: Site<'_>) -> String {
    let Site { listen, database, .. } = site;
    let module = match case.work {
        Work::MessageToXmpp | Work::XmppToMessage => xmpp_module(case.reply, site),
        Work::Register { is_cached } => {
            let cache = if is_cached { "" } else { "[modules.auth]\ncache_time = 0\n" };
            format!("{cache}[modules.registrar]\ndb_mode = \"write-back\"\ntimer_interval = 1\n")
        }
        Work::Accounts => jabber_module(site),
        _ => String::new(),
    };
    let database = database.unwrap_or("sqlite:sipjab.db");
    format!(
        r#"script = "route.rhai"
[sip]
listen = ["udp:{listen}"]
domains = ["sip.example"]
{module}[store]
url = "{database}"
"#
    )
}

fn xmpp_module(reply: Reply, site: Site<'_>) -> String {
    let Site { xmpp, outbound, .. } = site;
    let (host, port) = (xmpp.ip(), xmpp.port());
    let is_durable = reply == Reply::Stored;
    let reply = match reply {
        Reply::Queued | Reply::Stored => "queued",
        Reply::HandedOver => "handed_over",
    };
    format!(
        r#"[modules.xmpp]
backend = "component"
xmpp_host = "{host}"
xmpp_port = {port}
xmpp_password = "secret"
xmpp_domain = "sip.example"
dialect = "rfc"
reply = "{reply}"
outbound_proxy = "sip:{outbound}"
[spool]
durable = {is_durable}
"#
    )
}

fn jabber_module(site: Site<'_>) -> String {
    let Site { xmpp, outbound, .. } = site;
    let (host, port) = (xmpp.ip(), xmpp.port());
    format!(
        r#"[modules.jabber]
jdomain = "jabber.sip.example"
jaddress = "{host}"
jport = {port}
domain = "xmpp.example"
ca = "ca.pem"
proxy = "{outbound}"
always_online = true
[spool]
durable = false
"#
    )
}

fn route(work: Work) -> &'static str {
    match work {
        Work::StatelessReply | Work::XmppToMessage => {
            r#"fn request_route() { sl_send_reply(200, "OK"); }"#
        }
        Work::StatefulReply => r#"fn request_route() { t_newtran(); t_reply(200, "OK"); }"#,
        Work::MessageToXmpp => {
            r#"fn request_route() {
    if xmpp_send_message() { t_reply(202, "Accepted"); } else { t_reply(500, "Failed"); }
}"#
        }
        Work::RelayCalls => {
            r#"fn request_route() {
    if !process_maxfwd(10) { sl_send_reply(483, "Too Many Hops"); return; }
    if has_totag() {
        if !loose_route() { sl_send_reply(404, "Not Here"); return; }
        t_relay();
        return;
    }
    record_route();
    t_relay();
}"#
        }
        Work::Accounts => {
            r#"fn request_route() {
    if !is_jabber_destination() { sl_send_reply(404, "Not Here"); return; }
    t_newtran();
    send_message();
    xmpp_reply();
}"#
        }
        Work::Register { .. } => {
            r#"fn request_route() {
    if !www_authorize("sip.example", "subscriber") {
        www_challenge("sip.example", 0);
        return;
    }
    save("location");
}"#
        }
    }
}
