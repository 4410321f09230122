//! Sending a request on to one target (RFC 3261 §16.6, RFC 3263), and its responses back when nothing must be decided.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::delivery::Carried;
use super::record_route::Recording;
use super::transactions::{Destination, User, Waits};
use super::worker::Worker;
use crate::gateway::{MAX_PAGER, VIA_RESERVE};
use crate::net::tcp::ConnectError;
use crate::net::udp::address_toward;
use crate::script::error::RouteError;
use crate::script::route::{Listener, Route};
use crate::sip::proxy;
use crate::sip::target::{Resolution, Target, TargetQuery};
use crate::sip::transaction::{Branch, Event, Patience, ServerKey};
use crate::sip::transport::{Transport, for_size};
use crate::sip::{HeaderId, Message, Method, Scheme, Uri};

/// A request that is ready but for its Via, which depends on the way it takes.
pub(super) struct Outbound {
    pub(super) message: Message,
    /// The URI that says where it goes.
    pub(super) next_hop: String,
    pub(super) user: User,
    /// RFC 3428 §8: it may not leave over UDP.
    pub(super) needs_stream: bool,
    /// What the script has set for the transaction.
    pub(super) leaving: Leaving,
    /// What Record-Route shall say.
    pub(super) recording: Option<Recording>,
    /// The listener that it leaves from, when the script has chosen.
    pub(super) socket: Option<Listener>,
}

/// How one copy leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leaving {
    /// The second part of the branch of a forked request (RFC 5393 §4.2).
    pub(super) mark: Option<u32>,
    /// For the final response to an INVITE that rings.
    pub(super) ringing: Option<Duration>,
    /// For the first response to an INVITE, for the final one to any other.
    pub(super) silence: Option<Duration>,
}

impl Outbound {
    /// A request that leaves as ever.
    pub(super) fn new(message: Message, next_hop: String, user: User) -> Self {
        let leaving = Leaving::default();
        Self {
            message,
            next_hop,
            user,
            needs_stream: false,
            leaving,
            recording: None,
            socket: None,
        }
    }

    /// The host of the URI that says where it goes.
    pub(super) fn host(&self) -> &str {
        Uri::parse(&self.next_hop).map_or("", |uri| uri.host())
    }

    /// Room for what is written into the request when its way is known.
    fn reserve(&self) -> usize {
        VIA_RESERVE + self.recording.as_ref().map_or(0, Recording::reserve)
    }
}

impl Worker {
    /// The request that a route relays, with the server transaction that its responses return through.
    pub(super) fn outbound_of(&self, route: &mut Route) -> Result<Box<Outbound>, RouteError> {
        let mut message = route.message.clone();
        proxy::clean_request_uri(&mut message)?;
        proxy::count_hop(&mut message)?;
        let breadth = proxy::incoming_breadth(&message);
        proxy::set_breadth(&mut message, breadth)?;
        self.remove_own_route(route.followed.is_some(), &mut message)?;
        proxy::add_path(&mut message, &route.path)?;
        let next_hop = proxy::next_hop(&mut message, route.destination.as_deref())?;
        let user = User::Relay(self.begin_transaction(route)?);
        let recording = Recording::of(route);
        let socket = route.send_socket;
        Ok(Box::new(Outbound { recording, socket, ..Outbound::new(message, next_hop, user) }))
    }

    /// The server transaction of a route's request, made when there is none.
    pub(super) fn begin_transaction(&self, route: &mut Route) -> Result<ServerKey, RouteError> {
        let reason = "there is no request";
        let key = route.key.ok_or(RouteError::State { function: "t_newtran", reason })?;
        match route.has_transaction {
            true => self.note_flags(route),
            false => {
                self.open_server(key, &route.message, route.source, route.flags)?;
                route.has_transaction = true;
                route.noted_flags.set(route.flags);
            }
        }
        Ok(key)
    }

