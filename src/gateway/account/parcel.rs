//! What the spool keeps of a message of an account: the message itself behind a few lines about it.

use std::borrow::Cow;

use bytes::Bytes;

/// A MESSAGE of a SIP user that leaves from his account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The SIP URI that he wrote to, from which he hears of a failure.
    pub address: String,
    /// The JID that it leads to.
    pub to: String,
    /// That is a room.
    pub is_room: bool,
    /// The request.
    pub request: Bytes,
}

/// A stanza that has come to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The SIP URI that it comes from.
    pub from: String,
    /// What stands before its text.
    pub prefix: String,
    /// Its sender may hear of a failure.
    pub bounces: bool,
    /// The stanza.
    pub stanza: Bytes,
}

const YES: &str = "yes";
const NO: &str = "no";

impl Written {
    /// As it is kept.
    pub fn to_bytes(&self) -> Bytes {
        let is_room = if self.is_room { YES } else { NO };
        pack([&self.address, &self.to, is_room], &self.request)
    }

    /// As it was kept.
    pub fn read(bytes: &Bytes) -> Option<Self> {
        let ([address, to, is_room], request) = unpack(bytes)?;
        Some(Self { address, to, is_room: is_room == YES, request })
    }
}

impl Received {
    /// As it is kept.
    pub fn to_bytes(&self) -> Bytes {
        let bounces = if self.bounces { YES } else { NO };
        pack([&self.from, &self.prefix, bounces], &self.stanza)
    }

    /// As it was kept.
    pub fn read(bytes: &Bytes) -> Option<Self> {
        let ([from, prefix, bounces], stanza) = unpack(bytes)?;
        Some(Self { from, prefix, bounces: bounces == YES, stanza })
    }
}

fn pack(lines: [&str; 3], message: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(message.len() + 100);
    for line in lines {
        bytes.extend_from_slice(one_line(line).as_bytes());
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(message);
    bytes.into()
}

fn unpack(bytes: &Bytes) -> Option<([String; 3], Bytes)> {
    let mut rest = bytes.clone();
    let mut lines = [const { String::new() }; 3];
    for line in &mut lines {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        *line = as_written(std::str::from_utf8(&rest[..end]).ok()?);
        rest = rest.slice(end + 1..);
    }
    Some((lines, rest))
}

/// Text with its line ends escaped.
fn one_line(text: &str) -> Cow<'_, str> {
    match text.contains(['\\', '\n']) {
        true => text.replace('\\', "\\\\").replace('\n', "\\n").into(),
        false => text.into(),
    }
}

fn as_written(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next() == Some('n') => text.push('\n'),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whatever_stands_in_it() {
        let request = Bytes::from_static(b"MESSAGE sip:a@b SIP/2.0\r\n\r\n\nyes\n");
        let (address, to) = ("sip:b*x@j".to_owned(), "b@x".to_owned());
        let written = Written { address, to, is_room: true, request };
        assert_eq!(Written::read(&written.to_bytes()), Some(written));
        let stanza = Bytes::from_static(b"<message/>");
        for prefix in ["", "[a\nb] ", "\\n", "\\", "\\\n\\"] {
            let (from, prefix) = ("sip:b*x@j".to_owned(), prefix.to_owned());
            let received = Received { from, prefix, bounces: false, stanza: stanza.clone() };
            assert_eq!(Received::read(&received.to_bytes()), Some(received));
        }
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(Written::read(&Bytes::from_static(b"sip:a\nb@x\nno")), None);
        assert_eq!(Received::read(&Bytes::new()), None);
        assert_eq!(Received::read(&Bytes::from_static(b"\xff\n\n\n")), None);
    }
}
