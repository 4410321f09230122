//! Which Jabber account a SIP user has: SER's table `jusers`, used in place, and those of the transports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::seal::{self, Seal, SealError};
use super::{Column, ColumnType, Row, Statement, Store, StoreError, Table};

/// SER's table of SIP users and their accounts.
pub static JUSERS: Table = Table::new(
    "jusers",
    1,
    &[
        Column::new("juid", ColumnType::Id),
        Column::new("jab_id", ColumnType::Text(128)),
        // SER has 50, which is too short for what is sealed.
        Column::new("jab_passwd", ColumnType::Text(255)).nullable(),
        Column::new("sip_id", ColumnType::Text(128)),
        Column::new("type", ColumnType::Int).default("0"),
    ],
)
.indexes(&[&["jab_id"], &["sip_id"]]);

macro_rules! transports {
    ($($table:ident $name:literal $id:literal $kind:expr, $password:literal $nick:literal;)*) => {
        $(
            #[doc = concat!("SER's table of accounts behind the transport `", $name, "`.")]
            pub static $table: Table = Table::new(
                $name,
                1,
                &[
                    Column::new("juid", ColumnType::Int),
                    Column::new($id, $kind),
                    Column::new($password, ColumnType::Text(255)).nullable(),
                    Column::new($nick, ColumnType::Text(50)).nullable(),
                    Column::new("type", ColumnType::Int).default("0"),
                ],
            )
            .unique(&[&["juid"]])
            .indexes(&[&[$id]]);
        )*

        /// The tables of the transports, with the column of the account's name.
        pub const TRANSPORTS: [(&Table, &str); 4] = [$((&$table, $id)),*];
    };
}

transports! {
    AIM "aim" "aim_id" ColumnType::Text(128), "aim_passwd" "aim_nick";
    ICQ "icq" "icq_id" ColumnType::Int, "icq_passwd" "icq_nick";
    MSN "msn" "msn_id" ColumnType::Text(128), "msn_passwd" "msn_nick";
    YAHOO "yahoo" "yahoo_id" ColumnType::Text(128), "yahoo_passwd" "yahoo_nick";
}

/// The most users that one question names, or brings of all.
const AT_ONCE: usize = 100;

/// A row of `jusers`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// The number of the row.
    pub juid: i64,
    /// The account: its name, or its whole address.
    pub jab_id: String,
    /// The SIP user, `sip:user@host`.
    pub sip_id: String,
    /// The row counts: SER's `type` is 0.
    pub is_enabled: bool,
    stored: Stored,
}

/// The password as it stands in the database.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Stored(String);

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored(…)")
    }
}

impl User {
    fn read(row: &Row) -> Option<Self> {
        Some(Self {
            juid: row.int(0)?,
            jab_id: row.text(1)?.trim().to_owned(),
            stored: Stored(row.text(2).unwrap_or_default().to_owned()),
            sip_id: row.text(3)?.to_owned(),
            is_enabled: row.int(4).unwrap_or(0) == 0,
        })
    }

    /// A user who has no row yet, with a password that is not sealed.
    pub fn unsealed(sip_id: &str, jab_id: &str, password: &str) -> Self {
        Self {
            juid: 0,
            jab_id: jab_id.to_owned(),
            sip_id: sip_id.to_owned(),
            is_enabled: true,
            stored: Stored(password.to_owned()),
        }
    }

    /// Is the password sealed?
    pub fn is_sealed(&self) -> bool {
        seal::is_sealed(&self.stored.0)
    }
}

/// Adds a row that counts, with the password as it stands in the database.
pub fn insert(sip_id: &str, jab_id: &str, stored: &str) -> Statement {
    Statement::new("INSERT INTO jusers (jab_id, jab_passwd, sip_id, type) VALUES (?, ?, ?, 0)")
        .bind(jab_id)
        .bind(stored)
        .bind(sip_id)
}

/// Why a row was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The SIP user has a row.
    #[error("{0} has an account already")]
    Taken(String),
    /// The store does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The way to the users. Clones lead to the same.
#[derive(Clone, Debug)]
pub struct Users {
    store: Store,
    seal: Option<Arc<Seal>>,
    /// A plain password was found, and said so.
    has_warned: Arc<AtomicBool>,
}

impl Users {
    /// The users of a store; what they have sealed is opened with `seal`.
    pub fn new(store: Store, seal: Option<Arc<Seal>>) -> Self {
        Self { store, seal, has_warned: Arc::default() }
    }