    /// Sends a request on at once, when nothing must be waited for: a numeric address that UDP reaches.
    pub(super) fn try_send_out(&self, outbound: Box<Outbound>) -> Result<(), Tried> {
        let found = self.numeric_target(&outbound);
        match found {
            Err(error) => Err(Tried::Failed(error)),
            Ok(Some(target)) if target.transport == Transport::Udp && !outbound.needs_stream => {
                if outbound.message.wire().len() + outbound.reserve() > MAX_PAGER {
                    return Err(Tried::MustWait(outbound));
                }
                self.transmit(&outbound, target).map(drop).map_err(Tried::Failed)
            }
            Ok(_) => Err(Tried::MustWait(outbound)),
        }
    }

    /// Sends a request on, to the first target that can be reached (RFC 3263 §4.3).
    pub(super) async fn send_out(&self, outbound: &Outbound) -> Result<(), RouteError> {
        let targets = self.targets(outbound).await?;
        let mut failure = unreachable(outbound, 480, "no target");
        for target in targets {
            for transport in self.ways(outbound, target) {
                let target = Target { transport, ..target };
                match self.open_way(outbound.host(), target).await {
                    Ok(()) => return self.transmit(outbound, target).map(drop),
                    Err(error) => failure = unreachable(outbound, 503, error),
                }
            }
        }
        Err(failure)
    }

    /// Waits for the connection that a target needs, which must belong to `host` where that can be proved.
    pub(super) async fn open_way(&self, host: &str, target: Target) -> Result<(), ConnectError> {
        match target.transport {
            Transport::Udp => Ok(()),
            _ => self.shared.connections.connect(target, host, self.this()).await,
        }
    }

    /// RFC 3261 §18.1.1: a long request leaves over TCP, and over UDP only when TCP is refused.
    pub(super) fn ways(
        &self,
        outbound: &Outbound,
        target: Target,
    ) -> impl Iterator<Item = Transport> + use<> {
        let uri = Uri::parse(&outbound.next_hop).ok();
        let is_explicit = uri.is_some_and(|uri| uri.has_param("transport"));
        let length = outbound.message.to_bytes().len() + outbound.reserve();
        let choice = match outbound.needs_stream {
            true if target.transport == Transport::Udp => [Some(Transport::Tcp), None],
            true => [Some(target.transport), None],
            false => {
                let choice = for_size(target.transport, is_explicit, length, None);
                [Some(choice.first), choice.fallback]
            }
        };
        let first = choice[0].filter(|first| {
            // What the script's listener does not offer is not even tried when there is a choice.
            choice[1].is_none()
                || self.has_own_end(outbound.socket, Target { transport: *first, ..target })
        });
        [first, choice[1]].into_iter().flatten()
    }

    pub(super) fn transmit(
        &self,
        outbound: &Outbound,
        target: Target,
    ) -> Result<Branch, RouteError> {
        let (port, sent_by) = self.own_end(outbound, target)?;
        let branch = self.table.borrow_mut().next_branch();
        let leaving = outbound.leaving;
        let mark = leaving.mark.map(|mark| format!(".{mark:08x}")).unwrap_or_default();
        let branch_text = branch.text();
        let way = (target.transport, sent_by);
        let bytes = self.bytes_toward(outbound, way, [branch_text.as_ref(), &mark])?;
        let to = Destination { transport: target.transport, peer: target.addr, port };
        let waits = match outbound.message.method() {
            Method::Invite => Waits::Invite(self.patience(leaving)),
            _ => Waits::Other(leaving.silence),
        };
        self.open_client(branch, bytes, to, outbound.user.clone(), waits)?;
        Ok(branch)
    }

