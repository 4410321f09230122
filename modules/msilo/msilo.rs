#![doc = include_str!("README.md")]

mod config;
mod stored;

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::gateway::{RequestIds, text_message};
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::{Route, Target};
use crate::script::router::Router;
use crate::sip::{Message, Method, Uri};
use crate::store::{Column, ColumnType, Statement, Store, StoreError, Table};

pub use config::Config;
use stored::Stored;

/// `[modules.msilo]`
pub static MODULE: ModuleDef = ModuleDef { name: "msilo", load };

/// Kamailio's table.
static SILO: Table = Table::new(
    "silo",
    8,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("src_addr", ColumnType::Text(255)).default("''"),
        Column::new("dst_addr", ColumnType::Text(255)).default("''"),
        Column::new("username", ColumnType::Text(64)).default("''"),
        Column::new("domain", ColumnType::Text(64)).default("''"),
        Column::new("inc_time", ColumnType::Int).default("0"),
        Column::new("exp_time", ColumnType::Int).default("0"),
        Column::new("snd_time", ColumnType::Int).default("0"),
        Column::new("ctype", ColumnType::Text(32)).default("'text/plain'"),
        Column::new("body", ColumnType::Blob).nullable(),
        Column::new("extra_hdrs", ColumnType::LongText).nullable().optional(),
        Column::new("callid", ColumnType::Text(128)).default("''").optional(),
        Column::new("status", ColumnType::Int).default("0").optional(),
    ],
)
.indexes(&[&["username", "domain"]]);

/// The contacts that messages are delivered to.
const LOCATION: &str = "location";

/// Messages that are read at once.
const PAGE: i64 = 100;

/// What the functions work with.
struct Silo {
    config: Config,
    store: Option<Store>,
    /// Whose messages are being delivered, so that two REGISTERs do not deliver them twice.
    busy: Arc<Mutex<HashSet<String>>>,
}

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    exports.table(&SILO);
    if let Some(store) = exports.store() {
        exports.every(config.check_time, move |router| clean(store.clone(), router));
    }
    let busy = exports.common(Mutex::<HashSet<String>>::default);
    let silo = Silo { config, store: exports.store(), busy };
    let kinds = REQUEST | FAILURE | XMPP_MESSAGE;
    exports
        .with(silo)
        .export("m_store", [], kinds, m_store)
        .export("m_store", ["owner"], kinds, m_store_for)
        .export("m_dump", [], REQUEST, m_dump)
        .export("m_dump", ["owner"], REQUEST, m_dump_for);
    Ok(())
}

/// Takes what has expired away.
async fn clean(store: Store, router: Rc<dyn Router>) {
    drop(router);
    let now = stored::seconds(unix_now());
    let statement =
        Statement::new("DELETE FROM silo WHERE exp_time > 0 AND exp_time < ?").bind(now);
    if let Err(error) = store.execute(vec![statement]).await {
        tracing::debug!(%error, "expired messages are not cleaned up");
    }
}

/// The date and time now, as the store counts it.
fn unix_now() -> std::time::Duration {
    crate::store::Value::now().unix_time().unwrap_or_default()
}

/// Stores the MESSAGE for the user of the Request-URI, to be delivered when he registers.
///
/// False when it is not stored: the store is away, or the user has as many as `max_messages`. A MESSAGE without a body is
/// nothing to store, and true.
///
/// ```rhai
/// if is_method("MESSAGE") && !lookup("location") {
///     if m_store() { sl_send_reply(202, "Accepted"); } else { sl_send_reply(503, "Service Unavailable"); }
/// }
/// ```
fn m_store(route: &mut Route, silo: &Silo) -> Result<bool, RouteError> {
    let owner = route.message.request_uri().to_owned();
    keep(route, silo, &owner)
}

/// Stores the MESSAGE for the user of the URI `owner`.
///
/// ```rhai
/// if is_method("MESSAGE") && m_store("sip:alice@sip.example") { sl_send_reply(202, "Accepted"); }
/// ```
fn m_store_for(route: &mut Route, silo: &Silo, owner: ImmutableString) -> Result<bool, RouteError> {
    keep(route, silo, &owner)
}

/// Delivers what is stored for the user of To, who has just registered: to all of his phones, one message after the other.
///
/// True when there is something to deliver. It goes on when the route has ended; what no phone takes stays stored.
///
/// ```rhai
/// if is_method("REGISTER") && save("location") { m_dump(); }
/// ```
fn m_dump(route: &mut Route, silo: &Silo) -> Result<bool, RouteError> {
    let owner = route.message.to()?.uri.to_owned();
    dump(route, silo, &owner)
}

/// Delivers what is stored for the user of the URI `owner`.
///
/// ```rhai
/// if is_method("REGISTER") && save("location") { m_dump("sip:alice@sip.example"); }
/// ```
fn m_dump_for(route: &mut Route, silo: &Silo, owner: ImmutableString) -> Result<bool, RouteError> {
    dump(route, silo, &owner)
}

/// User and host of a URI, as the table has them.
fn user_and_host(uri: &str) -> Result<(String, String), RouteError> {
    let parsed = Uri::parse(uri).map_err(|source| RouteError::Uri { part: "owner", source })?;
    let host = parsed.host().to_ascii_lowercase();
    Ok((parsed.user().unwrap_or_default().to_owned(), host))
}

fn store_of(silo: &Silo) -> Result<&Store, RouteError> {
    silo.store.as_ref().ok_or(RouteError::NotConfigured("there is no store"))
}

