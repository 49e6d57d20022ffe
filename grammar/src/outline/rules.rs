//! Lines of dialects: rules, which may share a line, and what stands beside them.

use super::{Item, ItemKind, Place, Scanner};
use crate::lexer::Kind;

impl Scanner<'_> {
    /// A line of a dialect or of the rules inside a rule.
    pub(super) fn rule(&mut self) -> Item {
        let start = self.at;
        let (word, after) = (self.text(start), self.text(start + 1));
        let labels = matches!(after, ":" | "," | ".");
        let kind = match word {
            "set" if self.kind(start + 1) == Some(Kind::Word) => ItemKind::Set,
            "drop" if !labels => ItemKind::Drop,
            "preprocess" if !labels => ItemKind::Preprocess,
            "block" if !labels => ItemKind::BlockRules,
            _ => ItemKind::Rule,
        };
        let end = match kind {
            ItemKind::Rule => self.rule_end(start),
            _ => self.line_end(start),
        }
        .max(start + usize::from(word != "{"));
        self.at = end;
        match kind {
            ItemKind::Preprocess => self.section(kind, start..end, Place::Preprocess),
            ItemKind::BlockRules => self.section(kind, start..end, Place::Inner),
            ItemKind::Rule if self.text(end) == "{" => {
                self.section(kind, start..end.max(start + 1), Place::Inner)
            }
            _ => {
                self.surplus_brace(kind);
                Item { kind, head: start..end, open: None, body: Vec::new(), close: None }
            }
        }
    }

    /// One past the last token of the rule at `start`: rules may share a line, so it ends where the
    /// next one's labels start.
    fn rule_end(&self, start: usize) -> usize {
        let mut at = start;
        let mut end = start;
        while at < self.tokens.len() {
            if self.kind(at) == Some(Kind::Newline) {
                let next = self.solid(at);
                let more = matches!(self.text(next), "," | "when" | "else");
                let waits = end > start && matches!(self.text(end - 1), "," | ":");
                if more || waits && !self.labels_start(next) && self.text(next) != "}" {
                    at = next;
                    continue;
                }
                break;
            }
            if matches!(self.text(at), "{" | "}") && !self.brackets.is_hole(at) {
                break;
            }
            if self.tokens[at].is_solid() {
                if at > start && self.rule_starts(at) {
                    break;
                }
                at = self.brackets.partner(at).filter(|p| *p > at).unwrap_or(at);
                end = at + 1;
            }
            at += 1;
        }
        end
    }

    /// Whether a rule's labels, or another line of a dialect, start at `at` in the middle of a line.
    fn rule_starts(&self, at: usize) -> bool {
        let before = self.text(at - 1);
        let apart = self.tokens[at - 1].end < self.tokens[at].start;
        let value_before = matches!(self.kind(at - 1), Some(Kind::Word | Kind::Number))
            && !matches!(before, "when" | "else" | "if" | "then")
            || matches!(before, ")" | "]" | "}" | "." | "*");
        apart && value_before && self.labels_start(at)
    }

    /// Whether `label, label:` stands at `at`.
    fn labels_start(&self, at: usize) -> bool {
        let mut at = at;
        loop {
            if !matches!(self.kind(at), Some(Kind::Word | Kind::Number)) {
                return false;
            }
            at += 1;
            while self.text(at) == "."
                && matches!(self.kind(at + 1), Some(Kind::Word | Kind::Number))
            {
                at += 2;
            }
            match self.text(at) {
                ":" => return true,
                "," => at += 1,
                _ => return false,
            }
        }
    }

    /// `key = value value`; several may share a line.
    pub(super) fn preprocess_item(&mut self) -> Item {
        let start = self.at;
        let mut at = start;
        while at < self.tokens.len() && self.tokens[at].is_solid() {
            let next_key = at > start
                && self.kind(at) == Some(Kind::Word)
                && self.text(at + 1) == "="
                && self.text(at - 1) != "=";
            if next_key || matches!(self.text(at), "{" | "}") && !self.brackets.is_hole(at) {
                break;
            }
            at = self.brackets.partner(at).filter(|p| *p > at).unwrap_or(at) + 1;
        }
        let kind = ItemKind::PreprocessItem;
        let end = at.max(start + usize::from(self.text(start) != "{"));
        self.at = end;
        self.surplus_brace(kind);
        let head = start..end.max(start + 1);
        Item { kind, head, open: None, body: Vec::new(), close: None }
    }
}
