//! `--set name=value`: text from the command line as values.

use super::codes;
use super::expander::{Eval, Expander};
use crate::names::near_miss;
use crate::value::Value;
use netwright_grammar::{Diagnostic, Span};

/// Reads a value: `2`, `1e-3`, `8,4,2`, `320x224`, `yes`, `no`, `none`, or text.
pub(crate) fn read_value(text: &str) -> Value {
    let text = text.trim();
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > 1 {
        return Value::list(parts.into_iter().map(read_value).collect());
    }
    match text {
        "yes" | "true" => return Value::Bool(true),
        "no" | "false" => return Value::Bool(false),
        "none" | "-" => return Value::Absent,
        _ => {}
    }
    if let Some(number) = read_number(text) {
        return Value::Number(number);
    }
    let sides: Option<Vec<f64>> = text.split(['x', '×']).map(read_number).collect();
    match sides {
        Some(sides) if sides.len() > 1 => Value::numbers(sides),
        _ => Value::text(text),
    }
}

fn read_number(text: &str) -> Option<f64> {
    let digits = text.chars().any(|c| c.is_ascii_digit());
    let plain = text.chars().all(|c| c.is_ascii_digit() || "+-._eE".contains(c));
    let text = text.replace('_', "");
    text.parse().ok().filter(|number: &f64| number.is_finite() && digits && plain)
}

impl Expander<'_> {
    /// The value of a set parameter, brought to the kind that its default has.
    pub fn set_value(
        &mut self,
        name: &str,
        text: &str,
        default: Option<&Value>,
        span: Span,
    ) -> Eval<Value> {
        let value = read_value(text);
        let wanted = match (default, &value) {
            (Some(Value::Number(_) | Value::List(_)), Value::Number(_) | Value::List(_)) => None,
            (Some(Value::Number(_)), _) => Some("a number, or a size such as 320x224"),
            (Some(Value::List(_)), _) => Some("a list such as 8,4,2"),
            (Some(Value::Bool(_)), Value::Bool(_)) => None,
            (Some(Value::Bool(_)), _) => Some("yes or no"),
            (Some(Value::Text(_)), _) => return Ok(Value::text(text.trim())),
            (Some(Value::Callable(_)), Value::Text(word)) => {
                let scope = self.network_scope();
                if let Ok(Some(found @ Value::Callable(_))) = self.lookup(word, &scope) {
                    return Ok(found);
                }
                Some("the name of an operator or a block")
            }
            (Some(Value::Callable(_)), Value::Absent) => None,
            (Some(Value::Callable(_)), _) => Some("the name of an operator or a block"),
            (None, Value::Text(word)) => {
                let scope = self.network_scope();
                return Ok(self.lookup(word, &scope).ok().flatten().unwrap_or(value.clone()));
            }
            _ => None,
        };
        if let Some(wanted) = wanted {
            let message = format!("--set {name}={text}: `{name}` is {wanted}");
            return Err(Diagnostic::error(codes::SET_VALUE, span, message).into());
        }
        if value.is_poison() || has_text(&value) && !matches!(value, Value::Text(_)) {
            let message = format!("--set {name}={text}: a list holds numbers");
            return Err(Diagnostic::error(codes::SET_VALUE, span, message).into());
        }
        Ok(value)
    }

    /// The error about a parameter that does not exist.
    pub fn unknown_set(&self, name: &str, known: &[&str]) -> Diagnostic {
        let span = self.network.name.span;
        let message = format!("--set {name}: the network has no parameter of that name");
        let error = Diagnostic::error(codes::SET_NAME, span, message);
        let list = format!("its parameters are {}", known.join(", "));
        match near_miss(name, known.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`? {list}")),
            None => error.help(list),
        }
    }
}

fn has_text(value: &Value) -> bool {
    match value {
        Value::Text(_) => true,
        Value::List(items) => items.iter().any(has_text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_the_command_line() {
        let shown = |text: &str| read_value(text).to_string();
        assert_eq!(shown("1.4"), "1.4");
        assert_eq!(shown("1e-3"), "0.001");
        assert_eq!(shown("320x224"), "320x224");
        assert_eq!(shown("8,4,2"), "(8, 4, 2)");
        assert_eq!(shown("yes"), "yes");
        assert!(matches!(read_value("bicubic"), Value::Text(_)));
        assert!(matches!(read_value("inf"), Value::Text(_)));
        assert!(matches!(read_value("nan"), Value::Text(_)));
        assert!(matches!(read_value(""), Value::Text(_)));
        assert!(matches!(read_value("none"), Value::Absent));
    }
}