fn keep(route: &mut Route, silo: &Silo, owner: &str) -> Result<bool, RouteError> {
    let message = &route.message;
    if message.method() != Method::Message || message.body().is_empty() {
        return Ok(message.method() == Method::Message);
    }
    let (user, host) = user_and_host(owner)?;
    let store = store_of(silo)?;
    if silo.config.max_messages > 0 {
        let question = "SELECT COUNT(*) FROM silo WHERE username = ? AND domain = ?";
        let question = Statement::new(question).bind(&*user).bind(&*host);
        let rows = route.wait(store.query(question))?;
        let count = rows.ok().and_then(|rows| rows.first()?.int(0));
        if count.is_none_or(|count| count >= silo.config.max_messages as i64) {
            return Ok(false);
        }
    }
    let row = stored::insert(message, (&user, &host), unix_now(), silo.config.expire_time)?;
    if let Err(error) = route.wait(store.execute(vec![row]))? {
        tracing::warn!(%error, "a message is not stored");
        return Ok(false);
    }
    tell_sender(route, silo);
    Ok(true)
}

/// Tells the sender that his message waits.
fn tell_sender(route: &Route, silo: &Silo) {
    let Config { from_address: Some(from), offline_message: Some(text), .. } = &silo.config else {
        return;
    };
    let router = route.router();
    let (tag, call_id) = (router.unique_id(), router.unique_id());
    let ids = RequestIds { tag: &tag, call_id: &call_id, cseq: 1 };
    let Ok(sender) = route.message.from() else { return };
    let Ok(notice) = text_message(from, sender.uri, text, ids) else { return };
    let ways = router.contacts(LOCATION, sender.uri, None);
    let way = ways.into_iter().next().unwrap_or_else(|| Target::new(sender.uri));
    let next_hop = way.destination.clone().unwrap_or_else(|| way.uri.clone());
    let mut message = notice.message;
    if message.set_request_uri(&way.uri).is_ok() {
        let sent = router.request(message, &next_hop);
        tokio::task::spawn_local(async move {
            if let Err(error) = sent.await {
                tracing::debug!(%error, "a sender is not told that his message waits");
            }
        });
    }
}

fn dump(route: &mut Route, silo: &Silo, owner: &str) -> Result<bool, RouteError> {
    let (user, host) = user_and_host(owner)?;
    let store = store_of(silo)?.clone();
    let busy = silo.busy.clone();
    let key = format!("{user}@{host}");
    if !lock(&busy).insert(key.clone()) {
        return Ok(true);
    }
    let first = route.wait(page(&store, &user, &host, 0));
    let first = match first.map(|page| page.unwrap_or_default()) {
        Ok(first) if !first.is_empty() => first,
        _ => {
            lock(&busy).remove(&key);
            return Ok(false);
        }
    };
    let delivery = Delivery {
        router: route.router(),
        store,
        aor: format!("sip:{user}@{host}"),
        adds_date: silo.config.add_date,
    };
    tokio::task::spawn_local(async move {
        delivery.deliver(first, &user, &host).await;
        lock(&busy).remove(&key);
    });
    Ok(true)
}

fn lock(busy: &Mutex<HashSet<String>>) -> std::sync::MutexGuard<'_, HashSet<String>> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is stored for a user behind a row.
async fn page(
    store: &Store,
    user: &str,
    host: &str,
    after: i64,
) -> Result<Vec<Stored>, StoreError> {
    let question = format!(
        "SELECT id, src_addr, dst_addr, inc_time, ctype, body FROM silo \
         WHERE username = ? AND domain = ? AND id > ? AND (exp_time = 0 OR exp_time >= ?) \
         AND snd_time = 0 ORDER BY id LIMIT {PAGE}"
    );
    let now = stored::seconds(unix_now());
    let question = Statement::new(question).bind(user).bind(host).bind(after).bind(now);
    Ok(store.query(question).await?.iter().filter_map(Stored::read).collect())
}

/// Messages on their way to one user.
struct Delivery {
    router: Rc<dyn Router>,
    store: Store,
    aor: String,
    adds_date: bool,
}

impl Delivery {
    /// Delivers one message after the other, until one is not taken.
    async fn deliver(&self, first: Vec<Stored>, user: &str, host: &str) {
        let mut page_of = first;
        while let Some(last) = page_of.last().map(|message| message.id) {
            for message in page_of {
                let id = message.id;
                if !self.send(&message).await {
                    return;
                }
                let done = Statement::new("DELETE FROM silo WHERE id = ?").bind(id);
                if let Err(error) = self.store.execute(vec![done]).await {
                    // It would be delivered again.
                    tracing::warn!(%error, "a message that was delivered is still stored");
                    return;
                }
            }
            page_of = page(&self.store, user, host, last).await.unwrap_or_default();
        }
    }

    /// Sends a message to every phone of the user; true when one has taken it, or none ever will.
    async fn send(&self, message: &Stored) -> bool {
        let ways = self.router.contacts(LOCATION, &self.aor, Some("MESSAGE"));
        let mut is_taken = false;
        for way in ways {
            let Some(request) = self.request(message, &way) else {
                tracing::warn!(
                    id = message.id,
                    "a stored message cannot be written, and is dropped"
                );
                return true;
            };
            let next_hop = way.destination.as_ref().unwrap_or(&way.uri);
            let status = self.router.request(request, next_hop).await;
            is_taken |= status.is_ok_and(|status| (200..300).contains(&status));
        }
        is_taken
    }

    fn request(&self, message: &Stored, way: &Target) -> Option<Message> {
        let (tag, call_id) = (self.router.unique_id(), self.router.unique_id());
        let ids = RequestIds { tag: &tag, call_id: &call_id, cseq: 1 };
        message.request(way, &self.aor, ids, self.adds_date)
    }
}

#[cfg(test)]
mod tests;
