//! One run of a route: the message that it decides about, and what it has decided so far.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::{Dynamic, ImmutableString};

use super::engine::Bundle;
use super::error::{Refusal, RouteError};
use super::export::Kind;
use super::fiber;
use super::router::{Router, Verdict};
use crate::clock;
use crate::gateway::MessageId;
use crate::sip::digest;
use crate::sip::proxy::loose_route::Followed;
use crate::sip::proxy::record_route::RecordRoute;
use crate::sip::transaction::ServerKey;
use crate::sip::transport::{Source, Transport};
use crate::sip::{HeaderId, Message, NameAddr, Uri};
use crate::xmpp::Stanza;

/// The stanza behind a message that came from XMPP.
#[derive(Clone, Debug)]
pub struct FromXmpp {
    /// The stanza as it came; `message` of the route is what the gateway made of it.
    pub stanza: Stanza,
    /// An error went back to its sender.
    pub is_refused: bool,
    /// What it is known by when it is kept until its fate is known.
    pub id: Option<MessageId>,
    /// The SIP user whose Jabber account it came to, `sip:user@host`; none when it came to the component.
    pub account: Option<Rc<str>>,
    /// Its sender hears of a failure.
    pub bounces: bool,
    /// What the server knows it by.
    pub home: Rc<dyn std::any::Any>,
}

/// What the credentials of a request have shown: `www_authorize` and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// Whether they prove who sent the request, or why not.
    pub outcome: digest::Outcome,
    /// The username as the credentials have it; empty unless it is proved.
    pub username: ImmutableString,
    /// The realm that asked for credentials.
    pub realm: ImmutableString,
    /// Where the credentials stand.
    pub header: HeaderId,
}

/// Where we listen: the transport, and the address with its port.
pub type Listener = (Transport, SocketAddr);

/// One more way that a request shall go (RFC 3261 §16.5): a branch of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Request-URI of the branch.
    pub uri: ImmutableString,
    /// The next hop, when it is not the Request-URI.
    pub destination: Option<ImmutableString>,
    /// The Route headers that lead to it (RFC 3327), first hop first, as one header value; or empty.
    pub path: ImmutableString,
    /// In thousandths, 0 to 1000; those of the highest q are tried first (RFC 3261 §20.10).
    pub q: u16,
    /// The flags of the branch: `setbflag`.
    pub flags: u32,
}

impl Target {
    /// A way to a Request-URI, as good as any.
    pub fn new(uri: impl Into<ImmutableString>) -> Self {
        Self { uri: uri.into(), destination: None, path: nothing(), q: 1000, flags: 0 }
    }
}

/// What the script has armed for the transaction: `t_on_failure`, `t_set_fr` …
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Armed {
    /// The `branch_route_X` that runs for each copy before it leaves.
    pub branch: Option<ImmutableString>,
    /// The `onreply_route_X` that runs for each response.
    pub reply: Option<ImmutableString>,
    /// The `failure_route_X` that runs when every branch has failed; once.
    pub failure: Option<ImmutableString>,
    /// How long an INVITE may ring; else as `[sip.timers]` says.
    pub ringing: Option<Duration>,
    /// How long a branch may stay without any response, or a request other than INVITE without a final one.
    pub silence: Option<Duration>,
}

impl Armed {
    /// The route of this kind.
    pub fn route(&self, kind: Kind) -> Option<&ImmutableString> {
        match kind {
            Kind::Branch => self.branch.as_ref(),
            Kind::OnReply => self.reply.as_ref(),
            Kind::Failure => self.failure.as_ref(),
            _ => None,
        }
    }
}

/// What had become of the branches of a request when its `failure_route`, `onreply_route` or `branch_route` began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The best final status of all branches, or that of the response; 0 when there is none.
    pub status: u16,
    /// The branch that the route is about; in a `failure_route` that of the last event.
    pub branch: usize,
    /// The caller has given up.
    pub is_cancelled: bool,
    /// Some branch had a response.
    pub any_replied: bool,
    /// No branch had a final response: every failure is ours to tell.
    pub all_local: bool,
    /// The branch ended without a final response.
    pub last_local: bool,
    /// The branch had a response.
    pub branch_replied: bool,
    /// The branch timed out.
    pub branch_timed_out: bool,
}

