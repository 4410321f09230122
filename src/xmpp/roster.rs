//! The contacts of an account (RFC 6121 §2), as far as they tell who may be written to.

use super::jid::{self, Jid};
use super::ns;
use super::stanza::{Kind, Stanza};

/// One contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose entry it is.
    pub jid: Jid,
    /// `none`, `to`, `from`, `both`, or `remove` in a push.
    pub subscription: String,
}

/// The contacts that a roster result or a push names; `None` when the stanza is neither.
///
/// Who sent it is for the caller to judge: a push counts only from the own account (RFC 6121 §2.1.6).
pub fn read(stanza: &Stanza) -> Option<Vec<Item>> {
    let query = stanza.payload("query", ns::ROSTER).filter(|_| stanza.kind() == Kind::Iq)?;
    if !matches!(stanza.type_attribute().as_deref(), Some("result" | "set")) {
        return None;
    }
    let tree = query.tree();
    let items = tree.root().children().filter(|child| child.is("item", ns::ROSTER));
    let item = |item: super::Element<'_>| {
        let jid = jid::parse(item.attribute("jid")?).ok()?;
        Some(Item {
            jid,
            subscription: item.attribute("subscription").unwrap_or("none").to_owned(),
        })
    };
    Some(items.filter_map(item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::ns::ContentNamespace::Client;

    #[test]
    fn contacts_are_read_and_what_is_no_address_is_left_out() {
        let text = "<iq type='result'><query xmlns='jabber:iq:roster'>\
            <item jid='icq.x.com' subscription='from'/><item jid='@'/>\
            <item jid='a@b'/></query></iq>";
        let items = read(&Stanza::parse(text, Client).unwrap()).unwrap();
        let shown: Vec<_> =
            items.iter().map(|item| format!("{} {}", item.jid, item.subscription)).collect();
        assert_eq!(shown, ["icq.x.com from", "a@b none"]);
        let get = text.replace("result", "get");
        assert_eq!(read(&Stanza::parse(&get, Client).unwrap()), None);
    }
}
