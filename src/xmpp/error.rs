//! Stanza errors: read from what a peer returned, written as a reply.

use super::condition::{Condition, ErrorType};
use super::ns;
use super::stanza::{Kind, Stanza};
use super::writer::Writer;

/// The `<error/>` of a stanza (RFC 6120 §8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender may do about it.
    pub error_type: ErrorType,
    /// What went wrong.
    pub condition: Condition,
    /// The new address, with `gone` and `redirect`: a URI.
    pub address: Option<String>,
    /// A description for people.
    pub text: Option<String>,
    /// Who found the error, if that was not the addressee.
    pub by: Option<String>,
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        let error_type = condition.error_type();
        Self { error_type, condition, address: None, text: None, by: None }
    }
}

impl StanzaError {
    /// The same error with a description.
    pub fn with_text(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    /// The same error with another type than the usual one.
    pub fn with_type(self, error_type: ErrorType) -> Self {
        Self { error_type, ..self }
    }

    /// The error that `stanza` carries; `None` if its type is not `error`.
    ///
    /// An error without a condition is read by its legacy code (XEP-0086).
    pub fn read(stanza: &Stanza) -> Option<Self> {
        if !stanza.is_error() {
            return None;
        }
        let Some(payload) = stanza.child("error") else {
            return Some(Condition::UndefinedCondition.into());
        };
        let tree = payload.tree();
        let error = tree.root();
        let defined = error.children().find_map(|child| {
            let known = Condition::from_name(child.name())?;
            (child.namespace() == ns::STANZA_ERRORS).then_some((known, child.text()))
        });
        let code = error.attribute("code").and_then(|code| code.parse().ok());
        let (condition, address) = defined.unwrap_or_else(|| {
            let condition = code.and_then(Condition::from_legacy_code);
            (condition.unwrap_or(Condition::UndefinedCondition), String::new())
        });
        // COMPAT(jabberd, 1.4): the description is the element's own text.
        let legacy_text = Some(error.text()).filter(|text| !text.trim().is_empty());
        let text = error.child("text", ns::STANZA_ERRORS).map(|text| text.text());
        Some(Self {
            error_type: error
                .attribute("type")
                .and_then(ErrorType::from_name)
                .unwrap_or(condition.error_type()),
            condition,
            address: Some(address).filter(|address| !address.is_empty()),
            text: text.or(legacy_text),
            by: error.attribute("by").map(str::to_owned),
        })
    }

    /// The reply that returns `stanza` with this error, or `None` if it may not be answered:
    /// errors and results are not (RFC 6120 §8.3.1), and nothing but stanzas is.
    pub fn reply_to(&self, stanza: &Stanza) -> Option<Vec<u8>> {
        let name = match stanza.kind() {
            Kind::Message => "message",
            Kind::Presence => "presence",
            Kind::Iq => "iq",
            Kind::Nonza => return None,
        };
        if matches!(stanza.type_attribute().as_deref(), Some("error" | "result")) {
            return None;
        }
        let mut out = Vec::with_capacity(256);
        let mut writer = Writer::new(&mut out);
        writer
            .start(name)
            .attr("type", "error")
            .attr_if("to", stanza.from().as_deref())
            .attr_if("from", stanza.to().as_deref())
            .attr_if("id", stanza.id().as_deref());
        self.write(&mut writer);
        writer.finish();
        Some(out)
    }

    /// Writes the `<error/>` element.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer
            .start("error")
            .attr("type", self.error_type.name())
            .attr("code", &self.condition.legacy_code().to_string())
            .attr_if("by", self.by.as_deref())
            .start_in(self.condition.name(), ns::STANZA_ERRORS);
        let takes_address = matches!(self.condition, Condition::Gone | Condition::Redirect);
        if let Some(address) = self.address.as_deref().filter(|_| takes_address) {
            writer.text(address);
        }
        writer.end();
        if let Some(text) = &self.text {
            writer.start_in("text", ns::STANZA_ERRORS).text(text).end();
        }
        writer.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::ns::ContentNamespace::Client;

    fn reply(error: StanzaError, stanza: &str) -> Option<String> {
        let stanza = Stanza::parse(stanza, Client).unwrap();
        error.reply_to(&stanza).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_written_can_be_read() {
        for condition in Condition::ALL {
            let mut error = StanzaError::from(*condition).with_text("a < b");
            error.by = Some("example.com".into());
            if matches!(condition, Condition::Gone | Condition::Redirect) {
                error.address = Some("xmpp:new@example.com".into());
            }
            let text = reply(error.clone(), "<message from='a@x' to='b@y' id='1'/>").unwrap();
            let stanza = Stanza::parse(&text, Client).unwrap();
            assert_eq!(StanzaError::read(&stanza), Some(error));
            assert_eq!(stanza.to().unwrap(), "a@x");
            assert_eq!(stanza.from().unwrap(), "b@y");
            assert_eq!(stanza.id().unwrap(), "1");
        }
    }

    /// RFC 6120 §8.3.1 rule 4.
    #[test]
    fn s8_3_1_errors_and_results_are_not_answered() {
        let error = StanzaError::from(Condition::BadRequest);
        assert_eq!(reply(error.clone(), "<message type='error'/>"), None);
        assert_eq!(reply(error.clone(), "<iq type='result'/>"), None);
        assert_eq!(reply(error, "<stream:error/>"), None);
    }

    #[test]
    fn a_legacy_code_alone_is_understood() {
        let text = "<message type='error'><error code='404'>Not Found</error></message>";
        let error = StanzaError::read(&Stanza::parse(text, Client).unwrap()).unwrap();
        assert_eq!(error.condition, Condition::ItemNotFound);
        assert_eq!(error.error_type, ErrorType::Cancel);
        assert_eq!(error.text.as_deref(), Some("Not Found"));
    }

    #[test]
    fn an_error_without_anything_is_an_undefined_condition() {
        let stanza = Stanza::parse("<iq type='error'/>", Client).unwrap();
        let error = StanzaError::read(&stanza).unwrap();
        assert_eq!(error.condition, Condition::UndefinedCondition);
        let stanza = Stanza::parse("<iq type='get'/>", Client).unwrap();
        assert_eq!(StanzaError::read(&stanza), None);
    }
}
