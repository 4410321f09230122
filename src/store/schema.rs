//! Makes the tables that are missing, and finds what those that are there lack.

use std::time::Instant;

use super::backend::{Backend, Dialect};
use super::error::StoreError;
use super::statement::Statement;
use super::table::{Column, ColumnType, Table, VERSION};

/// Sees to it that every table has what its description says.
///
/// Modules that share a table may each describe what they need of it; the one who says most makes it.
pub(super) async fn ensure<B: Backend>(
    backend: &mut B,
    tables: &[Table],
    deadline: Instant,
) -> Result<(), StoreError> {
    for table in tables {
        let done = see_to(backend, table, tables, deadline).await;
        match done {
            Err(error @ (StoreError::Misfit { .. } | StoreError::Refused(_))) if !table.is_used => {
                tracing::warn!(%error, "a table does not fit, and no function of the script uses it");
            }
            done => done?,
        }
    }
    Ok(())
}

async fn see_to<B: Backend>(
    backend: &mut B,
    table: &Table,
    tables: &[Table],
    deadline: Instant,
) -> Result<(), StoreError> {
    let found = columns(backend, &table.name, deadline).await?;
    if !found.is_empty() {
        return fits(table, &found, &B::DIALECT);
    }
    let of_that_name = tables.iter().filter(|it| it.name == table.name);
    let widest = of_that_name.max_by_key(|it| it.columns.len()).unwrap_or(table);
    create(backend, widest, deadline).await
}

async fn columns<B: Backend>(
    backend: &mut B,
    table: &str,
    deadline: Instant,
) -> Result<Vec<String>, StoreError> {
    let question = Statement::new(B::DIALECT.columns).bind(table);
    let rows = backend.query(&question, deadline).await?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

async fn create<B: Backend>(
    backend: &mut B,
    table: &Table,
    deadline: Instant,
) -> Result<(), StoreError> {
    for statement in making(table, &B::DIALECT) {
        backend.run(&statement, deadline).await?;
    }
    tracing::info!(table = %table.name, "table made");
    Ok(())
}

/// The statements that make a table and note its version.
pub(super) fn making(table: &Table, dialect: &Dialect) -> Vec<Statement> {
    let made = creation(&VERSION, dialect).into_iter().chain(creation(table, dialect));
    let noted = Statement::new("REPLACE INTO version (table_name, table_version) VALUES (?, ?)");
    let noted = noted.bind(&*table.name).bind(table.version);
    made.map(Statement::new).chain([noted]).collect()
}

fn fits(table: &Table, found: &[String], dialect: &Dialect) -> Result<(), StoreError> {
    let is_there = |column: &Column| found.iter().any(|it| it.eq_ignore_ascii_case(column.name));
    match table.columns.iter().find(|column| !column.is_optional && !is_there(column)) {
        None => Ok(()),
        Some(column) => Err(StoreError::Misfit {
            table: table.name.to_string(),
            column: column.name.to_owned(),
            mend: addition(table, column, dialect),
        }),
    }
}

/// The statement that adds a column to a table that has rows.
pub(super) fn addition(table: &Table, column: &Column, dialect: &Dialect) -> String {
    format!("ALTER TABLE {} ADD COLUMN {}", table.name, mending(column, dialect))
}

/// The column as it can be added to rows that are there: with a default.
fn mending(column: &Column, dialect: &Dialect) -> String {
    let default = match (column.is_nullable, column.default, column.kind) {
        (true, ..) | (_, Some(_), _) | (_, _, ColumnType::Id) => column.default,
        (_, _, ColumnType::Int | ColumnType::BigInt | ColumnType::Real) => Some("0"),
        (_, _, ColumnType::DateTime) => Some("'1970-01-01 00:00:00'"),
        (_, _, ColumnType::Text(_) | ColumnType::LongText | ColumnType::Blob) => Some("''"),
    };
    definition(&Column { default, ..*column }, dialect)
}

/// The statements that make a table where there is none.
fn creation(table: &Table, dialect: &Dialect) -> Vec<String> {
    let name = &table.name;
    let mut parts: Vec<_> =
        table.columns.iter().map(|column| definition(column, dialect)).collect();
    let keys = table.unique.iter().map(|columns| format!("UNIQUE ({})", columns.join(", ")));
    parts.extend(keys);
    let (body, options) = (parts.join(", "), dialect.table_options);
    let mut statements = vec![format!("CREATE TABLE IF NOT EXISTS {name} ({body}){options}")];
    statements.extend(table.indexes.iter().map(|columns| {
        let (index, columns) = (columns.join("_"), columns.join(", "));
        format!("CREATE INDEX {name}_{index} ON {name} ({columns})")
    }));
    statements
}

fn definition(column: &Column, dialect: &Dialect) -> String {
    let mut definition = format!("{} {}", column.name, (dialect.type_name)(column.kind));
    if !column.is_nullable && column.kind != ColumnType::Id {
        definition += " NOT NULL";
    }
    if let Some(default) = column.default {
        definition += " DEFAULT ";
        definition += default;
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::mysql::Mysql;
    use crate::store::sqlite::Sqlite;

    const ALIASES: Table = Table::new(
        "dbaliases",
        1,
        &[
            Column::new("id", ColumnType::Id),
            Column::new("username", ColumnType::Text(64)).default("''"),
            Column::new("changed", ColumnType::DateTime),
            Column::new("note", ColumnType::LongText).nullable().optional(),
        ],
    )
    .unique(&[&["username", "changed"]])
    .indexes(&[&["changed"]]);

    #[test]
    fn one_description_makes_the_table_of_each_database() {
        assert_eq!(
            creation(&ALIASES, &Sqlite::DIALECT),
            [
                "CREATE TABLE IF NOT EXISTS dbaliases (id INTEGER PRIMARY KEY AUTOINCREMENT, \
                 username VARCHAR(64) NOT NULL DEFAULT '', changed TEXT NOT NULL, note TEXT, \
                 UNIQUE (username, changed))",
                "CREATE INDEX dbaliases_changed ON dbaliases (changed)",
            ]
        );
        assert_eq!(
            creation(&ALIASES, &Mysql::DIALECT)[0],
            "CREATE TABLE IF NOT EXISTS dbaliases (id BIGINT AUTO_INCREMENT PRIMARY KEY, \
             username VARCHAR(64) NOT NULL DEFAULT '', changed DATETIME NOT NULL, \
             note MEDIUMTEXT, UNIQUE (username, changed)) \
             DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        );
    }

    #[test]
    fn a_table_that_lacks_a_column_is_refused_with_what_mends_it() {
        let has = |columns: &[&str]| {
            let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
            fits(&ALIASES, &columns, &Mysql::DIALECT)
        };
        assert_eq!(has(&["id", "USERNAME", "changed", "more"]), Ok(()));
        let misfit = has(&["id", "username", "note"]).unwrap_err();
        assert_eq!(
            misfit.to_string(),
            "table `dbaliases` has no column `changed`; what mends it: ALTER TABLE dbaliases \
             ADD COLUMN changed DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00'"
        );
    }
}
