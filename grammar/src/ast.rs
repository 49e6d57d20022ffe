//! The syntax tree of a spec. Every piece knows where it stands in the source.

use crate::diagnostic::Diagnostic;

/// A range of bytes in one source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Index of the file in the [`crate::Sources`].
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// The text.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct File {
    /// `use "blocks.arch"`: files whose blocks and settings are visible here.
    pub uses: Vec<Name>,
    /// `setting padding = symmetric`: knobs that a dialect may set.
    pub settings: Vec<Setting>,
    /// `operator` declarations outside a network, visible in every table.
    pub operators: Vec<Operator>,
    /// Blocks.
    pub blocks: Vec<Block>,
    /// Networks; a spec that is run has one.
    pub networks: Vec<Network>,
}

/// `setting name = value`
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: Name,
    /// Its value where no dialect sets it.
    pub value: Expr,
}

/// `name` or `name = default` in a parameter list.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Its default.
    pub default: Option<Expr>,
}

/// `block name(x, a, b = 1) { statements }`
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name.
    pub name: Name,
    /// Parameters; the first is the tensor that flows through.
    pub params: Vec<Parameter>,
    /// Its lines.
    pub body: Vec<Statement>,
    /// From `block` to the closing brace.
    pub span: Span,
}

/// A line of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `label = value`, `a, b = value`, with an optional `when cond` or `when cond else other`.
    Let {
        /// One label, or several for an operator with several results.
        labels: Vec<Name>,
        /// What they stand for.
        value: Expr,
        /// Condition; false: the line stands for `otherwise`, or for its first operand.
        when: Option<Expr>,
        /// After `else`.
        otherwise: Option<Expr>,
        /// The line.
        span: Span,
    },
    /// `param name[dims]`: a free parameter tensor, visible below by its name.
    Param {
        /// Its name.
        name: Name,
        /// Its shape.
        dims: Vec<Expr>,
        /// The line.
        span: Span,
    },
    /// `require condition, "message"`
    Require {
        /// Must hold.
        condition: Expr,
        /// What to say otherwise.
        message: Option<Expr>,
        /// The line.
        span: Span,
    },
}

/// `network name(params) { items }`
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: Name,
    /// Parameters; `resolution`, `classes` and `channels` exist even if not listed.
    pub params: Vec<Parameter>,
    /// Table of variants; its first column `name`, others parameters, `params`, `macs` or carried.
    pub variants: Option<Table>,
    /// `heading "#out" = c`: the paper's column heading and the parameter it means.
    pub headings: Vec<Heading>,
    /// `carried dropout, mixup`: columns that are shown and change nothing.
    pub carried: Vec<Name>,
    /// `operator ...`
    pub operators: Vec<Operator>,
    /// `column c = divisible(alpha * c, 8)`
    pub columns: Vec<ColumnRule>,
    /// `setting ...` of this network.
    pub settings: Vec<Setting>,
    /// `expect params = ...`
    pub expects: Vec<Expect>,
    /// Tables of layers.
    pub tables: Vec<Table>,
    /// Lines of a network that is written without a table (the input is `x`).
    pub body: Vec<Statement>,
    /// `output c4 = row.expand`
    pub outputs: Vec<Output>,
    /// `weights NAME { ... }`
    pub weights: Vec<Weights>,
    /// From `network` to the closing brace.
    pub span: Span,
}

/// `heading "text" = name`
#[derive(Clone, Debug, PartialEq)]
pub struct Heading {
    /// As the paper prints it; `{variant}` stands for the variant's name.
    pub text: Name,
    /// The parameter or role it means.
    pub means: Name,
}

/// `operator name = callee` or `operator "MBConv{e}, k{k}x{k}" = callee`
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// The name, or the pattern with its holes.
    pub pattern: Name,
    /// Whether `pattern` was written as a string.
    pub quoted: bool,
    /// A block or operator, perhaps with some arguments.
    pub callee: Expr,
}

/// `column name = expression`
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnRule {
    /// The column, by the parameter it binds.
    pub name: Name,
    /// Its new value; the column's own name is the printed cell.
    pub value: Expr,
}

/// `expect what = value [± tolerance] [when condition]`
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// `params` or `macs`.
    pub what: Name,
    /// The value ([`ExprKind::PlusMinus`] carries a tolerance).
    pub value: Expr,
    /// When it applies.
    pub when: Option<Expr>,
}

/// `output name = path`
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name of the result.
    pub name: Name,
    /// A label, or a label within a row: `last`, `stem.conv`.
    pub path: Expr,
}

