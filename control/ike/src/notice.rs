//! The catalogue of what is worth a log line or a counter: one enum, one table. Every transition of an IKE SA, and every datagram that is dropped,
//! passes one function with one of these, which counts it and emits it; the caller logs it.

use std::net::SocketAddr;

use crate::error::{IkeError, Stage};
use crate::event::{ChildId, ConnectionId, IkeId};

mod remedy;

/// Something that happened, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub what: What,
    /// The connection, once it is known; with an error the one that a peer seems to be of, if it can be but one.
    pub connection: Option<ConnectionId>,
    /// The IKE SA, if there is one.
    pub ike: Option<IkeId>,
    /// The Child SA it is about.
    pub child: Option<ChildId>,
    /// The peer.
    pub remote: Option<SocketAddr>,
    /// The exchange it is about.
    pub stage: Option<Stage>,
    /// Why, where no event of the connection says it.
    pub error: Option<Box<IkeError>>,
}

/// How much an operator wants to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who follow a single negotiation.
    Debug,
    /// The life of SAs.
    Info,
    /// Something to look into.
    Warn,
}

macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $name:ident $level:ident $text:literal;)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum What { $($(#[doc = $doc])+ $name),+ }

        impl What {
            /// Every kind, in the order of the table; the index is the counter's.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in logs and counters.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// One line for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// How loud it is.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level),+ }
            }
        }
    };
}

