//! What an operator does when something of the catalogue happens often: one line each, which says which side must change what.

use super::What;

impl What {
    /// Which side must change what; nothing has to be done about the life of SAs.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::UnprovenError | Self::ExchangeFailed => {
                "look at crossgate connections for the reason and the side that must change something; failed_... count by reason"
            }
            Self::LoginFailed => {
                "look at crossgate connection NAME for the reason: user name, password or certificate at the client"
            }
            Self::LoginLocked => {
                "at the client: correct the password and wait five minutes; if nobody knows of it, somebody tries passwords"
            }
            Self::GroupChanged | Self::GroupDemanded => {
                "none needed; equal dh_group on both sides saves a round"
            }
            Self::RedirectIgnored => {
                "at the peer: correct where it sends this gateway (redirect_to); or set follow_redirects = false here"
            }
            Self::TicketRefused => {
                "none needed: the keys are agreed on anew; both sides lose tickets when they restart"
            }
            Self::PeerMoved | Self::MappingChanged | Self::PathChanged => {
                "none needed; a NAT on the way that changes its mapping often needs longer timeouts for UDP 4500"
            }
            Self::PeerRestarted | Self::InitialContact | Self::PeerDoubted => {
                "none needed; at the peer: look into its log if it restarts often"
            }
            Self::TokenPresented | Self::InvalidSpiTold | Self::UnknownSpiDenied => {
                "none needed after a restart here; crossgate reset NAME if a peer goes on sending"
            }
            Self::LivenessAsked | Self::Retransmit | Self::AnswerRepeated => {
                "if it moves fast: packets are lost on the way, or the peer is slow to answer"
            }
            Self::Duplicate | Self::Collision | Self::TryAgain => {
                "none needed; if it goes on, let one side only begin (mode = \"ResponderOnly\" at the other)"
            }
            Self::DropMalformed | Self::DropUnexpected | Self::DropUnauthentic | Self::DropToken => {
                "none needed for a few; many are an attack, or a peer that breaks the protocol: look for it by --log debug"
            }
            Self::DropUnknownSpi | Self::DropMessageId => {
                "none needed for a few: late messages, or a peer that has not noticed a restart here yet"
            }
            Self::DropNoConnection => {
                "here: add a connection for the address in the log, or correct the address of its local network gateway; an address that nobody knows is a scan"
            }
            Self::DropOtherVersion => {
                "here: set protocol to the version that the peer speaks; or set the peer to that of the connection"
            }
            Self::DropAggressiveMode => "at the peer: set main mode",
            Self::DropCookie => "none needed: a peer with a stale cookie asks again",
            Self::DropHalfOpenLimit | Self::DropSourceLimit | Self::CookieDemanded | Self::CookieReturned => {
                "none needed when many peers come at once; of a flood block the source upstream"
            }
            Self::DropRefusalLimit | Self::NoticesWithheld => {
                "block the source upstream: drop_no_connection, drop_other_version and failed_... say what it was refused for"
            }
            Self::DropStopping => "none needed: the gateway is being stopped, and peers come again",
            Self::HalfOpenExpired | Self::HalfOpenGivenUp => {
                "at the peer: look into its log for why it stops half way; on the way let UDP 500 and 4500 and IP fragments pass"
            }
            Self::ErrorAnswered => "look at crossgate connections for the reason; failed_... count by reason",
            Self::NoMoreForResources => {
                "none needed while one core does for the tunnel; else raise max_tunnels of [appliance], here or at the peer, and restart"
            }
            Self::PairLeftOut | Self::SinglePair => {
                "none needed; at the peer: let it take several pairs of prefixes in one Child SA"
            }
            Self::PairGivenUp => {
                "at the peer: look into its log for why it does not give that pair of prefixes a Child SA; or take the pair out of the traffic selectors here"
            }
            Self::Resumed
            | Self::Initiating
            | Self::Resolving
            | Self::Responding
            | Self::NatFound
            | Self::Redirected
            | Self::Redirecting
            | Self::KeysAgreed
            | Self::KeysMixed
            | Self::Established
            | Self::Childless
            | Self::AddressLeased
            | Self::AddressAssigned
            | Self::ChildUp
            | Self::ChildRetired
            | Self::ChildGone
            | Self::IkeRekeyed
            | Self::IkeGone => "none needed: the life of SAs",
        }
    }
}
