//! Kamailio from Debian's package, set up for the work as its documentation says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::{Case, Reply, Work};
use crate::error::Error;
use crate::program::{Program, Site};

/// The name for options and JSON.
pub(crate) const NAME: &str = "kamailio";

/// Said when there is nothing to compare with.
pub(crate) const HOW_TO_INSTALL: &str = "\
Kamailio is not installed, so that only sipjab is measured. To compare:
    apt-get install kamailio kamailio-xmpp-modules gcc libc6-dev";

/// Said below the table.
pub(crate) const NOTES: &str = "\
Kamailio: 4 children, -x tlsf, -m 4096 (its transactions need it). Its xmpp module dies at the first
stream header (kamailio#4154) and runs here behind a preloaded library that mends the list it trips over.";

/// Shared memory in MB. A transaction keeps 12.5 KB for 5 s, so that the default of 64 MB is full
/// at 1,000 messages a second, and saturation needs thousands of megabytes.
const SHARED_MEMORY: &str = "4096";
/// Private memory of each process in MB.
const PRIVATE_MEMORY: &str = "16";

/// Where Debian puts the program; not everybody has it on the path.
const PLACES: [&str; 2] = ["/usr/sbin/kamailio", "/usr/local/sbin/kamailio"];

/// An installed Kamailio.
#[derive(Debug)]
pub(crate) struct Kamailio {
    binary: PathBuf,
    version: String,
}

impl Kamailio {
    /// The installed one.
    pub(crate) fn installed() -> Option<Self> {
        PLACES.into_iter().map(PathBuf::from).find_map(|binary| {
            let output = Command::new(&binary).arg("-v").output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.strip_prefix("version: kamailio ")?.split_whitespace().next()?;
            Some(Self { version: version.to_owned(), binary })
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
        command.args(["-DD", "-E", "-x", "tlsf", "-m", SHARED_MEMORY, "-M", PRIVATE_MEMORY]);
        command.arg("-f").arg(config).arg("-w").arg(site.folder).arg("-Y").arg(site.folder);
        if case.work.is_gateway() {
            command.env("LD_PRELOAD", build_shim(site.folder)?);
        }
        Ok(command)
    }

    fn uri_of_xmpp_user(&self) -> &'static str {
        "sip:bob*xmpp.example@sip.example"
    }

    fn jid_of_sip_user(&self) -> &'static str {
        "alice*sip.example@gateway.example"
    }
}

fn configuration(work: Work, site: Site<'_>) -> String {
    let Site { listen, xmpp, outbound, .. } = site;
    let (xmpp_host, xmpp_port) = (xmpp.ip(), xmpp.port());
    let module = match work.is_gateway() {
        false => String::new(),
        true => format!(
            r#"loadmodule "xmpp.so"
modparam("xmpp", "backend", "component")
modparam("xmpp", "domain_separator", "*")
modparam("xmpp", "gateway_domain", "sip.example")
modparam("xmpp", "xmpp_domain", "gateway.example")
modparam("xmpp", "xmpp_host", "{xmpp_host}")
modparam("xmpp", "xmpp_port", {xmpp_port})
modparam("xmpp", "xmpp_password", "secret")
modparam("xmpp", "outbound_proxy", "sip:{outbound}")
"#
        ),
    };
    let route = match work {
        Work::StatelessReply | Work::XmppToMessage => r#"sl_send_reply("200", "OK");"#,
        Work::StatefulReply => r#"t_newtran(); t_reply("200", "OK");"#,
        Work::MessageToXmpp => {
            r#"t_newtran();
    if (xmpp_send_message()) { t_reply("202", "Accepted"); } else { t_reply("500", "Failed"); }"#
        }
    };
    format!(
        r#"#!KAMAILIO
debug=-1
log_stderror=yes
children=4
auto_aliases=no
disable_tcp=yes
listen=udp:{listen}
loadmodule "tm.so"
loadmodule "sl.so"
{module}request_route {{
    {route}
}}
"#
    )
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
