//! What the look at a request's credentials has shown.

/// Whether credentials prove who sent a request, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They prove it, or nobody may ask: an ACK or CANCEL cannot be challenged (RFC 3261 §22.1).
    Ok,
    /// There are none for the realm, or they prove nothing yet.
    NoCredentials,
    /// The nonce is too old, or not ours.
    Stale,
    /// The nonce was used with this count before.
    Replayed,
    /// They are made with an algorithm or a quality of protection that was not offered.
    Unsupported,
    /// They were made for another Request-URI.
    WrongUri,
    /// Nobody has this username.
    UnknownUser,
    /// The response is not the one that the password gives.
    WrongPassword,
    /// They are fine, but the request says that it is from somebody else.
    OtherUser,
}

impl Outcome {
    /// The outcome as scripts read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoCredentials => "no_credentials",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Unsupported => "unsupported",
            Self::WrongUri => "wrong_uri",
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::OtherUser => "other_user",
        }
    }

    /// A new nonce is all that the client needs: the challenge says `stale=true`.
    pub const fn is_cured_by_nonce(self) -> bool {
        matches!(self, Self::Stale | Self::Replayed)
    }
}
