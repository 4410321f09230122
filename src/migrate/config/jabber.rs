//! What SER's module `jabber` could do without, and ours cannot.

use super::super::finding::Code;
use super::super::text::literal;
use super::super::tree::{Expression, Item, Node};
use super::Settings;

/// Stands where nothing in the old file tells a domain.
const NO_DOMAIN: &str = "jabber.invalid";

impl Settings<'_> {
    /// Keeps the habits of the old module, and gives `jdomain` a value where the old file has none.
    pub(super) fn jabber(&mut self, items: &[Node<Item>]) {
        let is_ours = |item: &&Node<Item>| match &item.it {
            Item::Module(path) => path.ends_with("jabber.so") || path == "jabber",
            Item::Parameter { modules, .. } => {
                matches!(&modules.it, Expression::Text { raw, .. } if raw == "jabber")
            }
            _ => false,
        };
        let place = items.iter().find(is_ours).map(|item| item.at);
        let place = place.or_else(|| self.source.text.find("jab_"));
        let Some(at) = place else { return };
        let lines = self.modules.entry("jabber".to_owned()).or_default();
        lines.push(("profile".to_owned(), literal("ser"), usize::MAX));
        let message = "SER's habits are kept: TLS where the server offers it, true as soon as a message is taken";
        let finding = self.find(Code::Profile, at, message.to_owned());
        "without `profile = \"ser\"` there is TLS always, and 200 means that the server has the message"
            .clone_into(&mut finding.help);
        let lines = self.modules.entry("jabber".to_owned()).or_default();
        if lines.iter().any(|(key, ..)| key == "jdomain") {
            return;
        }
        let address = lines.iter().find(|(key, ..)| key == "jaddress").map(|(_, value, _)| value);
        let name = address.map(|value| value.trim_matches('"'));
        let name = name.filter(|name| name.contains(|letter: char| letter.is_ascii_alphabetic()));
        let domain = name.unwrap_or(NO_DOMAIN).to_owned();
        lines.push(("jdomain".to_owned(), literal(&domain), usize::MAX));
        let finding = self.find(
            Code::Decision,
            at,
            format!("`jdomain` is missing: `{domain}` stands in its place"),
        );
        "write the SIP domain of the Jabber network into `[modules.jabber]`: what users write behind the @"
            .clone_into(&mut finding.help);
    }
}
