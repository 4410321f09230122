use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, request, route};
use crate::store::Statement;

const REALM: &str = "sip.example";
const PASSWORD: &str = "open sesame";

/// A module, and a phone that answers its challenges.
struct Play {
    auth: Auth,
    store: Store,
    router: Rc<Recording>,
}

/// What a phone puts into its credentials besides what the challenge says.
#[derive(Clone)]
struct Phone<'a> {
    method: &'a str,
    username: &'a str,
    password: &'a str,
    uri: &'a str,
    algorithm: &'a str,
    qop: &'a str,
    nc: u32,
}

const ALICE: Phone<'static> = Phone {
    method: "REGISTER",
    username: "alice",
    password: PASSWORD,
    uri: "sip:sip.example",
    algorithm: "MD5",
    qop: "auth",
    nc: 1,
};

impl Play {
    /// Parameters as TOML, and users who know their password in every way that Kamailio keeps it.
    fn new(parameters: &str) -> Self {
        let config::Sound(config) = Params::from_toml(parameters).parse().unwrap();
        let store = Store::in_memory(std::slice::from_ref(&subscriber::SUBSCRIBER)).unwrap();
        let shared = Arc::new(Shared::new(&config));
        let auth = Auth::new(config, shared, Some(store.clone()));
        let play = Self { auth, store, router: Rc::default() };
        play.add_user("alice", REALM, PASSWORD);
        play
    }

    fn add_user(&self, user: &str, domain: &str, password: &str) {
        let ha1 = |name: &str| {
            let a1 = format!("{name}:{REALM}:{password}");
            md5_hex(a1.as_bytes())
        };
        let insert = "INSERT INTO subscriber (username, domain, password, ha1, ha1b) \
                      VALUES (?, ?, ?, ?, ?)";
        let insert = Statement::new(insert)
            .bind(user.to_owned())
            .bind(domain.to_owned())
            .bind(password.to_owned())
            .bind(ha1(user))
            .bind(ha1(&format!("{user}@{domain}")));
        self.run(insert);
    }

    fn run(&self, statement: Statement) {
        now(self.store.execute(vec![statement])).unwrap();
    }

    /// The route of a request with these credentials.
    fn route(&self, method: &str, more: &str) -> Box<Route> {
        let message = request(method, "sip:sip.example", more);
        route(Kind::Request, message, &self.router)
    }