    /// The request as it leaves over this transport with us at `sent_by`; the branch of its Via is in two parts.
    pub(super) fn bytes_toward(
        &self,
        outbound: &Outbound,
        (transport, sent_by): (Transport, SocketAddr),
        [branch, mark]: [&str; 2],
    ) -> Result<Bytes, RouteError> {
        let mut message = Cow::Borrowed(&outbound.message);
        if transport.is_reliable() && message.header(HeaderId::ContentLength).is_none() {
            proxy::add_content_length(message.to_mut())?;
        }
        if let Some(recording) = &outbound.recording {
            self.add_record_route(message.to_mut(), recording, transport, sent_by)?;
        }
        let sent_by = self.own_addresses.text(sent_by);
        let via =
            ["SIP/2.0/", transport.token(), " ", &sent_by, ";branch=", branch, mark, ";rport"];
        Ok(message.to_bytes_with_via(&via.concat())?)
    }

    fn patience(&self, leaving: Leaving) -> Option<Patience> {
        if leaving.ringing.is_none() && leaving.silence.is_none() {
            return None;
        }
        let usual = self.table.borrow().timings().invite_patience();
        Some(Patience {
            first: leaving.silence.unwrap_or(usual.first),
            last: leaving.ringing.unwrap_or(usual.last),
        })
    }

    /// The UDP socket that a request leaves from, and our address as responses reach it.
    pub(super) fn own_end(
        &self,
        outbound: &Outbound,
        target: Target,
    ) -> Result<(usize, SocketAddr), RouteError> {
        let local = match outbound.socket {
            None => None,
            Some(socket) => Some(self.listener_for(socket, target).ok_or_else(|| {
                let (transport, ip) = (target.transport.token(), socket.1.ip());
                unreachable(outbound, 500, format!("no {transport} listener at {ip}"))
            })?),
        };
        let of_socket = local.and_then(|local| self.udp.iter().position(|it| it.local() == local));
        let port = of_socket.unwrap_or_else(|| self.port_toward(target));
        let sent_by = self.sent_by(target, port, local);
        Ok((port, sent_by.map_err(|error| unreachable(outbound, 503, error))?))
    }

    fn has_own_end(&self, socket: Option<Listener>, target: Target) -> bool {
        socket.is_none_or(|socket| self.listener_for(socket, target).is_some())
    }

    /// The listener that the script has chosen, or one beside it that has the transport of the target.
    fn listener_for(&self, socket: Listener, target: Target) -> Option<SocketAddr> {
        let (transport, local) = socket;
        if local.is_ipv4() != target.addr.is_ipv4() {
            return None;
        }
        if transport == target.transport {
            return Some(local);
        }
        let is_beside = |(of, at): &&Listener| *of == target.transport && at.ip() == local.ip();
        self.shared.listeners.iter().find(is_beside).map(|(_, at)| *at)
    }

    /// The UDP socket that reaches a target's address family.
    pub(super) fn port_toward(&self, target: Target) -> usize {
        let fits =
            |port: &crate::net::udp::UdpPort| port.local().is_ipv4() == target.addr.is_ipv4();
        self.udp.iter().position(fits).unwrap_or(0)
    }

