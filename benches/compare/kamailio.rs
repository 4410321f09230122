//! Kamailio from Debian's package, set up for the work as its documentation says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::{Case, Reply, Work};
use crate::error::Error;
use crate::program::{Program, Purpose, Site};

/// The name for options and JSON.
pub(crate) const NAME: &str = "kamailio";

/// Said when there is nothing to compare with.
pub(crate) const HOW_TO_INSTALL: &str = "\
Kamailio is not installed, so that only sipjab is measured. To compare:
    apt-get install kamailio kamailio-xmpp-modules kamailio-mysql-modules gcc libc6-dev";

/// The most shared memory that it gets, in MB; less when the machine has less to spare.
///
/// A transaction keeps 13 KB for 5 s, so that the default of 64 MB is full at 1,000 messages a
/// second, and saturation needs thousands of megabytes.
const SHARED_MEMORY: u64 = 6144;
/// Private memory of each process in MB.
const PRIVATE_MEMORY: &str = "16";

/// Where Debian puts the program; not everybody has it on the path.
const PLACES: [&str; 2] = ["/usr/sbin/kamailio", "/usr/local/sbin/kamailio"];

/// An installed Kamailio.
#[derive(Debug)]
pub(crate) struct Kamailio {
    binary: PathBuf,
    version: String,
    /// In MB.
    shared_memory: u64,
}

impl Kamailio {
    /// The installed one.
    pub(crate) fn installed() -> Option<Self> {
        PLACES.into_iter().map(PathBuf::from).find_map(|binary| {
            let output = Command::new(&binary).arg("-v").output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.strip_prefix("version: kamailio ")?.split_whitespace().next()?;
            let shared_memory = SHARED_MEMORY.min(spare_memory()? / 2);
            Some(Self { version: version.to_owned(), binary, shared_memory })
        })
    }
}

impl Program for Kamailio {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> String {
        format!("Kamailio {}", self.version)
    }

    fn plays(&self, case: &Case) -> bool {
        case.reply == Reply::Queued
    }

    fn prepare(&self, case: &Case, site: Site<'_>) -> Result<Command, Error> {
        let config = site.folder.join("kamailio.cfg");
        fs::write(&config, configuration(case.work, site))?;
        let mut command = Command::new(&self.binary);
        command.args(["-DD", "-E", "-x", "tlsf", "-M", PRIVATE_MEMORY]);
        if case.work.is_stateful() {
            command.arg("-m").arg(self.shared_memory.to_string());
        }
        command.arg("-f").arg(config).arg("-w").arg(site.folder).arg("-Y").arg(site.folder);
        if case.work.is_gateway() {
            command.env("LD_PRELOAD", build_shim(site.folder)?);
        }
        Ok(command)
    }

    fn notes(&self) -> String {
        format!(
            "Kamailio: 4 children, -x tlsf, -m {} for transactions, its shared memory touched in \
             advance except for\nthe memory figure. Its xmpp module dies at the first stream header \
             (kamailio#4154) and runs here behind\na preloaded library that mends the list it \
             trips over.",
            self.shared_memory
        )
    }

    fn uri_of_xmpp_user(&self) -> &'static str {
        "sip:bob*xmpp.example@sip.example"
    }

    fn jid_of_sip_user(&self, name: &str) -> String {
        format!("{name}*sip.example@gateway.example")
    }
}

fn configuration(work: Work, site: Site<'_>) -> String {
    let Site { purpose, listen, .. } = site;
    let reserve = if purpose == Purpose::Speed { "yes" } else { "no" };
    let modules = modules(work, site);
    let route = route(work);
    format!(
        r#"#!KAMAILIO
debug=-1
log_stderror=yes
children=4
auto_aliases=no
shm_force_alloc={reserve}
mlock_pages={reserve}
disable_tcp=yes
listen=udp:{listen}
loadmodule "tm.so"
loadmodule "sl.so"
{modules}request_route {{
    {route}
}}
"#
    )
}

/// The modules that a work needs beside transactions and replies.
fn modules(work: Work, site: Site<'_>) -> String {
    match work {
        // `plays` says no to accounts: the module for them is gone since long.
        Work::StatelessReply | Work::StatefulReply | Work::Accounts => String::new(),
        Work::MessageToXmpp | Work::XmppToMessage => xmpp_module(site),
        Work::RelayCalls => r#"loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "pv.so"
loadmodule "siputils.so"
"#
        .to_owned(),
        Work::Register { .. } => registrar_modules(site.database.unwrap_or_default()),
    }
}

fn xmpp_module(site: Site<'_>) -> String {
    let Site { xmpp, outbound, .. } = site;
    let (host, port) = (xmpp.ip(), xmpp.port());
    format!(
        r#"loadmodule "xmpp.so"
modparam("xmpp", "backend", "component")
modparam("xmpp", "domain_separator", "*")
modparam("xmpp", "gateway_domain", "sip.example")
modparam("xmpp", "xmpp_domain", "gateway.example")
modparam("xmpp", "xmpp_host", "{host}")
modparam("xmpp", "xmpp_port", {port})
modparam("xmpp", "xmpp_password", "secret")
modparam("xmpp", "outbound_proxy", "sip:{outbound}")
"#
    )
}

fn registrar_modules(database: &str) -> String {
    format!(
        r#"loadmodule "db_mysql.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "auth_db.so"
modparam("usrloc|auth_db", "db_url", "{database}")
modparam("usrloc", "db_mode", 2)
modparam("usrloc", "timer_interval", 1)
modparam("auth_db", "calculate_ha1", 0)
modparam("auth_db", "password_column", "ha1")
modparam("auth_db", "load_credentials", "")
modparam("auth", "qop", "auth")
modparam("auth", "nonce_count", 1)
"#
    )
}

fn route(work: Work) -> &'static str {
    match work {
        Work::StatelessReply | Work::XmppToMessage | Work::Accounts => {
            r#"sl_send_reply("200", "OK");"#
        }
        Work::StatefulReply => r#"t_newtran(); t_reply("200", "OK");"#,
        Work::MessageToXmpp => {
            r#"t_newtran();
    if (xmpp_send_message()) { t_reply("202", "Accepted"); } else { t_reply("500", "Failed"); }"#
        }
        Work::RelayCalls => {
            r#"if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (has_totag()) {
        if (!loose_route()) { sl_send_reply("404", "Not Here"); exit; }
        t_relay();
        exit;
    }
    record_route();
    t_relay();"#
        }
        Work::Register { .. } => {
            r#"if (!www_authorize("sip.example", "subscriber")) {
        www_challenge("sip.example", "1");
        exit;
    }
    save("location");"#
        }
    }
}

/// Compiles the library that its xmpp module cannot run without.
fn build_shim(folder: &Path) -> Result<PathBuf, Error> {
    let source = folder.join("expat_shim.c");
    let library = folder.join("expat_shim.so");
    fs::write(&source, include_str!("expat_shim.c"))?;
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let output = cc.output().map_err(|error| Error::Shim(error.to_string()))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(Error::Shim(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// The memory that programs can have without swapping, in MB.
fn spare_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}
