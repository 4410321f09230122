//! `sipjab explain`

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{ConfigFile, FINDINGS, FINE, UNREADABLE};
use crate::gateway::{
    AddressError, Addressing, Destination, Dialect, Kamailio, Ser, Side, SipsPolicy,
};
use crate::modules::xmpp;
use crate::sip::{Uri, unescape};
use crate::xmpp::Jid;

const EXAMPLES: &str = "\
Examples:
  sipjab explain sip:juliet@sip.example
  sipjab explain 'sip:romeo*xmpp.example@gw.example' --dialect kamailio --gateway-domain gw.example --xmpp-domain sip.example
  sipjab explain 'sip:nick*room*rooms.example@jabber.example' --dialect ser --jdomain 'jabber.example=*'
  sipjab explain romeo@xmpp.example -c sipjab.toml

Without --dialect the address is read as [modules.xmpp] of the configuration says, and as RFC 7247 says when there is none.

Exit codes:
  0  the address has a counterpart
  1  it has none, and why
  2  it is no address, or the configuration cannot be read";

/// Show step by step what the gateway makes of an address, and the way back
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// A SIP URI or a JID
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    config: ConfigFile,
    /// How addresses are written
    #[arg(long, value_enum)]
    dialect: Option<Name>,
    /// The domain of XMPP users in SIP (dialect kamailio)
    #[arg(long, value_name = "DOMAIN", default_value = "")]
    gateway_domain: String,
    /// The domain of SIP users in XMPP (dialects kamailio and opensips)
    #[arg(long, value_name = "DOMAIN", default_value = "")]
    xmpp_domain: String,
    /// The domain that SIP users have in XMPP (dialect opensips)
    #[arg(long, value_name = "DOMAIN")]
    sip_domain: Option<String>,
    /// Between a user and the home domain (dialect kamailio)
    #[arg(long, value_name = "CHARACTER", default_value = "*")]
    domain_separator: char,
    /// Pairs of domains, `sip.example=xmpp.example` (dialect kamailio)
    #[arg(long, value_name = "PAIRS", default_value = "")]
    gwmap: String,
    /// The domain of the Jabber network, with its delimiter (dialect ser)
    #[arg(long, value_name = "DOMAIN[=CHARACTER]", default_value = "")]
    jdomain: String,
    /// The transports, as the module `jabber` has them (dialect ser)
    #[arg(long, value_name = "LIST", default_value = "")]
    aliases: String,
}

/// The dialects.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// RFC 7247, one to one
    Rfc,
    /// The `xmpp` module of OpenSER and Kamailio
    Kamailio,
    /// The `xmpp` module of OpenSIPS
    Opensips,
    /// The `jabber` module of SER
    Ser,
}

impl Explain {
    pub(super) fn execute(self) -> ExitCode {
        let explained = match self.dialect {
            Some(Name::Ser) => self.ser(),
            _ => self.addressing().and_then(|addressing| self.one_to_one(&addressing)),
        };
        match explained {
            Ok((text, has_counterpart)) => {
                print!("{text}");
                ExitCode::from(if has_counterpart { FINE } else { FINDINGS })
            }
            Err(reason) => {
                eprintln!("sipjab: {reason}");
                ExitCode::from(UNREADABLE)
            }
        }
    }

    fn addressing(&self) -> Result<Addressing, String> {
        let dialect = match self.dialect {
            None => return self.configured(),
            Some(Name::Kamailio) => Dialect::Kamailio(Kamailio {
                domain_separator: self.domain_separator,
                gateway_domain: self.gateway_domain.clone(),
                xmpp_domain: self.xmpp_domain.clone(),
                gwmap: Kamailio::gwmap(&self.gwmap),
            }),
            Some(Name::Opensips) => Dialect::Opensips {
                xmpp_domain: self.xmpp_domain.clone(),
                sip_domain: self.sip_domain.clone(),
            },
            Some(Name::Rfc | Name::Ser) => Dialect::Rfc,
        };
        Ok(Addressing { dialect, sips: SipsPolicy::default(), tel_domain: None })
    }

