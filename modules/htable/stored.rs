//! A table of the store behind a table of ours: read before it is used first, written after it was changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::table::{Entry, MAX_KEY, MAX_VALUE, Table, Value};
use crate::store::{Column, ColumnType, Row, Statement, Store, StoreError, Table as Described};

/// Kamailio's `htable`, with room for longer keys and values.
pub(super) static HTABLE: Described = Described::new(
    "htable",
    2,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("key_name", ColumnType::Text(255)).default("''"),
        Column::new("key_type", ColumnType::Int).default("0"),
        Column::new("value_type", ColumnType::Int).default("0"),
        Column::new("key_value", ColumnType::Text(8192)).default("''"),
        Column::new("expires", ColumnType::Int).default("0"),
    ],
)
.indexes(&[&["key_name"]]);

/// Rows that are read at once.
const PAGE: usize = 5000;

/// Entries that are written in one transaction.
const BATCH: usize = 200;

/// One moment on two clocks: that of timers, and the time since 1970.
pub(super) type Moment = (Instant, Duration);

/// The store behind one table.
pub(super) struct Stored {
    store: Store,
    /// The name of the table in the store.
    name: Box<str>,
    /// The most entries.
    size: usize,
    /// Changes are written.
    is_written: bool,
    /// One reads, the others wait.
    loading: tokio::sync::Mutex<()>,
}

impl Stored {
    pub(super) fn new(store: Store, name: &str, size: usize, is_written: bool) -> Self {
        Self { store, name: name.into(), size, is_written, loading: Default::default() }
    }

    /// Are changes written?
    pub(super) fn is_written(&self) -> bool {
        self.is_written
    }

    /// Reads the table, unless it was read.
    pub(super) async fn load(&self, table: &Table, moment: Moment) -> Result<(), StoreError> {
        let _alone = self.loading.lock().await;
        if table.is_loaded() {
            return Ok(());
        }
        let mut entries = Vec::new();
        let (mut last, mut is_array, mut bad) = (0, false, 0);
        loop {
            let rows = self.store.query(self.page(last)).await?;
            for row in &rows {
                last = row.int(0).unwrap_or(i64::MAX).max(last);
                is_array |= row.int(2) == Some(1);
                match entry(row, moment) {
                    Some(entry) => entries.push(entry),
                    None => bad += 1,
                }
            }
            if rows.len() < PAGE || entries.len() >= self.size {
                break;
            }
        }
        if bad > 0 {
            tracing::warn!(count = bad, table = %self.name, "htable: rows make no sense");
        }
        let now = moment.0;
        entries.retain(|(_, _, expires)| expires.is_none_or(|expires| expires > now));
        let entries = in_order(entries);
        if !table.fill(now, self.size, entries) {
            tracing::warn!(table = %self.name, "htable: there are more rows than entries");
        }
        if is_array && self.is_written {
            table.change_all();
        }
        Ok(())
    }

    fn page(&self, last: i64) -> Statement {
        let sql = format!(
            "SELECT id, key_name, key_type, value_type, key_value, expires FROM {} \
             WHERE id > ? ORDER BY id LIMIT ?",
            self.name
        );
        Statement::new(sql).bind(last).bind(PAGE as i64)
    }

    /// Writes what has changed since the last call. What the store does not take now is written later.
    pub(super) async fn write(&self, table: &Arc<Table>, moment: Moment) {
        if !table.is_loaded() {
            return;
        }
        let changes = table.take_changes(moment.0);
        if changes.is_all {
            return self.write_all(table, &changes.entries, moment).await;
        }
        for batch in changes.entries.chunks(BATCH) {
            let statements = batch.iter().flat_map(|change| self.statements(change, moment));
            let Err(error) = self.store.execute(statements.collect()).await else { continue };
            self.note(&error, batch.len());
            match error.retry_after() {
                Some(_) => batch.iter().for_each(|(key, _)| table.note_change(key, self.size)),
                None => self.write_singly(batch, moment).await,
            }
        }
    }

    /// Writes the whole table anew.
    async fn write_all(
        &self,
        table: &Table,
        entries: &[(Box<str>, Option<Entry>)],
        moment: Moment,
    ) {
        let empty = || Statement::new(format!("DELETE FROM {}", self.name));
        let mut statements = vec![empty()];
        let insert = |(key, entry): &(Box<str>, Option<Entry>)| {
            entry.as_ref().map(|entry| self.insert(key, entry, moment))
        };
        statements.extend(entries.iter().filter_map(insert));
        let Err(error) = self.store.execute(statements).await else { return };
        self.note(&error, entries.len());
        match error.retry_after() {
            None if self.store.execute(vec![empty()]).await.is_ok() => {
                self.write_singly(entries, moment).await;
            }
            _ => table.change_all(),
        }
    }

