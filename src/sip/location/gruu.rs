//! Addresses of one instance of a user agent: public GRUUs (RFC 5627 §3.1.1).

use crate::sip::{Uri, unescape_text};

/// The URN in the value of `+sip.instance`: `<urn:uuid:…>`.
fn urn(instance: &str) -> &str {
    instance.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(instance)
}

/// May it stand in a URI parameter without an escape (RFC 3261 §25.1, `paramchar`)?
fn is_param_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&byte)
}

/// The public GRUU of an instance at an address of record; `None` for an instance that is no plain URN.
pub(super) fn public(address: &str, instance: &str) -> Option<String> {
    let urn = urn(instance);
    let is_plain = !urn.is_empty() && urn.bytes().all(is_param_byte);
    is_plain.then(|| format!("sip:{address};gr={urn}"))
}

/// What the `gr` parameter of a URI says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gruu<'a> {
    /// There is none: every instance is meant.
    None,
    /// A temporary one, which says what it means in its user.
    Temporary,
    /// The instance that a public one names.
    Public(std::borrow::Cow<'a, str>),
}

impl<'a> Gruu<'a> {
    pub(super) fn of(uri: &Uri<'a>) -> Self {
        match uri.params().find("gr").map(|param| param.value) {
            None => Self::None,
            Some(None | Some("")) => Self::Temporary,
            Some(Some(value)) => Self::Public(unescape_text(value)),
        }
    }

    /// Is this instance meant? The case of a URN's letters does not count.
    pub(super) fn means(&self, instance: Option<&str>) -> bool {
        match self {
            Self::None => true,
            Self::Temporary => false,
            Self::Public(wanted) => {
                instance.is_some_and(|instance| urn(instance).eq_ignore_ascii_case(wanted))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5627_s3_1_1_a_public_gruu_names_the_instance() {
        let instance = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";
        let gruu = public("alice@sip.example", instance).unwrap();
        assert_eq!(gruu, "sip:alice@sip.example;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
        let uri = Uri::parse(&gruu).unwrap();
        assert!(Gruu::of(&uri).means(Some(instance)));
        assert!(Gruu::of(&uri).means(Some(&instance.to_uppercase())));
        assert!(!Gruu::of(&uri).means(Some("<urn:uuid:0>")) && !Gruu::of(&uri).means(None));
    }

    #[test]
    fn a_uri_without_gr_means_all_and_a_temporary_one_nobody() {
        let means = |text: &str| {
            let uri = Uri::parse(text).unwrap();
            Gruu::of(&uri).means(None)
        };
        assert!(means("sip:a@h") && !means("sip:a@h;gr") && !means("sip:a@h;gr=x"));
        assert_eq!(public("a@h", "<a;b>"), None);
    }
}
