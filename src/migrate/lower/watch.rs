//! What is worth telling though it is translated: second replies, edits before questions, searches of everything.

use super::super::dialect::Dialect;
use super::super::finding::Code;
use super::super::tree::{Call, Expr, Expression};
use super::super::variable::Variable;
use super::Lowering;

impl Lowering<'_> {
    /// Looks at an assignment: a variable that held several values gave the older one back when the newest was taken away.
    pub(super) fn watch_values(
        &mut self,
        at: usize,
        written: &str,
        variable: &Variable,
        operator: &str,
        value: &Expr,
    ) {
        let is_null = matches!(&value.it, Expression::Variable(written) if written == "$null");
        let has_values = variable.name == "avp" && self.world.dialect != Dialect::Ser2;
        if !is_null || !has_values || operator != "=" {
            return;
        }
        let behind = self.world.source.text.split(written).skip(1).map(str::trim_start);
        let is_given = |rest: &&str| {
            rest.strip_prefix('=').is_some_and(|rest| {
                !rest.starts_with(['=', '~']) && !rest.trim_start().starts_with("$null")
            })
        };
        if behind.filter(is_given).count() < 2 {
            return;
        }
        let message = format!("`{written}` is given several values, and has the newest only");
        let finding = self.find(Code::Values, at, message);
        finding.help = "with `= $null` it has none; the old program had the one before".to_owned();
    }

    /// Looks at a call that was translated.
    pub(super) fn watch(&mut self, at: usize, call: &Call) {
        let first = call.arguments.first().and_then(|argument| self.plain_text(argument));
        match call.name.as_str() {
            "save" | "save_contacts" => self.here.has_saved = true,
            "sl_send_reply" | "sl_reply" | "send_reply" | "t_reply" if self.here.has_saved => {
                let finding = self.find(Code::DoubleReply, at, "`save()` has replied already");
                finding.help = "remove this reply; the second one is not sent".to_owned();
            }
            "search" => {
                let finding = self.find(
                    Code::RawSearch,
                    at,
                    "this searches the whole message, headers and body",
                );
                finding.help =
                    "`search_hf` or `search_body` may say better what is meant".to_owned();
            }
            "append_hf" | "insert_hf" | "remove_hf" | "subst" => {
                let name = first.unwrap_or_default();
                let name = name.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
                self.here.edited.insert(name);
            }
            "is_present_hf" => self.watch_header(at, &first.unwrap_or_default()),
            _ => {}
        }
    }

    /// Looks at a header that is read.
    pub(super) fn watch_header(&mut self, at: usize, name: &str) {
        let name = name.trim_matches('"').to_ascii_lowercase();
        if self.here.edited.contains(&name) {
            let message = format!(
                "header `{name}` was edited before: the old program still saw it as it came"
            );
            let finding = self.find(Code::EditOrder, at, message);
            finding.help = "every edit is seen at once here; ask before you edit".to_owned();
        }
    }
}
