//! What SER's module `jabber` could do without, and ours cannot.

use super::super::finding::Code;
use super::super::text::literal;
use super::super::tree::{Expression, Item, Node};
use super::Settings;

/// Stands where nothing in the old file tells a domain.
const NO_DOMAIN: &str = "jabber.invalid";

impl Settings<'_> {
    /// Gives `jdomain` a value where the old file has none, and asks for the right one.
    pub(super) fn jabber_domain(&mut self, items: &[Node<Item>]) {
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