    /// Finds the entry that the store refuses, and goes on without it.
    async fn write_singly(&self, batch: &[(Box<str>, Option<Entry>)], moment: Moment) {
        for change in batch {
            if let Err(error) = self.store.execute(self.statements(change, moment)).await {
                tracing::error!(%error, table = %self.name, "htable: an entry is not stored");
            }
        }
    }

    fn note(&self, error: &StoreError, count: usize) {
        tracing::warn!(%error, table = %self.name, count, "htable: changes are not stored yet");
    }

    fn statements(
        &self,
        (key, entry): &(Box<str>, Option<Entry>),
        moment: Moment,
    ) -> Vec<Statement> {
        let sql = format!("DELETE FROM {} WHERE key_name = ?", self.name);
        let mut statements = vec![Statement::new(sql).bind(&**key)];
        statements.extend(entry.iter().map(|entry| self.insert(key, entry, moment)));
        statements
    }

    fn insert(&self, key: &str, (value, expires): &Entry, (now, unix): Moment) -> Statement {
        let sql = format!(
            "INSERT INTO {} (key_name, key_type, value_type, key_value, expires) \
             VALUES (?, 0, ?, ?, ?)",
            self.name
        );
        let left =
            expires.map(|expires| (unix + (expires.saturating_duration_since(now))).as_secs());
        Statement::new(sql)
            .bind(key)
            .bind(i64::from(matches!(value, Value::Int(_))))
            .bind(value.text().as_ref())
            .bind(i64::try_from(left.unwrap_or(0)).unwrap_or(i64::MAX))
    }

    /// Removes the rows whose time is over.
    pub(super) async fn sweep(&self, unix: Duration) {
        let sql = format!("DELETE FROM {} WHERE expires > 0 AND expires <= ?", self.name);
        let now = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
        if let Err(error) = self.store.execute(vec![Statement::new(sql).bind(now)]).await {
            tracing::debug!(%error, table = %self.name, "htable: what has expired stays stored");
        }
    }
}

/// A row as it was read: its key or array, its value, and its end.
type Read = ((Box<str>, bool), Value, Option<Instant>);

/// What a row holds, or nothing when it makes no sense.
fn entry(row: &Row, (now, unix): Moment) -> Option<Read> {
    let key = row.text(1).filter(|key| !key.is_empty() && key.len() <= MAX_KEY)?;
    let text = row.text(4)?;
    let value = match row.int(3)? {
        1 => Value::Int(text.trim().parse().ok()?),
        0 if text.len() <= MAX_VALUE => Value::Text(text.into()),
        _ => return None,
    };
    let expires = Duration::from_secs(u64::try_from(row.int(5)?).ok()?);
    let expires = match expires.checked_sub(unix) {
        _ if expires.is_zero() => None,
        // What makes clocks overflow is for ever.
        Some(left) => now.checked_add(left),
        None => Some(now),
    };
    Some(((key.into(), row.int(2)? == 1), value, expires))
}

/// The entries that rows make: those of an array get their numbers, and the array its size.
fn in_order(read: Vec<Read>) -> Vec<(Box<str>, Entry)> {
    let mut sizes = std::collections::BTreeMap::<Box<str>, i64>::new();
    let mut entries = Vec::with_capacity(read.len());
    for ((key, is_array), value, expires) in read {
        let key = match is_array {
            false => key,
            true => {
                let size = sizes.entry(key.clone()).or_default();
                *size += 1;
                format!("{key}[{}]", *size - 1).into()
            }
        };
        entries.push((key, (value, expires)));
    }
    let size = |(key, size): (Box<str>, i64)| {
        (format!("{key}::size").into_boxed_str(), (Value::Int(size), None))
    };
    entries.extend(sizes.into_iter().map(size));
    entries
}

#[cfg(test)]
mod tests {
    use super::super::table::Rules;
    use super::*;
    use crate::clock;

    fn moment() -> Moment {
        (clock::now(), Duration::from_secs(1_700_000_000))
    }

    fn store() -> Store {
        Store::in_memory(&[HTABLE.named("h")]).unwrap()
    }

