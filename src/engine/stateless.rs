//! Forwarding without a transaction (RFC 3261 §16.11): `forward()`, the ACK of a 2xx, a CANCEL that nothing is known of.

use std::net::SocketAddr;

use super::record_route::Recording;
use super::relay::{Outbound, unreachable};
use super::router::check_options;
use super::transactions::{Destination, User};
use super::worker::Worker;
use crate::script::error::RouteError;
use crate::script::route::Route;
use crate::script::router::Waiting;
use crate::sip::proxy;
use crate::sip::target::Target;
use crate::sip::transport::{Source, Transport};
use crate::sip::{Message, Method, Via};

/// The worker in the branches of requests that no transaction stands behind.
pub(super) const STATELESS: u16 = u16::MAX;

impl Worker {
    /// Sends a request on and forgets it.
    pub(super) fn forward_stateless(
        &self,
        route: &mut Route,
        next_hop: Option<&str>,
    ) -> Waiting<Result<(), RouteError>> {
        let outbound = match self.stateless_copy(route, next_hop) {
            Ok(outbound) => outbound,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let worker = self.this();
        super::forwarding::begin(async move { worker.send_stateless_out(&outbound).await })
    }

    fn stateless_copy(
        &self,
        route: &Route,
        next_hop: Option<&str>,
    ) -> Result<Outbound, RouteError> {
        let mut copy = route.message.clone();
        proxy::count_hop(&mut copy)?;
        let breadth = proxy::incoming_breadth(&copy);
        if copy.method() != Method::Ack && copy.method() != Method::Cancel {
            check_options(route)?;
            proxy::set_breadth(&mut copy, breadth)?;
        }
        proxy::clean_request_uri(&mut copy)?;
        self.remove_own_route(route.followed.is_some(), &mut copy)?;
        let destination = next_hop.or(route.destination.as_deref());
        let next_hop = proxy::next_hop(&mut copy, destination)?;
        let recording = Recording::of(route);
        let socket = route.send_socket;
        Ok(Outbound { recording, socket, ..Outbound::new(copy, next_hop, User::Nobody) })
    }

    async fn send_stateless_out(&self, outbound: &Outbound) -> Result<(), RouteError> {
        let mut failure = unreachable(outbound, 480, "no target");
        for target in self.targets(outbound).await? {
            for transport in self.ways(outbound, target) {
                let target = Target { transport, ..target };
                match self.open_way(outbound.host(), target).await {
                    Ok(()) => return self.transmit_stateless(outbound, target),
                    Err(error) => failure = unreachable(outbound, 503, error),
                }
            }
        }
        Err(failure)
    }

    fn transmit_stateless(&self, outbound: &Outbound, target: Target) -> Result<(), RouteError> {
        let (port, sent_by) = self.own_end(outbound, target)?;
        let branch = self.shared.mint.mint(STATELESS, self.stateless_id(&outbound.message)).text();
        let way = (target.transport, sent_by);
        let bytes = self.bytes_toward(outbound, way, [branch.as_ref(), ""])?;
        let to = Destination { transport: target.transport, peer: target.addr, port };
        self.send(to, bytes);
        Ok(())
    }

    /// The same for each copy of a request, and for its CANCEL and ACK, as §16.11 wants it.
    fn stateless_id(&self, message: &Message) -> u64 {
        let via = message.top_via().ok();
        let came_by = via.map(|via| (via.branch, via.sent_by()));
        let call = (message.call_id().ok(), message.cseq().ok().map(|cseq| cseq.number));
        self.shared.tags.hash_one((came_by, call, message.request_uri()))
    }

    /// Sends the response to a request that was forwarded without a transaction where its next Via says (§16.11, §18.2.2).
    pub(super) fn return_stateless(&self, mut response: Message, source: Source) {
        response.pop_via();
        let address = response.top_via().ok().and_then(|via| upstream_of(&via));
        let Some((transport, peer)) = address else {
            return self.refuse("stray response", source, &"it leads to nobody");
        };
        if transport.is_reliable() && proxy::add_content_length(&mut response).is_err() {
            return self.refuse("malformed response", source, &"it has grown too large");
        }
        let port = self.port_toward(Target { transport, addr: peer });
        self.send(Destination { transport, peer, port }, response.to_bytes());
    }
}

/// Where a Via wants its responses; the parameters are ours, from when the request came.
fn upstream_of(via: &Via<'_>) -> Option<(Transport, SocketAddr)> {
    let transport: Transport = via.transport.parse().ok()?;
    let ip = via.received_ip().or_else(|| via.host_ip())?;
    let port = via.rport.or(via.port).unwrap_or(transport.default_port());
    Some((transport, SocketAddr::new(ip, port)))
}