/// What a running route reads and changes.
pub struct Route {
    /// The kind of the route.
    pub kind: Kind,
    /// The message, with every edit of the script.
    pub message: Message,
    /// Where the message came from.
    pub source: Source,
    /// The Request-URI as the message came, before any edit.
    pub original_uri: ImmutableString,
    /// The next hop, when it is not the Request-URI: `setdsturi`.
    pub destination: Option<ImmutableString>,
    /// The listener of ours that the request leaves from: `force_send_socket`.
    pub send_socket: Option<Listener>,
    /// The Route headers that lead to the Request-URI (RFC 3327), as those of a [`Target`].
    pub path: ImmutableString,
    /// The ways besides the Request-URI: `append_branch`, and `lookup` of several contacts.
    pub targets: Vec<Target>,
    /// The flags of the way that the Request-URI is: `setbflag`.
    pub branch_flags: u32,
    /// The q of the way that the Request-URI is, in thousandths.
    pub q: u16,
    /// What Record-Route shall say on each branch that leaves: `record_route`.
    pub record_route: Option<RecordRoute>,
    /// Parameters for Record-Route, each with its `;` in front, when the script adds them before it records.
    pub record_route_params: String,
    /// What the Route has told: `loose_route`.
    pub followed: Option<Followed>,
    /// Where the contacts of a REGISTER are reached, as a URI, when not by their own: `fix_nated_register`.
    pub received: Option<ImmutableString>,
    /// The flags of the message: `setflag`.
    pub flags: u32,
    /// The flags that its transaction knows.
    pub noted_flags: Cell<u32>,
    /// The variables of the message: `set_avp`.
    pub variables: BTreeMap<ImmutableString, Dynamic>,
    /// Headers that the replies to the message carry: `append_to_reply`.
    pub reply_headers: Vec<(ImmutableString, ImmutableString)>,
    /// The reply that the last error of a function would have become: `send_reply_error`.
    pub last_error: Option<Refusal>,
    /// Somebody has looked at Proxy-Require, and all that it names is understood: `sanity_check`.
    pub meets_proxy_require: bool,
    /// Who sent the request, when the script has asked.
    pub authentication: Option<Authentication>,
    /// What the last gateway function said of the message's fate.
    pub verdict: Verdict,
    /// What the message is known by, when it was accepted to be kept until its fate is known.
    pub message_id: Option<MessageId>,
    /// What finds the transaction of the request; a stanza has none.
    pub key: Option<ServerKey>,
    /// The script has a transaction, which replies go through.
    pub has_transaction: bool,
    /// The message has gone on, and its replies return by themselves.
    pub is_relayed: bool,
    /// A final reply was sent.
    pub is_answered: bool,
    /// What is armed; none is the common case.
    pub armed: Option<Box<Armed>>,
    /// What became of the branches, in the routes that are about them.
    pub outcome: Option<Outcome>,
    /// The version of the script that the message began with.
    pub bundle: Option<Rc<Bundle>>,
    /// The script said `drop()`: nothing is done by default.
    pub is_dropped: bool,
    /// The stanza, in routes of stanzas.
    pub xmpp: Option<Box<FromXmpp>>,
    /// When the run must be over.
    pub deadline: Instant,
    router: Rc<dyn Router>,
}

thread_local! {
    static NOTHING: ImmutableString = ImmutableString::new();

    /// The route of the script that runs now. A function takes it out while it works, so that it is with the
    /// function, on the fiber's stack, when the function waits and another script runs.
    static CURRENT: RefCell<Option<Box<Route>>> = const { RefCell::new(None) };
}

/// The empty text, of one allocation for all who have it.
fn nothing() -> ImmutableString {
    NOTHING.with(Clone::clone)
}

