//! What the log says of a configuration: each finding is a line of its own, with its place and its remedy.

use std::path::Path;

use crossgate_config::{Finding, Severity};

use super::ApplyError;

/// Logs findings by their severity.
pub fn log_findings(findings: &[Finding]) {
    for finding in findings {
        let (place, Finding { severity, problem, remedy, .. }) = (finding.place(), finding);
        match severity {
            Severity::Warning => tracing::warn!(remedy, "{place}: {problem}"),
            Severity::Error => tracing::error!(remedy, "{place}: {problem}"),
        }
    }
}

impl ApplyError {
    /// What is wrong with the file, place by place; empty if it is not one place that is.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Findings(findings) | Self::NeedsRestart(findings) => &findings.0,
            Self::Build(_) | Self::Connection { .. } => &[],
        }
    }

    /// Logs why `file` was not applied.
    pub(crate) fn log(&self, file: &Path) {
        let (findings, file) = (self.findings(), file.display());
        log_findings(findings);
        if findings.is_empty() {
            tracing::error!(%file, error = %self, "the configuration is refused and nothing has changed");
        } else {
            tracing::error!(%file, findings = findings.len(), "the configuration is refused and nothing has changed");
        }
    }
}