    /// A nonce, as the first of the challenges has it.
    fn nonce(&self) -> String {
        let mut route = self.route("REGISTER", "");
        challenge::www_challenge(&mut route, &self.auth, REALM.into(), 0).unwrap();
        assert!(route.is_answered && route.reply_headers.is_empty());
        let said = self.router.journal().join("");
        said.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// The route of what this phone sends, and the outcome of `www_authorize`.
    fn tries(&self, phone: &Phone<'_>, nonce: &str) -> (Box<Route>, &'static str) {
        let mut route = self.route(phone.method, &phone.header("Authorization", nonce));
        let is_ok =
            www_authorize(&mut route, &self.auth, REALM.into(), "subscriber".into()).unwrap();
        let outcome = route.authentication.as_ref().unwrap().outcome;
        assert_eq!(is_ok, outcome == Outcome::Ok);
        (route, outcome.name())
    }

    fn outcome(&self, phone: &Phone<'_>, nonce: &str) -> &'static str {
        self.tries(phone, nonce).1
    }
}

impl Phone<'_> {
    fn header(&self, name: &str, nonce: &str) -> String {
        let Self { username, uri, algorithm, qop, nc, .. } = self;
        let qop = match *qop {
            "" => String::new(),
            qop => format!(", qop={qop}, nc={nc:08x}, cnonce=\"c\""),
        };
        let unsigned = format!(
            "Digest username=\"{username}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             algorithm={algorithm}{qop}, response=\"?\""
        );
        let credentials = Credentials::parse(HeaderId::Authorization, &unsigned).unwrap().unwrap();
        let hash = credentials.algorithm.map_or(Hash::Md5, |algorithm| algorithm.hash);
        let ha1 = Ha1::of_password(hash, self.username, REALM, self.password);
        let response = ha1.response_to(&credentials, self.method, b"").unwrap_or("0".to_owned());
        format!("{name}: {}\r\n", unsigned.replace('?', &response))
    }
}

/// What is ready at once, as everything is in a store in memory.
fn now<T>(future: impl Future<Output = T>) -> T {
    crate::script::fiber::wait(future)
}

fn md5_hex(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn who_knows_the_password_gets_in() {
    for parameters in [
        "",
        "calculate_ha1 = true",
        "use_domain = true",
        "calculate_ha1 = true\nuse_domain = true",
        "password_column = \"ha1\"\nqop = \"auth,auth-int\"",
    ] {
        let play = Play::new(parameters);
        let (mut route, outcome) = play.tries(&ALICE, &play.nonce());
        assert_eq!(outcome, "ok", "{parameters}");
        assert_eq!(identity::auth_user(&mut route, &play.auth).unwrap(), "alice");
        assert_eq!(identity::auth_result(&mut route, &play.auth).unwrap(), "ok");
        let full = Phone { username: "alice@sip.example", ..ALICE };
        assert_eq!(play.outcome(&full, &play.nonce()), "ok", "{parameters}");
    }
}

#[test]
fn who_does_not_stays_out_and_the_script_learns_why() {
    let play = Play::new("");
    let nonce = play.nonce();
    for (phone, reason) in [
        (Phone { password: "guess", ..ALICE }, "wrong_password"),
        (Phone { username: "mallory", ..ALICE }, "unknown_user"),
        (Phone { uri: "sip:other.example", ..ALICE }, "wrong_uri"),
        (Phone { uri: "sip:bob@sip.example", ..ALICE }, "wrong_uri"),
        (Phone { uri: "*", ..ALICE }, "wrong_uri"),
        (Phone { algorithm: "SHA-256", ..ALICE }, "unsupported"),
        (Phone { algorithm: "MD5-sess", ..ALICE }, "unsupported"),
        (Phone { algorithm: "SHA-1", ..ALICE }, "unsupported"),
        (Phone { qop: "", ..ALICE }, "unsupported"),
    ] {
        let (mut route, outcome) = play.tries(&phone, &nonce);
        assert_eq!(outcome, reason);
        assert_eq!(identity::auth_user(&mut route, &play.auth).unwrap(), "");
    }
    let careless = Phone { uri: "sip:SIP.example:5060;transport=udp", ..ALICE };
    assert_eq!(play.outcome(&careless, &nonce), "ok", "nothing above has used the count");
    assert_eq!(play.outcome(&ALICE, "0a4f113b"), "stale", "not our nonce");
    assert_eq!(play.outcome(&ALICE, ""), "no_credentials", "an empty nonce proves nothing");
    let mut route = play.route("REGISTER", "");
    assert!(!www_authorize(&mut route, &play.auth, REALM.into(), "subscriber".into()).unwrap());
    assert_eq!(identity::auth_result(&mut route, &play.auth).unwrap(), "no_credentials");
}

#[test]
fn a_replay_is_refused_and_a_retransmission_is_not() {
    let play = Play::new("");
    let nonce = play.nonce();
    assert_eq!(play.outcome(&ALICE, &nonce), "ok");
    assert_eq!(play.outcome(&ALICE, &nonce), "ok", "the same bytes again");
    let hijacked = ALICE.header("Authorization", &nonce) + "Contact: <sip:mallory@192.0.2.66>\r\n";
    let mut route = play.route("REGISTER", &hijacked);
    assert!(!www_authorize(&mut route, &play.auth, REALM.into(), "subscriber".into()).unwrap());
    assert_eq!(identity::auth_result(&mut route, &play.auth).unwrap(), "replayed");
    challenge::www_challenge(&mut route, &play.auth, REALM.into(), 0).unwrap();
    assert!(play.router.journal()[0].ends_with("stale=true"));
    assert_eq!(play.outcome(&Phone { nc: 2, ..ALICE }, &nonce), "ok");
    let careless = Play::new("nonce_count = false");
    let nonce = careless.nonce();
    let mut other = careless.route("REGISTER", &ALICE.header("Authorization", &nonce));
    other.message.append_header("X", "1").unwrap();
    assert_eq!(careless.outcome(&ALICE, &nonce), "ok");
    assert_eq!(
        www_authorize(&mut other, &careless.auth, REALM.into(), "subscriber".into()),
        Ok(true)
    );
}

#[test]
fn a_nonce_without_a_count_is_good_for_one_request() {
    let play = Play::new("require_qop = false");
    let (nonce, old) = (play.nonce(), Phone { qop: "", ..ALICE });
    assert_eq!(play.outcome(&old, &nonce), "ok");
    let mut other = play.route("REGISTER", &(old.header("Authorization", &nonce) + "X: 1\r\n"));
    assert_eq!(www_authorize(&mut other, &play.auth, REALM.into(), "subscriber".into()), Ok(false));
    assert_eq!(identity::auth_result(&mut other, &play.auth).unwrap(), "replayed");
}

#[test]
fn machines_with_one_secret_know_each_others_nonces() {
    let secret = "secret = \"sixteen bytes or more\"";
    let (one, other) = (Play::new(secret), Play::new(secret));
    // The other one's counts begin now, so that the nonce is not from before.
    other.nonce();
    assert_eq!(other.outcome(&ALICE, &one.nonce()), "ok");
    assert_eq!(Play::new("").outcome(&ALICE, &one.nonce()), "stale");
}

#[test]
fn rfc8760_2_3_every_algorithm_is_a_challenge_the_preferred_one_first() {
    let challenges = |parameters: &str, flags| {
        let play = Play::new(parameters);
        let mut route = play.route("INVITE", "");
        challenge::auth_challenge(&mut route, &play.auth, "".into(), flags).unwrap();
        let said = play.router.journal().join("");
        let nonce = said.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        said.replace(nonce, "N")
    };
    let one = r#"sl 407  Proxy-Authenticate: Digest realm="sip.example", nonce="N", qop="auth", algorithm=MD5"#;
    assert_eq!(challenges("", 0), one);
    let stale = challenges("", 16 + 4 + 2);
    assert!(stale.ends_with(r#"qop="auth-int", algorithm=MD5, stale=true"#), "{stale}");
    let two = challenges("calculate_ha1 = true\nqop = \"auth, auth-int\"", 0);
    let strong = two.find("algorithm=SHA-256").unwrap();
    assert!(strong < two.find("algorithm=MD5").unwrap(), "{two}");
    assert_eq!(two.matches("Proxy-Authenticate: Digest ").count(), 2);
    assert_eq!(two.matches(r#"nonce="N", qop="auth,auth-int""#).count(), 2);
}

#[test]
fn a_challenge_goes_through_the_transaction_that_there_is() {
    let play = Play::new("");
    let mut route = play.route("REGISTER", "");
    route.router().new_transaction(&mut route).unwrap();
    challenge::auth_challenge(&mut route, &play.auth, REALM.into(), 0).unwrap();
    let journal = play.router.journal();
    assert!(journal[1].starts_with("reply 401  WWW-Authenticate: Digest realm"), "{journal:?}");
    for flags in [-1, 8, 32, i64::MAX] {
        let error =
            challenge::auth_challenge(&mut route, &play.auth, REALM.into(), flags).unwrap_err();
        assert_eq!(error.status().0, 500, "{flags}");
    }
}

#[test]
fn sha_256_and_auth_int_are_verified_where_they_are_offered() {
    let play = Play::new("calculate_ha1 = true\nalgorithm = [\"SHA-512-256\", \"SHA-256-sess\"]");
    let nonce = play.nonce();
    for (nc, algorithm, qop) in [(1, "SHA-512-256", "auth"), (2, "SHA-256-sess", "auth-int")] {
        let phone = Phone { algorithm, qop, nc, ..ALICE };
        assert_eq!(play.outcome(&phone, &nonce), "ok", "{algorithm}");
    }
    assert_eq!(play.outcome(&Phone { nc: 3, ..ALICE }, &nonce), "unsupported", "MD5");
    let strict = Play::new("qop = \"auth-int\"");
    assert_eq!(strict.outcome(&ALICE, &strict.nonce()), "unsupported");
    assert_eq!(strict.outcome(&Phone { qop: "auth-int", ..ALICE }, &strict.nonce()), "ok");
}

#[test]
fn a_column_of_ones_own_holds_sha_256() {
    let play = Play::new("sha256_column = \"ha1_sha256\"");
    play.run(Statement::new("ALTER TABLE subscriber ADD COLUMN ha1_sha256 VARCHAR(64)"));
    // SHA-256 of alice:sip.example:open sesame
    let ha1 = "4ca02b1f8f4bb9a348be2f7ddc80695e9ff0a46b015ce802a6d409e0596e9145";
    let set = Statement::new("UPDATE subscriber SET ha1_sha256 = ?");
    play.run(set.bind(ha1.to_owned()));
    let nonce = play.nonce();
    assert_eq!(play.outcome(&Phone { algorithm: "SHA-256", ..ALICE }, &nonce), "ok");
    assert_eq!(play.outcome(&Phone { nc: 2, ..ALICE }, &nonce), "ok", "MD5 as before");
}

#[test]
fn an_empty_password_is_none() {
    for parameters in ["", "calculate_ha1 = true"] {
        let play = Play::new(parameters);
        play.run(Statement::new("UPDATE subscriber SET password = '', ha1 = ''"));
        let nobody = Phone { password: "", ..ALICE };
        assert_eq!(play.outcome(&nobody, &play.nonce()), "wrong_password", "{parameters}");
    }
}

#[test]
fn a_domain_makes_two_users_of_one_name() {
    let play = Play::new("use_domain = true\ncalculate_ha1 = true");
    play.add_user("alice", "other.example", "other password");
    let other = Phone { username: "alice@Other.Example", password: "other password", ..ALICE };
    let (mut route, outcome) = play.tries(&other, &play.nonce());
    assert_eq!(outcome, "ok");
    route.message.set_header("From", "<sip:alice@other.example>;tag=1").unwrap();
    assert_eq!(identity::check_from(&mut route, &play.auth), Ok(true));
    route.message.set_header("From", "<sip:alice@sip.example>;tag=1").unwrap();
    assert_eq!(identity::check_from(&mut route, &play.auth), Ok(false), "the other alice");
    assert_eq!(
        play.outcome(&Phone { username: "alice", ..other }, &play.nonce()),
        "wrong_password"
    );
}

#[test]
fn a_forged_from_is_seen() {
    let play = Play::new("");
    let (mut route, _) = play.tries(&ALICE, &play.nonce());
    for (from, is_hers) in [
        ("<sip:alice@sip.example>;tag=1", true),
        ("<sips:%61lice@SIP.EXAMPLE>;tag=1", true),
        ("\"alice\" <sip:bob@sip.example>;tag=1", false),
        ("<sip:Alice@sip.example>;tag=1", false),
        ("<sip:alice@other.example>;tag=1", false),
        ("<sip:sip.example>;tag=1", false),
        ("<tel:alice>;tag=1", false),
    ] {
        route.message.set_header("From", from).unwrap();
        assert_eq!(identity::check_from(&mut route, &play.auth), Ok(is_hers), "{from}");
        route.message.set_header("To", from).unwrap();
        assert_eq!(identity::check_to(&mut route, &play.auth), Ok(is_hers), "{from}");
    }
    let lies = Phone { username: "alice@evil.example", ..ALICE };
    let plain = Play::new("calculate_ha1 = true");
    let (mut route, outcome) = plain.tries(&lies, &plain.nonce());
    assert_eq!(outcome, "ok");
    route.message.set_header("From", "<sip:alice@evil.example>;tag=1").unwrap();
    assert_eq!(
        identity::check_from(&mut route, &plain.auth),
        Ok(false),
        "nothing has verified the domain"
    );
    let mut nobody = play.route("INVITE", "");
    assert_eq!(identity::check_from(&mut nobody, &play.auth), Ok(false), "nothing is proved");
}

#[test]
fn auth_check_compares_the_user_when_it_is_told_to() {
    let play = Play::new("");
    let checks = |method: &str, header: &str, edits: &[(&str, &str)], flags| {
        let phone = Phone { method, ..ALICE };
        let mut route = play.route(method, &phone.header(header, &play.nonce()));
        for (name, value) in edits {
            route.message.set_header(name, value).unwrap();
        }
        let checked = auth_check(&mut route, &play.auth, REALM.into(), "subscriber".into(), flags);
        (checked, identity::auth_result(&mut route, &play.auth).unwrap())
    };
    let ok = || (Ok(true), ImmutableString::from("ok"));
    let other = || (Ok(false), ImmutableString::from("other_user"));
    let from_alice = ("From", "<sip:alice@sip.example>;tag=1");
    let to_alice = ("To", "<sip:alice@sip.example>");
    assert_eq!(checks("REGISTER", "Authorization", &[from_alice, to_alice], 1), ok());
    assert_eq!(checks("REGISTER", "Authorization", &[from_alice], 1), other());
    assert_eq!(checks("REGISTER", "Authorization", &[to_alice], 1), other());
    assert_eq!(checks("REGISTER", "Authorization", &[], 0), ok());
    assert_eq!(checks("INVITE", "Proxy-Authorization", &[from_alice], 1), ok());
    assert_eq!(checks("INVITE", "Proxy-Authorization", &[], 1), other(), "juliet is From");
    assert_eq!(checks("INVITE", "Authorization", &[from_alice], 1).1, "no_credentials");
    assert_eq!(checks("PUBLISH", "Proxy-Authorization", &[from_alice], 1), other());
    assert!(checks("INVITE", "Proxy-Authorization", &[], 2).0.is_err());
}

#[test]
fn rfc3261_22_1_nobody_challenges_an_ack_or_a_cancel() {
    let play = Play::new("");
    for method in ["ACK", "CANCEL"] {
        let mut route = play.route(method, "");
        let table = || "subscriber".into();
        assert_eq!(proxy_authorize(&mut route, &play.auth, REALM.into(), table()), Ok(true));
        assert_eq!(identity::check_from(&mut route, &play.auth), Ok(true));
        assert_eq!(identity::auth_user(&mut route, &play.auth).unwrap(), "");
        assert_eq!(identity::consume_credentials(&mut route, &play.auth), Ok(false));
    }
}

#[test]
fn good_credentials_go_no_further_and_others_do() {
    let play = Play::new("");
    let others =
        "Proxy-Authorization: Digest username=a,realm=\"next\",nonce=n,uri=u,response=0\r\n";
    let ours = ALICE.header("Proxy-Authorization", &play.nonce());
    let mut route = play.route("REGISTER", &format!("{others}{ours}"));
    assert_eq!(
        identity::consume_credentials(&mut route, &play.auth),
        Ok(false),
        "not looked at yet"
    );
    let looked = proxy_authorize(&mut route, &play.auth, REALM.into(), "subscriber".into());
    assert_eq!(
        (looked, identity::consume_credentials(&mut route, &play.auth)),
        (Ok(true), Ok(true))
    );
    let left: Vec<_> = route.message.values(HeaderId::ProxyAuthorization).collect();
    assert_eq!(left.len(), 1);
    assert!(String::from_utf8_lossy(left[0]).contains("next"));
}

#[test]
fn an_empty_realm_is_the_domain_of_the_user() {
    let play = Play::new("realm_prefix = \"sip.\"");
    let realm = |method: &str, name: &str, value: &str| {
        let mut route = play.route(method, "");
        route.message.set_header(name, value).unwrap();
        identity::realm_of(&route, &play.auth, "")
    };
    assert_eq!(realm("REGISTER", "To", "<sip:a@SIP.To.Example>"), Ok("to.example".to_owned()));
    assert_eq!(
        realm("INVITE", "From", "<sip:a@from.example>;tag=1"),
        Ok("from.example".to_owned())
    );
    assert_eq!(realm("INVITE", "From", "<tel:+1>;tag=1").unwrap_err().status().0, 400);
    assert_eq!(identity::realm_of(&play.route("INVITE", ""), &play.auth, "x"), Ok("x".to_owned()));
}

#[test]
fn garbage_is_the_senders_fault() {
    let play = Play::new("");
    let mut route = play.route("REGISTER", "Authorization: Digest realm=\"sip.example\", oops\r\n");
    let looked = www_authorize(&mut route, &play.auth, REALM.into(), "subscriber".into());
    assert_eq!(looked.unwrap_err().status().0, 400);
    assert_eq!(identity::auth_result(&mut route, &play.auth).unwrap(), "");
}

#[test]
fn the_script_may_bring_the_password() {
    let play = Play::new("");
    let route = |header| play.route("REGISTER", &ALICE.header(header, &play.nonce()));
    let mut www = route("Authorization");
    let check = |route: &mut Route, password: &str, flags| {
        pv_www_authenticate(route, &play.auth, REALM.into(), password.into(), flags)
    };
    assert_eq!(check(&mut www, "guess", 0), Ok(false));
    assert_eq!(check(&mut www, "", 0), Ok(false));
    assert_eq!(check(&mut www, PASSWORD, 0), Ok(true));
    assert_eq!(identity::auth_user(&mut www, &play.auth).unwrap(), "alice");
    let ha1 = md5_hex(b"alice:sip.example:open sesame");
    assert_eq!(check(&mut route("Authorization"), &ha1, 1), Ok(true));
    assert_eq!(check(&mut route("Authorization"), "no hash", 1), Ok(false));
    assert!(check(&mut route("Authorization"), PASSWORD, 2).is_err());
    let mut proxy = route("Proxy-Authorization");
    let checked = pv_proxy_authenticate(&mut proxy, &play.auth, REALM.into(), PASSWORD.into(), 0);
    assert_eq!(checked, Ok(true));
}

#[test]
fn what_was_read_lately_is_not_read_again() {
    let play = Play::new("");
    assert_eq!(play.outcome(&ALICE, &play.nonce()), "ok");
    play.run(Statement::new("DROP TABLE subscriber"));
    assert_eq!(play.outcome(&ALICE, &play.nonce()), "ok");
    assert_eq!(
        play.outcome(&Phone { password: "guess", ..ALICE }, &play.nonce()),
        "wrong_password"
    );
    let bob = Phone { username: "bob", ..ALICE };
    let mut route = play.route("REGISTER", &bob.header("Authorization", &play.nonce()));
    let looked = www_authorize(&mut route, &play.auth, REALM.into(), "subscriber".into());
    assert_eq!(looked.unwrap_err().status().0, 500, "there is no such table");
    let forged = www_authorize(&mut route, &play.auth, REALM.into(), "x; DROP TABLE y".into());
    assert!(matches!(forged, Err(RouteError::BadArgument { .. })));
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "nonce_expire = 0",
        "nonce_cache = 99",
        "cache_size = 1",
        "cache_time = 86401",
        "secret = \"short\"",
        "qop = \"none\"",
        "algorithm = []",
        "algorithm = [\"SHA-1\"]",
        "algorithm = [\"SHA-256\", \"MD5\"]",
        "user_column = \"a; b\"",
        "password_column = \"\"",
        "passwd_column = \"x\"",
    ] {
        assert!(Params::from_toml(bad).parse::<config::Sound>().is_err(), "{bad}");
    }
    for good in [
        "algorithm = [\"SHA-256\"]",
        "algorithm = [\"SHA-256\", \"MD5\"]\ncalculate_ha1 = true",
        "algorithm = [\"MD5\", \"MD5-sess\"]",
        "sha256_column = \"ha1_sha256\"",
    ] {
        assert!(Params::from_toml(good).parse::<config::Sound>().is_ok(), "{good}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}
