use super::*;
use crate::script::router::recording::message_route;

fn htable(tables: &Tables) -> Rc<Htable> {
    let config = Params::from_toml(
        "[[table]]\nname = 'a'\n[[table]]\nname = 'b'\ninitval = 10\n[[table]]\nname = 'c'\ninitval = 'x'",
    );
    Rc::new(Htable::new(&config.parse().unwrap(), tables, None))
}

fn a_route() -> Box<Route> {
    message_route(&Rc::default())
}

#[test]
fn numbers_and_texts_are_kept_and_removed() {
    let (table, mut route) = (htable(&Tables::default()), a_route());
    let get =
        |route: &mut Route, key: &str| sht_get(route, &table, "a".into(), key.into()).unwrap();
    assert!(get(&mut route, "k").is_unit());
    assert_eq!(sht_is_null(&mut route, &table, "a".into(), "k".into()), Ok(true));
    sht_set(&mut route, &table, "a".into(), "k".into(), 7_i64.into()).unwrap();
    assert_eq!(get(&mut route, "k").as_int(), Ok(7));
    sht_set_for(&mut route, &table, "a".into(), "k".into(), "text".into(), 60).unwrap();
    assert_eq!(get(&mut route, "k").into_string(), Ok("text".to_owned()));
    assert_eq!(sht_setex(&mut route, &table, "a".into(), "k".into(), 0), Ok(true));
    assert_eq!(sht_rm(&mut route, &table, "a".into(), "k".into()), Ok(true));
    assert_eq!(sht_rm(&mut route, &table, "a".into(), "k".into()), Ok(false));
    assert_eq!(sht_setex(&mut route, &table, "a".into(), "k".into(), 1), Ok(false));
}

#[test]
fn counting_begins_where_the_table_says() {
    let (table, mut route) = (htable(&Tables::default()), a_route());
    let inc = |route: &mut Route, name: &str| sht_inc(route, &table, name.into(), "k".into());
    assert_eq!([inc(&mut route, "a"), inc(&mut route, "a")], [Ok(1), Ok(2)]);
    assert_eq!(inc(&mut route, "b"), Ok(11));
    assert_eq!(sht_dec(&mut route, &table, "b".into(), "k".into()), Ok(10));
    assert_eq!(inc(&mut route, "c").unwrap_err().status().0, 500, "text");
    assert_eq!(sht_get(&mut route, &table, "b".into(), "none".into()).unwrap().as_int(), Ok(10));
}

#[test]
fn entries_are_picked_by_key_and_value() {
    let (table, mut route) = (htable(&Tables::default()), a_route());
    for (key, value) in [("192.0.2.1", "one"), ("192.0.2.2", "two"), ("10.0.0.1", "three")] {
        sht_set(&mut route, &table, "a".into(), key.into(), value.into()).unwrap();
    }
    sht_set(&mut route, &table, "a".into(), "n".into(), 12_i64.into()).unwrap();
    let mut name = |op: &str, text: &str| {
        sht_match_name(&mut route, &table, "a".into(), op.into(), text.into())
    };
    assert_eq!(name("sw", "192."), Ok(true));
    assert_eq!(name("ew", ".3"), Ok(false));
    assert_eq!(name("in", ".0.0."), Ok(true));
    assert_eq!(name("re", r"^\d+$"), Ok(false));
    assert!(name("eq", "x").is_err() && name("re", "(").is_err());
    let value = |route: &mut Route, text: &str| {
        sht_match_str_value(route, &table, "a".into(), "ew".into(), text.into())
    };
    assert_eq!(value(&mut route, "wo"), Ok(true));
    assert_eq!(value(&mut route, "2"), Ok(false), "a number");
    assert_eq!(sht_rm_name(&mut route, &table, "a".into(), "sw".into(), "192.".into()), Ok(2));
    assert_eq!(sht_rm_value(&mut route, &table, "a".into(), "re".into(), "^12$".into()), Ok(1));
    assert_eq!(value(&mut route, "three"), Ok(true));
    sht_reset(&mut route, &table, "a".into()).unwrap();
    assert_eq!(value(&mut route, "three"), Ok(false));
}

