//! Text as a configuration: it is refused, with findings that name a line of it, or read. No variable can be read and the
//! machine has two cores, so that nothing depends on where this runs.

#![no_main]

use crossgate_config::{Config, Environment, Source};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let environment = Environment { cores: [0, 1].into(), user_id: 0, variable: &|_| None };
    let source = Source { file: Path::new("/nowhere/gateway.toml"), text };
    if let Err(findings) = Config::parse(source, &environment) {
        assert!(!findings.0.is_empty(), "refused for no reason");
        let _ = findings.to_string();
    }
});
