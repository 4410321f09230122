//! MySQL and MariaDB.

use std::time::{Duration, Instant};

use mysql_async::consts::ColumnType as Wire;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Params, ServerError, Value as Field};

use super::backend::{Backend, Dialect, Purpose};
use super::error::StoreError;
use super::statement::Statement;
use super::table::ColumnType;
use super::value::{Row, Value};
use crate::clock;

/// A connection that was idle for longer is tried before it is used.
const IDLE: Duration = Duration::from_secs(10);

/// Prepared statements that a connection keeps.
const CACHED: usize = 256;

/// What the server is told of every connection: it need not go on with what nobody waits for any more. Each of the
/// two servers takes the other's comment for one.
const SESSION: &str = "SET time_zone = '+00:00' /*M!100101 , max_statement_time = 30 */ \
                       /*!50708 , max_execution_time = 30000 */";

/// One connection.
pub(super) struct Mysql {
    connection: Conn,
    opts: Opts,
    purpose: Purpose,
    last_used: Instant,
}

/// What connections are made with; the server and the database in words.
pub(super) fn address(url: &str) -> Result<(Opts, String), StoreError> {
    // The error would show the URL's parts.
    let unusable = |_| StoreError::Unopened("the mysql:// URL cannot be read".to_owned());
    let opts = Opts::from_url(url).map_err(unusable)?;
    let builder = OptsBuilder::from_opts(opts)
        .client_found_rows(true)
        .prefer_socket(false)
        .stmt_cache_size(CACHED)
        .tcp_keepalive(Some(Duration::from_secs(60)));
    let opts = Opts::from(builder);
    let (host, port) = (opts.ip_or_hostname(), opts.tcp_port());
    let name = format!("mysql {host}:{port}/{}", opts.db_name().unwrap_or_default());
    Ok((opts, name))
}

async fn connect(opts: &Opts, purpose: Purpose) -> Result<Conn, StoreError> {
    let mut connection = Conn::new(opts.clone()).await.map_err(unopened)?;
    let read_only = "SET SESSION TRANSACTION READ ONLY";
    let session = [SESSION].into_iter().chain((purpose == Purpose::Read).then_some(read_only));
    for words in session {
        connection.query_drop(words).await.map_err(unopened)?;
    }
    Ok(connection)
}

impl Mysql {
    /// The connection, made anew when the server has closed it while it was idle.
    async fn usable(&mut self) -> Result<&mut Conn, StoreError> {
        let now = clock::now();
        let is_idle = now.duration_since(self.last_used) > IDLE;
        self.last_used = now;
        if is_idle && self.connection.ping().await.is_err() {
            self.connection = connect(&self.opts, self.purpose).await?;
        }
        Ok(&mut self.connection)
    }
}

impl Backend for Mysql {
    type Address = Opts;

