//! What the sender of a message hears that failed after it was accepted; the report is kept like a message itself.

use std::sync::Arc;

use super::accept::{Offered, bare};
use super::row::{Kind, Way, What};
use super::{Load, on_account, parsed};
use crate::clock;
use crate::engine::bridge::Bridge;
use crate::engine::delivery::Home;
use crate::gateway::{
    Asked, Content, Disposition, MessageId, OutgoingRequest, Received, RequestIds, Text, Written,
    error_from_response, notice_to_sender, receipt_for,
};
use crate::sip::{Message, hex};
use crate::xmpp::{Condition, StanzaError};

/// What a message says.
pub(in crate::engine) fn said(request: &Message) -> String {
    let content = Content::parse(request.body(), request.content_type().as_deref(), None);
    content.map(|content| content.text).unwrap_or_default()
}

/// Why a message failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The status that says so; 0 when nobody shall hear of it.
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// What an XMPP sender hears, when the status alone does not say it.
    error: Option<StanzaError>,
    /// What a SIP user hears whose account it was.
    pub(super) text: Option<Text>,
    /// Words that stand before those of the message.
    pub(super) words: Option<String>,
}

impl Failure {
    /// A failure that SIP has a status for.
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), error: None, text: None, words: None }
    }

    /// A failure that XMPP has words for.
    pub(crate) fn of_stanza(error: StanzaError) -> Self {
        let text = error.text.clone();
        let reason = text.unwrap_or_else(|| error.condition.name().to_owned());
        Self { error: Some(error), ..Self::new(500, reason) }
    }

    /// A failure that accounts have a text for.
    pub(crate) fn of_text(text: Text) -> Self {
        let (code, reason) = text.status();
        Self { text: Some(text), ..Self::new(code, reason) }
    }

    /// A failure that the sender's own account was told of.
    pub(super) fn of_account(code: u16, reason: &str, words: String) -> Self {
        Self { words: Some(words), ..Self::new(code, reason) }
    }

    /// The same failure, with the words for an XMPP sender.
    pub(crate) fn with_error(self, error: Option<StanzaError>) -> Self {
        Self { error, ..self }
    }

    /// Nobody knows what became of the message.
    pub(crate) fn uncertain() -> Self {
        let reason = "the connection was lost; it may have arrived or not";
        let error = StanzaError::from(Condition::RemoteServerTimeout).with_text(reason);
        Self { error: Some(error), ..Self::new(504, reason) }
    }

    /// It could not leave in time.
    pub(super) fn expired() -> Self {
        Self::new(408, "its time was over before it could be delivered")
    }

    /// It was stored, and cannot be read.
    pub(super) fn unreadable() -> Self {
        Self::new(500, "the message cannot be read any more")
    }

    /// The script does not want it.
    pub(crate) fn dropped() -> Self {
        Self::new(0, "dropped by the script")
    }
}

impl Bridge {
    /// Remembers a message of a SIP user that was handed over: its error may come late.
    pub(super) fn remember_load(&self, id: MessageId, load: &Load) {
        let (digits, now) = (id.digits(), clock::now());
        let id = hex::text(&digits);
        let mut recent = self.recent.borrow_mut();
        match load.kind.way {
            Way::Component => recent.note(now, id, load.lane.clone(), load.bytes.clone()),
            Way::Account => {
                if let Some(Written { to, request, .. }) = Written::read(&load.bytes) {
                    recent.note(now, id, to.into(), request);
                }
            }
        }
    }

    /// Tells the sender of a message that it failed.
    pub(super) fn tell_of_failure(&self, id: MessageId, load: &Load, failure: &Failure) {
        let is_told = match (load.kind.what, load.kind.way) {
            _ if failure.code == 0 => true,
            (What::Request, Way::Component) => Message::parse(load.bytes.clone())
                .map(|request| self.report_to_sip(id, &request, failure))
                .is_ok(),
            (What::Request, Way::Account) => self.report_to_account(id, load, failure).is_some(),
            (What::Stanza, _) => self.report_to_xmpp(id, load, failure).is_some(),
            (What::SipReport | What::XmppReport, _) => {
                tracing::info!(%id, code = failure.code, "a report was not delivered");
                true
            }
        };
        if !is_told {
            tracing::error!(%id, "a failure cannot be told: the message is unreadable");
        }
    }

