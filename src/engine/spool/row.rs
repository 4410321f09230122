//! The table of the spool: one row for each message whose fate is open or remembered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::gateway::MessageId;
use crate::gateway::ledger::{Side, State};
use crate::store::{self, Column, ColumnType, Statement, Table};

/// Ids that one statement names at most; fewer are filled up, so that few statements are prepared.
const SIZES: [usize; 3] = [1, 8, 64];

/// The table.
pub static SPOOL: Table = Table::new(
    "spool",
    1,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("mid", ColumnType::Text(32)),
        Column::new("kind", ColumnType::Text(16)),
        Column::new("lane", ColumnType::LongText),
        Column::new("state", ColumnType::Text(16)),
        Column::new("attempts", ColumnType::Int).default("0"),
        Column::new("accepted", ColumnType::BigInt),
        Column::new("expires", ColumnType::BigInt),
        Column::new("changed", ColumnType::BigInt),
        Column::new("status", ColumnType::Int).default("0"),
        Column::new("reason", ColumnType::Text(255)).default("''"),
        Column::new("sender", ColumnType::Text(255)).default("''"),
        Column::new("recipient", ColumnType::Text(255)).default("''"),
        Column::new("message", ColumnType::Blob),
    ],
)
.unique(&[&["mid"]]);

/// What a message is, and what it comes or goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) what: What,
    pub(crate) way: Way,
}

/// How the XMPP side is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the component's stream.
    Component,
    /// By the stream of the account that the lane bears the name of.
    Account,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A MESSAGE for an XMPP user.
    Request,
    /// A stanza for a SIP user.
    Stanza,
    /// The report of a failure to a SIP user.
    SipReport,
    /// The report of a failure to an XMPP user.
    XmppReport,
}

impl Kind {
    const WORDS: [(Self, &'static str); 8] = [
        (Self::component(What::Request), "request"),
        (Self::component(What::Stanza), "stanza"),
        (Self::component(What::SipReport), "sip_report"),
        (Self::component(What::XmppReport), "xmpp_report"),
        (Self::account(What::Request), "acc_request"),
        (Self::account(What::Stanza), "acc_stanza"),
        (Self::account(What::SipReport), "acc_sip_report"),
        (Self::account(What::XmppReport), "acc_xmpp_report"),
    ];

    pub(crate) const fn component(what: What) -> Self {
        Self { what, way: Way::Component }
    }

    pub(crate) const fn account(what: What) -> Self {
        Self { what, way: Way::Account }
    }

    /// Where it goes.
    pub(crate) fn side(self) -> Side {
        match (self.what, self.way) {
            (What::Stanza | What::SipReport, _) => Side::Sip,
            (What::Request | What::XmppReport, Way::Component) => Side::Xmpp,
            (What::Request | What::XmppReport, Way::Account) => Side::Account,
        }
    }

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, it)| *it == word).map(|(kind, _)| *kind)
    }

    /// Is it about another message?
    pub(crate) fn is_report(self) -> bool {
        matches!(self.what, What::SipReport | What::XmppReport)
    }
}

/// One row; times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: MessageId,
    pub(crate) kind: Kind,
    pub(crate) lane: Arc<str>,
    pub(crate) state: State,
    pub(crate) attempts: u32,
    pub(crate) accepted: u64,
    pub(crate) expires: u64,
    pub(crate) sender: String,
    pub(crate) recipient: String,
    pub(crate) message: Bytes,
}

