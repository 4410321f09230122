//! Who plays in the demo: Prosody, sipjab, a phone and a client, and how to join them.

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::actor::Actor;

/// The phone's address.
pub(crate) const PHONE: &str = "phone@sip.example";
/// The address of the XMPP user in the play.
pub(crate) const ALICE: &str = "alice@xmpp.example";
/// The route script, as it ships.
const GATEWAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/gateway.rhai");
/// The password of each account.
const PASSWORD: &str = "secret";

/// Everybody, on stage.
pub(crate) struct Cast {
    client: Actor,
    phone: Option<Actor>,
    _sipjab: Actor,
    _prosody: Actor,
    ports: Ports,
    folder: PathBuf,
}

/// Free loopback ports, one for each that listens.
struct Ports {
    xmpp: u16,
    component: u16,
    sip: u16,
    phone: u16,
}

impl Cast {
    /// Starts everybody, each with its files in `folder`, and waits until they can talk.
    pub(crate) fn enter(folder: &Path) -> io::Result<Self> {
        let ports = Ports {
            xmpp: free_port()?,
            component: free_port()?,
            sip: free_port()?,
            phone: free_port()?,
        };
        let prosody = enter_prosody(folder, &ports)?;
        let sipjab = enter_sipjab(folder, &ports)?;
        let phone = enter_phone(folder, &ports)?;
        let client = enter_client(&ports)?;
        Ok(Self {
            client,
            phone: Some(phone),
            _sipjab: sipjab,
            _prosody: prosody,
            ports,
            folder: folder.into(),
        })
    }

    /// Lets the phone send a text; returns what the client shows.
    pub(crate) fn phone_to_alice(&mut self, text: &str) -> io::Result<String> {
        let phone = self.phone.as_mut().expect("it is dismissed after the play");
        phone.say(&format!("/message {text}"))?;
        let line = self.client.hear(&format!("{PHONE}: "))?;
        Ok(line.split_once(&format!("{PHONE}: ")).map(|(_, text)| text.to_owned()).unwrap_or(line))
    }

    /// Lets the client send a text; returns what the phone shows.
    pub(crate) fn alice_to_phone(&mut self, text: &str) -> io::Result<String> {
        let mut command = client_command(&self.ports);
        command.push(PHONE.into());
        Actor::enter("go-sendxmpp", &command)?.say_and_leave(text)?;
        let phone = self.phone.as_mut().expect("it is dismissed after the play");
        // The sender's resource follows as `gr` (RFC 7247 §6.5).
        let line = phone.hear(&format!("sip:{ALICE};gr="))?;
        Ok(line
            .split_once(": \"")
            .map(|(_, text)| text.trim_end_matches('"').to_owned())
            .unwrap_or(line))
    }

    /// Ends the phone, so that another may take its port.
    pub(crate) fn dismiss_phone(&mut self) {
        self.phone = None;
    }

    /// Says how to take part.
    pub(crate) fn explain(&self, is_kept: bool) {
        let Ports { xmpp, sip, .. } = self.ports;
        let folder = self.folder.display();
        if !is_kept {
            println!(
                "To join in: make demo KEEP=1. It keeps the servers up and names their ports; then attach\n\
                 \n\
                 a SIP phone:     account {PHONE}, no password; the SIP port of 127.0.0.1 as registrar\n\
                 \x20                and outbound proxy; write to sip:{ALICE}\n\
                 an XMPP client:  account {ALICE}, password {PASSWORD}; the XMPP port of 127.0.0.1 as\n\
                 \x20                server, with a self-signed certificate; write to {PHONE}"
            );
            return;
        }
        println!(
            "Join in. Everything runs in {folder} until Ctrl-C.\n\
             \n\
             SIP   the phone of the play:  baresip -f {folder}/phone\n\
             \x20                             then type:  /message Hello again\n\
             \x20     any other phone:        account {PHONE}, no password,\n\
             \x20                             registrar and outbound proxy sip:127.0.0.1:{sip} (UDP or TCP);\n\
             \x20                             write to sip:{ALICE}\n\
             \n\
             XMPP  the client of the play: go-sendxmpp -u {ALICE} -p {PASSWORD} -j 127.0.0.1:{xmpp} -n -l\n\
             \x20                             echo Hello again | go-sendxmpp -u {ALICE} -p {PASSWORD} \\\n\
             \x20                                 -j 127.0.0.1:{xmpp} -n {PHONE}\n\
             \x20     any other client:       account {ALICE}, password {PASSWORD},\n\
             \x20                             server 127.0.0.1, port {xmpp}, self-signed certificate;\n\
             \x20                             write to {PHONE}\n\
             \n\
             The route is {folder}/gateway.rhai: edit it, it goes live when you save."
        );
    }
}

