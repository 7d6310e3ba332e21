//! What of a resource has not been looked at when the resource has been taken over: told, each part once, so that nothing is dropped in silence.

use serde_json::Value;

use super::{One, Resource};
use crate::import::draft::{Draft, shown};
use crate::import::expression::Scope;

/// Keys of a resource that say where it stands in the template and in the cloud, not what it is.
const FORM: &[&str] = &["type", "name", "apiVersion", "dependsOn", "resources", "comments", "id", "etag"];
/// The same of its properties: what the cloud writes there by itself.
const WRITTEN: &[&str] = &["provisioningState", "resourceGuid"];
/// Resources whose `location` is where the cloud keeps them, and no more.
const PLACELESS: &[&str] = &["localNetworkGateways", "connections", "virtualNetworkGateways"];

/// Tells what is left of `resource`.
pub(super) fn tell(resource: &Resource<'_>, name: &str, scope: &Scope<'_>, draft: &mut Draft) {
    let Value::Object(entries) = resource.value else { return };
    if scope.has_seen(resource.value) {
        return;
    }
    let kind = resource.kind.rsplit('/').next().unwrap_or_default();
    let place = format!("{}[{}]", super::super::draft::plain(kind), super::super::draft::plain(name));
    for (key, value) in entries {
        let is_form = FORM.contains(&key.as_str())
            || key == "location" && PLACELESS.iter().any(|known| known.eq_ignore_ascii_case(kind));
        if !is_form {
            rest(value, &format!("{place}.{}", written(key)), scope, draft);
        }
    }
}

/// Tells a value of which nothing was looked at, or the parts of one that are like that.
fn rest(value: &Value, place: &str, scope: &Scope<'_>, draft: &mut Draft) {
    if is_nothing(value) || scope.has_seen(value) {
        return;
    }
    if !is_touched(value, scope) {
        return draft.leave_out(place, "nothing here is made of it", "see whether the gateway needs it");
    }
    match value {
        Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| !WRITTEN.contains(&key.as_str())) {
                rest(value, &format!("{place}.{}", written(key)), scope, draft);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                rest(value, &format!("{place}[{index}]"), scope, draft);
            }
        }
        _ => {}
    }
}

/// Whether a value, or something in it, was looked at.
fn is_touched(value: &Value, scope: &Scope<'_>) -> bool {
    scope.has_seen(value)
        || match value {
            Value::Object(entries) => entries.values().any(|value| is_touched(value, scope)),
            Value::Array(items) => items.iter().any(|value| is_touched(value, scope)),
            _ => false,
        }
}

/// Whether a value says nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(entries) => entries.values().all(is_nothing),
        Value::Array(items) => items.iter().all(is_nothing),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A key as it may be shown.
fn written(key: &str) -> String {
    let is_plain =
        !key.is_empty() && key.len() <= 60 && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain { key.to_owned() } else { shown(key) }
}

impl One<'_> {
    /// Notes that a property, or a part of one, needs no word: it says what is so anyway.
    pub(super) fn see(&self, pointer: &str) {
        if let Some(value) = self.properties.pointer(pointer) {
            self.scope.see(value);
        }
    }
}
