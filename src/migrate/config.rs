//! `sipjab.toml` and the environment file.

mod jabber;
mod render;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::dialect::Dialect;
use super::finding::{Code, Finding};
use super::preprocess::{Constant, Source};
use super::settings::{ADVICE, As, NO_PARAMETERS, NO_SETTINGS, PARAMETERS};
use super::text::{decimal, literal, unescape};
use super::tree::{Expr, Expression, Item, Node};

/// The modules and the name of a `modparam` are not longer than this together.
const MAX_NAMES: usize = 1000;

/// The configuration as it grows.
pub(super) struct Settings<'s> {
    source: &'s Source,
    dialect: Dialect,
    /// The modules of this server.
    known: &'s [&'static str],
    listen: Vec<String>,
    domains: Vec<String>,
    port: u16,
    level: Option<&'static str>,
    headers: BTreeMap<&'static str, String>,
    /// Lines of each table of `[modules]`, with the place that each comes from.
    modules: BTreeMap<String, Vec<(String, String, usize)>>,
    tables: Vec<(String, usize)>,
    store: Option<usize>,
    secrets: Vec<(String, String)>,
    /// `name.key = value`, which routes read.
    pub(super) custom: BTreeMap<String, String>,
    pub(super) flags: BTreeMap<String, i64>,
    pub(super) findings: Vec<Finding>,
    loaded: Vec<String>,
    pub(super) translated: usize,
    pub(super) total: usize,
}

/// Where a line of the configuration comes from, by its number from 1.
pub(super) type Origins = BTreeMap<usize, usize>;

