#![doc = include_str!("README.md")]

mod config;
mod profile;
mod table;

use std::sync::Arc;
use std::time::Duration;

use rhai::ImmutableString;

pub use self::config::Config;
use self::config::Profiles;
use self::profile::Profile;
use self::table::{Dialogs, Id, Lives, New};
use crate::config::{ParamError, Params};
use crate::script::ending::Ending;
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::sip::{HeaderId, Message, Method};

/// `[modules.dialog]`
pub static MODULE: ModuleDef = ModuleDef { name: "dialog", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let dialogs = exports.common(Dialogs::default);
    let (known, rr_param) = (dialogs.clone(), config.rr_param.clone());
    exports.at_end(move |ending| {
        end(&known, &rr_param, ending);
        None
    });
    exports
        .with(Tracker { config, dialogs })
        .export("create_dialog", [], REQUEST, create_dialog)
        .export("is_known_dlg", [], ANY_SIP, is_known_dlg)
        .export("dlg_set_timeout", ["seconds"], ANY_SIP, dlg_set_timeout)
        .export("set_dlg_profile", ["profile"], ANY_SIP, set_dlg_profile)
        .export("set_dlg_profile", ["profile", "value"], ANY_SIP, set_dlg_profile_of)
        .export("unset_dlg_profile", ["profile"], ANY_SIP, unset_dlg_profile)
        .export("unset_dlg_profile", ["profile", "value"], ANY_SIP, unset_dlg_profile_of)
        .export("is_in_profile", ["profile"], ANY_SIP, is_in_profile)
        .export("is_in_profile", ["profile", "value"], ANY_SIP, is_in_profile_of)
        .export("get_profile_size", ["profile"], ANY_SIP, get_profile_size)
        .export("get_profile_size", ["profile", "value"], ANY_SIP, get_profile_size_of);
    Ok(())
}

/// The parameters, and the dialogs that all workers know.
struct Tracker {
    config: Config,
    dialogs: Arc<Dialogs>,
}

/// Begins to follow the dialog that the INVITE may make, until its BYE, its failure or the end of its time.
///
/// It makes the transaction of the INVITE when there is none. Returns false, and does nothing, for a request that begins no
/// dialog. An error, 503, when there are `max_dialogs`.
///
/// ```rhai
/// if is_method("INVITE") && !has_totag() { create_dialog(); }
/// ```
fn create_dialog(route: &mut Route, tracker: &Tracker) -> Result<bool, RouteError> {
    if route.message.method() != Method::Invite || route.message.to()?.tag().is_some() {
        return Ok(false);
    }
    if !route.has_transaction {
        route.router().new_transaction(route)?;
    }
    let reason = "there is no request";
    let key = route.key.ok_or(RouteError::State { function: "create_dialog", reason })?;
    let new = New {
        call_id: route.message.call_id()?,
        caller: route.message.from()?.tag().unwrap_or_default(),
        key,
        lives: tracker.config.lives(),
        is_spiral: route.router().has_passed(&route.message),
    };
    let (id, is_new) = tracker.dialogs.create(route.now(), tracker.config.max_dialogs, &new)?;
    if is_new && !tracker.config.rr_param.is_empty() {
        let param = format!(";{}={}", tracker.config.rr_param, id.text());
        match &mut route.record_route {
            Some(wish) => wish.params += &param,
            None => route.record_route_params += &param,
        }
    }
    Ok(true)
}

/// Does the message belong to a dialog that is followed?
///
/// ```rhai
/// if has_totag() && !is_known_dlg() { sl_send_reply(481, ""); return; }
/// ```
fn is_known_dlg(route: &mut Route, tracker: &Tracker) -> Result<bool, RouteError> {
    Ok(tracker.find(route).is_some())
}

