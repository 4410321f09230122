use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

const ROWS: &[[&str; 4]] = &[
    ["romeo", "xmpp.example", "montague", "sip.example"],
    ["romeo", "other.example", "r o", "tower.example"],
    ["info", "xmpp.example", "montague", "sip.example"],
    ["info", "xmpp.example", "capulet", "sip.example"],
    ["broken", "xmpp.example", "x", "no host"],
];

fn aliases(params: &str) -> Aliases {
    let store = Store::in_memory(std::slice::from_ref(&DBALIASES)).unwrap();
    for row in ROWS {
        let sql = "INSERT INTO dbaliases (alias_username, alias_domain, username, domain) \
                   VALUES (?, ?, ?, ?)";
        let insert = row.iter().fold(Statement::new(sql), |sql, value| sql.bind(*value));
        // It is in memory, and so done when it is asked for.
        drop(store.execute(vec![insert]));
    }
    Aliases { config: Params::from_toml(params).parse().unwrap(), store: Some(store) }
}

fn route_to(uri: &str) -> Box<Route> {
    let mut route = message_route(&Rc::<Recording>::default());
    route.message.set_request_uri(uri).unwrap();
    route
}

/// What becomes of a Request-URI, and the branches beside it.
fn looked_up(params: &str, uri: &str, flags: &str) -> (bool, String, Vec<String>) {
    let mut route = route_to(uri);
    let found =
        alias_db_lookup_with(&mut route, &aliases(params), "dbaliases".into(), flags.into());
    let targets = route.targets.iter().map(|target| target.uri.to_string()).collect();
    (found.unwrap(), route.message.request_uri().to_owned(), targets)
}

#[test]
fn an_alias_becomes_its_user_without_port_and_parameters() {
    let mut route = route_to("sip:romeo@XMPP.example:5070;x=1");
    assert_eq!(alias_db_lookup(&mut route, &aliases(""), "dbaliases".into()), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:montague@sip.example");
}

#[test]
fn nothing_changes_for_who_is_no_alias() {
    for uri in ["sip:juliet@xmpp.example", "sip:xmpp.example", "tel:romeo"] {
        assert_eq!(looked_up("", uri, ""), (false, uri.to_owned(), vec![]));
    }
    let row_without_uri = looked_up("", "sip:broken@xmpp.example", "");
    assert!(!row_without_uri.0);
}

#[test]
fn the_domain_counts_when_it_is_used() {
    let sip = |params, uri, flags| looked_up(params, uri, flags).1;
    let [other, nowhere] = ["sip:romeo@Other.Example", "sip:romeo@nowhere.example"];
    assert_eq!(sip("use_domain = true", other, ""), "sip:r%20o@tower.example");
    assert_eq!(sip("use_domain = true", nowhere, ""), nowhere);
    assert_eq!(sip("use_domain = true", nowhere, "d"), "sip:montague@sip.example");
    assert_eq!(sip("", nowhere, "u"), nowhere);
    let prefix = "use_domain = true\ndomain_prefix = \"sip.\"";
    assert_eq!(sip(prefix, "sip:romeo@sip.other.example", ""), "sip:r%20o@tower.example");
}

#[test]
fn an_alias_of_many_becomes_branches_when_that_is_wanted() {
    let info = "sip:info@xmpp.example";
    let first = "sip:capulet@sip.example".to_owned();
    assert_eq!(looked_up("", info, ""), (true, first.clone(), vec![]));
    let branches = looked_up("append_branches = true", info, "");
    assert_eq!(branches, (true, first, vec!["sip:montague@sip.example".to_owned()]));
}

#[test]
fn a_user_is_traced_to_an_alias() {
    let traced = looked_up("", "sip:capulet@sip.example", "ru");
    assert_eq!(traced.1, "sip:info@xmpp.example");
}

#[test]
fn what_the_script_gets_wrong_is_said() {
    let aliases = aliases("");
    for table in ["no table", "a;b", ""] {
        let error = alias_db_lookup(&mut route_to("sip:a@b"), &aliases, table.into()).unwrap_err();
        assert_eq!(error.status().0, 500, "{table}");
    }
    let error = alias_db_lookup(&mut route_to("sip:a@b"), &aliases, "missing".into()).unwrap_err();
    assert!(error.to_string().contains("no such table: missing"), "{error}");
    let mut route = route_to("sip:a@b");
    assert!(alias_db_lookup_with(&mut route, &aliases, "dbaliases".into(), "x".into()).is_err());
}

#[test]
fn columns_have_names() {
    for wrong in ["user_column = 'a b'", "domain_column = ''", "use_domains = true"] {
        assert!(Params::from_toml(wrong).parse::<Config>().is_err(), "{wrong}");
    }
}
