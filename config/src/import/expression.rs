//! Template expressions (`[parameters('name')]`), as far as they are simple: parameters with defaults, variables, and the functions that put
//! names and ids together. Whatever needs a running deployment has no value here.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

/// What a template gives to expressions.
pub(super) struct Scope<'t> {
    parameters: BTreeMap<String, &'t Value>,
    variables: BTreeMap<String, &'t Value>,
    /// Where the values stand that were looked at: whatever is not among them in the end has been dropped.
    seen: RefCell<HashSet<usize>>,
}

impl<'t> Scope<'t> {
    pub(super) fn of(template: &'t Value) -> Self {
        let entries = |key: &str| template.get(key).and_then(Value::as_object).into_iter().flatten();
        // Names are case-insensitive. A value stands in a template's own `value` only in parameter files, which people paste together with it.
        let given = |value: &'t Value| value.get("value").or_else(|| value.get("defaultValue"));
        Self {
            parameters: entries("parameters")
                .filter_map(|(name, value)| Some((name.to_lowercase(), given(value)?)))
                .collect(),
            variables: entries("variables").map(|(name, value)| (name.to_lowercase(), value)).collect(),
            seen: RefCell::default(),
        }
    }

    /// Notes that a value of the template, with all that is in it, was taken over or told.
    pub(super) fn see(&self, value: &Value) {
        self.seen.borrow_mut().insert(std::ptr::from_ref(value).addr());
    }

    /// Whether a value of the template was noted.
    pub(super) fn has_seen(&self, value: &Value) -> bool {
        self.seen.borrow().contains(&std::ptr::from_ref(value).addr())
    }

    /// The value with its expression carried out; `None` if that is not possible here.
    pub(super) fn value(&self, value: &Value) -> Option<Value> {
        self.see(value);
        self.resolved(value, DEPTH_MAX)
    }

    /// The value as text.
    pub(super) fn text(&self, value: &Value) -> Option<String> {
        text_of(&self.value(value)?)
    }

    fn resolved(&self, value: &Value, depth: u32) -> Option<Value> {
        let Value::String(text) = value else { return Some(value.clone()) };
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // Two brackets stand for one, literally.
            Some(_) if text.starts_with("[[") => Some(Value::String(text[1..].to_owned())),
            Some(expression) => {
                let mut reader = Reader { rest: expression.trim(), fuel: FUEL };
                let found = self.expression(&mut reader, depth.checked_sub(1)?)?;
                reader.rest.trim().is_empty().then_some(found)
            }
            None => Some(value.clone()),
        }
    }

    /// A literal, or a function with its arguments and what is taken of its result.
    fn expression(&self, reader: &mut Reader<'_>, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        reader.fuel = reader.fuel.checked_sub(1)?;
        let mut value = if let Some(text) = reader.literal() {
            Value::String(text)
        } else if let Some(number) = reader.number() {
            Value::from(number)
        } else {
            let function = reader.word()?;
            let mut arguments = Vec::new();
            reader.sign('(')?;
            while reader.sign(')').is_none() {
                if !arguments.is_empty() {
                    reader.sign(',')?;
                }
                arguments.push(self.expression(reader, depth)?);
            }
            self.call(&function.to_lowercase(), &arguments, depth)?
        };
        loop {
            if reader.sign('.').is_some() {
                let key = reader.word()?;
                value = value.get(key)?.clone();
            } else if reader.sign('[').is_some() {
                let index = self.expression(reader, depth)?;
                reader.sign(']')?;
                value = match index {
                    Value::String(key) => value.get(key)?.clone(),
                    index => value.get(usize::try_from(index.as_u64()?).ok()?)?.clone(),
                };
            } else {
                return self.resolved(&value, depth);
            }
        }
    }

    fn call(&self, function: &str, arguments: &[Value], depth: u32) -> Option<Value> {
        let name = || arguments.first()?.as_str().map(str::to_lowercase);
        let texts: Option<Vec<String>> = arguments.iter().map(text_of).collect();
        match function {
            "parameters" => self.resolved(self.parameters.get(&name()?)?, depth),
            "variables" => self.resolved(self.variables.get(&name()?)?, depth),
            "concat" => joined(texts?.into_iter(), ""),
            "tolower" => Some(Value::String(texts?.first()?.to_lowercase())),
            "toupper" => Some(Value::String(texts?.first()?.to_uppercase())),
            "string" => Some(Value::String(texts?.into_iter().next()?)),
            "format" => formatted(&texts?),
            // The last segments alone matter: they name the resource.
            "resourceid" => {
                let texts = texts?;
                let kind = texts.iter().position(|text| text.contains('/'))?;
                joined(texts[kind..].iter().cloned(), "/")
            }
            _ => None,
        }
    }
}

/// `format('{0}-{1}', a, b)`.
fn formatted(texts: &[String]) -> Option<Value> {
    let (pattern, values) = texts.split_first()?;
    let mut out = String::new();
    let mut rest = pattern.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (index, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(values.get(index.parse::<usize>().ok()?)?);
        if out.len() > TEXT_MAX {
            return None;
        }
        rest = after;
    }
    out.push_str(rest);
    Some(Value::String(out))
}

/// Bounded, so that variables that double each other cannot fill the memory.
fn joined(texts: impl Iterator<Item = String>, separator: &str) -> Option<Value> {
    let mut out = String::new();
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(&text);
        if out.len() > TEXT_MAX {
            return None;
        }
    }
    Some(Value::String(out))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

struct Reader<'e> {
    rest: &'e str,
    fuel: u32,
}

impl<'e> Reader<'e> {
    fn sign(&mut self, sign: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(sign)?;
        Some(())
    }

    fn word(&mut self) -> Option<&'e str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number(&mut self) -> Option<i64> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..end].parse().ok()?;
        self.rest = &rest[end..];
        Some(number)
    }

    /// `'text'`, where two quotes stand for one.
    fn literal(&mut self) -> Option<String> {
        let mut rest = self.rest.trim_start().strip_prefix('\'')?;
        let mut text = String::new();
        loop {
            let (part, after) = rest.split_once('\'')?;
            text.push_str(part);
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Some(text);
                }
            }
        }
    }
}

/// Expressions inside expressions, variables inside variables.
const DEPTH_MAX: u32 = 40;
/// Parts of one expression.
const FUEL: u32 = 500;
/// Longer than any name or id.
const TEXT_MAX: usize = 10_000;
