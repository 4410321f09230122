//! The users of the store: table `subscriber` and its kind.

use std::sync::PoisonError;

use super::Auth;
use super::known::{Known, Worth};
use crate::script::error::RouteError;
use crate::script::route::Route;
use crate::sip::digest::{Credentials, Ha1, Hash, Outcome};
use crate::store::{Column, ColumnType, Row, Statement, Table, is_name};

/// Kamailio's table. One that is there already needs only the columns that the parameters name.
pub static SUBSCRIBER: Table = Table::new(
    "subscriber",
    7,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("username", ColumnType::Text(64)).default("''"),
        Column::new("domain", ColumnType::Text(64)).default("''").optional(),
        Column::new("password", ColumnType::Text(64)).default("''").optional(),
        Column::new("ha1", ColumnType::Text(128)).default("''").optional(),
        Column::new("ha1b", ColumnType::Text(128)).default("''").optional(),
    ],
)
.unique(&[&["username", "domain"]]);

/// How a column says what the user knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrecy {
    /// The password as it is typed.
    Plain,
    /// An HA1; its length tells the hash.
    Hashed,
}

/// Do the credentials prove that their user of `table` has sent the request?
///
/// What the store has said lately is taken for true; when it does not answer, so is what it said longer ago.
pub(super) fn judge(
    route: &Route,
    auth: &Auth,
    table: &str,
    credentials: &Credentials<'_>,
) -> Result<Outcome, RouteError> {
    let user = (table, &*credentials.realm, &*credentials.username);
    let is_right = |ha1: &[Ha1]| is_proved(route, ha1, credentials);
    let known = with_known(auth, |known| known.find(user, route.now()));
    match &known {
        Some((answer, Worth::New | Worth::Good)) if is_right(&answer.ha1) => {
            return Ok(Outcome::Ok);
        }
        Some((_, Worth::New)) => return Ok(Outcome::WrongPassword),
        _ => {}
    }
    let outcome = |ha1: &[Ha1]| if is_right(ha1) { Outcome::Ok } else { Outcome::WrongPassword };
    match read(route, auth, table, credentials) {
        Ok(Some(ha1)) => {
            let outcome = outcome(&ha1);
            // Whoever guesses does not push out those who know.
            if outcome == Outcome::Ok || known.is_some() {
                with_known(auth, |known| known.learn(user, ha1, route.now()));
            }
            Ok(outcome)
        }
        Ok(None) => {
            with_known(auth, |known| known.forget(user));
            Ok(Outcome::UnknownUser)
        }
        Err(RouteError::Store(error)) if error.retry_after().is_some() => {
            with_known(auth, |known| known.note_failure(route.now()));
            match known {
                Some((answer, Worth::Good | Worth::Spare)) => Ok(outcome(&answer.ha1)),
                _ => Err(RouteError::Store(error)),
            }
        }
        Err(error) => Err(error),
    }
}

/// Does one of these prove that the credentials belong to the request?
pub(super) fn is_proved(route: &Route, ha1: &[Ha1], credentials: &Credentials<'_>) -> bool {
    let method = route.message.method();
    ha1.iter().any(|ha1| ha1.proves(credentials, method.as_str(), route.message.body()))
}

fn with_known<T>(auth: &Auth, work: impl FnOnce(&mut Known) -> T) -> T {
    work(&mut auth.shared.known.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Asks the store; `None` when it has no such user.
fn read(
    route: &Route,
    auth: &Auth,
    table: &str,
    credentials: &Credentials<'_>,
) -> Result<Option<Vec<Ha1>>, RouteError> {
    let columns = columns(auth, credentials.domain().is_some());
    let statement = statement(auth, table, &columns, credentials)?;
    let missing = RouteError::NotConfigured("there is no [store] to read users from");
    let store = auth.store.as_ref().ok_or(missing)?;
    let rows = route.wait(store.query(statement))?.map_err(RouteError::Store)?;
    Ok(rows.first().map(|row| secrets(auth, row, &columns, credentials)))
}

/// The columns that hold what this username proves itself with.
fn columns(auth: &Auth, has_domain: bool) -> Vec<(Secrecy, &str)> {
    let config = &auth.config;
    let first = config.password_column.as_deref();
    if config.calculate_ha1 {
        return vec![(Secrecy::Plain, first.unwrap_or("password"))];
    }
    let (md5, sha256) = match has_domain {
        true => (config.password_column_2.as_str(), &config.sha256_column_2),
        false => (first.unwrap_or("ha1"), &config.sha256_column),
    };
    let sha256 = sha256.as_deref().map(|column| (Secrecy::Hashed, column));
    [(Secrecy::Hashed, md5)].into_iter().chain(sha256).collect()
}

fn statement(
    auth: &Auth,
    table: &str,
    columns: &[(Secrecy, &str)],
    credentials: &Credentials<'_>,
) -> Result<Statement, RouteError> {
    if !is_name(table) {
        let reason = format!("`{table}` is no table; its name has letters, digits and `_` only");
        return Err(RouteError::BadArgument { argument: "table", reason });
    }
    let config = &auth.config;
    let names: Vec<_> = columns.iter().map(|(_, name)| *name).collect();
    let (names, user) = (names.join(", "), &config.user_column);
    let sql = format!("SELECT {names} FROM {table} WHERE {user} = ?");
    let name = credentials.user().to_owned();
    if !config.use_domain {
        return Ok(Statement::new(sql + " LIMIT 1").bind(name));
    }
    let domain = credentials.domain().unwrap_or(&credentials.realm).to_ascii_lowercase();
    let sql = format!("{sql} AND {} = ? LIMIT 1", config.domain_column);
    Ok(Statement::new(sql).bind(name).bind(domain))
}

/// One HA1 for each hash that can be verified. An empty column is no password.
fn secrets(
    auth: &Auth,
    row: &Row,
    columns: &[(Secrecy, &str)],
    credentials: &Credentials<'_>,
) -> Vec<Ha1> {
    let mut found = Vec::new();
    for (index, (secrecy, _)) in columns.iter().enumerate() {
        let Some(text) = row.text(index).filter(|text| !text.is_empty()) else { continue };
        match secrecy {
            Secrecy::Plain => found.extend(of_password(auth, credentials, text)),
            Secrecy::Hashed => found.extend(of_hash(auth, text)),
        }
    }
    found
}

/// The HA1s of a password.
pub(super) fn of_password(
    auth: &Auth,
    credentials: &Credentials<'_>,
    password: &str,
) -> impl Iterator<Item = Ha1> {
    let (username, realm) = (&credentials.username, &credentials.realm);
    auth.hashes.iter().map(move |hash| Ha1::of_password(*hash, username, realm, password))
}

/// The HA1 in a text of hexadecimal digits, of a hash that challenges offer.
pub(super) fn of_hash(auth: &Auth, text: &str) -> Option<Ha1> {
    let is_long = |hash: &&Hash| hash.digits() == text.trim().len();
    auth.hashes.iter().find(is_long).and_then(|hash| Ha1::from_hex(*hash, text))
}