impl Row {
    /// Writes it; a row of the same message is one whose writing nobody was sure of.
    pub(crate) fn insert(&self) -> Statement {
        Statement::new(
            "REPLACE INTO spool (mid, kind, lane, state, attempts, accepted, expires, changed, sender, \
             recipient, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(self.id.to_string())
        .bind(self.kind.word())
        .bind(&*self.lane)
        .bind(self.state.word())
        .bind(self.attempts)
        .bind(self.accepted as i64)
        .bind(self.expires as i64)
        .bind(self.accepted as i64)
        .bind(cut(&self.sender))
        .bind(cut(&self.recipient))
        .bind(self.message.to_vec())
    }

    fn read(row: &store::Row) -> Option<Self> {
        let number = |column| row.int(column).and_then(|number| u64::try_from(number).ok());
        let text = |column| row.text(column).unwrap_or_default().to_owned();
        Some(Self {
            id: MessageId::parse(row.text(1)?)?,
            kind: Kind::from_word(row.text(2)?)?,
            lane: text(3).into(),
            state: State::from_word(row.text(4)?)?,
            attempts: u32::try_from(number(5)?).ok()?,
            accepted: number(6)?,
            expires: number(7)?,
            sender: text(8),
            recipient: text(9),
            message: Bytes::copy_from_slice(row.bytes(10)?),
        })
    }
}

/// As many letters as a column holds.
fn cut(text: &str) -> &str {
    text.char_indices().nth(255).map_or(text, |(end, _)| &text[..end])
}

/// Rows in the order of their acceptance, those behind `last`.
pub(crate) fn rows_after(last: i64, count: u32) -> Statement {
    Statement::new(
        "SELECT id, mid, kind, lane, state, attempts, accepted, expires, sender, recipient, message \
         FROM spool WHERE id > ? ORDER BY id LIMIT ?",
    )
    .bind(last)
    .bind(count)
}

/// What [`rows_after`] has found, and the last number.
pub(crate) fn read(rows: &[store::Row]) -> (Vec<Row>, Option<i64>) {
    let last = rows.last().and_then(|row| row.int(0));
    (rows.iter().filter_map(Row::read).collect(), last)
}

/// What changes in a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) state: &'static str,
    pub(crate) attempts: u32,
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Change {
    /// Makes the change in the rows of these messages; those whose fate is known keep no text.
    pub(crate) fn statements(&self, ids: &[MessageId], now: Duration) -> Vec<Statement> {
        let is_final = State::from_word(self.state).is_some_and(State::is_final);
        let message = if is_final { ", message = ''" } else { "" };
        let sql = format!(
            "UPDATE spool SET state = ?, attempts = ?, status = ?, reason = ?, changed = ?{message} \
             WHERE mid IN "
        );
        let bound = |sql: String| {
            Statement::new(sql)
                .bind(self.state)
                .bind(self.attempts)
                .bind(self.status)
                .bind(cut(&self.reason))
                .bind(now.as_millis() as i64)
        };
        with_ids(ids, &sql, bound)
    }
}

/// Takes the rows of these messages away.
pub(crate) fn delete(ids: &[MessageId]) -> Vec<Statement> {
    with_ids(ids, "DELETE FROM spool WHERE mid IN ", Statement::new)
}

fn with_ids(
    mut ids: &[MessageId],
    sql: &str,
    begin: impl Fn(String) -> Statement,
) -> Vec<Statement> {
    let mut statements = Vec::new();
    while !ids.is_empty() {
        let size = SIZES.into_iter().find(|size| *size >= ids.len()).unwrap_or(SIZES[2]);
        let (some, rest) = ids.split_at(size.min(ids.len()));
        let marks = vec!["?"; size].join(", ");
        let filled = some.iter().chain(std::iter::repeat(&some[0])).take(size);
        let statement = begin(format!("{sql}({marks})"));
        statements.push(filled.fold(statement, |it, id| it.bind(id.to_string())));
        ids = rest;
    }
    statements
}

/// What `sipjab fate` shows of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `accepted`, `handed_over` …
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was accepted, milliseconds since 1970.
    pub accepted: u64,
    /// When the state was reached, milliseconds since 1970.
    pub changed: u64,
    /// The status of a failure, else 0.
    pub status: u16,
    /// The reason of a failure.
    pub reason: String,
    /// Who sent it.
    pub sender: String,
    /// For whom it is.
    pub recipient: String,
}

impl Told {
    /// What asks for a message by its id.
    pub fn question(id: MessageId) -> Statement {
        Statement::new(
            "SELECT state, attempts, accepted, changed, status, reason, sender, recipient \
             FROM spool WHERE mid = ?",
        )
        .bind(id.to_string())
    }

    /// What the first row of the answer says.
    pub fn read(rows: &[store::Row]) -> Option<Self> {
        let row = rows.first()?;
        let text = |column| row.text(column).unwrap_or_default().to_owned();
        let number = |column| row.int(column).unwrap_or_default().unsigned_abs();
        Some(Self {
            state: text(0),
            attempts: u32::try_from(number(1)).unwrap_or(u32::MAX),
            accepted: number(2),
            changed: number(3),
            status: u16::try_from(number(4)).unwrap_or(0),
            reason: text(5),
            sender: text(6),
            recipient: text(7),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn id(number: u32) -> MessageId {
        MessageId::parse(&format!("{number:032x}")).unwrap()
    }

    fn row(number: u32) -> Row {
        Row {
            id: id(number),
            kind: Kind::account(What::Stanza),
            lane: "sip:a@b".into(),
            state: State::Accepted,
            attempts: 0,
            accepted: 1_700_000_000_000,
            expires: 1_700_000_060_000,
            sender: "ü".repeat(300),
            recipient: String::new(),
            message: Bytes::from_static(b"<message/>"),
        }
    }

    async fn rows(store: &Store) -> Vec<Row> {
        read(&store.query(rows_after(0, 1000)).await.unwrap()).0
    }

    #[tokio::test]
    async fn rows_are_read_as_they_are_written_and_changed() {
        let store = Store::in_memory(std::slice::from_ref(&SPOOL)).unwrap();
        store.execute((1..=100).map(|number| row(number).insert()).collect()).await.unwrap();
        let sender = "ü".repeat(255);
        assert_eq!(rows(&store).await[0], Row { sender: sender.clone(), ..row(1) });
        store.execute(vec![row(1).insert()]).await.unwrap();
        assert_eq!(rows(&store).await.len(), 100, "a message has one row");

        let change = Change { state: "failed", attempts: 2, status: 404, reason: "No".to_owned() };
        let ids: Vec<_> = (1..=100).map(id).collect();
        let statements = change.statements(&ids[..99], Duration::from_secs(1));
        assert_eq!(statements.len(), 2);
        assert_eq!(store.execute(statements).await, Ok(99));
        let told = Told::read(&store.query(Told::question(id(7))).await.unwrap()).unwrap();
        assert_eq!((told.state.as_str(), told.status, told.changed), ("failed", 404, 1000));
        assert_eq!((told.reason.as_str(), told.attempts, told.sender), ("No", 2, sender));
        let left = rows(&store).await.into_iter().filter(|row| !row.message.is_empty());
        assert_eq!(left.count(), 1, "the text is kept only as long as it is needed");
        store.execute(delete(&ids)).await.unwrap();
        assert_eq!(rows(&store).await, []);
    }
}
