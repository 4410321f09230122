//! Writing to the log, with pseudo-variables replaced.

use rhai::ImmutableString;
use tracing::Level;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::ANY;
use crate::script::module::ModuleExports;
use crate::script::pseudo;
use crate::script::route::Route;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("err", ["text"], ANY, err)
        .export("warn", ["text"], ANY, warn)
        .export("notice", ["text"], ANY, notice)
        .export("info", ["text"], ANY, info)
        .export("dbg", ["text"], ANY, dbg)
        .export("xlog", ["level", "text"], ANY, xlog);
}

macro_rules! log {
    ($(#[doc = $doc:literal])* $name:ident, $level:ident) => {
        $(#[doc = $doc])*
        fn $name(route: &mut Route, _: &Config, text: ImmutableString) -> Result<(), RouteError> {
            if tracing::enabled!(target: "script", tracing::Level::$level) {
                let text = pseudo::expand(route, &text);
                tracing::event!(target: "script", tracing::Level::$level, "{text}");
            }
            Ok(())
        }
    };
}

log! {
    /// Writes an error to the log, with pseudo-variables replaced.
    ///
    /// ```rhai
    /// err("no way to $rd");
    /// ```
    err, ERROR
}
log! {
    /// Writes a warning to the log.
    ///
    /// ```rhai
    /// warn("$ua sent nonsense");
    /// ```
    warn, WARN
}
log! {
    /// Writes a notice to the log, at level `info`.
    ///
    /// ```rhai
    /// notice("$rm for $rU");
    /// ```
    notice, INFO
}
log! {
    /// Writes to the log.
    ///
    /// ```rhai
    /// info("$rm from $si:$sp");
    /// ```
    info, INFO
}
log! {
    /// Writes to the log what only a developer wants to know.
    ///
    /// ```rhai
    /// dbg("flags are set for $ci");
    /// ```
    dbg, DEBUG
}

/// Kamailio's names of levels, and ours.
const LEVELS: &[(&str, Level)] = &[
    ("L_ALERT", Level::ERROR),
    ("L_BUG", Level::ERROR),
    ("L_CRIT", Level::ERROR),
    ("L_ERR", Level::ERROR),
    ("L_WARN", Level::WARN),
    ("L_NOTICE", Level::INFO),
    ("L_INFO", Level::INFO),
    ("L_DBG", Level::DEBUG),
];

/// Writes to the log at a level that the script computes: `L_ALERT`, `L_CRIT`, `L_ERR`, `L_WARN`, `L_NOTICE`,
/// `L_INFO` or `L_DBG`.
///
/// ```rhai
/// let level = if isflagset(1) { "L_WARN" } else { "L_DBG" };
/// xlog(level, "$rm from $si");
/// ```
fn xlog(
    route: &mut Route,
    config: &Config,
    level: ImmutableString,
    text: ImmutableString,
) -> Result<(), RouteError> {
    let row = LEVELS.iter().find(|(name, _)| *name == level.as_str());
    let (_, level) = row.ok_or_else(|| RouteError::BadArgument {
        argument: "level",
        reason: format!("xlog(): `{level}` is no level; they go from L_ALERT to L_DBG"),
    })?;
    match *level {
        Level::ERROR => err(route, config, text),
        Level::WARN => warn(route, config, text),
        Level::INFO => info(route, config, text),
        _ => dbg(route, config, text),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::router::recording::message_route;

    #[test]
    fn the_log_takes_any_text() {
        let mut route = message_route(&Rc::default());
        for write in [err, warn, notice, info, dbg] {
            assert_eq!(write(&mut route, &Config {}, "$ci $(ci $".into()), Ok(()));
        }
    }

    #[test]
    fn a_level_has_its_name() {
        let mut route = message_route(&Rc::default());
        for (name, _) in LEVELS {
            assert_eq!(xlog(&mut route, &Config {}, (*name).into(), "$ci".into()), Ok(()));
        }
        for bad in ["", "INFO", "l_info", "3"] {
            assert!(xlog(&mut route, &Config {}, bad.into(), "x".into()).is_err(), "{bad}");
        }
    }
}
