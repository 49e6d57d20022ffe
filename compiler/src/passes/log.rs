//! What the fusions did, and why they did not: the material of `explain`.

use std::fmt;

/// One place where a fusion could have fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The fusion's name: `activation into producer`.
    pub fusion: &'static str,
    /// Names of the nodes it is about, the producer first.
    pub nodes: Vec<String>,
    /// Whether it fired.
    pub fired: bool,
    /// Why not, or what it saved.
    pub reason: String,
}

/// All decisions, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The decisions.
    pub decisions: Vec<Decision>,
}

impl Log {
    pub(super) fn fired(
        &mut self,
        fusion: &'static str,
        nodes: &[&str],
        reason: impl Into<String>,
    ) {
        self.push(fusion, nodes, true, reason.into());
    }

    pub(super) fn refused(
        &mut self,
        fusion: &'static str,
        nodes: &[&str],
        reason: impl Into<String>,
    ) {
        self.push(fusion, nodes, false, reason.into());
    }

    fn push(&mut self, fusion: &'static str, nodes: &[&str], fired: bool, reason: String) {
        let nodes = nodes.iter().map(ToString::to_string).collect();
        self.decisions.push(Decision { fusion, nodes, fired, reason });
    }

    /// For each fusion in the order of its first decision: its name, how often it fired, and how
    /// often it did not.
    pub fn summary(&self) -> Vec<(&'static str, usize, usize)> {
        let mut rows: Vec<(&'static str, usize, usize)> = Vec::new();
        for decision in &self.decisions {
            let at = rows.iter().position(|row| row.0 == decision.fusion).unwrap_or_else(|| {
                rows.push((decision.fusion, 0, 0));
                rows.len() - 1
            });
            if decision.fired {
                rows[at].1 += 1;
            } else {
                rows[at].2 += 1;
            }
        }
        rows
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.fired { "fused" } else { "not fused" };
        write!(f, "{mark}: {}: {}", self.fusion, self.nodes.join(" <- "))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for decision in &self.decisions {
            writeln!(f, "{decision}")?;
        }
        Ok(())
    }
}