fn enter_prosody(folder: &Path, ports: &Ports) -> io::Result<Actor> {
    let home = folder.join("prosody");
    let accounts = home.join("data/xmpp%2eexample/accounts");
    fs::create_dir_all(&accounts)?;
    let account = format!("return {{ [\"password\"] = \"{PASSWORD}\" }};\n");
    fs::write(accounts.join("alice.dat"), account)?;
    certify(&home)?;
    let config = include_str!("prosody.cfg.lua")
        .replace("@HOME@", &home.to_string_lossy())
        .replace("@XMPP_PORT@", &ports.xmpp.to_string())
        .replace("@COMPONENT_PORT@", &ports.component.to_string());
    let path = home.join("prosody.cfg.lua");
    fs::write(&path, config)?;
    let mut prosody =
        Actor::enter("prosody", &["prosody", "-F", "--config", &path.to_string_lossy()])?;
    prosody.hear("Activated service 'component'")?;
    Ok(prosody)
}

/// Makes the certificate without which XMPP clients refuse to send a password.
fn certify(home: &Path) -> io::Result<()> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=xmpp.example", "-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(home)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("openssl: {}", String::from_utf8_lossy(&output.stderr))))
}

fn enter_sipjab(folder: &Path, ports: &Ports) -> io::Result<Actor> {
    fs::copy(GATEWAY, folder.join("gateway.rhai"))?;
    let Ports { component, sip, phone, .. } = ports;
    let config = format!(
        "script = \"gateway.rhai\"\n\
         \n\
         [sip]\n\
         listen = [\"udp:127.0.0.1:{sip}\", \"tcp:127.0.0.1:{sip}\"]\n\
         domains = [\"sip.example\"]\n\
         \n\
         [modules.xmpp]\n\
         backend = \"component\"\n\
         xmpp_host = \"127.0.0.1\"\n\
         xmpp_port = {component}\n\
         xmpp_password = \"{PASSWORD}\"\n\
         xmpp_domain = \"sip.example\"\n\
         dialect = \"rfc\"\n\
         outbound_proxy = \"sip:127.0.0.1:{phone}\"\n\
         \n\
         [store]\n\
         url = \"sqlite:sipjab.db\"\n"
    );
    let path = folder.join("sipjab.toml");
    fs::write(&path, config)?;
    let program = beside_the_examples()?.to_string_lossy().into_owned();
    let mut sipjab = Actor::enter("sipjab", &[&*program, "run", "-c", &path.to_string_lossy()])?;
    sipjab.hear("component ready")?;
    Ok(sipjab)
}

/// `target/<profile>/sipjab`, two folders above this program's own.
fn beside_the_examples() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let profile = own.parent().and_then(Path::parent).expect("examples lie in a profile's folder");
    Ok(profile.join("sipjab"))
}

fn enter_phone(folder: &Path, ports: &Ports) -> io::Result<Actor> {
    let home = folder.join("phone");
    fs::create_dir(&home)?;
    let config = include_str!("baresip.conf").replace("@PORT@", &ports.phone.to_string());
    fs::write(home.join("config"), config)?;
    let proxy = format!("sip:127.0.0.1:{}", ports.sip);
    fs::write(home.join("accounts"), format!("<sip:{PHONE}>;regint=0;outbound=\"{proxy}\"\n"))?;
    fs::write(home.join("contacts"), format!("\"Alice\" <sip:{ALICE}>\n"))?;
    let mut phone = Actor::enter("baresip", &["baresip", "-f", &home.to_string_lossy()])?;
    phone.hear("baresip is ready")?;
    Ok(phone)
}

/// Starts the client that listens; `-d` makes it say that it is available.
fn enter_client(ports: &Ports) -> io::Result<Actor> {
    let mut command = client_command(ports);
    command.extend(["-d".into(), "-l".into()]);
    let mut client = Actor::enter("go-sendxmpp", &command)?;
    client.hear("<presence")?;
    Ok(client)
}

fn client_command(ports: &Ports) -> Vec<String> {
    let server = format!("127.0.0.1:{}", ports.xmpp);
    ["go-sendxmpp", "-u", ALICE, "-p", PASSWORD, "-j", &server, "-n"].map(String::from).to_vec()
}

/// A port that is free for both transports.
fn free_port() -> io::Result<u16> {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = udp.local_addr()?.port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}
