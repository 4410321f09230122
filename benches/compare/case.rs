//! The work that is compared, as a table.

/// What a program does with one message, or one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Answers 200 without a transaction.
    StatelessReply,
    /// Makes a transaction and answers 200 from it.
    StatefulReply,
    /// Sends the MESSAGE to an XMPP server as a component and answers 202.
    MessageToXmpp,
    /// Turns a stanza of an XMPP server into a MESSAGE to a SIP sink.
    XmppToMessage,
    /// Relays calls and stays in their way.
    RelayCalls,
    /// Asks phones who they are, remembers where they are, and writes it to a database.
    Register {
        /// Users may be remembered for as long as the program does in a new installation; otherwise each request
        /// reads its user. Kamailio remembers none.
        is_cached: bool,
    },
    /// Keeps the Jabber accounts of all users online, and carries what they write and get.
    Accounts,
}

impl Work {
    /// Whether the program needs an XMPP server for it.
    pub(crate) fn is_gateway(self) -> bool {
        matches!(self, Work::MessageToXmpp | Work::XmppToMessage)
    }

    /// Whether the program makes transactions for it.
    pub(crate) fn is_stateful(self) -> bool {
        !matches!(self, Work::StatelessReply | Work::Register { .. })
    }

    /// The load of the open-loop phase, messages per second.
    pub(crate) fn heavy(self) -> u32 {
        match self {
            Work::Register { .. } => 2_000,
            _ => 10_000,
        }
    }
}

/// One row of the comparison.
#[derive(Debug)]
pub(crate) struct Case {
    /// The name for `--only` and JSON.
    pub(crate) name: &'static str,
    /// The heading in the table.
    pub(crate) title: &'static str,
    pub(crate) work: Work,
    pub(crate) reply: Reply,
}

/// When a gateway takes a message as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It has the message in memory. Kamailio knows nothing else.
    Queued,
    /// It has the message on disk.
    Stored,
    /// The XMPP server has the message.
    HandedOver,
}

/// In the order of the table.
pub(crate) static CASES: &[Case] = &[
    Case {
        name: "stateless",
        title: "stateless reply",
        work: Work::StatelessReply,
        reply: Reply::Queued,
    },
    Case {
        name: "stateful",
        title: "stateful reply",
        work: Work::StatefulReply,
        reply: Reply::Queued,
    },
    Case {
        name: "to-xmpp",
        title: "MESSAGE → XMPP, answered when queued",
        work: Work::MessageToXmpp,
        reply: Reply::Queued,
    },
    Case {
        name: "to-xmpp-stored",
        title: "MESSAGE → XMPP, answered when on disk",
        work: Work::MessageToXmpp,
        reply: Reply::Stored,
    },
    Case {
        name: "to-xmpp-handed-over",
        title: "MESSAGE → XMPP, answered when handed over",
        work: Work::MessageToXmpp,
        reply: Reply::HandedOver,
    },
    Case {
        name: "from-xmpp",
        title: "XMPP → MESSAGE",
        work: Work::XmppToMessage,
        reply: Reply::Queued,
    },
    Case {
        name: "from-xmpp-stored",
        title: "XMPP → MESSAGE, on disk until delivered",
        work: Work::XmppToMessage,
        reply: Reply::Stored,
    },
    Case {
        name: "invite",
        title: "INVITE, ACK and BYE relayed",
        work: Work::RelayCalls,
        reply: Reply::Queued,
    },
    Case {
        name: "register",
        title: "REGISTER with digest and database",
        work: Work::Register { is_cached: true },
        reply: Reply::Queued,
    },
    Case {
        name: "register-uncached",
        title: "REGISTER, each user read from the database",
        work: Work::Register { is_cached: false },
        reply: Reply::Queued,
    },
    Case {
        name: "accounts",
        title: "Jabber accounts online",
        work: Work::Accounts,
        reply: Reply::HandedOver,
    },
];
