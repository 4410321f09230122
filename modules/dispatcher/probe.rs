//! Asking destinations whether they live.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use super::Config;
use super::choice::DestinationSet;
use super::health::Healths;
use super::known::{self, Known};
use crate::script::question::question;
use crate::script::router::Router;
use crate::store::Store;

/// What is asked, and of whom.
pub(super) struct Prober {
    config: Config,
    healths: Arc<Healths>,
    known: Arc<Known>,
    store: Option<Store>,
}

impl Prober {
    pub(super) fn new(
        config: &Config,
        healths: Arc<Healths>,
        known: Arc<Known>,
        store: Option<Store>,
    ) -> Self {
        Self { config: config.clone(), healths, known, store }
    }

    /// Asks every destination that is to be asked, all at once, and takes their answers. Whoever comes first reads the table.
    pub(super) async fn probe(self: Rc<Self>, router: Rc<dyn Router>) {
        if let Some(store) = self.store.as_ref().filter(|_| !self.known.is_read()) {
            match store.query(known::question(&self.config.table_name)).await {
                Ok(rows) => self.known.learn(&self.config.destination, &rows, &self.healths),
                Err(error) => tracing::debug!(%error, "dispatcher: destinations are not read yet"),
            }
        }
        self.ask_all(router).await;
    }

    fn ask_all(&self, router: Rc<dyn Router>) -> impl Future<Output = ()> + use<> {
        let sets = self.known.sets();
        let mut uris: Vec<Box<str>> =
            sets.iter().flat_map(DestinationSet::uris).map(Into::into).collect();
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
        let status =
            question(method, from, &uri, "", &id).map(|message| router.request(message, &uri));
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
