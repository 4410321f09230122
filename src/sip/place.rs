//! Where the parts of a value stand in its text, so that a value that was read once is cut again without being read.

/// Where a part stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    start: u16,
    end: u16,
}

impl Place {
    /// Where `part`, which was cut out of `text`, stands in it; `None` when it was not, or stands beyond 64 kB.
    pub(super) fn of(text: &str, part: &str) -> Option<Self> {
        if part.is_empty() {
            return Some(Self::default());
        }
        let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        let end = start.checked_add(part.len()).filter(|end| *end <= text.len())?;
        Some(Self { start: u16::try_from(start).ok()?, end: u16::try_from(end).ok()? })
    }

    /// The same for a part that may be missing.
    pub(super) fn of_some(text: &str, part: Option<&str>) -> Option<Option<Self>> {
        match part {
            Some(part) => Self::of(text, part).map(Some),
            None => Some(None),
        }
    }

    /// The part of the same text.
    pub(super) fn cut(self, text: &str) -> &str {
        text.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

/// A view of a text that remembers where it has cut it.
pub(super) trait Remembered<'a>: Sized {
    /// Where its parts stand.
    type Places: Copy;

    /// Where its parts stand in `text`, which it was read from; `None` when that cannot be said.
    fn places(&self, text: &str) -> Option<Self::Places>;

    /// The view of the same text.
    fn cut(text: &'a str, places: Self::Places) -> Self;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_where_it_was_cut_out_and_nowhere_else() {
        let text = String::from("grüße; b");
        for part in [&text[..], &text[2..4], &text[7..], ""] {
            assert_eq!(Place::of(&text, part).unwrap().cut(&text), part);
        }
        let other = text.clone();
        assert!(Place::of(&text, &other).is_none() && Place::of(&other, &text).is_none());
        assert!(Place::of(&text[..2], &text[2..4]).is_none());
        let long = "a".repeat(70_000);
        assert!(Place::of(&long, &long).is_none() && Place::of(&long, &long[69_999..]).is_none());
    }
}
