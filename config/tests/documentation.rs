//! Every block of TOML in the documentation is taken by `check`, as a change to one of the examples.
//!
//! What follows `toml` in a fence says what the block is a change to, and no reader sees it: the name of an example (`site-to-site.toml` if none is named), or `more`, which is
//! what the block before came to; `without=A.B,C.D` are keys that it does away with. A table goes into the one of its name, or is a new one; a table of which no name is said goes into the last of
//! its kind, as in a file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crossgate_config::{Config, Environment, Source};
use crossgate_pki::testing::{Issued, NOW, OcspTemplate, Template, key_pem};
use crossgate_pki::{KeyKind, Subject};
use toml::{Table, Value};

/// A block with its place: the line of the first line in it, counted from 1.
struct Block<'t> {
    line: usize,
    words: Vec<&'t str>,
    text: String,
}

/// The blocks of a page.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_inside = false;
    for (line, number) in page.lines().zip(1..) {
        match line.trim().strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(fence) if fence.split(' ').next() == Some("toml") => {
                is_inside = true;
                let words = fence.split(' ').skip(1).collect();
                blocks.push(Block { line: number + 1, words, text: String::new() });
            }
            None if is_inside => {
                let block = blocks.last_mut().expect("it has begun");
                block.text.extend([line, "\n"]);
            }
            _ => {}
        }
    }
    assert!(!is_inside, "a block without an end");
    blocks
}

/// The pages, relative to the repository.
fn pages(root: &Path) -> Vec<PathBuf> {
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let list = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(is_page).collect::<Vec<_>>()
    };
    [".", "docs", "docs/benchmarks"].into_iter().flat_map(list).collect()
}

/// The present configuration with the tables of a block: kinds of resources are lists.
fn with(mut present: Table, block: Table) -> Table {
    for (kind, value) in block {
        match (present.get_mut(&kind), value) {
            (Some(Value::Array(resources)), Value::Array(more)) => {
                more.into_iter().for_each(|entry| with_resource(resources, entry));
            }
            (Some(Value::Array(resources)), entry @ Value::Table(_)) => with_resource(resources, entry),
            (Some(Value::Table(table)), Value::Table(more)) => with_keys(table, more),
            (_, value) => drop(present.insert(kind, value)),
        }
    }
    present
}

fn with_resource(resources: &mut Vec<Value>, entry: Value) {
    let meant = match entry.get("name") {
        Some(name) => resources.iter_mut().find(|resource| resource.get("name") == Some(name)),
        None => resources.last_mut(),
    };
    match (meant, entry) {
        (Some(Value::Table(table)), Value::Table(more)) => with_keys(table, more),
        (_, entry) => resources.push(entry),
    }
}

fn with_keys(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(present)), Value::Table(value)) => with_keys(present, value),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Does away with the key at `path`, of the last resource of its kind.
fn remove(table: &mut Table, path: &str) {
    let Some((first, rest)) = path.split_once('.') else {
        assert!(table.remove(path).is_some(), "there is no key {path}");
        return;
    };
    let inner = match table.get_mut(first) {
        Some(Value::Array(resources)) => resources.last_mut().and_then(Value::as_table_mut),
        Some(Value::Table(inner)) => Some(inner),
        _ => None,
    };
    remove(inner.unwrap_or_else(|| panic!("there is no table {first}")), rest);
}