impl Route {
    /// A run that is about to begin.
    pub fn new(
        kind: Kind,
        message: Message,
        source: Source,
        key: Option<ServerKey>,
        router: Rc<dyn Router>,
        deadline: Instant,
    ) -> Self {
        Self {
            kind,
            original_uri: message.request_uri().into(),
            message,
            source,
            destination: None,
            send_socket: None,
            path: nothing(),
            targets: Vec::new(),
            branch_flags: 0,
            q: 1000,
            record_route: None,
            record_route_params: String::new(),
            followed: None,
            received: None,
            flags: 0,
            noted_flags: Cell::new(0),
            variables: BTreeMap::new(),
            reply_headers: Vec::new(),
            last_error: None,
            meets_proxy_require: false,
            authentication: None,
            verdict: Verdict::default(),
            message_id: None,
            key,
            has_transaction: false,
            is_relayed: false,
            is_answered: false,
            armed: None,
            outcome: None,
            bundle: None,
            is_dropped: false,
            xmpp: None,
            deadline,
            router,
        }
    }

    /// The server.
    pub fn router(&self) -> Rc<dyn Router> {
        self.router.clone()
    }

    /// The time, for functions that count or forget.
    pub fn now(&self) -> Instant {
        clock::now()
    }

    /// Replies through the transaction where the script has one, else without.
    pub fn reply(&mut self, status: u16, reason: &str) -> Result<(), RouteError> {
        let router = self.router();
        match self.has_transaction {
            true => router.reply(self, status, reason, &[])?,
            false => router.reply_stateless(self, status, reason)?,
        }
        self.is_answered |= status >= 200;
        Ok(())
    }

    /// Like [`Route::reply`], with headers that no other reply carries.
    pub fn reply_with(
        &mut self,
        status: u16,
        reason: &str,
        headers: impl IntoIterator<Item = (ImmutableString, ImmutableString)>,
    ) -> Result<(), RouteError> {
        let before = self.reply_headers.len();
        self.reply_headers.extend(headers);
        let sent = self.reply(status, reason);
        self.reply_headers.truncate(before);
        sent
    }

    /// The time since 1970, for what leaves the process.
    pub fn unix_time(&self) -> Duration {
        clock::unix_time()
    }

    /// The Request-URI.
    pub fn request_uri(&self) -> Result<Uri<'_>, RouteError> {
        let uri = self.message.uri();
        uri.map_err(|source| RouteError::Uri { part: "Request-URI", source })
    }

    /// The URI of From or To.
    pub fn uri_of<'r>(
        &self,
        part: &'static str,
        address: &NameAddr<'r>,
    ) -> Result<Uri<'r>, RouteError> {
        address.parsed_uri().map_err(|source| RouteError::Uri { part, source })
    }

    /// Waits for `future` while other scripts run, at most until the deadline of this one.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, RouteError> {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        // The timer is made only by a future that is not ready at once: most are.
        let mut future = std::pin::pin!(future);
        let mut timer = None;
        fiber::wait(std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                return std::task::Poll::Ready(Ok(value));
            }
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            timer.as_mut().poll(context).map(|()| Err(RouteError::Deadline))
        }))
    }

    /// Makes this route the running one for the time of `run`, and gives it back with the result.
    pub(super) fn enter<T>(self: Box<Self>, run: impl FnOnce() -> T) -> (Option<Box<Self>>, T) {
        CURRENT.set(Some(self));
        let result = run();
        (CURRENT.take(), result)
    }

    /// Lends the running route to a function; an error when no route runs, as while a script is loaded.
    pub(super) fn with_current<T>(
        function: &'static str,
        call: impl FnOnce(&mut Self) -> Result<T, RouteError>,
    ) -> Result<T, RouteError> {
        let reason = "it needs a message, and is called while the script is loaded";
        let mut route = CURRENT.take().ok_or(RouteError::State { function, reason })?;
        let result = call(&mut route);
        if let Err(error) = &result {
            route.last_error = Some(error.refusal());
        }
        CURRENT.set(Some(route));
        result
    }

    /// The deadline of the running route.
    pub(super) fn current_deadline() -> Option<Instant> {
        CURRENT.with_borrow(|route| route.as_ref().map(|route| route.deadline))
    }
}
