//! Looks whether the tables can be used where they are, and adds what they lack.

use super::pages::{Pages, columns_of};
use super::row::{New, Plan};
use super::subject::{Known, SUBJECTS, Subject};
use super::told::Told;
use crate::store::{Column, ColumnType, Row, Statement, Store, StoreError, Value};

/// The name of a row of `location`, which old tables lack.
///
/// Without a name by default, so that the old server can go on to add rows.
static RUID: Column = Column::new("ruid", ColumnType::Text(64)).nullable();

/// Looks at every table that there is; gives their number. Without a `writer` nothing is added.
pub(super) async fn adopt(
    old: &Store,
    writer: Option<&Store>,
    known: &mut Known,
    told: &mut Told,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for subject in &SUBJECTS {
        let name = &*subject.table.name;
        let Some(columns) = columns_of(old, subject, told).await? else { continue };
        count += 1;
        let plan = match Plan::new(subject, &columns) {
            Ok(plan) => plan,
            Err(reason) => {
                told.trouble(format!("{name}: cannot be used: {reason}"));
                continue;
            }
        };
        if fits(&plan, &columns, writer, told).await? {
            rows(old, writer, &plan, known, told).await?;
        }
    }
    Ok(count)
}

/// Adds the columns that are missing; false when the table cannot be used where it is.
async fn fits(
    plan: &Plan<'static>,
    found: &[String],
    writer: Option<&Store>,
    told: &mut Told,
) -> Result<bool, StoreError> {
    let table = plan.subject.table;
    let has = |column: &Column| found.iter().any(|it| it.eq_ignore_ascii_case(column.name));
    let missing: Vec<_> = table.columns.iter().filter(|it| !it.is_optional && !has(it)).collect();
    // A table numbers its rows by one column only, and the old server goes on to use its own.
    let reason = |column: &&&Column| match plan.other_name(column.name) {
        Some(theirs) => Some(format!("its `{}` is called `{theirs}`", column.name)),
        None if column.kind == ColumnType::Id => {
            Some(format!("it numbers its rows by another column than `{}`", column.name))
        }
        None => None,
    };
    let reasons: Vec<_> = missing.iter().filter_map(|column| reason(&column)).collect();
    if !reasons.is_empty() {
        let reasons = reasons.join(", ");
        told.trouble(format!("{}: cannot be used in place: {reasons}; --to copies it", table.name));
        return Ok(false);
    }
    for column in missing {
        let state = if writer.is_some() { "added" } else { "to be added" };
        if let Some(store) = writer {
            if column.name == RUID.name {
                store.add(table, &RUID).await?;
                let index = "CREATE UNIQUE INDEX location_ruid ON location (ruid)";
                store.execute(vec![Statement::new(index)]).await?;
            } else {
                store.add(table, column).await?;
            }
        }
        told.say(format!("{}: column `{}` {state}", table.name, column.name));
    }
    Ok(true)
}

async fn rows(
    old: &Store,
    writer: Option<&Store>,
    plan: &Plan<'static>,
    known: &mut Known,
    told: &mut Told,
) -> Result<(), StoreError> {
    let name = &*plan.subject.table.name;
    let mut pages = Pages::new(old, plan).await?;
    while let Some(rows) = pages.next().await? {
        let good = pages.judged(&rows, known, told);
        pages.counts.good += good.len();
        good.iter().for_each(|(_, row)| known.note(row));
        if let Some(store) = writer.filter(|_| name == "location") {
            name_rows(store, plan, &rows, &good).await?;
        }
        pages.tell();
    }
    told.say(format!("{name}: {}", pages.counts.words("fine")));
    Ok(())
}

/// Gives the rows of `location` names where they have none.
async fn name_rows(
    store: &Store,
    plan: &Plan<'static>,
    rows: &[Row],
    good: &[(String, New<'static>)],
) -> Result<(), StoreError> {
    if rows.iter().all(|row| plan.has(row, RUID.name)) {
        return Ok(());
    }
    let asked: Vec<_> =
        good.iter().map(|(_, row)| store.execute(vec![naming(plan.subject, row)])).collect();
    for answer in asked {
        answer.await?;
    }
    Ok(())
}

fn naming(subject: &Subject, row: &New<'_>) -> Statement {
    let of = |column: &&str| match row.value(column) {
        Value::Null => format!("{column} IS NULL"),
        _ => format!("{column} = ?"),
    };
    let conditions: Vec<_> = subject.same.iter().map(of).collect();
    let sql = format!(
        "UPDATE location SET ruid = ? WHERE {} AND (ruid IS NULL OR ruid = '')",
        conditions.join(" AND ")
    );
    let bound = subject.same.iter().map(|column| row.value(column));
    let statement = Statement::new(sql).bind(row.value(RUID.name).clone());
    bound
        .filter(|value| **value != Value::Null)
        .fold(statement, |statement, value| statement.bind(value.clone()))
}
