//! The table `location`, as Kamailio's `usrloc` has it, and how a binding is a row of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::sip::Uri;
use crate::sip::location::{Binding, Place, Rules, parts_of_address};
use crate::store::{Column, ColumnType, Row, Statement, Table, Value};

/// The table.
pub static LOCATION: Table = Table::new(
    "location",
    9,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("ruid", ColumnType::Text(64)).default("''"),
        Column::new("username", ColumnType::Text(64)).default("''"),
        Column::new("domain", ColumnType::Text(64)).nullable(),
        Column::new("contact", ColumnType::Text(512)).default("''"),
        Column::new("received", ColumnType::Text(128)).nullable(),
        Column::new("path", ColumnType::Text(512)).nullable(),
        Column::new("expires", ColumnType::DateTime).default("'2030-05-28 21:32:15'"),
        Column::new("q", ColumnType::Real).default("1.0"),
        Column::new("callid", ColumnType::Text(255)).default("'Default-Call-ID'"),
        Column::new("cseq", ColumnType::Int).default("1"),
        Column::new("last_modified", ColumnType::DateTime).default("'2000-01-01 00:00:01'"),
        Column::new("flags", ColumnType::Int).default("0"),
        Column::new("cflags", ColumnType::Int).default("0"),
        Column::new("user_agent", ColumnType::Text(255)).default("''"),
        Column::new("socket", ColumnType::Text(64)).nullable(),
        Column::new("methods", ColumnType::Int).nullable(),
        Column::new("instance", ColumnType::Text(255)).nullable(),
        Column::new("reg_id", ColumnType::Int).default("0"),
        Column::new("server_id", ColumnType::Int).default("0").optional(),
        Column::new("connection_id", ColumnType::Int).default("0").optional(),
        Column::new("keepalive", ColumnType::Int).default("0").optional(),
    ],
)
.unique(&[&["ruid"]])
.indexes(&[&["username", "domain", "contact"], &["expires"]]);

/// One moment on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clock of timers.
    pub now: Instant,
    /// Since 1970, UTC.
    pub unix: Duration,
}

impl Moment {
    /// What the other clock shows then, to the second; never before 1970.
    fn unix_of(self, at: Instant) -> Duration {
        match at.checked_duration_since(self.now) {
            Some(later) => self.unix + later,
            None => self.unix.saturating_sub(self.now - at),
        }
    }

    /// The instant of a time; as early as instants go for one before them.
    fn instant_of(self, unix: Duration) -> Instant {
        match unix.checked_sub(self.unix) {
            Some(later) => self.now.checked_add(later),
            None => self.now.checked_sub(self.unix - unix),
        }
        .unwrap_or(self.now)
    }
}

/// The rows behind the last one that was read, in the order of their names.
pub fn rows_after(ruid: &str, at_most: u32) -> Statement {
    let sql = "SELECT ruid, username, domain, contact, received, path, expires, q, callid, cseq, \
               last_modified, cflags, user_agent, socket, methods, instance, reg_id \
               FROM location WHERE ruid > ? ORDER BY ruid LIMIT ?";
    Statement::new(sql).bind(ruid).bind(at_most)
}

/// The own name of a row that [`rows_after`] gives.
pub fn ruid_of(row: &Row) -> &str {
    row.text(0).unwrap_or_default()
}

/// The address of record and the binding that a row tells of; `None` for what we cannot use: a row without
/// contact or user, or one of Kamailio's that never expires.
pub fn binding_of(row: &Row, moment: Moment, rules: &Rules) -> Option<(String, Binding)> {
    let domain = row.text(2).unwrap_or_default();
    let address = rules.address.address_of_parts(row.text(1)?, domain);
    let contact = row.text(3).filter(|contact| !contact.is_empty())?;
    let expires = row.unix_time(6).filter(|unix| !unix.is_zero())?;
    let updated_at = row.unix_time(10).map_or(moment.now, |unix| moment.instant_of(unix));
    let text = |column: usize| row.text(column).unwrap_or_default().to_owned();
    let number = |column: usize| row.int(column).unwrap_or_default();
    let mut binding =
        Binding::new(contact.to_owned(), ruid_of(row), updated_at, moment.instant_of(expires));
    binding.received = row.text(4).and_then(place_of_uri);
    binding.path = text(5);
    // COMPAT(Kamailio): a contact that did not say its q has a negative one.
    let q = row.real(7).filter(|q| (0.0..=1.0).contains(q));
    binding.q = q.map_or(rules.default_q, |q| (q * 1000.0).round() as u16);
    binding.call_id = text(8);
    binding.cseq = u32::try_from(number(9)).unwrap_or_default();
    binding.branch_flags = number(11) as u32;
    binding.user_agent = text(12);
    binding.socket = row.text(13).and_then(place_of_socket);
    if let Some(methods) = row.int(14) {
        binding.methods = methods as u32;
    }
    binding.instance = row.text(15).filter(|instance| !instance.is_empty()).map(str::to_owned);
    binding.reg_id = u32::try_from(number(16)).unwrap_or_default();
    Some((address, binding))
}