    /// The row of a SIP user: the first that is enabled, as SER takes it, else the first.
    pub async fn find(&self, sip_id: &str) -> Result<Option<User>, StoreError> {
        let rows = self.store.query(Self::rows("sip_id = ?").bind(sip_id)).await?;
        Ok(first_enabled(rows.iter().filter_map(User::read).filter(|user| user.sip_id == sip_id)))
    }

    /// The rows of several SIP users.
    pub async fn find_all(&self, sip_ids: &[String]) -> Result<BTreeMap<String, User>, StoreError> {
        let mut found = BTreeMap::<String, Vec<User>>::new();
        for some in sip_ids.chunks(AT_ONCE) {
            let marks = vec!["?"; some.len()].join(", ");
            let mut question = Self::rows(&format!("sip_id IN ({marks})"));
            for sip_id in some {
                question = question.bind(sip_id.as_str());
            }
            for user in self.store.query(question).await?.iter().filter_map(User::read) {
                found.entry(user.sip_id.clone()).or_default().push(user);
            }
        }
        let first = |(sip_id, users)| Some((sip_id, first_enabled(users)?));
        Ok(found
            .into_iter()
            .filter_map(|(id, users): (_, Vec<_>)| first((id, users.into_iter())))
            .collect())
    }

    /// Every row, by its number.
    pub async fn list(&self) -> Result<Vec<User>, StoreError> {
        let mut all: Vec<User> = Vec::new();
        loop {
            let last = all.last().map_or(i64::MIN, |user| user.juid);
            match self.list_after(last).await? {
                some if some.is_empty() => return Ok(all),
                some => all.extend(some),
            }
        }
    }

    /// Some rows whose numbers are higher than this, in order; none when there are none.
    pub async fn list_after(&self, juid: i64) -> Result<Vec<User>, StoreError> {
        let question = Self::rows_up_to("juid > ?", Some(AT_ONCE)).bind(juid);
        Ok(self.store.query(question).await?.iter().filter_map(User::read).collect())
    }

    /// Adds a row, sealed where there is a seal.
    pub async fn add(&self, sip_id: &str, jab_id: &str, password: &str) -> Result<(), AddError> {
        if self.find(sip_id).await?.is_some() {
            return Err(AddError::Taken(sip_id.to_owned()));
        }
        let stored = match &self.seal {
            Some(seal) => seal.seal(password, &owner(sip_id, jab_id)),
            None => password.to_owned(),
        };
        self.store.execute(vec![insert(sip_id, jab_id, &stored)]).await?;
        Ok(())
    }

    /// Makes a user's rows count or not; tells whether there are any.
    pub async fn enable(&self, sip_id: &str, is_enabled: bool) -> Result<bool, StoreError> {
        let known = self.find(sip_id).await?.is_some();
        let statement = Statement::new("UPDATE jusers SET type = ? WHERE sip_id = ?");
        self.store.execute(vec![statement.bind(!is_enabled).bind(sip_id)]).await?;
        Ok(known)
    }

    /// Takes a user's rows away, and what the transports have of them; tells whether there were any.
    pub async fn remove(&self, sip_id: &str) -> Result<bool, StoreError> {
        let Some(user) = self.find(sip_id).await? else { return Ok(false) };
        let of_transports = TRANSPORTS.iter().map(|(table, _)| {
            Statement::new(format!("DELETE FROM {} WHERE juid = ?", table.name)).bind(user.juid)
        });
        let mut statements: Vec<_> = of_transports.collect();
        statements.push(Statement::new("DELETE FROM jusers WHERE sip_id = ?").bind(sip_id));
        self.store.execute(statements).await?;
        Ok(true)
    }

    /// The accounts that a user has behind transports: the transport and the name there.
    pub async fn transports(&self, juid: i64) -> Result<Vec<(String, String)>, StoreError> {
        let mut found = Vec::new();
        for (table, id) in TRANSPORTS {
            let question = format!("SELECT {id} FROM {} WHERE juid = ? AND type = 0", table.name);
            let rows = self.store.query(Statement::new(question).bind(juid)).await?;
            let name =
                |row: &Row| row.text(0).map(str::to_owned).or(row.int(0).map(|n| n.to_string()));
            found.extend(rows.iter().filter_map(name).map(|name| (table.name.to_string(), name)));
        }
        Ok(found)
    }

    /// The password of a row. A plain one is told of once in the log.
    pub fn password(&self, user: &User) -> Result<String, SealError> {
        if !user.is_sealed() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "passwords in the table jusers are not sealed: docs/jabber.md tells how"
            );
        }
        let owner = owner(&user.sip_id, &user.jab_id);
        seal::opened(self.seal.as_deref(), &user.stored.0, &owner)
    }

    fn rows(condition: &str) -> Statement {
        Self::rows_up_to(condition, None)
    }

    fn rows_up_to(condition: &str, count: Option<usize>) -> Statement {
        let limit = count.map(|count| format!(" LIMIT {count}")).unwrap_or_default();
        Statement::new(format!(
            "SELECT juid, jab_id, jab_passwd, sip_id, type FROM jusers WHERE {condition} ORDER BY juid{limit}"
        ))
    }
}

