//! A name server on loopback with a zone of its own.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};

/// A running name server; its thread ends with the test program.
pub(crate) struct NameServer {
    address: SocketAddr,
}

impl NameServer {
    /// Serves these records; every other name does not exist.
    pub(crate) fn start(zone: Vec<(&'static str, RData)>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                socket.send_to(&answer(&zone, &buffer[..length]), peer).unwrap();
            }
        });
        Self { address }
    }

    /// The table that makes the program ask this server.
    pub(crate) fn table(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
    }
}

fn answer(zone: &[(&str, RData)], question: &[u8]) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let name = query.name().to_ascii().to_lowercase();
    let rows = zone.iter().filter(|(owner, _)| *owner == name);
    let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_available = true;
    message.metadata.response_code = match rows.clone().count() {
        0 => ResponseCode::NXDomain,
        _ => ResponseCode::NoError,
    };
    for (_, data) in rows.filter(|(_, data)| data.record_type() == query.query_type()) {
        message.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
    }
    message.queries.push(query);
    message.to_vec().unwrap()
}

/// A service at a port of a host.
pub(crate) fn srv(priority: u16, port: u16, host: &str) -> RData {
    RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(host).unwrap()))
}

/// The address of a host on this machine.
pub(crate) fn loopback() -> RData {
    RData::A(A(Ipv4Addr::LOCALHOST))
}