/// A directory with everything that the pages and the examples name.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
        let own = |name| {
            root.issue(
                &Template { names: vec![name], ..Template::peer("gateway") },
                &key_pem(KeyKind::P256, 2),
            )
        };
        let peer = own(Subject::Address([192, 0, 2, 1].into()));
        let server = own(Subject::Dns("vpn.example.net".to_owned()));
        files.write("gw-a.pem", peer.pem().as_bytes());
        files.write("gw-a.ocsp", &root.ocsp_response(&root, &OcspTemplate::good(1)));
        files.write("vpn.pem", server.pem().as_bytes());
        for name in ["gw-a.key", "vpn.key"] {
            files.write(name, server.key_pem.as_bytes());
        }
        for name in ["corporate-ca", "clients"] {
            files.write(&format!("{name}.pem"), root.pem().as_bytes());
            files.write(&format!("{name}.crl"), &root.revocation_list(&[7], NOW));
        }
        files.write("users", b"anna:secret of anna\n");
        files.write("radius.secret", b"q3G8vN1xZk0TtYw2bLr5HfPjC7sD9mA");
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// What is said of a configuration; nothing if it is sound.
    fn said_of(&self, table: &Table) -> String {
        let text = table.to_string();
        for name in text.split('"').filter(|word| word.ends_with(".psk") || word.ends_with(".ppk")) {
            // One for each, since two connections with one key get a warning.
            let key =
                format!("{:Z<43}=", format!("q3G8vN1xZk0TtYw2bLr5{}", name.replace(['.', '-', '/'], "4")));
            self.write(name, key.as_bytes());
        }
        let environment = Environment {
            cores: (0..64).collect::<BTreeSet<_>>(),
            user_id: fs::metadata(self.0.path()).unwrap().uid(),
            variable: &|_| None,
        };
        let file = self.0.path().join("merged.toml");
        Config::parse(Source { file: &file, text: &text }, &environment)
            .err()
            .map_or_else(String::new, |found| found.to_string())
    }
}

/// What a block comes to.
fn changed(block: &Block<'_>, examples: &Path, before: &Table) -> Result<Table, String> {
    let stand_in = Issued::root(&Template::authority("Other"), &key_pem(KeyKind::P256, 3)).pem();
    let base64: String = stand_in.lines().filter(|line| !line.starts_with('-')).collect();
    // The only text that nobody could take as it stands.
    let text = block.text.replace("MIIB...", &base64);
    let line_of = |at: usize| block.line + text[..at].matches('\n').count();
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(block.line, |span| line_of(span.start));
        format!("{line}: {}", error.message())
    })?;
    let mut present = None;
    let mut removed = Vec::new();
    for word in &block.words {
        match word.strip_prefix("without=") {
            Some(keys) => removed.extend(keys.split(',')),
            None if *word == "more" => present = Some(before.clone()),
            None => present = Some(example(examples, word)),
        }
    }
    let mut present = present.unwrap_or_else(|| example(examples, "site-to-site.toml"));
    removed.into_iter().for_each(|key| remove(&mut present, key));
    Ok(with(present, table))
}

fn example(examples: &Path, name: &str) -> Table {
    let text = fs::read_to_string(examples.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.parse().unwrap()
}

#[test]
fn every_block_of_toml_in_the_documentation_is_a_sound_change_to_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (files, examples) = (Files::new(), root.join("config/examples"));
    let (mut flaws, mut seen) = (String::new(), 0);
    for path in pages(&root) {
        let page = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let mut before = Table::new();
        for block in blocks(&page) {
            seen += 1;
            let place = format!("{name}:{}", block.line);
            match changed(&block, &examples, &before) {
                Err(flaw) => flaws += &format!("{name}:{flaw}\n"),
                Ok(table) => {
                    let said = files.said_of(&table);
                    if !said.is_empty() {
                        flaws += &format!("{place}: in the file that it comes to,\n{said}\n");
                    }
                    before = table;
                }
            }
        }
    }
    assert!(flaws.is_empty(), "\n{flaws}");
    assert!(seen >= 15, "only {seen} blocks were found");
}

#[test]
fn a_block_that_is_wrong_is_told_with_its_line() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let page =
        "# Title\n\n```toml\n[[connection]]\nmoode = 3\n```\n\n```toml\nname = \"a\"\nname = \"b\"\n```\n";
    let [unknown, twice] = &blocks(page)[..] else { panic!("two blocks") };
    let table = changed(unknown, &examples, &Table::new()).unwrap();
    assert!(Files::new().said_of(&table).contains("moode"));
    assert_eq!(unknown.line, 4);
    let flaw = changed(twice, &examples, &Table::new()).unwrap_err();
    assert!(flaw.starts_with("10: "), "{flaw}");
}
