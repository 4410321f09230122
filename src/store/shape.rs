//! A database as it is: the columns of its tables, and what is added to it on demand.

use super::sqlite::Durability;
use super::{Column, Statement, Store, StoreError, Table, mysql, schema};
use crate::config::{StoreConfig, StoreUrl};

impl Store {
    /// Opens a database that is there, to read it; nothing of it is changed, and one that is away is an error.
    pub fn open_to_read(config: &StoreConfig) -> Result<Self, StoreError> {
        let (store, _, first) = Self::connect(config, &[], Durability::Process, true)?;
        first.map(|()| store)
    }

    /// Opens a database without making a table; one that is away is an error.
    pub fn open_as_it_is(config: &StoreConfig) -> Result<Self, StoreError> {
        let (store, _, first) = Self::connect(config, &[], Durability::Process, false)?;
        first.map(|()| store)
    }

    /// The database of a URL in words, the same for each way to write it, without its password.
    pub fn name_of(url: &StoreUrl) -> Result<String, StoreError> {
        Ok(match url {
            StoreUrl::Memory => "memory".to_owned(),
            StoreUrl::Sqlite(path) => {
                let whole = path.canonicalize();
                format!("sqlite {}", whole.as_ref().unwrap_or(path).display())
            }
            StoreUrl::Mysql(url) => mysql::address(url.expose())?.1,
        })
    }

    /// The columns of a table; none when there is no such table.
    pub async fn columns(&self, table: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.query(Statement::new(self.dialect.columns).bind(table)).await?;
        Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
    }

    /// Makes a table that is not there.
    pub async fn make(&self, table: &Table) -> Result<(), StoreError> {
        for statement in schema::making(table, self.dialect) {
            self.execute(vec![statement]).await?;
        }
        Ok(())
    }

    /// Adds a column to a table, with a value for the rows that are there.
    pub async fn add(&self, table: &Table, column: &Column) -> Result<(), StoreError> {
        let statement = Statement::new(schema::addition(table, column, self.dialect));
        self.execute(vec![statement]).await.map(|_| ())
    }
}
