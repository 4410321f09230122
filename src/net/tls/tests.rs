use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::clock;
use crate::net::tcp::tests::{LIMITS, MESSAGE, Server, message, on_a_worker, recorder};
use crate::net::tcp::{ConnectError, Connections, Layers};
use crate::sip::target::Target;
use crate::sip::transport::Transport;

/// An authority, and a folder for what it signs.
pub(in crate::net) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(in crate::net) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let it = Self { issuer, folder };
        it.write("ca.pem", &it.issuer.pem());
        it
    }

    pub(in crate::net) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Signs for these names until a year; `NAME.pem` holds certificate and key.
    fn sign_until(&self, file: &str, names: Vec<SanType>, year: i32) -> KeyFiles {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(file, &format!("{}{}", certificate.pem(), key.serialize_pem()));
        KeyFiles { certificate: self.file(file), private_key: self.file(file) }
    }

    pub(in crate::net) fn sign(&self, domain: &str) -> KeyFiles {
        self.sign_until(&format!("{domain}.pem"), vec![dns(domain)], 4000)
    }

    /// Believes servers of this authority.
    pub(in crate::net) fn believed(&self) -> TlsSettings {
        TlsSettings { authorities: Some(self.file("ca.pem")), ..TlsSettings::default() }
    }

    /// A server with this certificate.
    fn server(&self, certificate: KeyFiles) -> TlsSettings {
        TlsSettings { certificate: Some(certificate), ..self.believed() }
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn load(settings: TlsSettings) -> Tls {
    Tls::load(settings, clock::unix_time()).unwrap()
}

pub(in crate::net) fn layers(settings: TlsSettings) -> Layers {
    Layers { tls: Some(Arc::new(load(settings))), ..Layers::default() }
}

fn start(settings: TlsSettings) -> Server {
    Server::start_over(Transport::Tls, LIMITS, layers(settings))
}

/// What a client that asks for `name` gets.
async fn client(
    settings: TlsSettings,
    server: &Server,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let connector = load(settings).connector();
    connector.connect(server_name(name).unwrap(), server.client().await).await
}

/// Why we do not connect to `server` for `name`.
async fn refused(settings: TlsSettings, server: &Server, name: &str) -> String {
    let connections = Connections::new(LIMITS, layers(settings));
    let refused = connections.connect(server.target(), name, recorder().0).await.unwrap_err();
    assert!(connections.is_empty());
    refused.to_string()
}

#[tokio::test]
async fn messages_go_both_ways_over_one_connection_that_tls_protects() {
    on_a_worker(async {
        let authority = Authority::new();
        let mut server = start(authority.server(authority.sign("b.example")));
        let connections = Connections::new(LIMITS, layers(authority.believed()));
        let (receiver, mut heard) = recorder();
        let connect = |name| connections.connect(server.target(), name, receiver.clone());
        assert_eq!(tokio::join!(connect("b.example"), connect("B.example")), (Ok(()), Ok(())));
        connections.send(server.target(), MESSAGE.into()).unwrap();
        let (bytes, source) = server.message().await;
        assert_eq!((&bytes[..], source.transport), (MESSAGE.as_bytes(), Transport::Tls));
        assert!(source.flow > 0 && server.connections.certificate(source).is_none());
        server.reply(source, MESSAGE);
        let (_, source) = message(&mut heard).await;
        let certificate = connections.certificate(source).expect("the server has proved itself");
        assert_eq!(certificate.domains().collect::<Vec<_>>(), ["b.example"]);
        assert_eq!((connections.len(), server.connections.len()), (1, 1));
        connections.close_all(Duration::from_secs(5)).await;
        assert!(connections.is_empty());
    })
    .await;
}

#[tokio::test]
async fn rfc5922_s7_3_a_server_must_be_the_domain_that_we_want() {
    on_a_worker(async {
        let authority = Authority::new();
        let names = vec![dns("*.b.example"), dns("c.example")];
        let server = start(authority.server(authority.sign_until("b.pem", names, 4000)));
        for name in ["x.b.example", "b.example", "d.example", "127.0.0.1"] {
            let reason = refused(authority.believed(), &server, name).await;
            assert!(reason.contains("not valid for name"), "{name}: {reason}");
        }
        let reason = refused(authority.believed(), &server, "a b").await;
        assert!(reason.contains("no name that a certificate could have"), "{reason}");
        let stranger = Authority::new();
        let reason = refused(stranger.believed(), &server, "c.example").await;
        assert!(reason.contains("UnknownIssuer"), "{reason}");
        let anybody = TlsSettings { verifies_servers: false, ..TlsSettings::default() };
        client(anybody, &server, "x.example").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_sip_uri_makes_a_certificate_good_for_its_domain_only() {
    on_a_worker(async {
        let authority = Authority::new();
        let uri = SanType::URI("sip:b.example".try_into().unwrap());
        let names = vec![uri, dns("host.example")];
        let server = start(authority.server(authority.sign_until("b.pem", names, 4000)));
        client(authority.believed(), &server, "b.example").await.unwrap();
        assert!(client(authority.believed(), &server, "host.example").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_connection_to_one_domain_is_not_used_for_another() {
    on_a_worker(async {
        let authority = Authority::new();
        let names = vec![dns("b.example"), dns("c.example")];
        let both = authority.sign_until("both.pem", names, 4000);
        let domains = vec![("d.example".into(), authority.sign("d.example"))];
        let mut server = start(TlsSettings { domains, ..authority.server(both) });
        let connections = Connections::new(LIMITS, layers(authority.believed()));
        let target = server.target();
        let connect = |name| connections.connect(target, name, recorder().0);
        for (name, expected) in [("b.example", 1), ("c.example", 1), ("d.example", 2)] {
            assert_eq!(connect(name).await, Ok(()), "{name}");
            assert_eq!(connections.len(), expected, "{name}");
        }
        let (refused, open) = tokio::join!(connect("e.example"), connect("d.example"));
        assert!(matches!(refused, Err(ConnectError::Handshake(_))), "{refused:?}");
        assert_eq!(
            (open, connections.len()),
            (Ok(()), 2),
            "a name that is refused changes nothing"
        );
        connections.send(target, MESSAGE.into()).unwrap();
        server.refusal().await;
        server.message().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_found_by_its_address_and_is_nobodys_server() {
    on_a_worker(async {
        let authority = Authority::new();
        let mut server = start(authority.server(authority.sign("b.example")));
        let mut client = client(authority.believed(), &server, "b.example").await.unwrap();
        client.write_all(MESSAGE.as_bytes()).await.unwrap();
        let (_, source) = server.message().await;
        let to = Target { addr: source.peer, ..server.target() };
        let connect = |name| server.connections.connect(to, name, recorder().0);
        assert_eq!(connect("127.0.0.1").await, Ok(()));
        let refused = connect("b.example").await;
        assert!(matches!(refused, Err(ConnectError::Failed(_))), "{refused:?}");
        assert_eq!(server.connections.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_expired_server_is_refused() {
    on_a_worker(async {
        let authority = Authority::new();
        let expired = authority.sign_until("b.pem", vec![dns("b.example")], 2021);
        let then = Duration::from_secs(1_600_000_000);
        let tls = Tls::load(authority.server(expired), then).unwrap();
        let layers = Layers { tls: Some(Arc::new(tls)), ..Layers::default() };
        let server = Server::start_over(Transport::Tls, LIMITS, layers);
        let reason = refused(authority.believed(), &server, "b.example").await;
        assert!(reason.contains("expired"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn rfc6066_s3_a_client_gets_the_certificate_of_the_domain_that_it_names() {
    on_a_worker(async {
        let authority = Authority::new();
        let domain = |name: &str| (name.into(), authority.sign(name));
        let domains = vec![domain("b.example"), domain("c.example")];
        let settings = TlsSettings { domains, ..authority.server(authority.sign("a.example")) };
        let server = start(settings);
        for name in ["a.example", "b.example", "C.example"] {
            client(authority.believed(), &server, name).await.unwrap();
        }
        let other = client(authority.believed(), &server, "d.example").await.unwrap_err();
        assert!(other.to_string().contains("a.example"), "the first is for all others: {other}");
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_or_required() {
    on_a_worker(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let known =
            TlsSettings { certificate: Some(authority.sign("k.example")), ..authority.believed() };
        let unknown =
            TlsSettings { certificate: Some(stranger.sign("u.example")), ..authority.believed() };
        for (clients, nobody_may) in [
            (Clients::Required(authority.file("ca.pem")), false),
            (Clients::Asked(authority.file("ca.pem")), true),
        ] {
            let mut server =
                start(TlsSettings { clients, ..authority.server(authority.sign("b.example")) });
            let is_good = async |settings: &TlsSettings| {
                let mut client = client(settings.clone(), &server, "b.example").await.unwrap();
                // With TLS 1.3 a client learns of it only afterwards.
                client.write_all(b"\r\n\r\n").await.is_ok()
                    && client.read_exact(&mut [0; 2]).await.is_ok()
            };
            assert!(is_good(&known).await);
            assert!(!is_good(&unknown).await);
            assert_eq!(is_good(&authority.believed()).await, nobody_may);
            assert!(server.refusal().await.starts_with("handshake: "));
            let mut client = client(known.clone(), &server, "b.example").await.unwrap();
            client.write_all(MESSAGE.as_bytes()).await.unwrap();
            if !nobody_may {
                server.refusal().await;
            }
            let (_, source) = server.message().await;
            let certificate = server.connections.certificate(source).expect("a verified client");
            assert!(certificate.is_for("k.example"));
        }
    })
    .await;
}

#[tokio::test]
async fn garbage_and_silence_cost_nobody_else() {
    on_a_worker(async {
        let authority = Authority::new();
        let handshake = Duration::from_millis(50);
        let mut server =
            start(TlsSettings { handshake, ..authority.server(authority.sign("b.example")) });
        let _silent = server.client().await;
        let mut garbage = server.client().await;
        garbage.write_all(MESSAGE.as_bytes()).await.unwrap();
        let mut good = client(authority.believed(), &server, "b.example").await.unwrap();
        good.write_all(b"\r\n\r\n").await.unwrap();
        good.read_exact(&mut [0; 2]).await.unwrap();
        let mut reasons = [server.refusal().await, server.refusal().await];
        reasons.sort();
        assert!(reasons[0].contains("corrupt message"), "{reasons:?}");
        assert_eq!(reasons[1], "handshake: the handshake takes too long");
        drop(garbage);
        assert_eq!(server.connections.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn new_certificates_go_live_and_broken_ones_do_not() {
    on_a_worker(async {
        let authority = Authority::new();
        let files = authority.sign("b.example");
        let tls = Arc::new(load(authority.server(files.clone())));
        let layers = Layers { tls: Some(tls.clone()), ..Layers::default() };
        let server = Server::start_over(Transport::Tls, LIMITS, layers);
        let now = clock::unix_time();
        assert!(!tls.reload(now).unwrap(), "nothing has changed");
        authority.write("b.example.pem", "-----BEGIN");
        let error = tls.reload(now).unwrap_err();
        assert_eq!(error.file, files.certificate);
        let mut open = client(authority.believed(), &server, "b.example").await.unwrap();
        authority.sign_until("b.example.pem", vec![dns("c.example")], 4000);
        assert!(tls.reload(now).unwrap());
        client(authority.believed(), &server, "c.example").await.unwrap();
        assert!(client(authority.believed(), &server, "b.example").await.is_err());
        open.write_all(b"\r\n\r\n").await.unwrap();
        open.read_exact(&mut [0; 2]).await.unwrap();
    })
    .await;
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let authority = Authority::new();
    let good = authority.sign("b.example");
    authority.sign("c.example");
    let expired = authority.sign_until("old.pem", vec![dns("b.example")], 2021);
    authority.write("garbage.pem", "garbage");
    let false_der = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n";
    authority.write("false.pem", false_der);
    let with = |certificate: &str, key: &str| KeyFiles {
        certificate: authority.file(certificate),
        private_key: authority.file(key),
    };
    for (files, file, reason) in [
        (with("none.pem", "none.pem"), "none.pem", "No such file"),
        (with("garbage.pem", "b.example.pem"), "garbage.pem", "no PEM certificate"),
        (with("false.pem", "b.example.pem"), "false.pem", "not an X.509 certificate"),
        (expired, "old.pem", "has expired"),
        (with("b.example.pem", "ca.pem"), "ca.pem", "no PEM private key"),
        (with("b.example.pem", "c.example.pem"), "c.example.pem", "not that of the certificate"),
    ] {
        let settings = authority.server(files);
        let error = Tls::load(settings, clock::unix_time()).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}: ")) && error.contains(reason), "{error}");
    }
    for settings in [
        TlsSettings {
            authorities: Some(authority.file("garbage.pem")),
            ..authority.server(good.clone())
        },
        TlsSettings {
            clients: Clients::Asked(authority.file("garbage.pem")),
            ..authority.server(good)
        },
    ] {
        let error = Tls::load(settings, clock::unix_time()).unwrap_err().to_string();
        assert!(error.contains("garbage.pem: there is no PEM certificate"), "{error}");
    }
}
