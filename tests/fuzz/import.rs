//! Bytes as somebody else's template or network configuration: they are refused, or become a draft that is TOML.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(imported) = crossgate_config::import::import(text) {
        assert!(imported.toml.contains("[appliance]"));
        assert!(imported.toml.parse::<toml::Table>().is_ok(), "{}", imported.toml);
    }
});
