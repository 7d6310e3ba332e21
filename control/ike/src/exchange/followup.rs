//! IKE_FOLLOWUP_KE (RFC 9370, 2.2.4), in both roles: the additional key exchange of a CREATE_CHILD_SA that replaces the IKE SA. The new IKE SA is made when this is
//! through, so that nothing must be deleted of a rekey that ends before.
//!
//! When both peers rekey at once, all four nonces are known as soon as both requests are answered: the exchange with the lowest of them (`rekey.rs`) is not followed
//! up, and its responder forgets it. A peer whose request comes when ours is being followed up is told to wait. Called by `rekey_ike.rs`.

use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::suite::IkeChoice;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{Answering, Established, PATIENCE, Pending, Task};
use crate::exchange::rekey_ike::{self, Answered, IkeAnswering};
use crate::job::Work;
use crate::notice::What;
use crate::rekey::lowest;
use crate::sa::Cx;
use crate::secret::Secret;
use crate::wire::{ExchangeType, IkeSpi, KeyExchangeData, Message, Notify, NotifyType, Payload, PayloadType};

const EXCHANGE: ExchangeType = ExchangeType::IKE_FOLLOWUP_KE;
const LINK_BYTES: usize = 8;

/// Our follow-up.
#[derive(Debug)]
pub(super) enum Asking {
    /// Our value is being computed.
    Preparing(u64),
    /// It is out.
    Sent(PrivateValue),
    /// The secret is being computed.
    Sharing(u64),
}

/// The peer's request, answered; its follow-up is awaited.
#[derive(Debug)]
pub(crate) struct Following {
    choice: IkeChoice,
    spis: (IkeSpi, IkeSpi),
    nonces: (Vec<u8>, Vec<u8>),
    first: Secret<Vec<u8>>,
    link: Vec<u8>,
    /// When it is forgotten.
    pub(crate) until: Instant,
}

impl Asking {
    /// The job under way.
    pub(super) const fn serial(&self) -> Option<u64> {
        match self {
            Self::Preparing(serial) | Self::Sharing(serial) => Some(*serial),
            Self::Sent(_) => None,
        }
    }
}

/// Begins the additional key exchange by `method`.
pub(super) fn prepare(method: Group, cx: &mut Cx<'_>) -> Asking {
    let private = PrivateValue::draw(method, &mut |out| cx.env.random(out));
    Asking::Preparing(cx.compute(Work::Public(private)))
}

/// Our value is computed.
pub(super) fn send(
    state: &mut Established,
    answered: &Answered,
    private: &PrivateValue,
    public: Vec<u8>,
    cx: &mut Cx<'_>,
) {
    let payloads = vec![
        Payload::KeyExchange(KeyExchangeData { group: private.group().id(), public }),
        Payload::Notify(Notify::new(NotifyType::ADDITIONAL_KEY_EXCHANGE, answered.link.clone())),
    ];
    state.secured.request(EXCHANGE, payloads, cx);
}

/// The peer's value, or its refusal; `None` if it comes to nothing.
pub(super) fn on_response(
    state: &mut Established,
    private: PrivateValue,
    message: &Message,
    cx: &mut Cx<'_>,
) -> Option<Asking> {
    if let Some(notify) = message.error() {
        rekey_ike::on_refusal(state, notify, cx);
        return None;
    }
    let Some(ke) = message.ke().filter(|ke| ke.group == private.group().id()) else {
        let what = "answered an additional key exchange without its value";
        rekey_ike::reject(state, IkeError::Misbehaved { stage: Stage::RekeyIke, what }, cx);
        return None;
    };
    Some(Asking::Sharing(cx.compute(Work::Agree(private, ke.public.clone()))))
}

/// Whether ours, which the peer just answered, is given up for the peer's own, of which the nonces are known, too. If ours wins, the peer's is forgotten.
pub(super) fn yields(state: &mut Established, own: &[u8], nonce: &[u8], cx: &mut Cx<'_>) -> bool {
    let is_followed = matches!(&state.answering, Some(Answering::Ike(answer)) if answer.first.is_some());
    let theirs = state.following.as_ref().map(|theirs| lowest(&theirs.nonces.0, &theirs.nonces.1));
    if theirs.is_none() && !is_followed {
        return false;
    }
    cx.note(What::Collision);
    if is_followed || theirs.is_some_and(|theirs| lowest(own, nonce) < theirs) {
        // Unless the peer stops half way, its IKE SA takes over before this is tried again.
        state.want_later(Task::RekeyIke, PATIENCE * 2, cx);
        return true;
    }
    state.following = None;
    false
}

/// Whether a request of ours is answered and being followed up.
pub(super) fn is_under_way(state: &Established) -> bool {
    matches!(&state.pending, Some(Pending::Ike(request)) if request.is_followed_up())
}

impl Following {
    pub(super) fn new(
        choice: IkeChoice,
        spis: (IkeSpi, IkeSpi),
        nonces: (Vec<u8>, Vec<u8>),
        first: Secret<Vec<u8>>,
        cx: &mut Cx<'_>,
    ) -> Self {
        let mut link = vec![0; LINK_BYTES];
        cx.env.random(&mut link);
        Self { choice, spis, nonces, first, link, until: cx.now + PATIENCE }
    }
}

/// Waits for the peer's follow-up; what the answer tells it to name.
pub(super) fn await_it(state: &mut Established, following: Following) -> Payload {
    let link = Payload::Notify(Notify::new(NotifyType::ADDITIONAL_KEY_EXCHANGE, following.link.clone()));
    state.following = Some(following);
    link
}

/// The peer's follow-up.
pub(crate) fn on_request(state: &mut Established, message: &Message, cx: &mut Cx<'_>) {
    if state.answering.is_some() {
        return cx.note(What::DropUnexpected);
    }
    let link = message.notify(NotifyType::ADDITIONAL_KEY_EXCHANGE).map(|notify| &notify.data);
    let Some(following) = state.following.take_if(|following| Some(&following.link) == link) else {
        return state.refuse(EXCHANGE, &IkeError::NothingToFollow, cx);
    };
    if state.is_leaving() || state.rival.is_some() {
        return state.refuse(EXCHANGE, &IkeError::Collision, cx);
    }
    let ke = following.choice.additional.and_then(|method| {
        let ke = message.ke().filter(|ke| ke.group == method.id())?;
        Some((method, ke.public.clone()))
    });
    let Some((method, public)) = ke else {
        let missing = IkeError::Missing { stage: Stage::RekeyIke, payload: PayloadType::KE };
        return state.refuse(EXCHANGE, &missing, cx);
    };
    let private = PrivateValue::draw(method, &mut |out| cx.env.random(out));
    let serial = cx.compute(Work::Answer(private, public));
    let Following { choice, spis, nonces, first, .. } = following;
    state.answering = Some(Answering::Ike(IkeAnswering { choice, spis, nonces, serial, first: Some(first) }));
}
