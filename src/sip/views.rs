//! Typed views of the headers that every hop reads.

use super::cseq::CSeq;
use super::error::{HeaderError, UriError};
use super::header::HeaderId;
use super::lex;
use super::message::{Header, Kind, Memo, Message};
use super::method::Method;
use super::name_addr::{AddressPlaces, NameAddr};
use super::uri::Uri;
use super::via::Via;

impl Message {
    /// The method: a request's from its start line, a reply's from its CSeq.
    pub fn method(&self) -> Method<'_> {
        match self.start.kind {
            Kind::Request { method, .. } => Method::from_name(self.str_at(method)),
            Kind::Reply { .. } => self.cseq().map_or(Method::Other(""), |cseq| cseq.method),
        }
    }

    /// The Request-URI, read; an error for a reply.
    pub fn uri(&self) -> Result<Uri<'_>, UriError> {
        let Kind::Request { uri, .. } = self.start.kind else { return Err(UriError::Scheme) };
        self.view(&self.read.request_uri, uri, Uri::parse).unwrap_or(Err(UriError::Scheme))
    }

    /// The topmost Via value.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderError> {
        let missing = HeaderError::Missing(HeaderId::Via);
        let first = || Via::parse(self.texts(HeaderId::Via).next().ok_or(missing)??);
        let line = self.line_of(HeaderId::Via)?.value_span();
        // The first value may stand on another line, behind an empty one; then it has no place on this.
        self.view(&self.read.top_via, line, |_| first()).unwrap_or_else(first)
    }

    /// Every Via value, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, HeaderError>> {
        self.texts(HeaderId::Via).map(|value| Via::parse(value?))
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.address(HeaderId::From, &self.read.from)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.address(HeaderId::To, &self.read.to)
    }

    /// Call-ID, one word without white space.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        let value = self.required(HeaderId::CallId)?;
        match value.is_empty() || value.bytes().any(lex::is_lws) {
            true => Err(HeaderError::Malformed(HeaderId::CallId)),
            false => Ok(value),
        }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq<'_>, HeaderError> {
        CSeq::parse(self.required(HeaderId::CSeq)?)
    }

    /// Max-Forwards, 0 to 255 (RFC 3261 §20.22).
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        let id = HeaderId::MaxForwards;
        let number = self.number(id)?;
        number.map(u8::try_from).transpose().map_err(|_| HeaderError::OutOfRange(id))
    }

    /// Expires in seconds (RFC 3261 §20.19).
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.number(HeaderId::Expires)
    }

    /// Every Contact value.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(HeaderId::Contact)
    }

    /// Every address of a header that lists addresses, such as Route, Record-Route, Path or Contact.
    pub fn addresses(
        &self,
        id: HeaderId,
    ) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.texts(id).map(move |value| NameAddr::parse(id, value?))
    }

    /// A header that is one decimal number.
    pub fn number(&self, id: HeaderId) -> Result<Option<u32>, HeaderError> {
        let Some(value) = self.header(id) else { return Ok(None) };
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(HeaderError::Malformed(id));
        }
        lex::number(value).map(Some).ok_or(HeaderError::OutOfRange(id))
    }

    fn address<'m>(
        &'m self,
        id: HeaderId,
        memo: &Memo<AddressPlaces>,
    ) -> Result<NameAddr<'m>, HeaderError> {
        let read = |text| NameAddr::parse(id, text).map(NameAddr::with_parsed_uri);
        let value = self.line_of(id)?.value_span();
        self.view(memo, value, read).unwrap_or(Err(HeaderError::NotUtf8(id)))
    }

    fn required(&self, id: HeaderId) -> Result<&str, HeaderError> {
        self.value_text(self.line_of(id)?)
    }

    fn line_of(&self, id: HeaderId) -> Result<&Header, HeaderError> {
        self.headers.iter().find(|header| header.id == id).ok_or(HeaderError::Missing(id))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// The Request-URI's user, the top Via's host, and the users of From and To.
    fn seen(message: &Message) -> Vec<String> {
        let user = |uri: Result<Uri<'_>, _>| uri.unwrap().user().unwrap_or_default().to_owned();
        let (from, to) = (message.from().unwrap(), message.to().unwrap());
        let host = message.top_via().unwrap().host.to_owned();
        vec![user(message.uri()), host, user(from.parsed_uri()), user(to.parsed_uri())]
    }

    #[test]
    fn a_view_is_of_the_value_that_stands_there_now() {
        let text = "MESSAGE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP one, SIP/2.0/UDP two\r\n\
            From: <sip:b@h>;tag=1\r\nTo: sip:c@h\r\n\r\n";
        let mut message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        for _ in 0..2 {
            assert_eq!(seen(&message), ["a", "one", "b", "c"]);
        }
        let before = message.clone();
        message.set_request_uri("sip:new@h").unwrap();
        assert_eq!(seen(&message), ["new", "one", "b", "c"]);
        message.pop_via();
        assert_eq!(seen(&message), ["new", "two", "b", "c"]);
        message.set_header("From", "<sip:x@h>;tag=2").unwrap();
        message.set_header("To", "\"C\" <sip:y@h>").unwrap();
        for _ in 0..2 {
            assert_eq!(seen(&message), ["new", "two", "x", "y"]);
        }
        assert_eq!(message.from().unwrap().tag(), Some("2"));
        assert_eq!(seen(&before), ["a", "one", "b", "c"]);
    }

    #[test]
    fn the_first_via_may_stand_behind_an_empty_line() {
        let text = "X sip:a SIP/2.0\r\nVia:\r\nVia: SIP/2.0/UDP one\r\n\r\n";
        let mut message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        assert_eq!(message.top_via().unwrap().host, "one");
        assert!(message.pop_via());
        assert_eq!(message.top_via().unwrap().host, "one");
        assert!(message.pop_via());
        assert!(message.top_via().is_err());
    }
}