/// Writes a binding, whether or not its row is there.
pub fn write(address: &str, binding: &Binding, moment: Moment, rules: &Rules) -> Statement {
    let sql = "REPLACE INTO location (ruid, username, domain, contact, received, path, expires, q, \
               callid, cseq, last_modified, flags, cflags, user_agent, socket, methods, instance, \
               reg_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)";
    let (user, domain) = parts_of_address(address, rules.address);
    let path = Some(&*binding.path).filter(|path| !path.is_empty());
    let methods = (!binding.takes_all()).then_some(binding.methods);
    Statement::new(sql)
        .bind(&*binding.ruid)
        .bind(user)
        .bind(domain)
        .bind(&*binding.uri)
        .bind(binding.received.map(uri_of_place))
        .bind(path)
        .bind(Value::date_time(moment.unix_of(binding.expires_at)))
        .bind(f64::from(binding.q) / 1000.0)
        .bind(&*binding.call_id)
        .bind(binding.cseq)
        .bind(Value::date_time(moment.unix_of(binding.updated_at)))
        .bind(binding.branch_flags)
        .bind(&*binding.user_agent)
        .bind(binding.socket.map(socket_of_place))
        .bind(methods)
        .bind(binding.instance.as_deref())
        .bind(binding.reg_id)
}

/// Removes the row of a binding.
pub fn remove(ruid: &str) -> Statement {
    Statement::new("DELETE FROM location WHERE ruid = ?").bind(ruid)
}

/// A place as a URI: `sip:192.0.2.9:40000;transport=tcp`.
pub fn uri_of_place((transport, address): Place) -> String {
    format!("sip:{address};transport={}", transport.token().to_ascii_lowercase())
}

fn place_of_uri(uri: &str) -> Option<Place> {
    let uri = Uri::parse(uri).ok()?;
    let transport = uri.params().find("transport");
    let transport = transport.map_or(Ok("udp".into()), |param| Ok::<_, ()>(param.text())).ok()?;
    let transport: crate::sip::transport::Transport = transport.parse().ok()?;
    let port = uri.port().unwrap_or(transport.default_port());
    Some((transport, SocketAddr::new(uri.host_ip()?, port)))
}

/// A place as Kamailio writes its sockets: `udp:192.0.2.1:5060`.
fn socket_of_place((transport, address): Place) -> String {
    format!("{}:{address}", transport.token().to_ascii_lowercase())
}

fn place_of_socket(socket: &str) -> Option<Place> {
    let (transport, address) = socket.split_once(':')?;
    Some((transport.parse().ok()?, address.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::store::Store;

    fn moment() -> Moment {
        Moment { now: clock::now(), unix: Duration::from_secs(1_800_000_000) }
    }

    async fn rows(store: &Store) -> Vec<Row> {
        store.query(rows_after("", 10)).await.unwrap()
    }

    #[tokio::test]
    async fn a_binding_returns_as_it_was() {
        let store = Store::in_memory(std::slice::from_ref(&LOCATION)).unwrap();
        let (moment, rules) = (moment(), Rules::default());
        let later = moment.now + Duration::from_secs(600);
        let earlier = moment.now - Duration::from_secs(60);
        let mut binding = Binding::new("sip:a@10.0.0.9;x=\"'".into(), "r-1", earlier, later);
        binding.received = "192.0.2.9:40000".parse().ok().map(|at| ("TCP".parse().unwrap(), at));
        binding.socket = "[2001:db8::1]:5060".parse().ok().map(|at| ("UDP".parse().unwrap(), at));
        binding.path = "<sip:edge;lr>,<sip:b>".into();
        binding.q = 375;
        (binding.call_id, binding.cseq) = ("c@h".into(), 7);
        (binding.user_agent, binding.methods) = ("Phone".into(), 13);
        (binding.instance, binding.reg_id) = (Some("<urn:x>".into()), 2);
        binding.branch_flags = 0x8000_0001;
        let plain = Binding::new("sip:b@h".into(), "r-2", earlier, later);
        for (address, binding) in [("al%40ice@sip.example", &binding), ("bob@h", &plain)] {
            let statement = write(address, binding, moment, &rules);
            store.execute(vec![statement.clone(), statement]).await.unwrap();
        }
        let rows = rows(&store).await;
        let read = |row| binding_of(row, moment, &rules).unwrap();
        assert_eq!(read(&rows[0]), ("al%40ice@sip.example".to_owned(), binding));
        assert_eq!(read(&rows[1]), ("bob@h".to_owned(), plain));
        store.execute(vec![remove("r-1"), remove("r-2")]).await.unwrap();
        assert!(self::rows(&store).await.is_empty());
    }

    #[tokio::test]
    async fn compat_rows_of_kamailio_are_read() {
        let store = Store::in_memory(std::slice::from_ref(&LOCATION)).unwrap();
        let rows_of_kamailio = Statement::new(
            "INSERT INTO location (ruid, username, domain, contact, received, expires, q, cseq, \
             socket) VALUES ('uloc-1', 'Alice', 'SIP.example', 'sip:a@10.0.0.1', \
             'sip:192.0.2.9:5062', '2030-05-28 21:32:15', -1.0, 3, 'udp:192.0.2.1:5060'), \
             ('uloc-2', 'bob', NULL, 'sip:b@h', NULL, '1970-01-01 00:00:00', 1.0, 1, NULL)",
        );
        store.execute(vec![rows_of_kamailio]).await.unwrap();
        let rows = rows(&store).await;
        let (address, binding) = binding_of(&rows[0], moment(), &Rules::default()).unwrap();
        assert_eq!((&*address, binding.q), ("alice@sip.example", 1000));
        assert_eq!(
            binding.received,
            Some(("UDP".parse().unwrap(), "192.0.2.9:5062".parse().unwrap()))
        );
        assert!(binding.takes_all() && binding.instance.is_none());
        assert_eq!(binding_of(&rows[1], moment(), &Rules::default()), None, "it never expires");
    }
}
