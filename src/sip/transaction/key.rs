//! How messages find their transaction: requests by a hash of what identifies them
//! (RFC 3261 §17.2.3), responses by the branch that we wrote ourselves (§17.1.3).

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use smallvec::SmallVec;

use crate::sip::{Message, Method, Via, hex};

/// What every branch of an RFC 3261 element begins with.
const COOKIE: &str = "z9hG4bK";

/// The identity of a server transaction: equal keys, same transaction.
///
/// 128 bits of two secretly keyed hashes, so that nobody can make two requests collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey(u64, u64);

/// What identifies a request whose branch does not (RFC 3261 §17.2.3, second half).
#[derive(Clone, Copy, Debug)]
pub struct Rfc2543<'a> {
    /// The Request-URI as written.
    pub request_uri: &'a str,
    /// The tag of To; not looked at in INVITE and ACK, where only the ACK has ours.
    pub to_tag: Option<&'a str>,
    /// The tag of From.
    pub from_tag: Option<&'a str>,
    /// The Call-ID.
    pub call_id: &'a str,
    /// The number in CSeq.
    pub cseq: u32,
    /// The method; ACK finds INVITE.
    pub method: &'a str,
    /// The topmost Via as written.
    pub top_via: &'a str,
}

/// The secret that keys are hashed with; clones make equal keys.
#[derive(Clone, Debug, Default)]
pub struct KeySeed {
    high: RandomState,
    low: RandomState,
}

impl KeySeed {
    /// A fresh secret; one for the process, cloned for each worker.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of the transaction that `request` belongs to, or `None` for a request that cannot have one.
    ///
    /// `via` is its topmost. `method` is that of the transaction's request: the request's own, or for a CANCEL
    /// that of what it cancels, which is [`Method::Invite`] (RFC 3261 §9.2). ACK leads to its INVITE anyhow.
    pub fn of(&self, request: &Message, via: &Via<'_>, method: Method<'_>) -> Option<ServerKey> {
        let branch = via.branch.unwrap_or_default();
        let (host, port) = via.sent_by();
        self.by_branch(branch, host, port, method.as_str()).or_else(|| {
            Some(self.by_fields(&Rfc2543 {
                request_uri: request.request_uri(),
                to_tag: request.to().ok().and_then(|to| to.tag()),
                from_tag: request.from().ok().and_then(|from| from.tag()),
                call_id: request.call_id().ok()?,
                cseq: request.cseq().ok()?.number,
                method: method.as_str(),
                top_via: via.as_str(),
            }))
        })
    }

    /// The key by branch, sent-by and method, or `None` if the branch identifies nothing: it
    /// lacks the magic cookie or has nothing behind it (RFC 4475 §3.2.1).
    ///
    /// ACK gets its INVITE's key. A CANCEL has its own; the key of what it cancels is the one with
    /// that request's method.
    pub fn by_branch(
        &self,
        branch: &str,
        host: &str,
        port: Option<u16>,
        method: &str,
    ) -> Option<ServerKey> {
        let (cookie, unique) = branch.split_at_checked(COOKIE.len())?;
        if !cookie.eq_ignore_ascii_case(COOKIE) || unique.is_empty() {
            return None;
        }
        let mut fields = Fields::new();
        fields.add(unique);
        fields.add_lowercase(host);
        fields.add_number(port.map_or(0, |port| 1 << 16 | u32::from(port)));
        fields.add(creator(method));
        Some(self.key(&fields))
    }

    /// The key by the fields that RFC 2543 compared.
    pub fn by_fields(&self, request: &Rfc2543<'_>) -> ServerKey {
        let method = creator(request.method);
        let to_tag = request.to_tag.filter(|_| method != "INVITE");
        let mut fields = Fields::new();
        for field in [to_tag, request.from_tag] {
            fields.add_number(u32::from(field.is_some()));
            fields.add(field.unwrap_or_default());
        }
        for field in [request.request_uri, request.call_id, method, request.top_via] {
            fields.add(field);
        }
        fields.add_number(request.cseq);
        self.key(&fields)
    }

    fn key(&self, fields: &Fields) -> ServerKey {
        ServerKey(self.high.hash_one(&fields.0[..]), self.low.hash_one(&fields.0[..]))
    }
}

/// What a key is made of, in one piece, since it is hashed twice.
struct Fields(SmallVec<[u8; 256]>);

impl Fields {
    /// Room for those of most requests.
    fn new() -> Self {
        Self(SmallVec::new())
    }