    fn stored(store: &Store) -> Stored {
        Stored::new(store.clone(), "h", 100, true)
    }

    async fn loaded(store: &Store, moment: Moment) -> Arc<Table> {
        let table = Arc::<Table>::default();
        table.keep_journal();
        stored(store).load(&table, moment).await.unwrap();
        table
    }

    async fn rows(store: &Store) -> Vec<String> {
        let sql = "SELECT key_name, value_type, key_value, expires FROM h ORDER BY key_name";
        let rows = store.query(Statement::new(sql)).await.unwrap();
        let text = |row: &Row| {
            let (kind, expires) = (row.int(1).unwrap(), row.int(3).unwrap());
            format!("{} {kind} {} {expires}", row.text(0).unwrap(), row.text(2).unwrap())
        };
        rows.iter().map(text).collect()
    }

    const RULES: Rules = Rules { size: 100, expiry: None, updates_expiry: true, initial: None };

    fn set(table: &Table, moment: Moment, key: &str, value: Value, stay: Option<u64>) {
        let stay = stay.map(Duration::from_secs);
        table.set(moment.0, &RULES, key.into(), value, Some(stay)).unwrap();
    }

    #[tokio::test]
    async fn what_was_changed_is_there_after_a_restart() {
        let (store, moment) = (store(), moment());
        let table = loaded(&store, moment).await;
        set(&table, moment, "number", Value::Int(7), Some(60));
        set(&table, moment, "text", Value::Text("it's".into()), None);
        set(&table, moment, "gone", Value::Int(1), None);
        table.remove(moment.0, &RULES, "gone");
        stored(&store).write(&table, moment).await;
        assert_eq!(rows(&store).await, ["number 1 7 1700000060", "text 0 it's 0"]);
        set(&table, moment, "number", Value::Int(8), Some(60));
        stored(&store).write(&table, moment).await;
        let again = loaded(&store, moment).await;
        let later = moment.0 + Duration::from_secs(59);
        assert_eq!(again.get(later, "number"), Some(Value::Int(8)));
        assert_eq!(again.get(later + Duration::from_secs(1), "number"), None);
        assert_eq!(again.get(later, "text"), Some(Value::Text("it's".into())));
        table.remove_all(moment.0, |key, _| key.starts_with('n'));
        stored(&store).write(&table, moment).await;
        assert_eq!(rows(&store).await, ["text 0 it's 0"]);
    }

    #[tokio::test]
    async fn compat_kamailio_rows_are_read_and_arrays_too() {
        let (store, moment) = (store(), moment());
        let sql = "INSERT INTO h (key_name, key_type, value_type, key_value, expires) VALUES \
                   ('a', 1, 1, '5', 0), ('a', 1, 0, 'x', 0), ('old', 0, 1, '1', 1600000000), \
                   ('bad', 0, 1, 'x', 0), ('late', 0, 1, '2', 1700000010)";
        store.execute(vec![Statement::new(sql)]).await.unwrap();
        let table = loaded(&store, moment).await;
        let get = |key: &str| table.get(moment.0, key).map(|value| value.text().into_owned());
        let found = ["a[0]", "a[1]", "a::size", "old", "bad", "late"].map(get);
        let expected = [Some("5"), Some("x"), Some("2"), None, None, Some("2")];
        assert_eq!(found, expected.map(|value| value.map(str::to_owned)));
        stored(&store).write(&table, moment).await;
        let written = rows(&store).await;
        assert_eq!(written, ["a::size 1 2 0", "a[0] 1 5 0", "a[1] 0 x 0", "late 1 2 1700000010"]);
        stored(&store).sweep(moment.1 + Duration::from_secs(10)).await;
        assert_eq!(rows(&store).await.len(), 3);
    }

    #[tokio::test]
    async fn changes_that_the_store_does_not_take_are_bounded() {
        let (moment, table) = (moment(), Table::default());
        table.keep_journal();
        table.fill(moment.0, 100, Vec::new());
        for number in 0..1000 {
            let key = number.to_string();
            set(&table, moment, &key, Value::Int(1), None);
            table.remove(moment.0, &RULES, &key);
        }
        set(&table, moment, "last", Value::Int(1), None);
        let changes = table.take_changes(moment.0);
        assert!(changes.is_all && changes.entries.len() == 1);
        assert!(!table.take_changes(moment.0).is_all);
    }
}
