//! What the sender of a message hears that failed after it was accepted; the report is kept like a message itself.

use bytes::Bytes;

use super::accept::Offered;
use super::row::Kind;
use super::{Load, parsed};
use crate::clock;
use crate::engine::bridge::Bridge;
use crate::gateway::{
    Asked, Content, Disposition, MessageId, OutgoingRequest, RequestIds, error_from_response,
    notice_to_sender, receipt_for,
};
use crate::sip::Message;
use crate::xmpp::{Condition, StanzaError};

/// Why a message failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The status that says so; 0 when nobody shall hear of it.
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// What an XMPP sender hears, when the status alone does not say it.
    error: Option<StanzaError>,
}

impl Failure {
    /// A failure that SIP has a status for.
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), error: None }
    }

    /// A failure that XMPP has words for.
    pub(crate) fn of_stanza(error: StanzaError) -> Self {
        let text = error.text.clone();
        let reason = text.unwrap_or_else(|| error.condition.name().to_owned());
        Self { code: 500, reason, error: Some(error) }
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
    /// Tells the sender of a message that it failed.
    pub(super) fn tell_of_failure(&self, id: MessageId, load: &Load, failure: &Failure) {
        match load.kind {
            _ if failure.code == 0 => {}
            Kind::Request => match Message::parse(load.bytes.clone()) {
                Ok(request) => self.report_to_sip(id, &request, failure),
                Err(_) => {
                    tracing::error!(%id, "a failure cannot be told: the message is unreadable")
                }
            },
            Kind::Stanza => self.report_to_xmpp(id, &load.bytes, failure),
            Kind::SipReport | Kind::XmppReport => {
                tracing::info!(%id, code = failure.code, "a report was not delivered");
            }
        }
    }

    fn report_to_sip(&self, id: MessageId, request: &Message, failure: &Failure) {
        let report = MessageId::of_report(id);
        if let Some(asked) = Asked::of_request(request).filter(|asked| asked.failed) {
            return self.confirm(report, request, &asked, Disposition::Failed);
        }
        let call_id = report.to_string();
        let unix_time = clock::unix_time();
        let ids = RequestIds { tag: &call_id[..16], call_id: &call_id, cseq: 1, unix_time };
        let content = Content::parse(request.body(), request.content_type().as_deref(), None);
        let text = content.map(|content| content.text).unwrap_or_default();
        let mapping = &self.gateway.mapping;
        match notice_to_sender(request, &failure.reason, &text, ids, mapping) {
            Ok(notice) => self.spool_notice(report, &notice),
            Err(error) => tracing::info!(%id, %error, "a failure cannot be told to its SIP user"),
        }
    }

    /// Keeps a MESSAGE of ours until a SIP user has it.
    pub(in crate::engine) fn spool_notice(&self, id: MessageId, notice: &OutgoingRequest) {
        let recipient = notice.message.request_uri().to_owned();
        self.spool.accept(Offered {
            id,
            kind: Kind::SipReport,
            lane: recipient.clone(),
            sender: String::new(),
            recipient,
            bytes: notice.message.to_bytes(),
            made: None,
            waiter: None,
        });
    }

    fn report_to_xmpp(&self, id: MessageId, bytes: &Bytes, failure: &Failure) {
        let Some(stanza) = parsed(bytes) else { return };
        let error = failure.error.clone().or_else(|| {
            error_from_response(failure.code, &failure.reason, None, &self.gateway.mapping)
        });
        let Some(reply) = error.and_then(|error| error.reply_to(&stanza)) else { return };
        let recipient = stanza.from().unwrap_or_default().into_owned();
        self.spool.accept(Offered {
            id: MessageId::of_report(id),
            kind: Kind::XmppReport,
            lane: recipient.split('/').next().unwrap_or_default().to_owned(),
            sender: String::new(),
            recipient,
            bytes: reply.into(),
            made: None,
            waiter: None,
        });
    }

    /// Tells an XMPP sender who wants to know that the recipient's phone has his message (XEP-0184).
    pub(super) fn send_receipt(&self, load: &Load) {
        let (Kind::Stanza, Some(worker)) = (load.kind, self.worker()) else { return };
        if self.gateway.mapping.imdn {
            // The phone itself will say so.
            return;
        }
        let receipt =
            parsed(&load.bytes).and_then(|it| receipt_for(&it, &worker.shared.unique_id()));
        if let Some(receipt) = receipt {
            self.reply(receipt);
        }
    }
}