    /// A text with its length in front, so that none runs into the next.
    fn add(&mut self, text: &str) {
        self.add_number(text.len() as u32);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A host name; they are compared without case.
    fn add_lowercase(&mut self, host: &str) {
        self.add(host);
        let start = self.0.len() - host.len();
        self.0[start..].make_ascii_lowercase();
    }

    fn add_number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_ne_bytes());
    }
}

/// The method of the request that created the transaction.
fn creator(method: &str) -> &str {
    if method == "ACK" { "INVITE" } else { method }
}

/// The hasher for tables of [`ServerKey`] and of [`Branch`]: both are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, half: u64) {
        self.0 ^= half;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

/// The identity of a client transaction of ours: what travels in the Via branch parameter, and whether it is the
/// CANCEL that shares this parameter with its INVITE (RFC 3261 §17.1.3).
///
/// Its text is the magic cookie, the worker, the transaction and a seal, all of fixed width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    worker: u16,
    id: u64,
    seal: u64,
    is_cancel: bool,
}

impl Branch {
    /// How long the text is.
    pub const LEN: usize = SEAL + 16;
    /// Where the digits of the worker begin in the text.
    pub const WORKER_AT: usize = WORKER;

    /// The digits of a worker, as they stand in the text.
    pub fn worker_digits(worker: u16) -> [u8; ID - WORKER] {
        let mut digits = [0; ID - WORKER];
        hex::write(&mut digits, u64::from(worker));
        digits
    }

    /// The worker that the transaction lives on.
    pub fn worker(&self) -> u16 {
        self.worker
    }

    /// The transaction on that worker.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The transaction of the CANCEL for this one's request; its text is the same.
    #[must_use]
    pub fn of_cancel(self) -> Self {
        Self { is_cancel: true, ..self }
    }

    /// The transaction of the INVITE that this one's CANCEL is for; itself for any other.
    #[must_use]
    pub fn of_cancelled(self) -> Self {
        Self { is_cancel: false, ..self }
    }

    /// Whether it is the transaction of a CANCEL.
    pub fn is_cancel(&self) -> bool {
        self.is_cancel
    }

    /// The text in one piece of the stack.
    pub fn text(&self) -> BranchText {
        let mut text = [0; Self::LEN];
        text[..WORKER].copy_from_slice(COOKIE.as_bytes());
        text[WORKER..ID].copy_from_slice(&Self::worker_digits(self.worker));
        hex::write(&mut text[ID..SEAL], self.id);
        hex::write(&mut text[SEAL..], self.seal);
        BranchText(text)
    }
}

/// The seal is a hash already, of the rest.
impl Hash for Branch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.seal ^ u64::from(self.is_cancel));
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_ref())
    }
}

// Where the parts of the text begin.
const WORKER: usize = COOKIE.len();
const ID: usize = WORKER + 4;
const SEAL: usize = ID + 16;

/// A [`Branch`] written out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BranchText([u8; Branch::LEN]);

impl AsRef<str> for BranchText {
    fn as_ref(&self) -> &str {
        hex::text(&self.0)
    }
}

impl fmt::Debug for BranchText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_ref())
    }
}

/// Makes branches and knows them again; clones know each other's.
///
/// A branch carries a seal under a secret of this process, so a response to a request that we
/// did not send, or sent before a restart, is recognized without a look into any table.
#[derive(Clone, Debug, Default)]
pub struct BranchMint {
    secret: RandomState,
}

impl BranchMint {
    /// A mint with a fresh secret; one for the process, cloned for each worker.
    pub fn new() -> Self {
        Self::default()
    }

    /// The branch of transaction `id` on `worker`. It is as unique as the two are together.
    pub fn mint(&self, worker: u16, id: u64) -> Branch {
        Branch { worker, id, seal: self.secret.hash_one((worker, id)), is_cancel: false }
    }

    /// The client transaction that a response belongs to, or `None` when we did not send its request.
    pub fn of_response(&self, response: &Message) -> Option<Branch> {
        let branch = self.parse(response.top_via().ok()?.branch?)?;
        Some(if response.method() == Method::Cancel { branch.of_cancel() } else { branch })
    }

