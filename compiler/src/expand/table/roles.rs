//! What the columns of a table mean.

use crate::expand::codes;
use crate::expand::expander::Expander;
use crate::names::near_miss;
use netwright_grammar::Diagnostic;
use netwright_grammar::ast::{Name, Table};

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Shape of what comes into the row: checked.
    Input,
    /// Rows and columns of what comes into the row: checked.
    Resolution,
    /// Shape of what the row makes: checked.
    Output,
    Operator,
    Repeat,
    Stride,
    Stage,
    /// Binds to the parameter of that name.
    Parameter,
    /// Shown, without effect.
    Carried,
    /// The operator column of another variant.
    Other,
    /// A heading that means nothing, and is reported.
    Unknown,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub role: Role,
    /// The parameter that it binds, or the name of its role.
    pub name: String,
    /// Every name by which rules and `row.` may call it.
    pub names: Vec<String>,
    pub heading: Name,
}

impl Column {
    pub fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// The headings that papers use, by role; case does not matter.
const HEADINGS: [(Role, &[&str]); 7] = [
    (Role::Input, &["input", "input size"]),
    (Role::Output, &["output", "output size"]),
    (Role::Resolution, &["resolution"]),
    (Role::Operator, &["operator", "type / stride", "type", "layer"]),
    (Role::Repeat, &["n", "l", "#layers", "layers", "repeat", "repeats"]),
    (Role::Stride, &["s", "stride"]),
    (Role::Stage, &["stage"]),
];

/// The headings that have a role by themselves: the spellings of each role.
pub fn headings() -> impl Iterator<Item = &'static [&'static str]> {
    HEADINGS.iter().map(|(_, known)| *known)
}

/// Names of roles in rules and after `row.`, besides the printed heading.
fn role_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Input => &["input"],
        Role::Output => &["output"],
        Role::Resolution => &["resolution"],
        Role::Operator => &["operator"],
        Role::Repeat => &["n", "L", "repeat"],
        Role::Stride => &["s", "stride"],
        Role::Stage => &["stage"],
        _ => &[],
    }
}

/// The role that a heading has by itself.
pub(super) fn role_of(heading: &str) -> Option<Role> {
    let lower = heading.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    HEADINGS.iter().find(|(_, known)| known.contains(&lower.as_str())).map(|(role, _)| *role)
}

pub(crate) fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Expander<'_> {
    /// Reads a table's header. What is wrong with it is reported, and the column left out of use.
    pub fn columns(&mut self, table: &Table, variant: Option<&str>) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for heading in &table.header {
            let column = self.column(heading, variant);
            let twice = columns.iter().find(|known| {
                !matches!(column.role, Role::Carried | Role::Other)
                    && known.role == column.role
                    && known.name == column.name
            });
            if let Some(first) = twice {
                let message = format!("two columns mean `{}`", column.name);
                let error = Diagnostic::error(codes::COLUMN_TWICE, heading.span, message)
                    .related(first.heading.span, "the first")
                    .help("name one of them otherwise, or declare it `carried`");
                self.report(error);
                columns.push(Column { role: Role::Other, ..column });
                continue;
            }
            columns.push(column);
        }
        // A heading that means nothing may be the column that is missed.
        let serves = |column: &Column| matches!(column.role, Role::Operator | Role::Unknown);
        if !columns.iter().any(serves) {
            let span = table.header.first().map_or(table.span, |name| name.span);
            let error =
                Diagnostic::error(codes::TABLE, span, "the table has no column of operators")
                    .help("name it `operator`, or say which it is: `heading \"...\" = operator`");
            self.report(error);
        }
        columns
    }

    fn column(&mut self, heading: &Name, variant: Option<&str>) -> Column {
        let text = heading.text.trim();
        let plain = |role, name: &str| Column {
            role,
            name: name.to_string(),
            names: role_names(role)
                .iter()
                .map(|n| n.to_string())
                .chain([text.to_string()])
                .collect(),
            heading: heading.clone(),
        };
        let network = self.network;
        if network.carried.iter().any(|carried| carried.text == text) {
            return plain(Role::Carried, text);
        }
        let variants = self.spec.variants();
        for alias in &network.headings {
            let means = alias.means.text.as_str();
            let with = |variant: &str| alias.text.text.replace("{variant}", variant);
            if alias.text.text.contains("{variant}") {
                if variants.iter().any(|name| with(name) == text) {
                    let own = variant.is_some_and(|name| with(name) == text);
                    let role = role_of(means).unwrap_or(Role::Parameter);
                    return plain(if own { role } else { Role::Other }, means);
                }
            } else if alias.text.text == text {
                let mut column = plain(role_of(means).unwrap_or(Role::Parameter), means);
                column.names.push(means.to_string());
                return column;
            }
        }
        if let Some(role) = role_of(text) {
            let name = role_names(role).first().copied().unwrap_or(text);
            return plain(role, name);
        }
        if self.is_said_misspelt(text) {
            // The line above the table is reported, and names this column.
        } else if is_identifier(text) {
            let mut known: Vec<&str> = self.known_parameters();
            if known.contains(&text) {
                return plain(Role::Parameter, text);
            }
            known.extend(network.carried.iter().map(|name| name.text.as_str()));
            known.extend(HEADINGS.iter().flat_map(|(_, names)| *names).copied());
            let message = format!("column `{text}`: no operator has a parameter of that name");
            let error = Diagnostic::error(codes::COLUMN, heading.span, message);
            let error = match near_miss(text, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!(
                    "`heading \"{text}\" = parameter` says what it means, `carried {text}` that it \
                     changes nothing"
                )),
            };
            self.report(error);
        } else {
            let message = format!("column `{text}` means nothing");
            let error = Diagnostic::error(codes::COLUMN, heading.span, message).help(format!(
                "`heading \"{text}\" = parameter` says what it means, `carried \"{text}\"` that it \
                 changes nothing"
            ));
            self.report(error);
        }
        plain(Role::Unknown, text)
    }

    /// Whether a `carried` or `heading` line that fits no column all but names this one.
    fn is_said_misspelt(&self, text: &str) -> bool {
        let network = self.network;
        let tables = network.tables.iter().chain(&network.variants);
        let headers: Vec<&str> =
            tables.flat_map(|table| &table.header).map(|name| name.text.trim()).collect();
        let said = network.carried.iter().chain(network.headings.iter().map(|one| &one.text));
        said.map(|name| name.text.as_str())
            .filter(|said| !headers.contains(said))
            .any(|said| near_miss(said, headers.iter().copied()) == Some(text))
    }

    /// Names of the parameters of everything that a table can call.
    fn known_parameters(&self) -> Vec<&str> {
        let spec = self.spec;
        let files = spec.seen_files(0);
        let blocks = files.iter().flat_map(|&file| &spec.files[file].blocks);
        let own = blocks.flat_map(|block| block.params.iter().skip(1));
        let primitives = crate::expand::primitives::FAMILIES.into_iter().flatten();
        own.map(|parameter| parameter.name.text.as_str())
            .chain(primitives.flat_map(|primitive| primitive.params.iter().skip(1)).map(|p| p.name))
            .collect()
    }
}
