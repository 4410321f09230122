//! The texts that SIP users get from the gateway, in the words of SER's `jabber` module.

macro_rules! texts {
    ($($(#[doc = $doc:literal])* $variant:ident $name:literal $words:literal;)*) => {
        /// Something that a SIP user is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Text {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Text {
            /// Every text.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name that an operator overrides it by: SER's, in small letters.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// SER's words.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }
    };
}

texts! {
    /// The stream is gone for good.
    InfDisconnected "inf_disconnected" "INFO: Connection to Jabber server lost. You have to login to Jabber server again (join again the conferences that you were participating, too).";
    /// The same, while a message was on its way.
    ErrDisconnected "err_disconnected" "ERROR: Connection to Jabber server lost. You have to login to Jabber server again (join again the conferences that you were participating, too).";
    /// The transport did not become available.
    ErrSendIm "err_sendim" "ERROR: Your message was not sent. Connection to IM network failed.";
    /// The user writes to a room that he has not joined.
    ErrNotJconf "err_notjconf" "ERROR: Your message was not sent. You are not joined in the conference. Please join the room before sending messages.";
    /// The room was left.
    InfJconfExit "inf_jconfexit" "INFO: You have just left the conference.";
    /// The user has no account, or it is disabled.
    ErrJgwForb "err_jgwforb" "ERROR: Your message was not sent. You do not have permission to use the gateway.";
    /// The server cannot be reached.
    ErrNoJsrv "err_nojsrv" "ERROR: Your message was not sent. Cannot connect to Jabber server.";
    /// The account's password is wrong.
    ErrJauth "err_jauth" "ERROR: Your message was not sent. Authentication to Jabber server failed.";
    /// As many accounts are open as may be.
    ErrJgwFull "err_jgwfull" "ERROR: Your message was not sent. SIP-2-JABBER gateway is full.";
    /// The room cannot be joined.
    ErrJoinJconf "err_joinjconf" "ERROR: Cannot join the conference room.";
    /// The user is in as many rooms as he may.
    ErrNewJconf "err_newjconf" "ERROR:Cannot create a new conference session.";
    /// The message was written, and nobody knows whether it arrived.
    ErrSendJmsg "err_sendjmsg" "ERROR: Your message was not sent. Something wrong during transmitting to Jabber network.";
    /// No more messages may wait.
    ErrStoreJmsg "err_storejmsg" "ERROR: Your message was not sent. Something wrong while trying to transmit it to Jabber network.";
    /// The user has no account behind the transport.
    ErrNoRegim "err_noregim" "ERROR: Your message was not sent. You are not registered with this IM gateway.";
    /// The stream was closed as the user or his silence wished.
    InfJoffline "inf_joffline" "INFO: Your are now offline in Jabber network. Thank you for using SIP-Jabber gateway.";
    /// Somebody in the room has the nickname.
    ErrJconfNick "err_jconfnick" "ERROR: Your nickname already exists in the conference room. Please choose a new one.";
    /// The room does not let the user in.
    ErrJconfRefused "err_jconfrefused" "ERROR: Your participation to the conference room was refused.";
}

impl Text {
    /// The text with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|text| text.name() == name)
    }

    /// The status and the words of the reply that says it in time.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::InfDisconnected | Self::ErrDisconnected => (480, "The Jabber Stream Was Lost"),
            Self::ErrSendIm => (480, "The IM Network Is Not Available"),
            Self::ErrNotJconf => (403, "Not In The Conference"),
            Self::ErrJgwForb => (403, "No Jabber Account"),
            Self::ErrNoJsrv => (504, "The Jabber Server Cannot Be Reached"),
            Self::ErrJauth => (403, "The Jabber Server Refuses The Account"),
            Self::ErrJgwFull => (503, "The Gateway Is Full"),
            Self::ErrJoinJconf => (404, "No Such Conference"),
            Self::ErrNewJconf => (480, "Too Many Conferences"),
            Self::ErrSendJmsg => (504, "The Jabber Server Was Lost On The Way"),
            Self::ErrStoreJmsg => (480, "Too Many Messages Wait"),
            Self::ErrNoRegim => (404, "Not Registered With This IM Gateway"),
            Self::ErrJconfNick => (486, "The Nickname Is Taken"),
            Self::ErrJconfRefused => (403, "The Conference Refuses"),
            Self::InfJconfExit | Self::InfJoffline => (200, "OK"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_seventeen_and_no_two_share_a_name() {
        assert_eq!(Text::ALL.len(), 17);
        for text in Text::ALL {
            assert_eq!(Text::from_name(text.name()), Some(*text));
        }
    }

    #[test]
    fn what_is_an_error_for_the_user_is_one_for_the_sip_sender() {
        for text in Text::ALL.iter().filter(|text| text.words().starts_with("ERROR")) {
            assert!(text.status().0 >= 400, "{text:?}");
        }
    }
}