    fn report_to_sip(&self, id: MessageId, request: &Message, failure: &Failure) {
        let report = MessageId::of_report(id);
        if let Some(asked) = Asked::of_request(request).filter(|asked| asked.failed) {
            return self.confirm(report, request, &asked, Disposition::Failed, None);
        }
        let call_id = report.to_string();
        let ids = RequestIds::of_message(&call_id, clock::unix_time());
        let mapping = &self.gateway.mapping;
        match notice_to_sender(request, &failure.reason, &said(request), ids, mapping) {
            Ok(notice) => self.spool_notice(report, &notice, None),
            Err(error) => tracing::info!(%id, %error, "a failure cannot be told to its SIP user"),
        }
    }

    /// Keeps a MESSAGE of ours until a SIP user has it, whose account it concerns if it is one.
    pub(in crate::engine) fn spool_notice(
        &self,
        id: MessageId,
        notice: &OutgoingRequest,
        account: Option<&str>,
    ) {
        let recipient = notice.message.request_uri();
        let way = if account.is_some() { Way::Account } else { Way::Component };
        self.accept(Offered {
            lane: Arc::from(account.unwrap_or(recipient)),
            recipient: recipient.into(),
            bytes: notice.message.to_bytes(),
            ..Offered::new(id, Kind { what: What::SipReport, way })
        });
    }

    /// `None` when the stanza cannot be read.
    fn report_to_xmpp(&self, id: MessageId, load: &Load, failure: &Failure) -> Option<()> {
        let way = load.kind.way;
        let (stanza, bounces) = match way {
            Way::Component => (parsed(&load.bytes)?, true),
            Way::Account => {
                let received = Received::read(&load.bytes)?;
                (on_account(&received.stanza)?, received.bounces)
            }
        };
        if !bounces {
            tracing::info!(%id, code = failure.code, "a message that nobody may hear of has failed");
            return Some(());
        }
        let error = failure.error.clone().or_else(|| {
            error_from_response(failure.code, &failure.reason, None, self.mapping(way))
        });
        let Some(reply) = error.and_then(|error| error.reply_to(&stanza)) else { return Some(()) };
        let recipient = stanza.from().unwrap_or_default();
        self.accept(Offered {
            lane: match way {
                Way::Component => Arc::from(bare(&recipient)),
                Way::Account => load.lane.clone(),
            },
            recipient,
            bytes: reply.into(),
            ..Offered::new(MessageId::of_report(id), Kind { what: What::XmppReport, way })
        });
        if let Way::Account = way {
            self.open_stream(&load.lane);
        }
        Some(())
    }

    /// Tells an XMPP sender who wants to know that the recipient's phone has his message (XEP-0184).
    pub(super) fn send_receipt(&self, load: &Load) {
        let (What::Stanza, Some(worker)) = (load.kind.what, self.worker()) else { return };
        // With `imdn` the phone itself will say so.
        if !load.may_ask_receipt || self.mapping(load.kind.way).imdn {
            return;
        }
        let stanza = match load.kind.way {
            Way::Component => parsed(&load.bytes),
            Way::Account => {
                let received = Received::read(&load.bytes).filter(|it| it.bounces);
                received.and_then(|it| on_account(&it.stanza))
            }
        };
        let receipt = stanza.and_then(|it| receipt_for(&it, &worker.shared.unique_id()));
        match (receipt, load.kind.way) {
            (Some(receipt), Way::Component) => self.reply(receipt),
            (Some(receipt), Way::Account) => self.account_home(&load.lane).reply(receipt),
            (None, _) => {}
        }
    }
}
