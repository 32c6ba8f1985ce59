//! Numbered reasons: why a request is refused, a push not done, a registration over, a connection closed.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use thiserror::Error;

/// An enumeration by number that reads numbers of later versions too, as `Other`.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A number that this version has no name for.
            Other(u16),
        }

        impl $name {
            /// Every reason that has a name.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// What [`name`](Self::name) may be.
            pub const NAMES: &[&str] = &[$(stringify!($variant),)+ "Other"];

            /// Its name here, for metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => stringify!($variant),)+
                    $name::Other(_) => "Other",
                }
            }

            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self {
                    $($name::$variant => $number,)+
                    $name::Other(number) => number,
                }
            }

            /// The reason that a number stands for.
            pub fn from_number(number: u16) -> Self {
                match number {
                    $($number => $name::$variant,)+
                    other => $name::Other(other),
                }
            }

            /// The reason in words.
            pub fn text(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                    $name::Other(_) => "a reason that this version does not know",
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $name::Other(number) => write!(f, "{} ({number})", self.text()),
                    known => f.write_str(known.text()),
                }
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.u16(self.number())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                d.u16().map(Self::from_number)
            }
        }
    };
}

numbered! {
    /// Why a request was refused. Up to 127 asking again changes nothing; from 128 on the cause passes.
    RefusalCode {
        /// The request does not follow the wire format.
        Malformed = 1 "the request is malformed",
        /// There is no group of that name, or nothing that this identity may know of.
        UnknownGroup = 2 "there is no such group",
        /// The policy does not admit this identity in this role.
        NotAdmitted = 3 "the policy does not admit this identity in this role",
        /// The group has as many members as its policy allows.
        Full = 4 "the group is full",
        /// No such registration, or it belongs to another identity: join afresh.
        UnknownMember = 5 "there is no such registration",
        /// This connection already holds a registration in the group.
        AlreadyMember = 6 "this connection is already registered in the group",
        /// The identity has as many registrations in the group as its policy allows.
        TooManyRegistrations = 7 "the identity has too many registrations in the group",
        /// None of the member's suites is the group's.
        UnsupportedSuite = 8 "the group's suite is not among the member's",
        /// The member's public key is not a key of the suite: in suite 1 no point of the curve.
        BadPublicKey = 9 "the public key is not one of the suite",
        /// The group was destroyed.
        Destroyed = 10 "the group was destroyed",
        /// The request is longer than a gateway reads.
        TooLarge = 11 "the request is too large",
        /// There is no push channel to be had; pushes come by stream.
        NoChannel = 12 "there is no push channel",
        /// Too much is under way.
        Busy = 128 "the gateway is busy",
        /// The gateway is shutting down.
        Draining = 129 "the gateway is shutting down",
        /// The token does not answer; members keep the keys they hold.
        TokenUnusable = 130 "the token is not usable now",
        /// The store does not answer; members keep the keys they hold.
        StoreTrouble = 131 "the store is not usable now",
        /// The group admits nobody until an operator thaws it; members keep the keys they hold.
        Frozen = 132 "the group is frozen and admits nobody now",
        /// The key store upstream is out of reach, and the policy admits nobody any more.
        Outage = 133 "the gateway admits nobody without its key store, which is out of reach",
    }
}

impl RefusalCode {
    /// Whether the same request may succeed later.
    pub fn passes(self) -> bool {
        self.number() >= 128
    }
}

numbered! {
    /// Why a registration is over.
    RemovalReason {
        /// The member asked for it.
        Left = 1 "the member left",
        /// An operator or the policy evicted it.
        Evicted = 2 "the member was evicted",
        /// It was without a connection for longer than the policy allows.
        Absent = 3 "the member was absent for too long",
        /// It did not acknowledge for longer than the policy allows.
        Silent = 4 "the member did not acknowledge for too long",
        /// A new registration of the same identity took its place.
        Replaced = 5 "a new registration took its place",
        /// The group was destroyed.
        Destroyed = 6 "the group was destroyed",
        /// It joined, but its grant could not be made or was not waited for.
        NotGranted = 7 "the member's grant was not completed",
    }
}

numbered! {
    /// Why a member did not do a push.
    NackCode {
        /// The member cannot compute the root from what it holds; it pulls.
        NeedPath = 1 "the member needs its path",
        /// The header is malformed or its signature or tag does not verify.
        BadHeader = 2 "the header does not verify",
        /// The member holds no registration in the group.
        UnknownGroup = 3 "the member is not registered in the group",
        /// The member's leaf key was renewed: it asks for the new one by itself, and no path helps it before.
        NeedGrant = 4 "the member needs its new leaf key",
    }
}

numbered! {
    /// The application error codes of QUIC, for closing connections, resetting and stopping streams.
    CloseCode {
        /// Nothing is wrong: the peer is done.
        Done = 0 "done",
        /// The peer does not follow the protocol.
        Malformed = 1 "the peer does not follow the protocol",
        /// A message is longer than the receiver reads.
        TooLarge = 2 "the message is too large",
        /// Too many connections or streams.
        Overloaded = 3 "the gateway is overloaded",
        /// The gateway is shutting down.
        Draining = 4 "the gateway is shutting down",
        /// The peer did not finish in time.
        Timeout = 5 "the peer did not finish in time",
        /// The peer's certificate names no identity, or one that is revoked.
        NotAuthenticated = 6 "the peer has no valid identity",
        /// A fault of the closing side itself.
        Internal = 7 "internal error",
    }
}

/// A request was not done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Error)]
#[cbor(map)]
#[error("{message} (refusal {})", code.number())]
pub struct Refusal {
    /// The reason by number: what a program acts on.
    #[n(0)]
    pub code: RefusalCode,
    /// The reason in words: what a person reads.
    #[n(1)]
    pub message: String,
    /// When to ask again; present where the cause passes.
    #[n(2)]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal in the code's own words.
    pub fn new(code: RefusalCode) -> Self {
        Self::because(code, code.text())
    }

    /// A refusal in words of its own.
    pub fn because(code: RefusalCode, message: impl Into<String>) -> Self {
        Refusal {
            code,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// A refusal whose cause passes: ask again after this time.
    pub fn retry(code: RefusalCode, retry_after_ms: u64) -> Self {
        Refusal {
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(code)
        }
    }
}
