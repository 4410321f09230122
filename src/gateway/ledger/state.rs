//! The states of a message, and what an attempt comes to.

use std::fmt;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// To an XMPP user, on the stream that all messages share.
    Xmpp,
    /// To an XMPP user, on the stream of the account that the lane bears the name of.
    Account,
    /// To a SIP user.
    Sip,
}

macro_rules! states {
    ($($(#[doc = $doc:literal])* $name:ident $word:literal $is_final:literal;)*) => {
        /// What is known of a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum State { $($(#[doc = $doc])* $name),* }

        impl State {
            /// The word for it, in the spool and for people.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// The state that a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }

            /// Is there nothing left to do?
            pub fn is_final(self) -> bool {
                match self { $(Self::$name => $is_final),* }
            }
        }
    };
}

states! {
    /// It waits, and outlives this process.
    Accepted "accepted" false;
    /// An attempt is under way: it may have arrived or not.
    Sending "sending" false;
    /// The next server has taken it.
    HandedOver "handed_over" true;
    /// The recipient's own device has it.
    Delivered "delivered" true;
    /// It did not arrive, or nobody knows, and its sender is told.
    Failed "failed" true;
    /// Its time was over before it could leave, and its sender is told.
    Expired "expired" true;
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What an attempt comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next server has taken it.
    HandedOver,
    /// The recipient's own device has it.
    Delivered,
    /// It was refused, and would be again.
    Failed,
    /// The recipient is out of reach for now.
    OutOfReach,
    /// The connection broke, or time was up, before anybody said what became of it.
    Uncertain,
    /// It did not leave at all.
    Unsent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_word_of_its_own() {
        use State::*;
        for state in [Accepted, Sending, HandedOver, Delivered, Failed, Expired] {
            assert_eq!(State::from_word(state.word()), Some(state));
            assert_eq!(state.is_final(), !matches!(state, Accepted | Sending));
        }
        assert_eq!(State::from_word("lost"), None);
    }
}