    /// Our address as responses from a target reach it: that of `chosen`, else of the UDP socket or the first listener.
    fn sent_by(
        &self,
        target: Target,
        port: usize,
        chosen: Option<SocketAddr>,
    ) -> std::io::Result<SocketAddr> {
        let of_listener = || {
            let fits = |(transport, local): &&(Transport, SocketAddr)| {
                *transport == target.transport && local.is_ipv4() == target.addr.is_ipv4()
            };
            self.shared.listeners.iter().find(fits).map(|(_, local)| *local)
        };
        let local = chosen.or_else(|| match target.transport {
            Transport::Udp => self.udp.get(port).map(crate::net::udp::UdpPort::local),
            _ => of_listener(),
        });
        let any = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), target.transport.default_port());
        let local = local.unwrap_or(any);
        if local.ip().is_unspecified() || local.is_ipv4() != target.addr.is_ipv4() {
            return Ok(SocketAddr::new(address_toward(target.addr)?, local.port()));
        }
        Ok(local)
    }

    pub(super) async fn targets(&self, outbound: &Outbound) -> Result<Vec<Target>, RouteError> {
        if let Some(target) = self.numeric_target(outbound)? {
            return Ok(vec![target]);
        }
        let Some(resolver) = &self.shared.resolver else {
            return Err(unreachable(outbound, 500, "there is no name server"));
        };
        let query = query(outbound)?;
        resolver
            .resolve(&query, &self.supported)
            .await
            .map_err(|error| unreachable(outbound, error.status().0, error))
    }

    /// The target of a URI that names an address, for which nobody must be asked.
    pub(super) fn numeric_target(&self, outbound: &Outbound) -> Result<Option<Target>, RouteError> {
        let query = query(outbound)?;
        let resolution = Resolution::new(&query, &self.supported, 0)
            .map_err(|error| unreachable(outbound, error.status().0, error))?;
        match resolution.question() {
            Some(_) => Ok(None),
            None => Ok(resolution.into_targets().into_iter().next()),
        }
    }

    /// Sends the response to a relayed request upstream (RFC 3261 §16.7).
    pub(super) fn return_response(
        &self,
        key: &ServerKey,
        event: Event,
        response: Option<&Message>,
    ) {
        match (event, response) {
            (Event::Response(100), _) => {}
            (Event::Response(code), Some(response)) => {
                self.send_upstream(key, code, response.clone());
            }
            // RFC 4320 §4.2: a 408 would come too late for anybody, so nothing is said.
            _ => tracing::debug!(?event, "a relayed request has no response"),
        }
    }

    /// Tells the sender of a message from XMPP what became of it.
    pub(super) fn finish_carried(
        &self,
        carried: &Carried,
        event: Event,
        response: Option<&Message>,
    ) {
        match event {
            Event::Response(code) => {
                let reason = response.map(Message::reason).unwrap_or_default();
                let contact = response
                    .and_then(|response| Some(response.contacts().next()?.ok()?.uri.to_owned()));
                self.finish_delivery(carried, code, reason, contact.as_deref());
            }
            Event::Unreachable => self.finish_delivery(carried, 503, "Unreachable", None),
            _ => self.finish_delivery(carried, 408, "Request Timeout", None),
        }
    }
}

/// Why a request has not left yet.
pub(super) enum Tried {
    /// It cannot.
    Failed(RouteError),
    /// A name must be resolved or a connection made.
    MustWait(Box<Outbound>),
}

fn next_hop_uri(outbound: &Outbound) -> Result<Uri<'_>, RouteError> {
    let uri = Uri::parse(&outbound.next_hop)
        .map_err(|source| RouteError::Uri { part: "next hop", source })?;
    match uri.is_sip() {
        true => Ok(uri),
        false => Err(unreachable(outbound, 416, "its scheme leads nowhere")),
    }
}

/// What the next hop leads to; over TLS alone when the Request-URI wants that, whatever the next hop is (§16.6 step 7).
fn query(outbound: &Outbound) -> Result<TargetQuery<'_>, RouteError> {
    let uri = next_hop_uri(outbound)?;
    let value = |name| uri.param(name).and_then(|param| param.value);
    let transport: Option<Transport> = value("transport").and_then(|name| name.parse().ok());
    let names_sips = matches!(uri.scheme(), Scheme::Sips);
    let is_sips = names_sips || is_sips(outbound.message.request_uri());
    if is_sips && !names_sips && transport == Some(Transport::Udp) {
        return Err(unreachable(outbound, 480, "a sips request does not leave over UDP"));
    }
    Ok(TargetQuery {
        is_sips,
        host: uri.host(),
        port: uri.port(),
        transport,
        maddr: value("maddr"),
    })
}

fn is_sips(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

pub(super) fn unreachable(
    outbound: &Outbound,
    status: u16,
    reason: impl std::fmt::Display,
) -> RouteError {
    // The user is nobody's business in a log.
    let uri = Uri::parse(&outbound.next_hop).ok();
    let destination = uri.map_or_else(String::new, |uri| uri.host().to_owned());
    RouteError::Unreachable { status, destination, reason: reason.to_string() }
}
