//! A message written once and stamped for each sending with what must differ.

use memchr::memmem;

/// Stands for [`Token`] in a template's text.
pub(crate) const TOKEN: &str = "@TOKEN-HERE@";
/// Stands for the number of one of [`USERS`] users in a template's text.
pub(crate) const USER: &str = "@U@";
/// How many users send.
pub(crate) const USERS: u32 = 1000;
/// Stands for the number of an account in a template's text.
pub(crate) const ACCOUNT: &str = "@NMBR";

/// Precedes the token in every body.
pub(crate) const BODY_MARK: &str = "seq=";
/// The body's length in bytes.
pub(crate) const BODY_LENGTH: usize = 100;

/// Names one message of one phase.
///
/// It is written as twelve hexadecimal digits that look random, as the Call-IDs and tags of real
/// user agents do: counted up, they would fall into few buckets of a program's hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) phase: u16,
    pub(crate) sequence: u32,
}

impl Token {
    /// The length of a written token.
    pub(crate) const LENGTH: usize = TOKEN.len();

    /// Reads the token at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(bytes.get(..Self::LENGTH)?).ok()?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        let number = scramble(number, UNSCRAMBLER);
        Some(Self { phase: (number >> 32) as u16, sequence: number as u32 })
    }

    /// Reads the token after the first `mark` in `bytes`.
    pub(crate) fn after(mark: &str, bytes: &[u8]) -> Option<Self> {
        let at = memmem::find(bytes, mark.as_bytes())?;
        Self::parse(&bytes[at + mark.len()..])
    }

    fn write(self, out: &mut [u8]) {
        let number = u64::from(self.phase) << 32 | u64::from(self.sequence);
        let number = scramble(number, SCRAMBLER);
        for (place, digit) in out.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
        }
    }
}

const SCRAMBLER: u64 = 0x9e37_79b9_7f4b;
/// The inverse of [`SCRAMBLER`] modulo 2⁴⁸.
const UNSCRAMBLER: u64 = inverse(SCRAMBLER);

/// A permutation of the 48-bit numbers; the inverse factor gives the inverse permutation.
const fn scramble(number: u64, factor: u64) -> u64 {
    const MASK: u64 = (1 << 48) - 1;
    let number = ((number ^ number >> 24).wrapping_mul(factor)) & MASK;
    number ^ number >> 24
}

/// The inverse of an odd number modulo a power of two, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

/// A text with places for the token and the user.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    tokens: Vec<usize>,
    /// Where the user's number stands, and in how many digits.
    users: Vec<usize>,
    digits: usize,
    /// How many users there are.
    count: u32,
}

impl Template {
    /// Finds the places of [`TOKEN`] and [`USER`] in `text`.
    pub(crate) fn new(text: &str) -> Self {
        Self::with_users(text, USER, USERS)
    }

    /// Finds the places of [`TOKEN`] and [`ACCOUNT`] in `text`; there are `count` accounts.
    pub(crate) fn with_accounts(text: &str, count: u32) -> Self {
        Self::with_users(text, ACCOUNT, count)
    }

    fn with_users(text: &str, mark: &str, count: u32) -> Self {
        let places = |mark: &str| memmem::find_iter(text.as_bytes(), mark).collect();
        let (tokens, users) = (places(TOKEN), places(mark));
        Self { bytes: text.into(), tokens, users, digits: mark.len(), count }
    }

    /// The message for `token`.
    pub(crate) fn stamp(&mut self, token: Token) -> &[u8] {
        for &at in &self.tokens {
            token.write(&mut self.bytes[at..at + Token::LENGTH]);
        }
        for &at in &self.users {
            let mut user = token.sequence % self.count;
            for digit in self.bytes[at..at + self.digits].iter_mut().rev() {
                *digit = b'0' + (user % 10) as u8;
                user /= 10;
            }
        }
        &self.bytes
    }
}

/// A body of [`BODY_LENGTH`] bytes with the token's place in it.
pub(crate) fn body() -> String {
    format!("{:.<BODY_LENGTH$}", format!("{BODY_MARK}{TOKEN} is as long as short messages are "))
}
