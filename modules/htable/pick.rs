//! Which keys or values a script means.

use regex::Regex;
use rhai::{Dynamic, ImmutableString};

use crate::script::error::RouteError;
use crate::script::module::{Argument, Pattern};

/// How a text is compared.
pub(super) enum Operator<'t> {
    Matches(std::rc::Rc<Regex>),
    StartsWith(&'t str),
    EndsWith(&'t str),
    Contains(&'t str),
}

impl<'t> Operator<'t> {
    /// The operator of this name, with what it compares to.
    pub(super) fn new(
        function: &'static str,
        name: &str,
        text: &'t ImmutableString,
    ) -> Result<Self, RouteError> {
        match name {
            "re" => {
                let Pattern(regex) = Pattern::read(&Dynamic::from(text.clone()))?;
                Ok(Self::Matches(regex))
            }
            "sw" => Ok(Self::StartsWith(text)),
            "ew" => Ok(Self::EndsWith(text)),
            "in" => Ok(Self::Contains(text)),
            _ => Err(RouteError::BadArgument {
                argument: "operator",
                reason: format!("{function}(): `{name}` is none of re, sw, ew and in"),
            }),
        }
    }

    /// Does this text fit?
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Matches(regex) => regex.is_match(text),
            Self::StartsWith(part) => text.starts_with(part),
            Self::EndsWith(part) => text.ends_with(part),
            Self::Contains(part) => text.contains(part),
        }
    }
}
