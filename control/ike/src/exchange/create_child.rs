//! CREATE_CHILD_SA for Child SAs, new and rekeyed, in both roles (RFC 7296, 1.3.1, 1.3.3, 2.8, 2.25.1). Who wins a collision is said in `rekey.rs`.

use crate::wire::ExchangeType;

mod answer;
mod begin;
mod request;

pub(crate) use answer::{ChildAnswering, on_computed_answer, on_request};
pub(crate) use begin::{begin_for_resource, begin_left_out, begin_new, begin_rekey};
pub(crate) use request::{ChildRequest, on_computed, on_response};

const EXCHANGE: ExchangeType = ExchangeType::CREATE_CHILD_SA;
