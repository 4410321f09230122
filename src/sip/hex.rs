//! Numbers in hexadecimal digits of fixed width, as identifiers of ours carry them.

/// Fills `digits` with the lowest ones of `value`, in lower case.
pub(crate) fn write(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 0xf) as usize];
        value >>= 4;
    }
}

/// All digits of `value`.
pub(crate) fn digits(value: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    write(&mut digits, value);
    digits
}

/// The value of at most 16 digits; `from_str_radix` would take a sign, too.
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// What [`write`] has filled, as text.
pub(crate) fn text(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).expect("hexadecimal digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 1, 0xdead_beef, u64::MAX] {
            let digits = digits(value);
            assert_eq!(text(&digits), format!("{value:016x}"));
            assert_eq!(parse(&digits), Some(value));
            assert_eq!(parse(&digits.to_ascii_uppercase()), Some(value));
        }
    }

    #[test]
    fn what_is_no_number_of_that_width_is_none() {
        for wrong in ["+1", "-1", "g", " 1", "10000000000000000"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
