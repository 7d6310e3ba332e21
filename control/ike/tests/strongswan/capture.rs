//! What a recording holds: the datagrams of one IKE SA, and the values that the initiator's daemon logged meanwhile.

/// One IKE SA from its first message to its own rekey. Non-ESP markers are taken off; what was sent in several
/// fragments is several datagrams.
#[derive(Debug)]
pub(crate) struct Capture {
    /// `IKE_SA_INIT`, from the initiator.
    pub(crate) init_request: &'static [u8],
    /// `IKE_SA_INIT`, the answer.
    pub(crate) init_response: &'static [u8],
    /// `IKE_AUTH`, from the initiator.
    pub(crate) auth_request: &'static [&'static [u8]],
    /// `IKE_AUTH`, the answer.
    pub(crate) auth_response: &'static [&'static [u8]],
    /// `CREATE_CHILD_SA` that rekeys the Child SA, from the initiator.
    pub(crate) child_request: &'static [&'static [u8]],
    /// Its answer.
    pub(crate) child_response: &'static [&'static [u8]],
    /// INFORMATIONAL that deletes the old Child SA, from the initiator.
    pub(crate) delete_request: &'static [&'static [u8]],
    /// Its answer.
    pub(crate) delete_response: &'static [&'static [u8]],
    /// `CREATE_CHILD_SA` that rekeys the IKE SA, from the initiator.
    pub(crate) rekey_request: &'static [&'static [u8]],
    /// Its answer.
    pub(crate) rekey_response: &'static [&'static [u8]],
    /// Keys of the IKE SA.
    pub(crate) keys: LoggedKeys,
    /// Keys of the Child SA that `IKE_AUTH` made.
    pub(crate) child: LoggedChild,
    /// Keys of the Child SA that replaced it.
    pub(crate) rekeyed_child: LoggedChild,
    /// Keys of the IKE SA that replaced the first one.
    pub(crate) rekeyed: LoggedKeys,
}

/// Keys of an IKE SA (RFC 7296, 2.14); integrity keys are empty for AES-GCM.
#[derive(Debug)]
pub(crate) struct LoggedKeys {
    /// g^ir.
    pub(crate) shared: &'static [u8],
    /// SKEYSEED.
    pub(crate) skeyseed: &'static [u8],
    /// `SK_d`.
    pub(crate) sk_d: &'static [u8],
    /// `SK_ai`.
    pub(crate) sk_ai: &'static [u8],
    /// `SK_ar`.
    pub(crate) sk_ar: &'static [u8],
    /// `SK_ei`.
    pub(crate) sk_ei: &'static [u8],
    /// `SK_er`.
    pub(crate) sk_er: &'static [u8],
    /// `SK_pi`.
    pub(crate) sk_pi: &'static [u8],
    /// `SK_pr`.
    pub(crate) sk_pr: &'static [u8],
}

/// Keys of a Child SA (RFC 7296, 2.17), each with its salt.
#[derive(Debug)]
pub(crate) struct LoggedChild {
    /// g^ir of its own exchange, with forward secrecy.
    pub(crate) shared: Option<&'static [u8]>,
    /// For packets from the initiator.
    pub(crate) initiator: &'static [u8],
    /// For packets to the initiator.
    pub(crate) responder: &'static [u8],
}