#[test]
fn every_worker_and_every_reload_finds_the_same_entries() {
    let tables = Tables::default();
    let mut route = a_route();
    sht_set(&mut route, &htable(&tables), "a".into(), "k".into(), 1_i64.into()).unwrap();
    assert_eq!(sht_is_null(&mut route, &htable(&tables), "a".into(), "k".into()), Ok(false));
    assert_eq!(sht_is_null(&mut route, &htable(&tables), "b".into(), "k".into()), Ok(true));
}

#[test]
fn bad_arguments_are_told() {
    let (table, mut route) = (htable(&Tables::default()), a_route());
    let long = |n: usize| ImmutableString::from("x".repeat(n));
    let mut set = |name: &str, key: ImmutableString, value: Dynamic, seconds| {
        sht_set_for(&mut route, &table, name.into(), key, value, seconds)
    };
    assert!(set("a", long(MAX_KEY), Dynamic::from(long(MAX_VALUE)), 1).is_ok());
    assert!(set("a", long(MAX_KEY + 1), 1_i64.into(), 1).is_err());
    assert!(set("a", "k".into(), Dynamic::from(long(MAX_VALUE + 1)), 1).is_err());
    assert!(set("a", "k".into(), true.into(), 1).is_err());
    assert!(set("a", "k".into(), Dynamic::UNIT, 1).is_err());
    assert!(set("a", "k".into(), 1_i64.into(), -1).is_err());
    assert!(set("a", "k".into(), 1_i64.into(), 31_536_001).is_err());
    let error = set("z", "k".into(), 1_i64.into(), 1).unwrap_err();
    assert!(error.to_string().contains("there is no [[modules.htable.table]] `z`"), "{error}");
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "[[table]]\nsize = 1",
        "[[table]]\nname = 'a'\nsize = 0",
        "[[table]]\nname = 'a'\nautoexpire = -1",
        "[[table]]\nname = 'a'\ninitval = true",
        "[[table]]\nname = 'a'\ndbmode = 2",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    let config: Config = Params::from_toml("[[table]]\nname = 'a'").parse().unwrap();
    assert_eq!((config.table[0].size, config.table[0].updateexpire), (65_536, true));
}

#[test]
fn a_table_of_the_store_is_read_before_its_first_use_and_written_at_the_end() {
    use crate::script::router::recording::Recording;
    use crate::store::Statement;
    let store = Store::in_memory(&[HTABLE.named("blocked")]).unwrap();
    let insert = "INSERT INTO blocked (key_name, value_type, key_value) VALUES ('k', 1, '41')";
    let mut route = a_route();
    route.wait(store.execute(vec![Statement::new(insert)])).unwrap().unwrap();
    let config = Params::from_toml("[[table]]\nname = 'a'\ndbtable = 'blocked'\ndbmode = 1");
    let config: Config = config.parse().unwrap();
    let table = Rc::new(Htable::new(&config, &Tables::default(), Some(&store)));
    assert_eq!(sht_inc(&mut route, &table, "a".into(), "k".into()), Ok(42));
    let router: Rc<dyn Router> = Rc::<Recording>::default();
    route.wait(table.clone().write(router, true)).unwrap();
    let again = Rc::new(Htable::new(&config, &Tables::default(), Some(&store)));
    assert_eq!(sht_get(&mut route, &again, "a".into(), "k".into()).unwrap().as_int(), Ok(42));
    let missing = Store::in_memory(&[]).unwrap();
    let missing = Rc::new(Htable::new(&config, &Tables::default(), Some(&missing)));
    assert!(sht_get(&mut route, &missing, "a".into(), "k".into()).is_err());
    assert!(Params::from_toml("[[table]]\nname = 'a'\ndbtable = 'a b'").parse::<Config>().is_err());
}
