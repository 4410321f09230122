//! CSeq: the number and method of a request (RFC 3261 §20.16).

use super::error::HeaderError;
use super::header::HeaderId;
use super::lex;
use super::method::Method;

/// The value of a CSeq header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads `1*DIGIT LWS Method`.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let malformed = HeaderError::Malformed(HeaderId::CSeq);
        let (digits, method) = lex::split_word(text).ok_or(malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) || !lex::is_token(method.as_bytes()) {
            return Err(malformed);
        }
        let number = lex::number(digits.as_bytes());
        let number = number.ok_or(HeaderError::OutOfRange(HeaderId::CSeq))?;
        Ok(Self { number, method: Method::from_name(method) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_folds_are_read() {
        let cseq = CSeq::parse("0009\r\n  INVITE").unwrap();
        assert_eq!(cseq, CSeq { number: 9, method: Method::Invite });
    }

    #[test]
    fn what_is_too_large_is_told_from_what_is_no_number() {
        let id = HeaderId::CSeq;
        assert_eq!(CSeq::parse("4294967296 ACK"), Err(HeaderError::OutOfRange(id)));
        for bad in ["", "1", "x ACK", "-1 ACK", "1 A(K", "1 A B"] {
            assert_eq!(CSeq::parse(bad), Err(HeaderError::Malformed(id)), "{bad}");
        }
    }
}
