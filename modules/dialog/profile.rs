//! Where dialogs are counted.

use super::Config;
use crate::script::error::RouteError;

/// The longest value of a profile, in bytes.
const MAX_VALUE: usize = 512;

/// A counter: a profile as a whole, or one value of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Profile {
    pub(super) name: Box<str>,
    pub(super) value: Option<Box<str>>,
}

impl Profile {
    /// All of the profile, whatever the value.
    pub(super) fn whole(&self) -> Self {
        Self { name: self.name.clone(), value: None }
    }
}

/// The counter that a script means by a profile and a value, or by a profile that has none.
pub(super) fn checked(
    config: &Config,
    function: &'static str,
    name: &str,
    value: Option<&str>,
) -> Result<Profile, RouteError> {
    let (has_it, other) = match value {
        Some(_) => (&config.profiles_with_value, &config.profiles_no_value),
        None => (&config.profiles_no_value, &config.profiles_with_value),
    };
    let reason = match value {
        _ if config.has(has_it, name) => None,
        Some(_) if config.has(other, name) => Some("has no values".to_owned()),
        None if config.has(other, name) => Some("needs a value".to_owned()),
        _ => Some("stands in no list of [modules.dialog]".to_owned()),
    };
    let too_long = || format!("takes values of up to {MAX_VALUE} bytes");
    let is_long = value.is_some_and(|value| value.len() > MAX_VALUE);
    match reason.or_else(|| is_long.then(too_long)) {
        None => Ok(Profile { name: name.into(), value: value.map(Into::into) }),
        Some(reason) => Err(unfit(function, name, &reason)),
    }
}

/// The counter of a whole profile of either kind.
pub(super) fn any_of(
    config: &Config,
    function: &'static str,
    name: &str,
) -> Result<Profile, RouteError> {
    let lists = [&config.profiles_with_value, &config.profiles_no_value];
    match lists.iter().any(|list| config.has(list, name)) {
        true => Ok(Profile { name: name.into(), value: None }),
        false => Err(unfit(function, name, "stands in no list of [modules.dialog]")),
    }
}

fn unfit(function: &'static str, name: &str, reason: &str) -> RouteError {
    RouteError::BadArgument {
        argument: "profile",
        reason: format!("{function}(): the profile `{name}` {reason}"),
    }
}
