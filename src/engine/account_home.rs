//! An account as what stanzas come from, whether it is online or not.

use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::delivery::{End, Home};
use super::shared::Shared;
use super::worker::Worker;
use crate::gateway::{Mapping, MessageId};

/// An account that stanzas have come to.
pub(crate) struct AccountHome {
    sip_id: Rc<str>,
    worker: Weak<Worker>,
    shared: Arc<Shared>,
}

impl AccountHome {
    pub(super) fn new(sip_id: Rc<str>, worker: &Rc<Worker>) -> Rc<Self> {
        let (worker, shared) = (Rc::downgrade(worker), worker.shared.clone());
        Rc::new(Self { sip_id, worker, shared })
    }

    fn with_login(&self, act: impl FnOnce(&super::account::Login)) {
        if let Some(worker) = self.worker.upgrade()
            && let Some(accounts) = &worker.accounts
            && let Some(login) = accounts.login(&self.sip_id)
        {
            act(&login);
        }
    }
}

impl Home for AccountHome {
    fn mapping(&self) -> &Mapping {
        let jabber = self.shared.jabber.as_ref();
        &jabber.expect("messages of accounts begin only where there are accounts").mapping
    }

    fn outbound_proxy(&self) -> Option<&str> {
        self.shared.jabber.as_ref()?.config.proxy.as_deref()
    }

    fn reply(&self, bytes: Vec<u8>) {
        self.with_login(|login| login.reply(bytes));
    }

    fn handle_undelivered(&self) {
        self.with_login(|login| login.handle_undelivered());
    }

    fn conclude(&self, id: MessageId, end: End) {
        if let Some(worker) = self.worker.upgrade()
            && let Some(bridge) = &worker.bridge
        {
            bridge.conclude_delivery(id, end, self.mapping());
        }
    }
}
