//! Why something failed, as an operator hears of it: in the console, in the log, by a counter, each with a remedy that says which side must change what.

use serde_json::Value;

use super::{Gateway, named};
use crate::failure::{Result, ensure};
use crate::strongswan::tail;
use crate::wait::{Look, until};

/// What is to be told of a failure.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    /// Words of the problem (any case).
    pub problem: &'a str,
    /// The counter that moves.
    pub counter: &'a str,
    /// Words of the remedy that name the side, or what is to be changed (any case).
    pub remedy: &'a str,
}

impl Gateway<'_> {
    /// Waits until the console tells this failure of connection `name`, and checks that remedy, log and counter say the same.
    pub fn tells(&self, name: &str, reason: &Reason<'_>) -> Result<Value> {
        let failure = self.fails_with(name, reason.problem)?;
        let has = |text: &str, words: &str| text.to_lowercase().contains(&words.to_lowercase());
        let remedy = failure["remedy"].as_str().unwrap_or_default();
        ensure(has(remedy, reason.remedy), || format!("the console's remedy: {failure}"))?;
        let is_meant =
            |line: &str| has(line, reason.problem) && has(line, reason.remedy) && has(line, "remedy");
        until(&format!("crossgated to log {:?} with its remedy", reason.problem), super::PATIENCE, || {
            let log = self.log();
            Ok(Look::when(log.lines().any(is_meant), || tail(&log, 20)))
        })?;
        let all = self.ask(&["counters", "--all"])?;
        let counter = named(&all, reason.counter).cloned().unwrap_or_default();
        ensure(counter["total"].as_u64() > Some(0), || format!("{} does not move: {all}", reason.counter))?;
        let remedy = counter["remedy"].as_str().unwrap_or_default();
        ensure(!remedy.is_empty(), || format!("{} has no remedy", reason.counter))?;
        Ok(failure)
    }
}