    /// What the configuration says, when there is one.
    fn configured(&self) -> Result<Addressing, String> {
        if self.config.locate().is_none() {
            return Ok(Addressing::default());
        }
        let config = self.config.load().map_err(|error| error.to_string())?;
        let Some(params) = config.modules.get("xmpp") else { return Ok(Addressing::default()) };
        let parsed = params.parse::<xmpp::Config>().map_err(|error| error.to_string())?;
        Ok(parsed.mapping().addressing)
    }

    fn no_address(&self, what: &str, error: &dyn std::fmt::Display) -> String {
        format!("`{}` is no {what}: {error}", self.address)
    }

    fn one_to_one(&self, addressing: &Addressing) -> Result<(String, bool), String> {
        let mut steps = Steps::new(&self.address, dialect_name(&addressing.dialect));
        if is_sip(&self.address) {
            let uri =
                Uri::parse(&self.address).map_err(|error| self.no_address("SIP URI", &error))?;
            steps.uri(&uri);
            for (side, whose) in SIDES {
                let there = addressing.jid_from_sip(&uri, side);
                let back = |jid: &Jid| addressing.sip_from_jid(jid, side);
                steps.way(whose, there, |jid| jid.to_string(), back, |sip| sip);
            }
        } else {
            let jid = crate::xmpp::jid::parse(&self.address)
                .map_err(|error| self.no_address("JID, and no SIP URI", &error))?;
            steps.jid(&jid);
            for (side, whose) in SIDES {
                let there = addressing.sip_from_jid(&jid, side);
                let back = |sip: &String| match Uri::parse(sip) {
                    Ok(uri) => addressing.jid_from_sip(&uri, side),
                    Err(_) => Err(AddressError::MissingUser),
                };
                steps.way(whose, there, |sip| sip, back, |jid| jid.to_string());
            }
        }
        Ok(steps.done())
    }

    fn ser(&self) -> Result<(String, bool), String> {
        let ser = Ser::parse(&self.jdomain, &self.aliases);
        let mut steps = Steps::new(&self.address, "ser");
        if is_sip(&self.address) {
            let uri =
                Uri::parse(&self.address).map_err(|error| self.no_address("SIP URI", &error))?;
            steps.uri(&uri);
            let back = |to: &Destination| match to {
                Destination::User(jid) => ser.sip_from_jid(jid),
                Destination::Room { room, .. } => ser.sip_from_jid(room),
            };
            steps.way("an XMPP user or room", ser.destination(&uri), shown, back, |sip| sip);
        } else {
            let jid = crate::xmpp::jid::parse(&self.address)
                .map_err(|error| self.no_address("JID, and no SIP URI", &error))?;
            steps.jid(&jid);
            let back = |sip: &String| match Uri::parse(sip) {
                Ok(uri) => ser.destination(&uri),
                Err(_) => Err(AddressError::MissingUser),
            };
            steps.way("an XMPP user", ser.sip_from_jid(&jid), |sip| sip, back, shown);
        }
        Ok(steps.done())
    }
}

const SIDES: [(Side, &str); 2] = [(Side::Xmpp, "an XMPP user"), (Side::Sip, "a SIP user")];

fn is_sip(address: &str) -> bool {
    ["sip:", "sips:", "tel:"].iter().any(|scheme| address.to_ascii_lowercase().starts_with(scheme))
}

fn shown(to: Destination) -> String {
    match to {
        Destination::User(jid) => jid.to_string(),
        Destination::Room { room, nick: Some(nick) } => format!("room {room}, as {nick}"),
        Destination::Room { room, nick: None } => format!("room {room}, by the user's own name"),
    }
}

fn dialect_name(dialect: &Dialect) -> &'static str {
    match dialect {
        Dialect::Rfc => "rfc",
        Dialect::Kamailio(_) => "kamailio",
        Dialect::Opensips { .. } => "opensips",
    }
}