/// Sets how long the dialog may last after its INVITE was taken: from then on, or from now on. Returns false when the message
/// belongs to none that is followed.
///
/// ```rhai
/// create_dialog();
/// dlg_set_timeout(3600);
/// ```
fn dlg_set_timeout(route: &mut Route, tracker: &Tracker, seconds: i64) -> Result<bool, RouteError> {
    let (function, argument, range) = ("dlg_set_timeout", "seconds", "1 to 604800");
    let error = RouteError::OutOfRange { function, argument, range, found: seconds };
    let fits = |seconds: &u64| (1..=config::LONGEST).contains(seconds);
    let seconds = u64::try_from(seconds).ok().filter(fits).ok_or(error)?;
    let Some(id) = tracker.find(route) else { return Ok(false) };
    Ok(tracker.dialogs.set_timeout(route.now(), id, Duration::from_secs(seconds)))
}

/// Counts the dialog in a profile without values. Returns false when the message belongs to none that is followed.
///
/// ```rhai
/// create_dialog();
/// set_dlg_profile("inbound");
/// ```
fn set_dlg_profile(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
) -> Result<bool, RouteError> {
    let profile = tracker.profile("set_dlg_profile", &profile, None)?;
    tracker.enter(route, profile)
}

/// Counts the dialog in a profile, under a value.
///
/// ```rhai
/// create_dialog();
/// set_dlg_profile("caller", from_user());
/// ```
fn set_dlg_profile_of(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
    value: ImmutableString,
) -> Result<bool, RouteError> {
    let profile = tracker.profile("set_dlg_profile", &profile, Some(&value))?;
    tracker.enter(route, profile)
}

/// Counts the dialog no longer in a profile without values. Returns false when it was not counted there.
///
/// ```rhai
/// unset_dlg_profile("inbound");
/// ```
fn unset_dlg_profile(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
) -> Result<bool, RouteError> {
    let profile = tracker.profile("unset_dlg_profile", &profile, None)?;
    tracker.leave(route, &profile)
}

/// Counts the dialog no longer in a profile under a value.
///
/// ```rhai
/// unset_dlg_profile("caller", from_user());
/// ```
fn unset_dlg_profile_of(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
    value: ImmutableString,
) -> Result<bool, RouteError> {
    let profile = tracker.profile("unset_dlg_profile", &profile, Some(&value))?;
    tracker.leave(route, &profile)
}

/// Is the dialog of the message counted in the profile, under whatever value?
///
/// ```rhai
/// if is_in_profile("inbound") { info("a call from outside"); }
/// ```
fn is_in_profile(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
) -> Result<bool, RouteError> {
    let profile = tracker.any_of("is_in_profile", &profile)?;
    Ok(tracker.find(route).is_some_and(|id| tracker.dialogs.is_in(id, &profile)))
}

/// Is the dialog of the message counted in the profile under this value?
///
/// ```rhai
/// if is_in_profile("caller", from_user()) { info("$fU is counted"); }
/// ```
fn is_in_profile_of(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
    value: ImmutableString,
) -> Result<bool, RouteError> {
    let profile = tracker.profile("is_in_profile", &profile, Some(&value))?;
    Ok(tracker.find(route).is_some_and(|id| tracker.dialogs.is_in(id, &profile)))
}

/// How many dialogs the profile counts, under all its values.
///
/// ```rhai
/// if get_profile_size("inbound") >= 100 { sl_send_reply(503, "Too Many Calls"); return; }
/// ```
fn get_profile_size(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
) -> Result<i64, RouteError> {
    let profile = tracker.any_of("get_profile_size", &profile)?;
    Ok(tracker.dialogs.size(route.now(), &profile))
}

/// How many dialogs the profile counts under this value.
///
/// ```rhai
/// if get_profile_size("caller", from_user()) >= 2 { sl_send_reply(486, "Enough Calls"); return; }
/// ```
fn get_profile_size_of(
    route: &mut Route,
    tracker: &Tracker,
    profile: ImmutableString,
    value: ImmutableString,
) -> Result<i64, RouteError> {
    let profile = tracker.profile("get_profile_size", &profile, Some(&value))?;
    Ok(tracker.dialogs.size(route.now(), &profile))
}

