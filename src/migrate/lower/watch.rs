//! What is worth telling though it is translated: second replies, searches of everything.

use super::super::finding::Code;
use super::super::tree::Call;
use super::Lowering;

impl Lowering<'_> {
    /// Looks at a call that was translated.
    pub(super) fn watch(&mut self, at: usize, call: &Call) {
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
            _ => {}
        }
    }
}
