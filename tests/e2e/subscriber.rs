//! A user of ours with a password and a telephone, which answers challenges by itself.

use std::io::{Read, Write};
use std::net::TcpStream;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::phone::{Dialog, Phone};
use crate::process::PATIENCE;
use crate::sip::{Message, cut_message};
use crate::sipjab::Sipjab;

/// The domain of all users.
const DOMAIN: &str = "sip.example";

/// A user.
pub(crate) struct Subscriber {
    pub(crate) phone: Phone,
    pub(crate) name: &'static str,
    pub(crate) password: String,
}

impl Subscriber {
    /// A user whom the database knows.
    pub(crate) fn new(name: &'static str, sipjab: &Sipjab) -> Self {
        Self::with(Phone::bind(), name, sipjab)
    }

    /// A user with this telephone whom the database knows.
    pub(crate) fn with(phone: Phone, name: &'static str, sipjab: &Sipjab) -> Self {
        let password = format!("{name}-secret");
        let ha1 = hex(&Md5::digest(format!("{name}:{DOMAIN}:{password}")));
        sipjab.sql(&format!(
            "INSERT INTO subscriber (username, domain, ha1) VALUES ('{name}', '{DOMAIN}', '{ha1}');"
        ));
        Self { phone, name, password }
    }

    /// The address of record.
    pub(crate) fn address(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.name)
    }

    /// The beginning of a dialog with `uri`, as this user.
    pub(crate) fn dialog(&self, uri: &str) -> Dialog {
        let dialog = Dialog::to(uri);
        let from = dialog.from.replace("sip:a@sip.example", &self.address());
        Dialog { from, to: format!("<{uri}>"), ..dialog }
    }

    /// Registers the telephone for an hour.
    #[track_caller]
    pub(crate) fn register(&mut self, sipjab: &Sipjab) -> Message {
        let (_, answer) = self.ask("REGISTER", &self.registration(), "200 REGISTER", sipjab);
        answer
    }

    /// Registers over a connection, which is closed then.
    pub(crate) fn register_and_leave(&mut self, sipjab: &Sipjab) {
        let mut stream = TcpStream::connect(sipjab.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut ask = |dialog: &Dialog, more: &str| {
            let text = String::from_utf8(self.phone.bytes("REGISTER", dialog, more)).unwrap();
            stream.write_all(text.replace("/UDP", "/TCP").as_bytes()).unwrap();
            let mut buffer = Vec::new();
            loop {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                buffer.push(byte[0]);
                if let Some(message) = cut_message(&mut buffer) {
                    return message;
                }
            }
        };
        let dialog = self.registration();
        let challenge = ask(&dialog, "");
        let credentials = self.credentials(&challenge, "REGISTER", &dialog.uri);
        assert_eq!(ask(&dialog.next(), &credentials).status(), 200);
    }

    /// What a REGISTER of this user says.
    pub(crate) fn registration(&self) -> Dialog {
        Dialog { to: format!("<{}>", self.address()), ..self.dialog("sip:sip.example") }
    }

    /// Sends a request, again with credentials as it is asked to, and waits for `answer`.
    ///
    /// Gives the dialog as the request was sent at last.
    #[track_caller]
    pub(crate) fn ask(
        &mut self,
        method: &str,
        dialog: &Dialog,
        answer: &str,
        sipjab: &Sipjab,
    ) -> (Dialog, Message) {
        let dialog = self.say(method, dialog, sipjab);
        let answer = self.phone.expect(answer);
        (dialog, answer)
    }

    /// The same, without waiting for an answer to the credentials.
    #[track_caller]
    pub(crate) fn say(&mut self, method: &str, dialog: &Dialog, sipjab: &Sipjab) -> Dialog {
        let status = if method == "REGISTER" { 401 } else { 407 };
        self.phone.ask(method, dialog, "", sipjab.udp);
        let challenge = self.phone.expect(&format!("{status} {method}"));
        if method == "INVITE" {
            self.phone.ack_rejection(dialog, &challenge, sipjab.udp);
        }
        let dialog = dialog.next();
        let credentials = self.credentials(&challenge, method, &dialog.uri);
        self.phone.ask(method, &dialog, &credentials, sipjab.udp);
        dialog
    }

    /// The header line that answers a challenge.
    pub(crate) fn credentials(&self, challenge: &Message, method: &str, uri: &str) -> String {
        let (asked, header) = match challenge.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let user = Credentials { username: self.name, password: &self.password, method, uri };
        format!("{header}: {}\r\n", user.answer(challenge.header(asked), "MD5", 1))
    }
}

/// What a digest is made of besides the challenge.
pub(crate) struct Credentials<'c> {
    pub(crate) username: &'c str,
    pub(crate) password: &'c str,
    pub(crate) method: &'c str,
    pub(crate) uri: &'c str,
}

impl Credentials<'_> {
    /// The credentials for a challenge, the `count`th with its nonce.
    pub(crate) fn answer(&self, challenge: &str, algorithm: &str, count: u32) -> String {
        let hash: fn(&str) -> String = match algorithm {
            "MD5" => |text| hex(&Md5::digest(text)),
            _ => |text| hex(&Sha256::digest(text)),
        };
        let Self { username, password, method, uri } = self;
        let nonce = parameter(challenge, "nonce");
        let a1 = hash(&format!("{username}:{DOMAIN}:{password}"));
        let a2 = hash(&format!("{method}:{uri}"));
        let response = hash(&format!("{a1}:{nonce}:{count:08x}:cn:auth:{a2}"));
        format!(
            "Digest username=\"{username}\",realm=\"{DOMAIN}\",nonce=\"{nonce}\",\
             uri=\"{uri}\",response=\"{response}\",algorithm={algorithm},cnonce=\"cn\",\
             qop=auth,nc={count:08x}"
        )
    }
}

/// A quoted parameter of a challenge.
pub(crate) fn parameter<'c>(challenge: &'c str, name: &str) -> &'c str {
    let behind = challenge.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
    behind.split('"').next().unwrap_or_default()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
