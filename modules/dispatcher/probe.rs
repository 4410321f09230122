//! Asking destinations whether they live.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::Config;
use super::health::Healths;
use crate::script::router::Router;
use crate::sip::{Message, Uri};

/// What is asked, and of whom.
pub(super) struct Prober {
    config: Config,
    healths: Arc<Healths>,
}

impl Prober {
    pub(super) fn new(config: &Config, healths: Arc<Healths>) -> Self {
        Self { config: config.clone(), healths }
    }

    /// Asks every destination that is to be asked, all at once, and takes their answers.
    pub(super) fn probe(&self, router: Rc<dyn Router>) -> impl Future<Output = ()> + use<> {
        let mut uris: Vec<_> = self.config.destination.iter().map(|it| it.uri.clone()).collect();
        uris.sort_unstable();
        uris.dedup();
        uris.retain(|uri| self.healths.is_probed(uri, self.config.ds_probing_mode == 1));
        let questions: Vec<Pin<Box<dyn Future<Output = ()>>>> =
            uris.into_iter().map(|uri| Box::pin(self.ask(&*router, uri)) as _).collect();
        all(questions)
    }

    fn ask(&self, router: &dyn Router, uri: Box<str>) -> impl Future<Output = ()> + use<> {
        let Config { ds_ping_method: method, ds_ping_from: from, .. } = &self.config;
        let id = router.unique_id();
        let text = format!(
            "{method} {uri} SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag={id}\r\n\
             To: <{uri}>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(Bytes::from(text)).ok();
        let status = message.map(|message| router.request(message, &uri));
        let healths = self.healths.clone();
        let (failures, answers) =
            (self.config.ds_probing_threshold, self.config.ds_inactive_threshold);
        let codes = self.config.ds_ping_reply_codes.clone();
        async move {
            let Some(status) = status else { return };
            let lives = match status.await {
                Ok(status) => (200..300).contains(&status) || codes.contains(&status),
                Err(error) => {
                    tracing::debug!(destination = %uri, %error, "dispatcher: not asked");
                    false
                }
            };
            healths.note_probe(&uri, lives, failures, answers);
        }
    }
}

/// Ends when all have ended.
async fn all(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Reads a URI of SIP.
pub(super) fn uri<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(d)?;
    match Uri::parse(&text).is_ok_and(|uri| uri.is_sip() && uri.headers().is_none()) {
        true => Ok(text),
        false => Err(D::Error::custom("expected a URI such as sip:192.0.2.1:5060")),
    }
}

/// Reads the name of a method.
pub(super) fn token<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(d)?;
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match is_plain(&text) && !matches!(&*text, "INVITE" | "ACK" | "CANCEL") {
        true => Ok(text),
        false => Err(D::Error::custom("expected a method such as OPTIONS or INFO")),
    }
}