    const DIALECT: Dialect = Dialect {
        begin: "START TRANSACTION",
        columns: "SELECT column_name FROM information_schema.columns \
                  WHERE table_schema = DATABASE() AND table_name = ?",
        type_name,
        table_options: " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    };

    const READERS: usize = 1;
    const LOCAL_READERS: usize = 2;

    async fn open(opts: &Opts, purpose: Purpose) -> Result<Self, StoreError> {
        let connection = connect(opts, purpose).await?;
        Ok(Self { connection, opts: opts.clone(), purpose, last_used: clock::now() })
    }

    async fn query(&mut self, statement: &Statement, _: Instant) -> Result<Vec<Row>, StoreError> {
        let connection = self.usable().await?;
        let rows: Vec<mysql_async::Row> = match statement.values.is_empty() {
            true => connection.query(&*statement.sql).await,
            false => connection.exec(&*statement.sql, params(statement)).await,
        }
        .map_err(explain)?;
        Ok(rows.into_iter().map(row_of).collect())
    }

    async fn run(&mut self, statement: &Statement, _: Instant) -> Result<u64, StoreError> {
        let connection = self.usable().await?;
        // Not all that begins or ends a transaction can be prepared.
        match statement.values.is_empty() {
            true => connection.query_drop(&*statement.sql).await,
            false => connection.exec_drop(&*statement.sql, params(statement)).await,
        }
        .map_err(explain)?;
        Ok(connection.affected_rows())
    }
}

fn type_name(kind: ColumnType) -> String {
    match kind {
        ColumnType::Id => "BIGINT AUTO_INCREMENT PRIMARY KEY".to_owned(),
        ColumnType::Text(length) => format!("VARCHAR({length})"),
        ColumnType::LongText => "MEDIUMTEXT".to_owned(),
        ColumnType::Int => "INT".to_owned(),
        ColumnType::BigInt => "BIGINT".to_owned(),
        ColumnType::Real => "DOUBLE".to_owned(),
        ColumnType::Blob => "MEDIUMBLOB".to_owned(),
        ColumnType::DateTime => "DATETIME".to_owned(),
    }
}

/// What the server says while we connect tells of the account, not of its password.
fn unopened(error: Error) -> StoreError {
    StoreError::Away(match error {
        Error::Server(error) => format!("error {}: {}", error.code, error.message),
        error => error.to_string(),
    })
}

/// Errors whose words name tables, columns and statements, but no value.
const TELLABLE: &[u16] = &[1044, 1045, 1048, 1054, 1064, 1136, 1142, 1146, 1364, 1406, 1792];

fn explain(error: Error) -> StoreError {
    let Error::Server(ServerError { code, message, .. }) = error else {
        return StoreError::Away(error.to_string());
    };
    match code {
        // ER_DUP_ENTRY and its kin
        1062 | 1169 | 1586 => StoreError::Duplicate,
        // a deadlock
        1213 => StoreError::Conflict,
        // a lock that was waited for too long, a statement that took too long
        1205 | 1969 | 3024 => StoreError::Timeout,
        // shutdown, killed, too many connections, out of resources
        1053 | 1927 | 1040 | 1041 | 1317 => StoreError::Away(format!("error {code}")),
        code if TELLABLE.contains(&code) => StoreError::Refused(format!("error {code}: {message}")),
        code => StoreError::Refused(format!("error {code}")),
    }
}

fn params(statement: &Statement) -> Params {
    Params::Positional(statement.values.iter().map(field_of).collect())
}

fn field_of(value: &Value) -> Field {
    match value {
        Value::Null => Field::NULL,
        Value::Int(number) => Field::Int(*number),
        Value::Real(number) => Field::Double(*number),
        Value::Text(text) => Field::Bytes(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Field::Bytes(bytes.clone()),
    }
}

fn row_of(row: mysql_async::Row) -> Row {
    let columns = row.columns();
    let values = row.unwrap_raw().into_iter().zip(columns.iter());
    let values =
        values.map(|(field, column)| value_of(field.unwrap_or(Field::NULL), column.column_type()));
    Row(values.collect())
}

fn value_of(field: Field, wire: Wire) -> Value {
    match field {
        Field::NULL => Value::Null,
        Field::Int(number) => Value::Int(number),
        Field::UInt(number) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        Field::Float(number) => Value::Real(number.into()),
        Field::Double(number) => Value::Real(number),
        Field::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => number(&text, wire).unwrap_or(Value::Text(text)),
            Err(error) => Value::Bytes(error.into_bytes()),
        },
        Field::Date(year, month, day, hour, minute, second, _) => {
            Value::Text(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
        }
        Field::Time(is_negative, days, hours, minutes, seconds, _) => {
            let sign = if is_negative { "-" } else { "" };
            let hours = days * 24 + u32::from(hours);
            Value::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"))
        }
    }
}

/// A number of an answer without bound values, which comes as text.
fn number(text: &str, wire: Wire) -> Option<Value> {
    match wire {
        Wire::MYSQL_TYPE_TINY
        | Wire::MYSQL_TYPE_SHORT
        | Wire::MYSQL_TYPE_INT24
        | Wire::MYSQL_TYPE_LONG
        | Wire::MYSQL_TYPE_LONGLONG => text.parse().ok().map(Value::Int),
        Wire::MYSQL_TYPE_FLOAT | Wire::MYSQL_TYPE_DOUBLE => text.parse().ok().map(Value::Real),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let (_, name) = address("mysql://u:hunter2@db.example/sip").unwrap();
        assert_eq!(name, "mysql db.example:3306/sip");
        let error = address("mysql://u:hunter2@db.example/sip?wrong=hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn words_with_a_value_are_not_repeated() {
        let server = |code| {
            let state = "HY000".to_owned();
            explain(Error::Server(ServerError { code, state, message: "'juliet'".to_owned() }))
        };
        assert_eq!(server(1062), StoreError::Duplicate);
        assert_eq!(server(1366), StoreError::Refused("error 1366".to_owned()));
        assert_eq!(server(1146), StoreError::Refused("error 1146: 'juliet'".to_owned()));
    }
}
