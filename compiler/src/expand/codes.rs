//! The codes of diagnostics that expansion gives. Those of arithmetic are in [`crate::pure`], those of
//! names of tensors in [`crate::names`], those of syntax in the grammar.

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)*
        /// Every code of expansion with what it means, in order.
        pub const CODES: &[(&str, &str)] = &[$(($code, $meaning)),*];
    };
}

codes! {
    ROW_LENGTH = "E0101", "a row has another number of cells than the header";
    SHAPE_CELL = "E0102", "a checked column prints another shape than the network has there";
    COLUMN = "E0103", "a column heading that means nothing";
    COLUMN_TWICE = "E0104", "two columns of one table mean the same";
    CELL_UNUSED = "E0105", "a cell that no operator of its row takes";
    OPERATOR_CELL = "E0106", "an operator cell that cannot be read";
    TABLE = "E0107", "a table that lacks what every table needs";
    REPEAT = "E0108", "a repeat count that is not a whole number";
    SHAPE_TEXT = "E0109", "a cell of a checked column that is not a shape";
    PATTERN = "E0110", "an operator pattern that cannot work";
    VARIANTS = "E0111", "a mistake in the table of variants";
    VARIANT = "E0112", "no variant given, or one that does not exist";
    NO_TABLE = "E0113", "a network, or a variant of it, without rows";
    COLUMN_RULE = "E0114", "a column rule for a column that does not exist";
    ROW_LABEL = "E0115", "a label that another row has already";
    ARGUMENT = "E0202", "an argument that the callee does not have";
    TOO_MANY = "E0203", "more arguments than the callee takes";
    MISSING = "E0204", "an argument that must be given is not";
    GIVEN_TWICE = "E0205", "an argument that is given twice";
    DEFINED_TWICE = "E0206", "a name that is defined twice";
    NOT_CALLABLE = "E0207", "something is called that cannot be called";
    RESULTS = "E0208", "another number of results than labels";
    REQUIRE = "E0209", "a `require` line does not hold";
    SET_NAME = "E0221", "`--set` of a parameter that the network does not have";
    SET_VALUE = "E0222", "`--set` with a value of the wrong kind";
    NO_VALUE = "E0223", "a parameter without a value";
    NETWORK = "E0224", "no network, or more than one";
    USE = "E0225", "a `use` that cannot be followed";
    OUTPUT = "E0226", "an output that names no value";
    NO_FIELD = "E0227", "a field that a value does not have";
    NO_TENSOR = "E0228", "a value that must be a tensor is not";
    HEADING = "E0229", "a heading that no table uses";
    SHAPE = "E0301", "an operator that does not apply to a tensor of that shape";
    NOT_A_MAP = "E0302", "an operator that needs a map is given something else";
    AXIS = "E0303", "an axis that the tensor does not have";
    VIEW = "E0304", "a view pattern that cannot be read, or does not fit the tensor";
    GLOBAL_WINDOW = "E0305", "a global pooling whose printed window is not the map";
    OPTION = "E0306", "a word that an argument does not know";
    EXPECT_PARAMS = "E0401", "the network has another number of parameters than expected";
    EXPECT_MACS = "E0402", "the network has another number of multiply-accumulates than expected";
    EXPECT = "E0403", "an expectation that cannot be read";
    DIALECT = "E0511", "a dialect that the spec does not have";
    SET = "E0512", "`set` of a setting that is not declared";
    PREPROCESS = "E0513", "a mistake in a `preprocess` section";
    TOO_DEEP = "E0611", "nested too deeply";
    RECURSION = "E0612", "a block, operator or setting that needs itself";
    TOO_MANY_REPEATS = "E0613", "a repeat count beyond the limit";
    TOO_MANY_NODES = "E0614", "a network with more operations than the limit";
    TOO_LONG = "E0615", "an evaluation that takes more steps than the limit";
    TOO_LARGE = "E0616", "a constant with more elements than the limit";
    UNUSED = "W0101", "a row or a line whose result reaches no output";
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn codes_ascend() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0), "{CODES:?}");
    }
}
