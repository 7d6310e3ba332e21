//! The lines on which the sections and keys of a file stand: for what is right in itself, and wrong where it is applied.

use std::collections::BTreeMap;

/// Lines by section (`appliance`, `port[lan]`) and key; a section's own, and that of the first section of a kind, with an empty key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<(String, String), usize>);

impl Lines {
    /// The line, from 1, of a key in a section; of the section if the key is not there, of the first of its kind if the section is not there. 0 if nothing is.
    #[must_use]
    pub fn of(&self, section: &str, key: &str) -> usize {
        let at = |section: &str, key: &str| self.0.get(&(section.to_owned(), key.to_owned()));
        let kind = section.split('[').next().unwrap_or(section);
        at(section, key).or_else(|| at(section, "")).or_else(|| at(kind, "")).copied().unwrap_or(0)
    }

    /// Notes the first line of a key.
    pub(crate) fn note(&mut self, section: &str, key: &str, line: usize) {
        self.0.entry((section.to_owned(), key.to_owned())).or_insert(line);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::environment::Source;
    use crate::{document, report::Report};

    const TEXT: &str = "[appliance]\nname = \"gw\"\nworkers = [\n  1,\n]\n\n[[port]] # the first\nname = \"lan.1\"\n\n\
                        [[port]]\ndevice = \"net_null0\"\nname = \"wan\"\n[port.more]\nkey = 1\n";

    #[test]
    fn keys_sections_and_kinds_have_their_lines() {
        let mut report = Report::new(Source { file: Path::new("gw.toml"), text: TEXT });
        let root = document::parse(&mut report).expect("it is TOML");
        let lines = root.lines(&report);
        let of = |section: &str, key: &str| lines.of(section, key);
        assert_eq!([of("appliance", "name"), of("appliance", "workers"), of("appliance", "eal")], [2, 3, 1]);
        assert_eq!(
            [of("port[lan.1]", "name"), of("port[lan.1]", "device"), of("port[lan.1]", "")],
            [8, 7, 7]
        );
        assert_eq!([of("port[wan]", "device"), of("port[wan]", "name"), of("port[dmz]", "")], [11, 12, 7]);
        assert_eq!(of("connection[a]", "mode"), 0);
    }
}