impl Tracker {
    /// The dialog that a message belongs to.
    fn find(&self, route: &Route) -> Option<Id> {
        if let Some(id) = route.key.and_then(|key| self.dialogs.begins_with(key)) {
            return Some(id);
        }
        let followed = route.followed.as_ref();
        let did = followed.and_then(|followed| followed.param(&self.config.rr_param));
        find(&self.dialogs, route.now(), &route.message, did)
    }

    fn enter(&self, route: &Route, profile: Profile) -> Result<bool, RouteError> {
        let Some(id) = self.find(route) else { return Ok(false) };
        self.dialogs.enter(id, profile)
    }

    fn leave(&self, route: &Route, profile: &Profile) -> Result<bool, RouteError> {
        Ok(self.find(route).is_some_and(|id| self.dialogs.leave(id, profile)))
    }

    fn profile(
        &self,
        function: &'static str,
        name: &str,
        value: Option<&str>,
    ) -> Result<Profile, RouteError> {
        profile::checked(&self.config, function, name, value)
    }

    fn any_of(&self, function: &'static str, name: &str) -> Result<Profile, RouteError> {
        profile::any_of(&self.config, function, name)
    }
}

/// The dialog that a message belongs to: by Call-ID and tags, else by what our Record-Route says of it.
fn find(
    dialogs: &Dialogs,
    now: std::time::Instant,
    message: &Message,
    did: Option<&str>,
) -> Option<Id> {
    if dialogs.is_empty() {
        return None;
    }
    let call_id = message.call_id().ok()?;
    let (from, to) = (message.from().ok()?, message.to().ok()?);
    let (from, to) = (from.tag().unwrap_or_default(), to.tag().unwrap_or_default());
    dialogs.find(now, call_id, from, to, did.and_then(Id::from_text))
}

/// Takes what became of a request.
fn end(dialogs: &Dialogs, rr_param: &str, ending: &Ending<'_>) {
    if dialogs.is_empty() {
        return;
    }
    if ending.is_method("INVITE") && dialogs.begins_with(ending.key).is_some() {
        let answer = ending.response().filter(|_| ending.is_success());
        let callee = answer.as_ref().map(|answer| answer.to().ok().and_then(|to| to.tag()));
        return dialogs.settle(ending.now, ending.key, callee.map(Option::unwrap_or_default));
    }
    if !ends_dialog(ending) {
        return;
    }
    let Some(request) = ending.request() else { return };
    let did = did_of(&request, rr_param);
    // A rejected INVITE of no dialog of ours ends none.
    let has_tag = request.to().is_ok_and(|to| to.tag().is_some());
    let found = find(dialogs, ending.now, &request, did.as_deref()).filter(|_| has_tag);
    if let Some(id) = found {
        dialogs.end(id);
    }
}

/// RFC 3261 §15.1.1, RFC 5057 §5.1: a BYE ends the dialog unless it must prove who sent it, and so does a request that
/// the other side knows no dialog for.
fn ends_dialog(ending: &Ending<'_>) -> bool {
    let status = ending.status.unwrap_or(408);
    match ending.is_method("BYE") {
        true => !matches!(status, 401 | 407),
        false => ending.is_method("INVITE") && matches!(status, 408 | 481),
    }
}

/// What our Record-Route has told, as a Route brings it back.
fn did_of(request: &Message, rr_param: &str) -> Option<String> {
    request.addresses(HeaderId::Route).find_map(|value| {
        let uri = value.ok()?.parsed_uri().ok()?;
        Some(uri.param(rr_param)?.value?.to_owned())
    })
}

impl Config {
    fn lives(&self) -> Lives {
        Lives {
            early: Duration::from_secs(self.early_timeout),
            confirmed: Duration::from_secs(self.default_timeout),
        }
    }

    fn has(&self, profiles: &Profiles, name: &str) -> bool {
        profiles.0.iter().any(|known| **known == *name)
    }
}

#[cfg(test)]
mod tests;
