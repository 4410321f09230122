use super::*;

static USERS: Table = Table::new(
    "users",
    3,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("name", ColumnType::Text(64)),
        Column::new("size", ColumnType::BigInt).default("0"),
        Column::new("photo", ColumnType::Blob).nullable(),
        Column::new("born", ColumnType::DateTime).nullable(),
    ],
)
.unique(&[&["name"]])
.indexes(&[&["size"]]);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn tables() -> [Table; 1] {
    [USERS.clone()]
}

fn config(folder: &tempfile::TempDir) -> StoreConfig {
    let url = StoreUrl::Sqlite(folder.path().join("test.db"));
    StoreConfig { url, ..StoreConfig::default() }
}

/// What works with a database in memory and in a file.
fn stores(test: impl AsyncFn(Store)) {
    let folder = tempfile::tempdir().unwrap();
    let memory = Store::in_memory(&tables()).unwrap();
    let file = Store::open(&config(&folder), &tables()).unwrap();
    for store in [memory, file] {
        runtime().block_on(test(store));
    }
}

fn user(name: &str, size: i64) -> Statement {
    Statement::new("INSERT INTO users (name, size) VALUES (?, ?)").bind(name).bind(size)
}

async fn names(store: &Store) -> Vec<String> {
    let rows = store.query(Statement::new("SELECT name FROM users ORDER BY id")).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

#[test]
fn every_kind_of_value_comes_back() {
    stores(async |store| {
        let born = Duration::from_secs(1_700_000_000);
        let sql = "INSERT INTO users (name, size, photo, born) VALUES (?, ?, ?, ?)";
        let all = Statement::new(sql).bind("Jülia").bind(i64::MIN).bind(vec![0_u8, 255]);
        let changed = store.execute(vec![all.bind(Value::date_time(born))]).await;
        assert_eq!(changed, Ok(1));
        assert_eq!(store.execute(vec![user("romeo", 2)]).await, Ok(1));
        let question = "SELECT name, size, photo, born FROM users WHERE size < ? ORDER BY id";
        let rows = store.query(Statement::new(question).bind(3)).await.unwrap();
        assert_eq!((rows[0].text(0), rows[0].int(1)), (Some("Jülia"), Some(i64::MIN)));
        assert_eq!((rows[0].bytes(2), rows[0].unix_time(3)), (Some(&[0, 255][..]), Some(born)));
        assert_eq!((rows[1].value(2), rows[1].int(4)), (Some(&Value::Null), None));
    });
}

#[test]
fn a_list_is_done_as_a_whole_or_not_at_all() {
    stores(async |store| {
        let twice = vec![user("a", 1), user("b", 2), user("a", 3)];
        assert_eq!(store.execute(twice).await, Err(StoreError::Duplicate));
        assert_eq!(names(&store).await, [""; 0]);
        assert_eq!(store.execute(vec![user("a", 1), user("b", 2)]).await, Ok(2));
        assert_eq!(names(&store).await, ["a", "b"]);
    });
}

#[test]
fn a_list_that_fails_leaves_its_neighbours_alone() {
    stores(async |store| {
        let first = store.execute(vec![user("a", 1), user("b", 1)]);
        let second = store.execute(vec![user("c", 1), user("a", 1)]);
        let third = store.execute(vec![user("c", 1)]);
        let done = (first.await, second.await, third.await);
        assert_eq!(done, (Ok(2), Err(StoreError::Duplicate), Ok(1)));
        assert_eq!(names(&store).await, ["a", "b", "c"]);
    });
}

#[test]
fn changes_are_made_in_order_though_nobody_waits() {
    stores(async |store| {
        for name in 0..500 {
            drop(store.execute(vec![user(&name.to_string(), 0)]));
        }
        assert_eq!(store.execute(Vec::new()).await, Ok(0));
        let all: Vec<_> = (0..500).map(|name| name.to_string()).collect();
        assert_eq!(names(&store).await, all);
    });
}

#[test]
fn a_wrong_statement_says_what_is_wrong_with_it() {
    stores(async |store| {
        let error = store.query(Statement::new("SELECT x FROM users")).await.unwrap_err();
        assert!(error.to_string().contains("no such column: x"), "{error}");
        let error = store.execute(vec![Statement::new("INSERT")]).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        let null = Statement::new("INSERT INTO users (name) VALUES (?)").bind(Value::Null);
        let error = store.execute(vec![null]).await.unwrap_err();
        assert!(error.to_string().contains("users.name"), "{error}");
    });
}

#[test]
fn a_question_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&config(&folder), &tables()).unwrap();
    runtime().block_on(async {
        let error = store.query(Statement::new("DELETE FROM users")).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
    });
}

