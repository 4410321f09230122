use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

fn users(params: &str) -> Users {
    let store = Store::in_memory(std::slice::from_ref(&SUBSCRIBER)).unwrap();
    let insert = "INSERT INTO subscriber (username, domain) VALUES ('r o', 'xmpp.example')";
    // It is in memory, and so done when it is asked for.
    drop(store.execute(vec![Statement::new(insert)]));
    Users { config: Params::from_toml(params).parse().unwrap(), store: Some(store) }
}

fn exists(params: &str, uri: &str) -> Result<bool, RouteError> {
    let mut route = message_route(&Rc::<Recording>::default());
    route.message.set_request_uri(uri).unwrap();
    does_uri_exist(&mut route, &users(params))
}

#[test]
fn a_subscriber_exists() {
    assert_eq!(exists("", "sip:r%20o@nowhere.example"), Ok(true));
    for uri in ["sip:ro@xmpp.example", "sip:xmpp.example", "tel:112", "sip:R%20O@xmpp.example"] {
        assert_eq!(exists("", uri), Ok(false), "{uri}");
    }
}

#[test]
fn the_domain_counts_when_it_is_used() {
    assert_eq!(exists("use_domain = true", "sip:r%20o@XMPP.example"), Ok(true));
    assert_eq!(exists("use_domain = true", "sip:r%20o@nowhere.example"), Ok(false));
}

#[test]
fn a_table_that_is_missing_is_an_error_and_no_answer() {
    let error = exists("subscriber_table = 'people'", "sip:r%20o@xmpp.example").unwrap_err();
    assert!(error.to_string().contains("no such table: people"), "{error}");
}

#[test]
fn tables_and_columns_have_names() {
    for wrong in ["subscriber_table = 'a b'", "subscriber_user_column = ''", "use_domain = 1"] {
        assert!(Params::from_toml(wrong).parse::<Config>().is_err(), "{wrong}");
    }
}
