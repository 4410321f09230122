//! What a script's functions have the worker do.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::relay::Tried;
use super::shared::{Mail, Sending};
use super::worker::Worker;
use crate::gateway::OutgoingStanza;
use crate::script::error::RouteError;
use crate::script::export::Kind;
use crate::script::route::Route;
use crate::script::router::{Contact, Router, Verdict, Waiting};
use crate::sip::certificate::Certificate;
use crate::sip::transport::Source;
use crate::xmpp::StanzaError;

impl Router for Worker {
    fn reply_stateless(&self, route: &Route, status: u16, reason: &str) -> Result<(), RouteError> {
        let headers = with_own(route, &[]);
        self.send_stateless(&route.message, route.source, status, reason, &headers)
    }

    fn new_transaction(&self, route: &mut Route) -> Result<(), RouteError> {
        if route.message.method() == crate::sip::Method::Invite {
            return Err(RouteError::Unsupported("an INVITE transaction"));
        }
        self.begin_transaction(route).map(drop)
    }

    fn reply(
        &self,
        route: &Route,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), RouteError> {
        let key = route
            .key
            .filter(|_| route.has_transaction)
            .ok_or(RouteError::State { function: "reply", reason: "there is no transaction" })?;
        self.answer(&route.message, &key, status, reason, &with_own(route, headers))
    }

    fn relay(&self, route: &mut Route) -> Waiting<Result<(), RouteError>> {
        if route.kind == Kind::XmppMessage {
            let delivered = match &self.bridge {
                Some(bridge) => bridge.deliver_route(route),
                None => Err(RouteError::NotConfigured("[modules.xmpp] is missing")),
            };
            return Box::pin(ready(delivered));
        }
        let outbound = match self.outbound_of(route) {
            Ok(outbound) => outbound,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        match self.try_send_out(outbound) {
            Ok(()) => Box::pin(ready(Ok(()))),
            Err(Tried::Failed(error)) => Box::pin(ready(Err(error))),
            Err(Tried::MustWait(outbound)) => {
                let worker = self.this();
                Box::pin(async move { worker.send_out(&outbound).await })
            }
        }
    }

    fn send_stanza(
        &self,
        route: &Route,
        stanza: OutgoingStanza,
        wants_hand_over: bool,
    ) -> Waiting<Verdict> {
        let (waiter, fate) = match wants_hand_over {
            true => {
                let (waiter, fate) = oneshot::channel();
                (Some(waiter), Some(fate))
            }
            false => (None, None),
        };
        let sending = Sending { stanza, request: route.message.clone(), waiter };
        if !self.queue_stanza(sending) {
            return Box::pin(ready(Verdict::new(503, "The Gateway Is Full")));
        }
        match fate {
            None => Box::pin(ready(Verdict::new(202, "Accepted"))),
            Some(fate) => Box::pin(async {
                let gone = || Verdict::new(500, "The Gateway Has Stopped");
                fate.await.unwrap_or_else(|_| gone())
            }),
        }
    }

    fn refuse_stanza(&self, route: &mut Route, error: StanzaError) -> Result<(), RouteError> {
        let reason = "there is no stanza to refuse";
        let missing = RouteError::State { function: "xmpp_refuse", reason };
        let (Some(bridge), Some(xmpp)) = (&self.bridge, &mut route.xmpp) else {
            return Err(missing);
        };
        if !xmpp.is_refused && !route.is_relayed {
            xmpp.is_refused = true;
            bridge.return_error(&xmpp.stanza, &error);
        }
        Ok(())
    }

    fn is_myself(&self, host: &str, port: Option<u16>) -> bool {
        self.shared.is_myself(host, port)
    }

    fn local_address(&self, source: Source) -> Result<SocketAddr, RouteError> {
        self.reached_at(source.transport, source.local, source.peer)
    }

    fn save(&self, route: &mut Route, table: &str) -> Result<bool, RouteError> {
        self.save_contacts(route, table)
    }

    fn contact(&self, table: &str, uri: &str) -> Option<Contact> {
        self.best_contact(table, uri)
    }

    fn unique_id(&self) -> String {
        self.shared.unique_id()
    }

    fn peer_certificate(&self, source: Source) -> Option<Arc<Certificate>> {
        self.shared.connections.certificate(source)
    }
}

/// The headers of a reply, and those that the script has added to all replies.
fn with_own<'r>(
    route: &'r Route,
    headers: &[(&'r str, &'r str)],
) -> SmallVec<[(&'r str, &'r str); 4]> {
    let own = route.reply_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    headers.iter().copied().chain(own).collect()
}

impl Worker {
    /// Brings a stanza to the worker that has the stream; false when there is no room.
    fn queue_stanza(&self, sending: Sending) -> bool {
        if let Some(bridge) = &self.bridge {
            return bridge.send(sending);
        }
        let Some(xmpp) = &self.shared.xmpp else { return false };
        let mailbox = &self.shared.mailboxes[xmpp.worker];
        mailbox.try_send(Mail::Stanza(Box::new(sending))).is_ok()
    }
}