/// A pipe table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The variants that it is for; empty: all.
    pub variants: Vec<Name>,
    /// Column headings as printed, trimmed; quotes removed.
    pub header: Vec<Name>,
    /// Rows.
    pub rows: Vec<Row>,
    /// From the first to the last line.
    pub span: Span,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// A line `---` stands above it (not above the first row).
    pub starts_stage: bool,
    /// As many cells as the line has (the expander compares with the header).
    pub cells: Vec<Cell>,
    /// `when cond` after the last bar.
    pub when: Option<Expr>,
    /// The line.
    pub span: Span,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The trimmed text.
    pub text: String,
    /// Written as `!expr`: column rules leave it alone.
    pub exempt: bool,
    /// What the text is as an expression: `None` if absent (`-`, `None`, empty), or the error that
    /// says why it is none (operator cells are read as text and do not care).
    pub value: Result<Option<Expr>, Box<Diagnostic>>,
    /// The trimmed text's place (an empty cell: the space between the bars).
    pub span: Span,
}

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// Kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `3`, `3_504_872`, `1e-3`, `300M` (K, M, B, G and T multiply by powers of a thousand).
    Number(f64),
    /// `"text"`
    Text(String),
    /// `yes`, `no`, `true`, `false`, `✓`
    Bool(bool),
    /// `-` alone as an argument, or `none`
    Absent,
    /// `3x3`, `224²`, `224²×3`: two or more numbers (`²` doubles one).
    Size(Vec<f64>),
    /// `name`; in dialect patterns also `#`, `#bn`.
    Name(String),
    /// `x.c`
    Field(Box<Expr>, Name),
    /// `C[stage]`
    Index(Box<Expr>, Box<Expr>),
    /// `(a, b)` or `[a, b]`
    List(Vec<Expr>),
    /// `-a`, `!a`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `callee(arguments)`
    Call(Box<Expr>, Vec<Argument>),
    /// `first -> step -> step`; each step a name, a field path or a call.
    Pipe(Box<Expr>, Vec<Expr>),
    /// `if cond then a else b`
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `param gamma[c]`: a free parameter in place.
    Param(Name, Vec<Expr>),
    /// `grid(i < n, j < m : body)`: a constant tensor.
    Grid(Vec<(Name, Expr)>, Box<Expr>),
    /// `value ± tolerance`
    PlusMinus(Box<Expr>, Box<Expr>),
    /// `2%`
    Percent(Box<Expr>),
    /// A piece that could not be read. Its error has been reported: whatever depends on it stays silent.
    Error,
}

/// `value` or `name = value` among arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The name, if given.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// Operators of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `!`
    Not,
}

/// Operators of two operands, loosest last: `^`, `* / %`, `+ -`, comparisons, `&&`, `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `^`, right-associative
    Pow,
    /// `*`
    Mul,
    /// `/` (a real quotient)
    Div,
    /// `%`
    Rem,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `&&`
    And,
    /// `||`
    Or,
}

impl BinaryOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Pow => "^",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
        }
    }
}

/// `weights NAME [like OTHER] { ... }`: how one library names the tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The dialect.
    pub name: Name,
    /// Another dialect of this network whose rules hold where this one has none.
    pub like: Option<Name>,
    /// `set padding = same`
    pub sets: Vec<Setting>,
    /// `label: name, name { ... }`
    pub rules: Vec<Rule>,
    /// `block mbconv { rules }`: rules for every instance of a block that no closer rule names.
    pub blocks: Vec<(Name, Vec<Rule>)>,
    /// `drop *.relative_position_index`: tensors of the file that are left out (`*` any characters).
    pub drops: Vec<Name>,
    /// `preprocess { resize = 256 bicubic ... }`
    pub preprocess: Vec<PreprocessItem>,
    /// From `weights` to the closing brace.
    pub span: Span,
}

/// `key = value value`
#[derive(Clone, Debug, PartialEq)]
pub struct PreprocessItem {
    /// `resize`, `crop`, `mean`, `std`, `labels`.
    pub key: Name,
    /// One or more values.
    pub values: Vec<Expr>,
}

/// `label, label: target, target { rules }`
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The labels it is for.
    pub labels: Vec<Name>,
    /// Names: one prefix for the whole, or one for each parameterised layer in order.
    pub targets: Vec<Target>,
    /// Rules for what is inside.
    pub rules: Vec<Rule>,
    /// Where it stands.
    pub span: Span,
}

/// `name when cond else name`
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// Condition; false: `otherwise`.
    pub when: Option<Expr>,
    /// After `else`.
    pub otherwise: Option<Box<Target>>,
    /// Where it stands.
    pub span: Span,
}

/// What a rule gives as a name.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetKind {
    /// `blocks.{s}.{i}`
    Name(Vec<NamePart>),
    /// `.`: no name of its own (children stand directly in the enclosing prefix).
    Here,
    /// `cat(q_proj, k_proj, v_proj)`: the tensors of these joined along axis 0; `0` is zeros.
    Concat(Vec<Target>),
    /// `rows(in_proj, 1, 3)`: the second of three equal parts along axis 0.
    Rows(Box<Target>, Box<Expr>, Box<Expr>),
    /// `0` inside `cat`
    Zero,
}

/// A piece of a name pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum NamePart {
    /// Letters.
    Text(String),
    /// `{expression}`
    Hole(Expr),
}
