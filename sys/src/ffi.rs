//! The generated bindings, private to this crate: what build.rs allows and nothing else.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    reason = "generated code, judged by its generator"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