    /// The branch in a Via of ours, or `None` for one that we did not write.
    ///
    /// What follows after a dot is not looked at: it is the place for loop detection (RFC 5393).
    pub fn parse(&self, text: &str) -> Option<Branch> {
        let (own, rest) = text.split_at_checked(Branch::LEN)?;
        if !(rest.is_empty() || rest.starts_with('.')) || !own.starts_with(COOKIE) {
            return None;
        }
        let own = own.as_bytes();
        let worker = u16::try_from(hex::parse(&own[WORKER..ID])?).ok()?;
        let branch = self.mint(worker, hex::parse(&own[ID..SEAL])?);
        (branch.seal == hex::parse(&own[SEAL..])?).then_some(branch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasherDefault;

    use super::*;

    const OLD: Rfc2543<'_> = Rfc2543 {
        request_uri: "sip:juliet@sip.example",
        to_tag: None,
        from_tag: Some("r1"),
        call_id: "a@host",
        cseq: 7,
        method: "MESSAGE",
        top_via: "SIP/2.0/UDP old.example",
    };

    #[test]
    fn s17_2_3_branch_sent_by_and_method_make_the_key() {
        let seed = KeySeed::new();
        let key = |branch, host, port, method| seed.by_branch(branch, host, port, method).unwrap();
        let first = key("z9hG4bKa", "a.example", Some(5060), "MESSAGE");
        assert_eq!(first, key("z9hG4bKa", "A.EXAMPLE", Some(5060), "MESSAGE"));
        assert_eq!(
            first,
            seed.clone().by_branch("Z9HG4BKa", "a.example", Some(5060), "MESSAGE").unwrap()
        );
        let others = [
            key("z9hG4bKb", "a.example", Some(5060), "MESSAGE"),
            key("z9hG4bKA", "a.example", Some(5060), "MESSAGE"),
            key("z9hG4bKa", "b.example", Some(5060), "MESSAGE"),
            key("z9hG4bKa", "a.example", Some(5061), "MESSAGE"),
            key("z9hG4bKa", "a.example", None, "MESSAGE"),
            key("z9hG4bKa", "a.example", Some(5060), "CANCEL"),
            key("z9hG4bKaa", ".example", Some(5060), "MESSAGE"),
        ];
        let distinct: HashSet<_> = others.into_iter().chain([first]).collect();
        assert_eq!(distinct.len(), others.len() + 1);
    }

    #[test]
    fn s17_2_3_a_host_of_any_length_is_compared_without_case() {
        let seed = KeySeed::new();
        let key = |host: &str| seed.by_branch("z9hG4bKa", host, None, "MESSAGE");
        let long = "a.EXAMPLE".repeat(20);
        assert_eq!(key(&long.to_uppercase()), key(&long.to_lowercase()));
        assert_ne!(key(&long), key(&long[1..]));
    }

    #[test]
    fn s17_2_3_ack_finds_its_invite() {
        let seed = KeySeed::new();
        let by_branch = |method| seed.by_branch("z9hG4bKa", "a.example", None, method);
        assert_eq!(by_branch("ACK"), by_branch("INVITE"));
        assert_ne!(by_branch("CANCEL"), by_branch("INVITE"));

        let invite = Rfc2543 { method: "INVITE", ..OLD };
        let ack = Rfc2543 { method: "ACK", to_tag: Some("ours"), ..OLD };
        assert_eq!(seed.by_fields(&invite), seed.by_fields(&ack));
    }

    fn request(method: &str, via: &str, headers: &str) -> Message {
        let text = format!(
            "{method} sip:juliet@sip.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example{via}\r\n\
             From: <sip:romeo@sip.example>;tag=r1\r\nCSeq: 7 {method}\r\n{headers}\r\n"
        );
        Message::parse(text.into()).unwrap()
    }

    /// With a branch of RFC 3261 and without.
    #[test]
    fn s9_2_ack_and_cancel_lead_to_the_invite() {
        let seed = KeySeed::new();
        let key = |message: &Message, method| seed.of(message, &message.top_via().unwrap(), method);
        for via in ["", ";branch=1", ";branch=z9hG4bKa"] {
            let theirs = "To: <sip:juliet@sip.example>\r\nCall-ID: a@host\r\n";
            let ours = "To: <sip:juliet@sip.example>;tag=ours\r\nCall-ID: a@host\r\n";
            let invite = key(&request("INVITE", via, theirs), Method::Invite);
            assert!(invite.is_some());
            let ack = request("ACK", via, ours);
            assert_eq!(key(&ack, Method::Ack), invite, "{via}");
            let cancel = request("CANCEL", via, theirs);
            assert_eq!(key(&cancel, Method::Invite), invite, "{via}");
            assert_ne!(key(&cancel, Method::Cancel), invite, "{via}");
        }
    }

    #[test]
    fn s17_2_3_a_request_that_nothing_identifies_has_no_key() {
        let seed = KeySeed::new();
        let message = request("INVITE", "", "");
        assert_eq!(seed.of(&message, &message.top_via().unwrap(), Method::Invite), None);
    }

    #[test]
    fn s17_2_3_a_branch_without_cookie_or_content_identifies_nothing() {
        let seed = KeySeed::new();
        for branch in ["", "1", "z9hG4b", "z9hG4bK", "z9hG4bX1", "ääää9", "1z9hG4bK"] {
            assert_eq!(seed.by_branch(branch, "a.example", None, "MESSAGE"), None, "{branch}");
        }
    }

    #[test]
    fn s17_2_3_each_rfc_2543_field_counts() {
        let seed = KeySeed::new();
        let all = [
            OLD,
            Rfc2543 { request_uri: "sip:romeo@sip.example", ..OLD },
            Rfc2543 { to_tag: Some("t"), ..OLD },
            Rfc2543 { from_tag: None, ..OLD },
            Rfc2543 { call_id: "b@host", ..OLD },
            Rfc2543 { cseq: 8, ..OLD },
            Rfc2543 { method: "OPTIONS", ..OLD },
            Rfc2543 { top_via: "SIP/2.0/UDP other.example", ..OLD },
        ];
        let distinct: HashSet<_> = all.iter().map(|fields| seed.by_fields(fields)).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn keys_of_another_seed_differ() {
        assert_ne!(KeySeed::new().by_fields(&OLD), KeySeed::new().by_fields(&OLD));
    }

    #[test]
    fn a_table_of_keys_spreads_them_by_their_own_bits() {
        let hasher = BuildHasherDefault::<KeyHasher>::default();
        assert_eq!(hasher.hash_one(ServerKey(5, 6)), 5 ^ 6);
    }

    #[test]
    fn a_branch_leads_back_to_its_worker_and_transaction() {
        let mint = BranchMint::new();
        for (worker, id) in [(0, 0), (1, 0x1234_5678_9abc_def0), (u16::MAX, u64::MAX)] {
            let branch = mint.mint(worker, id);
            let text = branch.to_string();
            assert!(text.starts_with("z9hG4bK") && text.len() == Branch::LEN, "{text}");
            let found = mint.clone().parse(&text).unwrap();
            assert_eq!((found.worker(), found.id()), (worker, id));
            assert_eq!(mint.parse(&format!("{text}.f00d")), Some(branch));
        }
    }

    #[test]
    fn s17_1_3_the_method_in_cseq_tells_the_cancel_from_its_invite() {
        let mint = BranchMint::new();
        let branch = mint.mint(1, 2);
        let heard = |text: &str, method| {
            let text = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP us.example;branch={text}\r\nCSeq: 7 {method}\r\n\r\n"
            );
            mint.of_response(&Message::parse(text.into()).unwrap())
        };
        let text = branch.to_string();
        assert_eq!(heard(&text, "INVITE"), Some(branch));
        let cancel = heard(&text, "CANCEL").unwrap();
        assert!(cancel.is_cancel() && cancel != branch && cancel == branch.of_cancel());
        assert_eq!(cancel.of_cancelled(), branch);
        assert_eq!(cancel.to_string(), text);
        assert_eq!(heard("z9hG4bKtheirs", "INVITE"), None);
    }

    #[test]
    fn s7_3_1_a_peer_may_change_the_case_of_our_digits() {
        let mint = BranchMint::new();
        let branch = mint.mint(10, 0xabc);
        let shouted = branch.to_string().to_ascii_uppercase();
        assert_eq!(mint.parse(&format!("z9hG4bK{}", &shouted[7..])), Some(branch));
    }

    #[test]
    fn a_foreign_or_forged_branch_is_not_ours() {
        let mint = BranchMint::new();
        let own = mint.mint(3, 99).to_string();
        assert_eq!(BranchMint::new().parse(&own), None);
        for at in 0..own.len() {
            for other in ["0", "1", "f", "g", "+", " ", "ä"] {
                let forged = format!("{}{other}{}", &own[..at], &own[at + 1..]);
                assert!(forged == own || mint.parse(&forged).is_none(), "{forged}");
            }
            assert_eq!(mint.parse(&own[..at]), None);
        }
        assert_eq!(mint.parse(&format!("{own}0")), None);
    }
}
