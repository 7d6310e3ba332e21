//! Bytes as an IKEv1 message (RFC 2408, 3): the parser refuses or reads them, and what was read and is written again reads
//! the same.

#![no_main]

use crossgate_ike::v1::wire::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else { return };
    // What the parser allows may be longer once it is written plainly; then it is refused, not cut.
    let Ok(written) = message.build() else { return };
    let again = Message::parse(&written).expect("a message of ours is well formed");
    assert_eq!(again.build().expect("it was written before"), written);
});