fn first_enabled(users: impl Iterator<Item = User>) -> Option<User> {
    let mut users = users.peekable();
    let first = users.peek().cloned();
    users.find(|user| user.is_enabled).or(first)
}

/// Whom a sealed password belongs to, so that it opens in no other row.
fn owner(sip_id: &str, jab_id: &str) -> String {
    format!("{sip_id}\n{jab_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::at_once;

    const JOE: &str = "sip:joe@sip.example";

    fn users(secret: Option<&str>) -> Users {
        let tables: Vec<_> =
            TRANSPORTS.iter().map(|(table, _)| (*table).clone()).chain([JUSERS.clone()]).collect();
        let store = Store::in_memory(&tables).unwrap();
        Users::new(store, secret.map(|secret| Arc::new(Seal::new(secret).unwrap())))
    }

    fn run(users: &Users, sql: &'static str) {
        at_once(users.store.execute(vec![Statement::new(sql)])).unwrap();
    }

    #[test]
    fn a_user_is_added_found_disabled_and_removed() {
        let users = users(Some("sixteen letters!"));
        at_once(users.add(JOE, "joe", "geheim")).unwrap();
        assert!(matches!(at_once(users.add(JOE, "joe2", "x")), Err(AddError::Taken(_))));
        let joe = at_once(users.find(JOE)).unwrap().unwrap();
        assert!(joe.is_enabled && joe.is_sealed());
        assert_eq!(users.password(&joe).as_deref(), Ok("geheim"));
        assert!(at_once(users.enable(JOE, false)).unwrap());
        assert!(!at_once(users.find(JOE)).unwrap().unwrap().is_enabled);
        assert!(at_once(users.remove(JOE)).unwrap());
        assert!(!at_once(users.remove(JOE)).unwrap());
        assert_eq!(at_once(users.find(JOE)), Ok(None));
    }

    #[test]
    fn all_rows_are_listed_however_many_there_are() {
        let users = users(None);
        let rows: Vec<_> =
            (1..=2 * AT_ONCE + 1).map(|n| format!("({n}, 'a{n}', 'x', 's', 0)")).collect();
        let insert = Statement::new(format!("INSERT INTO jusers VALUES {}", rows.join(", ")));
        at_once(users.store.execute(vec![insert])).unwrap();
        let all = at_once(users.list()).unwrap();
        assert!(all.iter().map(|user| user.juid).eq(1..=2 * AT_ONCE as i64 + 1));
    }

    /// The sample rows of SER's manual.
    #[test]
    fn compat_ser_rows_are_used_as_they_are() {
        let users = users(None);
        run(
            &users,
            "INSERT INTO jusers VALUES (1, 'jabber_username', 'xxx', 'sip:sip_username@sipserver.com', 0)",
        );
        run(&users, "INSERT INTO msn VALUES (1, 'msn_username%hotmail.com', 'x', 'nick', 0)");
        run(&users, "INSERT INTO icq VALUES (1, 1234567, 'x', 'nick', 0)");
        let user = at_once(users.find("sip:sip_username@sipserver.com")).unwrap().unwrap();
        assert_eq!((user.jab_id.as_str(), user.is_enabled), ("jabber_username", true));
        assert_eq!(users.password(&user).as_deref(), Ok("xxx"));
        let transports = at_once(users.transports(1)).unwrap();
        let expected = [("icq", "1234567"), ("msn", "msn_username%hotmail.com")];
        assert_eq!(transports, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn of_several_rows_the_first_that_counts_is_taken() {
        let users = users(None);
        run(&users, "INSERT INTO jusers VALUES (1, 'old', 'x', 'sip:joe@sip.example', 1)");
        run(&users, "INSERT INTO jusers VALUES (2, 'new', NULL, 'sip:joe@sip.example', 0)");
        run(&users, "INSERT INTO jusers VALUES (3, 'more', 'x', 'sip:joe@sip.example', 0)");
        assert_eq!(at_once(users.find(JOE)).unwrap().unwrap().jab_id, "new");
        let all = at_once(users.find_all(&[JOE.to_owned(), "sip:x@y".to_owned()])).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[JOE].juid, 2);
        assert_eq!(at_once(users.list()).unwrap().len(), 3);
    }
}