#[test]
fn a_file_keeps_its_rows_and_its_tables_have_versions() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let store = Store::open(&config(&folder), &tables()).unwrap();
        runtime().block_on(async {
            store.execute(vec![user(&round.to_string(), 0)]).await.unwrap();
            assert_eq!(names(&store).await.len(), round + 1);
            let rows = store.query(Statement::new("SELECT * FROM version")).await.unwrap();
            assert_eq!((rows.len(), rows[0].text(0), rows[0].int(1)), (1, Some("users"), Some(3)));
        });
    }
}

#[test]
fn a_table_that_does_not_fit_is_mended_by_what_the_error_says() {
    let folder = tempfile::tempdir().unwrap();
    const NAME: &[Column] = &[Column::new("name", ColumnType::Text(64))];
    let old = [Table::new("users", 1, NAME)];
    let store = Store::open(&config(&folder), &old).unwrap();
    let mut missing = Vec::new();
    while let Err(error) = Store::open(&config(&folder), &[USERS.named("users")]) {
        let StoreError::Misfit { column, mend, .. } = error else { panic!("{error}") };
        missing.push(column);
        // An id cannot be added, so it is only a number here.
        let mend = mend.replace(" PRIMARY KEY AUTOINCREMENT", "");
        runtime().block_on(store.execute(vec![Statement::new(mend)])).unwrap();
    }
    assert_eq!(missing, ["id", "size", "photo", "born"]);
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.db"), "x".repeat(5000)).unwrap();
    let error = Store::open(&config(&folder), &tables()).err().unwrap().to_string();
    assert!(error.contains("test.db") && error.contains("not a database"), "{error}");
    let config = StoreConfig { url: StoreUrl::Sqlite("/nowhere/x.db".into()), ..config(&folder) };
    let error = Store::open(&config, &tables()).err().unwrap().to_string();
    assert!(error.contains("/nowhere/x.db"), "{error}");
}

/// A table that another program has locked, and a question without end.
#[test]
fn nobody_waits_longer_than_the_deadline_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let timeout = Duration::from_millis(100);
    let config = StoreConfig { timeout, queue: 4, ..config(&folder) };
    let store = Store::open(&config, &tables()).unwrap();
    let other = rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let endless =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT max(x) FROM n";
    runtime().block_on(async {
        let began = clock::now();
        let question = store.query(Statement::new(endless));
        let change = store.execute(vec![user("late", 1)]);
        assert_eq!(question.await, Err(StoreError::Timeout));
        assert_eq!(change.await, Err(StoreError::Timeout));
        assert!(began.elapsed() < timeout * 50, "{:?}", began.elapsed());

        let waiting: Vec<_> = (0..20).map(|_| store.execute(vec![user("more", 1)])).collect();
        let mut full = 0;
        for change in waiting {
            match change.await {
                Err(StoreError::Full) => full += 1,
                Err(StoreError::Timeout | StoreError::Away(_)) => {}
                done => panic!("{done:?}"),
            }
        }
        assert!(full > 10, "{full}");

        other.execute_batch("COMMIT").unwrap();
        let end = clock::now() + Duration::from_secs(20);
        while store.execute(vec![user("again", 1)]).await.is_err() {
            assert!(clock::now() < end, "the store does not come back");
        }
        // One of those before may have come in when the lock was gone.
        assert_eq!(names(&store).await.last().map(String::as_str), Some("again"));
    });
}
