//! The text of `sipjab.toml`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::text::literal;
use super::{Origins, Settings};

impl Settings<'_> {
    /// The configuration, and where its lines come from; lines whose place is `banned` become comments.
    ///
    /// With `are_secrets_inside`, passwords stand in it as a check wants them.
    pub(in super::super) fn render(
        &self,
        name: &str,
        banned: &BTreeSet<usize>,
        are_secrets_inside: bool,
    ) -> (String, Origins) {
        let mut out = format!(
            "# From {name}. What the keys mean: README.md and modules/*/README.md of sipjab.\n\nscript = \"route.rhai\"\n"
        );
        let mut origins = Origins::new();
        self.sip(&mut out);
        if self.store.is_some() {
            let _ = write!(out, "\n[store]\nurl = {{ env = \"SIPJAB_STORE_URL\" }}\n");
        }
        if let Some(level) = self.level {
            let _ = write!(out, "\n[log]\nlevel = \"{level}\"\n");
        }
        for (module, lines) in &self.modules {
            let _ = write!(out, "\n[modules.{module}]\n");
            let mut lines = lines.clone();
            if module == "xmpp" {
                lines.extend(self.xmpp_dialect(&lines));
            }
            for (key, value, at) in &lines {
                origins.insert(out.matches('\n').count() + 1, *at);
                let comment = if banned.contains(at) { "# " } else { "" };
                let _ = writeln!(out, "{comment}{key} = {value}");
            }
        }
        for (table, at) in &self.tables {
            let first = out.matches('\n').count() + 2;
            let is_banned = banned.contains(at);
            out.push('\n');
            for (index, line) in table.lines().enumerate() {
                origins.insert(first + index, *at);
                let comment = if is_banned { "# " } else { "" };
                let _ = writeln!(out, "{comment}{line}");
            }
        }
        if are_secrets_inside {
            for (name, value) in &self.secrets {
                out = out.replace(&format!("{{ env = {} }}", literal(name)), &literal(value));
            }
        }
        (out, origins)
    }

    fn sip(&self, out: &mut String) {
        let _ = write!(out, "\n[sip]\n");
        let listen = match self.listen.is_empty() {
            true if self.port != 5060 => {
                vec![format!("udp:0.0.0.0:{}", self.port), format!("tcp:0.0.0.0:{}", self.port)]
            }
            _ => self.listen.clone(),
        };
        if !listen.is_empty() {
            let _ = writeln!(out, "listen = [{}]", list(&listen));
        }
        if !self.domains.is_empty() {
            let _ = writeln!(out, "domains = [{}]", list(&self.domains));
        }
        for (key, value) in &self.headers {
            let _ = writeln!(out, "{key} = {}", literal(value));
        }
    }

    /// How the old module wrote addresses.
    fn xmpp_dialect(&self, lines: &[(String, String, usize)]) -> Vec<(String, String, usize)> {
        let has = |key: &str| lines.iter().any(|(known, ..)| known == key);
        let dialect = match has("sip_domain") {
            true => "opensips",
            false if has("gateway_domain") || has("gwmap") => "kamailio",
            false => return Vec::new(),
        };
        vec![
            ("dialect".to_owned(), literal(dialect), usize::MAX),
            ("profile".to_owned(), literal("legacy"), usize::MAX),
        ]
    }
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| literal(item)).collect::<Vec<_>>().join(", ")
}