impl<'s> Settings<'s> {
    pub(super) fn read(
        source: &'s Source,
        dialect: Dialect,
        items: &[Node<Item>],
        known: &'s [&'static str],
    ) -> Self {
        let mut settings = Self {
            source,
            dialect,
            known,
            listen: Vec::new(),
            domains: Vec::new(),
            port: 5060,
            level: None,
            headers: BTreeMap::new(),
            modules: BTreeMap::new(),
            tables: Vec::new(),
            store: None,
            secrets: Vec::new(),
            custom: BTreeMap::new(),
            flags: BTreeMap::new(),
            findings: Vec::new(),
            loaded: Vec::new(),
            translated: 0,
            total: 0,
        };
        let port = items.iter().find_map(|item| match &item.it {
            Item::Setting { name, value } if name == "port" => value.parse().ok(),
            _ => None,
        });
        settings.port = port.unwrap_or(5060);
        for item in items {
            settings.item(item);
        }
        settings.jabber(items);
        settings
    }

    fn item(&mut self, item: &Node<Item>) {
        match &item.it {
            Item::Setting { name, value } => self.setting(item.at, name, value),
            Item::Parameter { modules, name, value } => {
                self.parameters(item, modules, name, value.as_ref());
            }
            Item::Module(path) => self.module(item.at, path),
            Item::Flags(text) => self.flag_names(text),
            Item::Loadpath | Item::Route(_) | Item::Stray => {}
        }
    }

    fn find(&mut self, code: Code, at: usize, message: String) -> &mut Finding {
        self.findings.push(Finding::new(code, self.source.place(at), message));
        self.findings.last_mut().expect("one was pushed")
    }

    fn module(&mut self, at: usize, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".so").to_owned();
        let name = match name.as_str() {
            "mysql" => "db_mysql".to_owned(),
            "postgres" => "db_postgres".to_owned(),
            "dbtext" => "db_text".to_owned(),
            _ => name,
        };
        let foreign = matches!(
            name.as_str(),
            "db_postgres" | "db_text" | "db_unixodbc" | "db_oracle" | "db_berkeley"
        );
        if foreign {
            let finding = self.find(
                Code::Module,
                at,
                format!("module `{name}`: the store is SQLite or MySQL"),
            );
            finding.help = "copy the tables to one of them".to_owned();
        }
        self.loaded.push(name);
    }

    fn flag_names(&mut self, text: &str) {
        for part in text.split(',') {
            let (name, value) = part.split_once(':').unwrap_or((part, ""));
            let used: Vec<i64> = self.flags.values().copied().collect();
            let free = (1..32).find(|number| !used.contains(number)).unwrap_or(31);
            let value = value.trim().parse().unwrap_or(free);
            let name = name.trim();
            if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                self.flags.insert(name.to_owned(), value);
            }
        }
    }

    /// The value of a setting: a constant's value for its name.
    fn resolved(&self, written: &str) -> String {
        let written = written.trim().trim_end_matches(';').trim();
        let plain = written.strip_prefix('"').and_then(|rest| rest.split('"').next());
        if let Some(plain) = plain {
            return plain.to_owned();
        }
        match self.source.constants.get(written) {
            Some(Constant::Number(number)) => number.to_string(),
            Some(Constant::Text(text)) => text.clone(),
            _ => written.trim_matches('\'').to_owned(),
        }
    }

    fn setting(&mut self, at: usize, name: &str, written: &str) {
        self.total += 1;
        let value = self.resolved(written);
        if name.contains('.') {
            self.translated += 1;
            self.custom.insert(name.to_owned(), value);
            return;
        }
        let before = self.findings.len();
        match name {
            "listen" | "socket" => self.listen(at, &value),
            "alias" | "domain" => self.alias(at, written),
            "port" => {}
            "debug" | "log_level" => self.log_level(&value),
            "server_header" => self.header("server_header", &value),
            "user_agent_header" => self.header("user_agent", &value),
            "disable_tcp" | "enable_tls" | "disable_tls" => self.transport(at, name, &value),
            _ => match NO_SETTINGS.iter().find(|(known, _)| *known == name) {
                Some((_, reason)) => {
                    let finding = self.find(Code::Dropped, at, format!("`{name}` is left out"));
                    (*reason).clone_into(&mut finding.help);
                    self.translated += 1;
                    return;
                }
                None => {
                    let finding =
                        self.find(Code::Setting, at, format!("`{name}` has no counterpart"));
                    finding.original = format!("{name}={written}");
                    finding.help = "see docs/migration.md, or leave it".to_owned();
                }
            },
        }
        self.translated += usize::from(self.findings.len() == before);
    }

    fn header(&mut self, key: &'static str, value: &str) {
        let value = value.split_once(':').map_or(value, |(_, value)| value).trim();
        self.headers.insert(key, value.to_owned());
    }

    fn transport(&mut self, at: usize, name: &str, value: &str) {
        let is_on = matches!(value, "yes" | "1" | "on" | "true" | "enable");
        match (name, is_on) {
            ("disable_tcp", true) => self.port |= 0,
            ("enable_tls", true) => {
                let finding = self.find(
                    Code::Decision,
                    at,
                    "TLS needs its certificate in `[sip.tls]`".to_owned(),
                );
                finding.help = "see docs/tls.md; then add `tls:…` to `listen`".to_owned();
            }
            _ => {}
        }
    }

    fn log_level(&mut self, value: &str) {
        let Ok(level) = value.parse::<i64>() else { return };
        self.level = Some(match (self.dialect, level) {
            (_, ..=-1) => "error",
            (Dialect::Kamailio, 0) => "warn",
            (Dialect::Kamailio, 1 | 2) => "info",
            (Dialect::Kamailio, _) => "debug",
            (_, 0 | 1) => "warn",
            (_, 2 | 3) => "info",
            _ => "debug",
        });
    }

    fn alias(&mut self, at: usize, written: &str) {
        let words = written.replace("alias=", " ").replace(['"', '\'', ';', ','], " ");
        for word in words.split_whitespace() {
            let word = self.resolved(word);
            let host = word
                .trim_start_matches("udp:")
                .trim_start_matches("tcp:")
                .trim_start_matches("tls:");
            let host = host.split(':').next().unwrap_or(host);
            self.domain(at, host);
        }
    }

    fn domain(&mut self, _at: usize, host: &str) {
        let host = host.to_ascii_lowercase();
        let is_name = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            && host.chars().any(|c| c.is_ascii_alphabetic());
        if is_name && !self.domains.contains(&host) {
            self.domains.push(host);
        }
    }

    fn listen(&mut self, at: usize, value: &str) {
        let first = value.split_whitespace().next().unwrap_or_default();
        let first = self.resolved(first);
        let lower = first.to_ascii_lowercase();
        let protocols = ["udp", "tcp", "tls", "wss", "ws", "sctp"];
        let found = protocols.iter().find(|it| lower.starts_with(&format!("{it}:")));
        let rest = found.map_or(first.as_str(), |it| &first[it.len() + 1..]);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').unwrap_or((v6, ""));
                (format!("[{host}]"), port.trim_start_matches(':'))
            }
            None => {
                let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
                (host.to_owned(), port)
            }
        };
        let host = match host.as_str() {
            "*" | "any" | "" => "0.0.0.0".to_owned(),
            "localhost" => "127.0.0.1".to_owned(),
            _ => self.resolved(&host),
        };
        let is_secure = matches!(found, Some(&"tls" | &"wss"));
        let default = if is_secure { 5061 } else { self.port };
        let port = if port.is_empty() { default.to_string() } else { self.resolved(port) };
        let address = format!("{host}:{port}");
        if address.parse::<std::net::SocketAddr>().is_err() {
            self.domain(at, &host);
            let finding =
                self.find(Code::Decision, at, format!("`{value}` is no address to listen on"));
            finding.help = "write the address into `[sip] listen`".to_owned();
            return;
        }
        if is_secure {
            let finding = self.find(Code::Decision, at, format!("`{value}` needs a certificate"));
            finding.help = format!(
                "set up `[sip.tls]`, then add \"{}:{address}\" to `listen`",
                found.unwrap_or(&"tls")
            );
            return;
        }
        if found == Some(&"sctp") {
            self.find(Code::Setting, at, "there is no SCTP".to_owned()).original = value.to_owned();
            return;
        }
        if value.contains("advertise") || value.contains(" as ") {
            let finding = self.find(
                Code::Decision,
                at,
                "an advertised address has no counterpart".to_owned(),
            );
            finding.original = value.to_owned();
            finding.help = "let the socket have the address that peers see".to_owned();
        }
        match found {
            Some(protocol) => self.add_listen(format!("{protocol}:{address}")),
            None => {
                self.add_listen(format!("udp:{address}"));
                self.add_listen(format!("tcp:{address}"));
            }
        }
    }

    fn add_listen(&mut self, listen: String) {
        if !self.listen.contains(&listen) {
            self.listen.push(listen);
        }
    }

    fn parameters(&mut self, item: &Node<Item>, modules: &Expr, name: &Expr, value: Option<&Expr>) {
        let (Some(modules), Some(name)) = (self.text(modules), self.text(name)) else { return };
        if modules.len() + name.len() > MAX_NAMES {
            self.total += 1;
            self.find(Code::Parameter, item.at, "these are no names".to_owned());
            return;
        }
        for module in modules.split(['|', ' ']).filter(|module| !module.is_empty()) {
            self.total += 1;
            self.parameter(item, module, &name, value);
        }
    }

    /// The text of a parameter's value.
    fn text(&self, value: &Expr) -> Option<String> {
        Some(match &value.it {
            Expression::Text { raw, quote } => unescape(raw, *quote, self.dialect),
            Expression::Number(number) => number.to_string(),
            Expression::Word(word) => self.resolved(word),
            Expression::Address(text) | Expression::Variable(text) => text.clone(),
            Expression::Raw(raw) => self.concatenated(raw)?,
            _ => return None,
        })
    }

    /// `"a" + NAME + "b"`
    fn concatenated(&self, raw: &str) -> Option<String> {
        let pieces = raw.split('+').map(|piece| self.resolved(piece));
        Some(pieces.collect::<Vec<_>>().concat())
    }

    fn parameter(&mut self, item: &Node<Item>, module: &str, name: &str, value: Option<&Expr>) {
        let at = item.at;
        let text = value.and_then(|value| self.text(value)).unwrap_or_default();
        let row = PARAMETERS.iter().find(|(m, p, ..)| *m == module && *p == name);
        let Some((_, _, place, kind)) = row else {
            return self.no_parameter(item, module, name, &text);
        };
        let written = match kind {
            As::Number => {
                let named = self.flags.get(text.trim()).copied();
                let found = decimal(text.trim()).or(named);
                found.map(|number| number.to_string())
            }
            As::Bool => as_bool(&text).map(|is| is.to_string()),
            As::Text => Some(literal(&text)),
            As::Uri => Some(literal(&if text.starts_with("sip") {
                text.clone()
            } else {
                format!("sip:{text}")
            })),
            As::DbMode => match text.trim() {
                "3" => Some("1".to_owned()),
                other => other.parse::<u8>().ok().map(|mode| mode.min(2).to_string()),
            },
            As::Secret => {
                Some(self.secret(at, &format!("SIPJAB_{}", name.to_ascii_uppercase()), &text))
            }
            As::Store => return self.store(at, &text),
            As::Table => return self.table(at, &text),
        };
        let Some(written) = written else {
            let finding = self.find(
                Code::Parameter,
                at,
                format!("`{name}` of `{module}` has a strange value"),
            );
            finding.original = text;
            return;
        };
        self.translated += 1;
        let (table, key) = place.split_once('.').unwrap_or((place, ""));
        let lines = self.modules.entry(table.to_owned()).or_default();
        lines.retain(|(known, ..)| known != key);
        lines.push((key.to_owned(), written, at));
    }

    fn no_parameter(&mut self, item: &Node<Item>, module: &str, name: &str, text: &str) {
        let at = item.at;
        let is =
            |(m, p, _): &&(&str, &str, &'static str)| *m == module && (*p == name || *p == "*");
        if let Some((.., reason)) = NO_PARAMETERS.iter().find(is) {
            self.translated += 1;
            let finding =
                self.find(Code::Dropped, at, format!("`{name}` of `{module}` is left out"));
            (*reason).clone_into(&mut finding.help);
            return;
        }
        // A module that has come since this table was written keeps the old names.
        let is_new = self.known.contains(&module) && !PARAMETERS.iter().any(|(m, ..)| *m == module);
        if is_new && name != "db_url" {
            let written = match decimal(text.trim()) {
                Some(number) => number.to_string(),
                None => literal(text),
            };
            self.translated += 1;
            let lines = self.modules.entry(module.to_owned()).or_default();
            lines.retain(|(known, ..)| known != name);
            lines.push((name.to_owned(), written, at));
            return;
        }
        let advice = ADVICE.iter().find(is).map(|(.., advice)| *advice);
        if name == "db_url" && (advice.is_none() || is_new) && text.contains("://") {
            return self.store(at, text);
        }
        let code = match advice {
            Some(advice) if advice.starts_with("not yet") => Code::NotYet,
            _ => Code::Parameter,
        };
        let is_secret = name.contains("pass") || name.contains("secret") || name.contains("url");
        let shown = if is_secret { "…".to_owned() } else { text.chars().take(120).collect() };
        let finding = self.find(code, at, format!("`{name}` of `{module}` has no counterpart"));
        finding.original = format!("modparam(\"{module}\", \"{name}\", {shown})");
        advice.unwrap_or("see the page of the module, or leave it").clone_into(&mut finding.help);
    }

    fn secret(&mut self, at: usize, name: &str, value: &str) -> String {
        if !self.secrets.iter().any(|(known, _)| known == name) {
            self.secrets.push((name.to_owned(), value.to_owned()));
            let finding =
                self.find(Code::Secret, at, format!("a password went to sipjab.env as {name}"));
            finding.help = "keep the file from other users; change the password if others have read the old file".to_owned();
        }
        format!("{{ env = {} }}", literal(name))
    }

    fn store(&mut self, at: usize, url: &str) {
        let url = match url.strip_prefix("sql://") {
            Some(rest) => format!("mysql://{rest}"),
            None => url.to_owned(),
        };
        if !url.starts_with("mysql://") {
            let finding = self.find(Code::Decision, at, "the store is SQLite or MySQL".to_owned());
            finding.help = "copy the tables, then set `[store] url`".to_owned();
            return;
        }
        self.translated += 1;
        let name = "SIPJAB_STORE_URL";
        let known =
            self.secrets.iter().find(|(known, _)| known == name).map(|(_, url)| url.clone());
        match known {
            Some(known) if known != url => {
                let finding = self.find(
                    Code::Decision,
                    at,
                    "a second database: there is one store".to_owned(),
                );
                finding.help = "copy its tables into the first".to_owned();
            }
            Some(_) => {}
            None => {
                self.secret(at, name, &url);
                self.store = Some(at);
            }
        }
    }

    /// `ipban=>size=8;autoexpire=300;`
    fn table(&mut self, at: usize, text: &str) {
        let (name, rest) = text.split_once("=>").unwrap_or((text, ""));
        let mut lines = format!("[[modules.htable.table]]\nname = {}\n", literal(name.trim()));
        for part in rest.split(';') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim() {
                "" | "initkey" | "dmqreplicate" => {}
                // The old size is that of the hash: a power of two.
                "size" => {
                    let entries =
                        value.parse::<u32>().map_or(65_536, |bits| 1_u64 << bits.clamp(10, 20));
                    let _ = writeln!(lines, "size = {entries}");
                }
                "autoexpire" => {
                    let _ = writeln!(lines, "autoexpire = {}", value.parse::<u32>().unwrap_or(0));
                }
                "updateexpire" => {
                    let _ = writeln!(lines, "updateexpire = {}", value != "0");
                }
                "initval" => {
                    let written =
                        value.parse::<i64>().map_or_else(|_| literal(value), |it| it.to_string());
                    let _ = writeln!(lines, "initval = {written}");
                }
                other => {
                    let finding = self.find(
                        Code::Parameter,
                        at,
                        format!("`{other}` of a hash table has no counterpart"),
                    );
                    finding.original = text.to_owned();
                }
            }
        }
        self.translated += 1;
        self.tables.push((lines, at));
    }

    /// The environment file; empty when there are no passwords.
    pub(super) fn environment(&self) -> String {
        self.secrets
            .iter()
            .map(|(name, value)| format!("{name}={}\n", value.replace(['\n', '\r'], "")))
            .collect()
    }

    /// Is there a name that the server answers for?
    pub(super) fn has_domain(&self) -> bool {
        !self.domains.is_empty()
    }

    /// A parameter that the check refuses.
    pub(super) fn refuse(&mut self, at: usize, reason: &str) {
        self.translated = self.translated.saturating_sub(1);
        let finding = self.find(Code::Parameter, at, reason.to_owned());
        finding.help = "it stands in sipjab.toml as a comment".to_owned();
    }
}

fn as_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "enable" => Some(true),
        "no" | "false" | "off" | "disable" | "" => Some(false),
        other => other.parse::<i64>().ok().map(|number| number != 0),
    }
}