catalogue! {
    /// An IKE SA was taken up again.
    Resumed Info "the IKE SA was resumed with a ticket, without a key exchange (RFC 5723)";
    /// A ticket is not good.
    TicketRefused Info "a ticket of session resumption was refused: the keys are agreed on anew (RFC 5723)";
    /// We begin.
    Initiating Info "initiating the IKE SA";
    /// A name is looked up.
    Resolving Debug "looking up the peer's name";
    /// A peer begins.
    Responding Info "a peer begins an IKE SA";
    /// A peer asked for a cookie and gets it.
    CookieReturned Info "the peer is under load and asked for a cookie";
    /// We ask for a cookie.
    CookieDemanded Debug "too many half-open IKE SAs: asked the peer for a cookie";
    /// The peer prefers another group.
    GroupChanged Info "the peer asked for another Diffie-Hellman group";
    /// We asked for another group.
    GroupDemanded Info "asked the peer for another Diffie-Hellman group";
    /// NAT detection found one.
    NatFound Info "a NAT was found between the peers: ESP travels in UDP";
    /// The mapping of the peer's NAT changed.
    PeerMoved Info "the peer's address changed: following it";
    /// Another path than the present one works.
    PathChanged Info "the peer answers on another path only: moving there (MOBIKE)";
    /// The mapping of our NAT changed.
    MappingChanged Info "the NAT before this gateway changed its mapping: telling the peer (MOBIKE)";
    /// The peer sent us elsewhere.
    Redirected Info "the peer sends this gateway to another one (RFC 5685): calling there";
    /// Too often, or to where nobody can be.
    RedirectIgnored Warn "the peer sends this gateway elsewhere again and again, or to another address family: not following";
    /// We sent a peer elsewhere.
    Redirecting Info "sent a peer to another gateway (redirect_to)";
    /// IKE_SA_INIT is done.
    KeysAgreed Debug "IKE_SA_INIT is done";
    /// ML-KEM is in the keys.
    KeysMixed Info "the keys of the IKE SA come from ML-KEM as well (RFC 9370)";
    /// The IKE SA is up.
    Established Info "the IKE SA is established";
    /// An IKE SA without a Child SA.
    Childless Info "the peer authenticated without asking for a Child SA (RFC 6023)";
    /// A client has an address.
    AddressLeased Info "a client logged in and got its address";
    /// The peer assigned us addresses.
    AddressAssigned Info "the peer assigned this gateway its address inside the tunnel";
    /// A client did not prove who it is.
    LoginFailed Warn "a client did not log in";
    /// Somebody tries passwords.
    LoginLocked Warn "refused a log-in: too many wrong passwords for that user from that address";
    /// A Child SA is up.
    ChildUp Info "a Child SA is installed";
    /// A Child SA's successor is in use.
    ChildRetired Debug "a Child SA was replaced and only receives from now on";
    /// A Child SA is gone.
    ChildGone Info "a Child SA is removed";
    /// The IKE SA was replaced.
    IkeRekeyed Info "the IKE SA was replaced by a fresh one";
    /// We won or lost a simultaneous rekey.
    Collision Info "both peers rekeyed at once; the redundant SA is deleted";
    /// The peer asked us to wait.
    TryAgain Info "the peer is busy (TEMPORARY_FAILURE): trying again later";
    /// The peer takes a single pair of addresses.
    SinglePair Info "the peer takes a single pair of traffic selectors (SINGLE_PAIR_REQUIRED): asking for one pair";
    /// A pair of traffic selectors was asked for as often as is reasonable.
    PairGivenUp Warn "the peer does not give a pair of traffic selectors a Child SA, however often it is asked: it stays without one";
    /// There is no further Child SA for one resource, from the peer (TS_MAX_QUEUE) or in our tables.
    NoMoreForResources Info "no more Child SAs for single workers (RFC 9611): workers without one of their own use the one for all";
    /// The peer took some pairs of traffic selectors into a Child SA and left this one out (RFC 7296, 2.9).
    PairLeftOut Info "the peer left a pair of traffic selectors out of the Child SA: asking for it apart";
    /// A request is sent again.
    Retransmit Debug "no answer yet: sent the request again";
    /// The answer to a repeated request is sent again.
    AnswerRepeated Debug "the peer repeated its request: sent the same answer again";
    /// A peer lost the IKE SA.
    PeerRestarted Info "the peer proved that it has lost the IKE SA, as after a restart (RFC 6290): beginning anew";
    /// We lost an IKE SA.
    TokenPresented Info "a peer sent for an IKE SA that is not here: told it so, with the token that proves it (RFC 6290)";
    /// We lost a Child SA.
    InvalidSpiTold Debug "a peer sends ESP under an SA that is not here: told it so (INVALID_SPI), without proof";
    /// We lost a pair of IKEv1, or the peer did not hear that it is gone.
    UnknownSpiDenied Debug "a peer sends ESP under an SA that is not here: told it that the SA is deleted";
    /// Somebody says that the peer lost a Child SA.
    PeerDoubted Debug "somebody says that the peer has lost a Child SA (INVALID_SPI): asking the peer";
    /// Silence: asking.
    LivenessAsked Debug "asked the peer whether it is alive";
    /// An IKE SA is gone.
    IkeGone Info "the IKE SA is gone";
    /// The peer restarted.
    InitialContact Info "the peer started anew: its old SAs are removed";
    /// Two IKE SAs with one peer.
    Duplicate Info "a second IKE SA with the same peer: one of them is closed";
    /// An unauthenticated error.
    UnprovenError Warn "an unauthenticated error came; it changes nothing, but may be a hint";
    /// A datagram that is no IKE message.
    DropMalformed Debug "dropped a datagram that is no IKE message";
    /// A message for an IKE SA that is not here.
    DropUnknownSpi Debug "dropped a message for an unknown IKE SA";
    /// A message that does not authenticate.
    DropUnauthentic Debug "dropped a message that does not authenticate";
    /// An unprotected INVALID_IKE_SPI.
    DropToken Debug "dropped an unprotected message that the peer has lost the IKE SA: without a token, or with a wrong one";
    /// A message outside the window.
    DropMessageId Debug "dropped a message with a message ID outside the window";
    /// A message that does not fit the state.
    DropUnexpected Debug "dropped a message that this state does not expect";
    /// No connection for that address.
    DropNoConnection Warn "refused a peer for whose address there is no connection";
    /// The peer speaks another version of IKE than its connection.
    DropOtherVersion Warn "refused a peer that speaks another version of IKE than the connection for its address";
    /// IKEv1 aggressive mode.
    DropAggressiveMode Warn "refused IKEv1 aggressive mode, which gives a hash of the shared key to whoever asks";
    /// A wrong cookie.
    DropCookie Debug "dropped a request with a stale or forged cookie";
    /// Too many half-open IKE SAs.
    DropHalfOpenLimit Warn "dropped a request: too many half-open IKE SAs";
    /// Too many half-open IKE SAs of one source.
    DropSourceLimit Warn "dropped a request: too many half-open IKE SAs from the same address";
    /// Whoever calls a gateway that ends would have to find out by itself that it is gone.
    DropStopping Info "dropped a request for an IKE SA: this gateway is ending";
    /// Whoever is refused too often gets no answer.
    DropRefusalLimit Debug "dropped a request that is to be refused: too many were refused of late";
    /// A flood does not fill the log.
    NoticesWithheld Debug "kept a line out of the log: peers that have not shown who they are have caused too many of late";
    /// A half-open IKE SA took too long.
    HalfOpenExpired Info "a half-open IKE SA expired";
    /// Too many messages for a half-open IKE SA could not be read.
    HalfOpenGivenUp Info "a half-open IKE SA was given up: none of the keys reads what comes for it";
    /// An error was answered.
    ErrorAnswered Debug "answered the peer with an error";
    /// An exchange failed.
    ExchangeFailed Warn "an exchange failed";
}