/// The explanation as it grows.
struct Steps {
    text: String,
    address: String,
    has_counterpart: bool,
}

impl Steps {
    fn new(address: &str, dialect: &str) -> Self {
        let text = format!("{address}, in dialect {dialect}\n");
        Self { text, address: address.to_owned(), has_counterpart: false }
    }

    fn line(&mut self, what: &str, value: &str) {
        self.text.push_str(&format!("  {what:<9} {value}\n"));
    }

    fn uri(&mut self, uri: &Uri<'_>) {
        if let Some(user) = uri.user() {
            self.line("user", user);
            let decoded = unescape(user);
            let decoded = String::from_utf8_lossy(&decoded);
            if decoded != user {
                self.line("decoded", &decoded);
            }
        }
        self.line("host", uri.host());
    }

    fn jid(&mut self, jid: &Jid) {
        if let Some(node) = jid.node() {
            self.line("localpart", node.as_str());
            let plain = crate::xmpp::jid::unescape_local(node.as_str());
            if plain != node.as_str() {
                self.line("unescaped", &plain);
            }
        }
        self.line("domain", jid.domain().as_str());
        if let Some(resource) = jid.resource() {
            self.line("resource", resource.as_str());
        }
    }

    /// There and back, with the errors of either.
    fn way<T, U>(
        &mut self,
        whose: &str,
        there: Result<T, AddressError>,
        show: impl Fn(T) -> String,
        back: impl Fn(&T) -> Result<U, AddressError>,
        show_back: impl Fn(U) -> String,
    ) {
        self.text.push_str(&format!("as the address of {whose}:\n"));
        match there {
            Ok(found) => {
                self.has_counterpart = true;
                let returned = back(&found).map(show_back);
                self.line("becomes", &show(found));
                match returned {
                    Ok(same) if same == self.address => self.line("and back", "the same"),
                    Ok(other) => self.line("and back", &other),
                    Err(error) => self.line("and back", &format!("nothing: {error}")),
                }
            }
            Err(error) => {
                let (status, reason) = error.status();
                self.line("is", &format!("nothing: {error} ({status} {reason})"));
            }
        }
    }

    fn done(self) -> (String, bool) {
        (self.text, self.has_counterpart)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    fn explained(line: &[&str]) -> (String, bool) {
        let explain = Line::parse_from([&["explain"], line].concat()).explain;
        match explain.dialect {
            Some(Name::Ser) => explain.ser().unwrap(),
            _ => explain.one_to_one(&explain.addressing().unwrap()).unwrap(),
        }
    }

    #[test]
    fn an_address_is_shown_both_ways() {
        let (text, has_counterpart) = explained(&["sip:o%27hara@sip.example", "--dialect", "rfc"]);
        assert!(has_counterpart);
        assert!(text.contains("decoded   o'hara"), "{text}");
        assert!(text.contains("becomes   o\\27hara@sip.example"), "{text}");
    }

    #[test]
    fn the_dialects_of_old_gateways_are_known() {
        let options = [
            "--dialect",
            "kamailio",
            "--gateway-domain",
            "gw.example",
            "--xmpp-domain",
            "sip.example",
        ];
        let (text, _) = explained(&[&["sip:romeo*xmpp.example@gw.example"], &options[..]].concat());
        assert!(text.contains("becomes   romeo@xmpp.example\n  and back  the same"), "{text}");
        let (text, _) = explained(&[
            "sip:n*room*rooms.example@j.example",
            "--dialect",
            "ser",
            "--jdomain",
            "j.example=*",
        ]);
        assert!(text.contains("room room@rooms.example, as n"), "{text}");
        let (text, has_counterpart) =
            explained(&["sip:a@elsewhere", "--dialect", "ser", "--jdomain", "j.example"]);
        assert!(!has_counterpart && text.contains("404 Not Found"), "{text}");
    }
}
