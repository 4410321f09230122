//! Every module built into the server.
//!
//! To add one: make `modules/<name>/`, then add its two lines here. Nothing else changes.

use std::collections::BTreeMap;

use crate::config::{ParamError, Params};
use crate::script::commons::Commons;
use crate::script::module::{Exports, ModuleDef};
use crate::store::Table;

#[path = "../modules/acc/acc.rs"]
pub mod acc;
#[path = "../modules/alias_db/alias_db.rs"]
pub mod alias_db;
#[path = "../modules/auth/auth.rs"]
pub mod auth;
#[path = "../modules/core/core.rs"]
pub mod core;
#[path = "../modules/dialog/dialog.rs"]
pub mod dialog;
#[path = "../modules/dispatcher/dispatcher.rs"]
pub mod dispatcher;
#[path = "../modules/htable/htable.rs"]
pub mod htable;
#[path = "../modules/maxfwd/maxfwd.rs"]
pub mod maxfwd;
#[path = "../modules/msilo/msilo.rs"]
pub mod msilo;
#[path = "../modules/nathelper/nathelper.rs"]
pub mod nathelper;
#[path = "../modules/path/path.rs"]
pub mod path;
#[path = "../modules/permissions/permissions.rs"]
pub mod permissions;
#[path = "../modules/pike/pike.rs"]
pub mod pike;
#[path = "../modules/ratelimit/ratelimit.rs"]
pub mod ratelimit;
#[path = "../modules/registrar/registrar.rs"]
pub mod registrar;
#[path = "../modules/rr/rr.rs"]
pub mod rr;
#[path = "../modules/sanity/sanity.rs"]
pub mod sanity;
#[path = "../modules/siputils/siputils.rs"]
pub mod siputils;
#[path = "../modules/sl/sl.rs"]
pub mod sl;
#[path = "../modules/textops/textops.rs"]
pub mod textops;
#[path = "../modules/tls/tls.rs"]
pub mod tls;
#[path = "../modules/tm/tm.rs"]
pub mod tm;
#[path = "../modules/uri_db/uri_db.rs"]
pub mod uri_db;
#[path = "../modules/xmpp/xmpp.rs"]
pub mod xmpp;

/// Alphabetical; all are loaded, since one that is not called costs nothing.
pub static ALL: &[&ModuleDef] = &[
    &acc::MODULE,
    &alias_db::MODULE,
    &auth::MODULE,
    &core::MODULE,
    &dialog::MODULE,
    &dispatcher::MODULE,
    &htable::MODULE,
    &maxfwd::MODULE,
    &msilo::MODULE,
    &nathelper::MODULE,
    &path::MODULE,
    &permissions::MODULE,
    &pike::MODULE,
    &ratelimit::MODULE,
    &registrar::MODULE,
    &rr::MODULE,
    &sanity::MODULE,
    &siputils::MODULE,
    &sl::MODULE,
    &textops::MODULE,
    &tls::MODULE,
    &tm::MODULE,
    &uri_db::MODULE,
    &xmpp::MODULE,
];

/// The names that `[modules.NAME]` may use.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|module| module.name).collect()
}

/// The functions of every module under these parameters; all findings in the parameters at once.
pub fn load(params: &BTreeMap<String, Params>, commons: &Commons) -> Result<Exports, ParamError> {
    let mut exports = Exports::new(commons.clone());
    let mut findings = Vec::new();
    for module in ALL {
        let params = params.get(module.name).cloned().unwrap_or_else(Params::none);
        if let Err(ParamError(found)) = (module.load)(&params, &mut exports) {
            findings.extend(found);
        }
    }
    if findings.is_empty() { Ok(exports) } else { Err(ParamError(findings)) }
}

/// The tables of every module; those whose functions the script `calls` are used.
pub fn tables(
    params: &BTreeMap<String, Params>,
    calls: impl Fn(&str) -> bool,
) -> Result<Vec<Table>, ParamError> {
    let mut tables = Vec::new();
    for module in ALL {
        let params = params.get(module.name).cloned().unwrap_or_else(Params::none);
        let mut exports = Exports::default();
        (module.load)(&params, &mut exports)?;
        let is_used = exports.catalogue().names().any(&calls);
        tables.extend(exports.tables().iter().map(|table| Table { is_used, ..table.clone() }));
    }
    Ok(tables)
}
