//! Bytes as a line from an operator's client: they are refused or are a request, and a request that is written again
//! reads the same.

#![no_main]

use crossgate::console::protocol::{Method, Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Response>(bytes);
    let Ok(request) = serde_json::from_slice::<Request>(bytes) else { return };
    let written = serde_json::to_vec(&request).expect("a request is JSON");
    assert_eq!(serde_json::from_slice::<Request>(&written).expect("it was one before"), request);
    let _ = serde_json::from_slice::<Method>(bytes);
});
