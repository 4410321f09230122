//! Receipts of XMPP users: told to the script that waits for one, and to the SIP user who asked for it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::bridge::{Bridge, Waiter};
use super::spool::tell;
use crate::clock;
use crate::gateway::{
    Asked, Disposition, End, MessageId, OutgoingStanza, Receipt, RequestIds, Wish,
    receipt_to_sender,
};
use crate::script::router::{AccountOrder, OrderedMessage, Promise, Verdict};
use crate::sip::Message;
use crate::xmpp::{Jid, Stanza};

/// Receipts that are awaited at a time.
pub(super) const MAX_AWAITED: usize = 100_000;

/// What a receipt is told by.
pub(super) struct Context {
    /// The message that it is for.
    pub(super) request: Bytes,
    /// The account that the message left from, if it was one.
    pub(super) account: Option<Rc<str>>,
}

impl From<Bytes> for Context {
    fn from(request: Bytes) -> Self {
        Self { request, account: None }
    }
}

impl Bridge {
    /// Takes a stanza whose sender hears 200 once the recipient's own device has it.
    pub(super) fn send_awaiting(
        &self,
        stanza: OutgoingStanza,
        request: Bytes,
        waiter: oneshot::Sender<Verdict>,
    ) {
        let id = stanza.id.clone();
        let patience = Some((waiter, self.patience));
        self.remember(&id, &stanza.to, request.clone());
        if let Err(waiter) = self.expect_receipt(id.clone(), &stanza.to, request.into(), patience) {
            return tell(waiter, Verdict::new(503, "The Gateway Is Full"));
        }
        if self.push_waiting(stanza, Waiter::Receipt(id.clone())).is_err() {
            let waiter = self.awaited.borrow_mut().handle_failed(&id);
            tell(waiter, Verdict::new(503, "The Gateway Is Full"));
        }
    }

    /// Awaits the receipt that the message of an account asks for. Gives whom to tell of its fate; nobody, when too many
    /// are awaited.
    pub(super) fn expect_of_order(
        &self,
        order: &AccountOrder,
        message: &OrderedMessage,
        promise: Promise,
        (waiter, patience): (oneshot::Sender<Verdict>, Duration),
    ) -> Option<Waiter> {
        let Wish::Send { to, .. } = &order.wish else { return Some(Waiter::Script(waiter)) };
        let account = Some(Rc::from(&*order.sip_id));
        let context = Context { request: message.request.to_bytes(), account };
        if promise != Promise::Delivered {
            // Without room for it the sender goes without a receipt.
            let _ = self.expect_receipt(message.id.clone(), to, context, None);
            return Some(Waiter::Script(waiter));
        }
        match self.expect_receipt(message.id.clone(), to, context, Some((waiter, patience))) {
            Ok(()) => Some(Waiter::Receipt(message.id.clone())),
            Err(waiter) => {
                tell(waiter, Verdict::new(503, "The Gateway Is Full"));
                None
            }
        }
    }

    /// Awaits the receipt that a stanza asks for. Gives the waiter back when too many are awaited.
    pub(super) fn expect_receipt(
        &self,
        stanza_id: String,
        to: &Jid,
        context: Context,
        waiter: Option<(oneshot::Sender<Verdict>, Duration)>,
    ) -> Result<(), Option<oneshot::Sender<Verdict>>> {
        let recipient = to.to_bare().to_string();
        let expected =
            self.awaited.borrow_mut().expect(clock::now(), stanza_id, recipient, context, waiter);
        let deadline = self.awaited.borrow().next_deadline();
        self.spool.notice_deadline(deadline);
        expected
    }

    /// Takes a receipt, if the stanza is one that is awaited.
    pub(super) fn take_receipt(&self, stanza: &Stanza) {
        let Some(receipt) = Receipt::read(stanza) else { return };
        let Some(Ok(sender)) = stanza.from_jid() else { return };
        let id = &receipt.message_id;
        let sender = sender.to_bare().to_string();
        let taken = self.awaited.borrow_mut().handle_receipt(id, &sender);
        let Some((Context { request, account }, waiter)) = taken else { return };
        tell(waiter, Verdict::new(200, "OK"));
        if let Some(id) = MessageId::of_stanza_id(id) {
            self.spool.handle_receipt(id);
        }
        let request = Message::parse(request).ok();
        let asked = request.as_ref().and_then(Asked::of_request).filter(|asked| asked.delivered);
        if let (Some(request), Some(asked)) = (request, asked) {
            let id = MessageId::of_receipt(id);
            self.confirm(id, &request, &asked, Disposition::Delivered, account.as_deref());
        }
    }

    /// Tells a SIP user in his own words what became of his message (RFC 5438).
    pub(super) fn confirm(
        &self,
        id: MessageId,
        request: &Message,
        asked: &Asked,
        disposition: Disposition,
        account: Option<&str>,
    ) {
        let word = id.to_string();
        let ids = RequestIds::of_message(&word, clock::unix_time());
        match receipt_to_sender(request, asked, disposition, ids) {
            Ok(receipt) => self.spool_notice(id, &receipt, account),
            Err(error) => tracing::info!(%error, "a receipt cannot be told to its SIP user"),
        }
    }

    /// Tells those who have waited long enough for a receipt.
    pub(super) fn end_waits(&self, now: Instant) {
        loop {
            let end = self.awaited.borrow_mut().poll_end(now);
            let Some((waiter, end)) = end else { return };
            let verdict = match end {
                // RFC 3428 §7: somebody else will deliver it.
                End::HandedOver => Verdict::new(202, "Accepted"),
                End::Silence => Verdict::new(504, "The XMPP Server Does Not Answer"),
            };
            tell(Some(waiter), verdict);
        }
    }
}
