use super::*;
use proptest::prelude::*;

fn at() -> Span {
    Span::default()
}

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: at() }
}

fn number(number: f64) -> Box<Expr> {
    Box::new(expr(ExprKind::Number(number)))
}

fn nothing(_: &str) -> Option<Value> {
    None
}

fn call(name: &str, args: &[(Option<&str>, Value)]) -> Result<Value, Diagnostic> {
    let args: Vec<Arg> = args
        .iter()
        .map(|(name, value)| Arg {
            name: name.map(str::to_string),
            value: value.clone(),
            span: at(),
        })
        .collect();
    function(name, &args, at()).expect("a number function without tensors")
}

#[test]
fn channel_rounding() {
    // The examples of the MobileNet family, and the rule without the 0.9 limit.
    for (v, rounded) in [(11.2, 16.0), (18.0, 24.0), (8.4, 8.0), (33.6, 32.0), (1792.0, 1792.0)] {
        let got = call("divisible", &[(None, v.into()), (None, 8.0.into())]).unwrap();
        assert!(got.same(&rounded.into()), "divisible({v}) = {got}");
    }
    let loose = call("divisible", &[(None, 18.0.into()), (Some("limit"), 0.0.into())]).unwrap();
    assert!(loose.same(&16.0.into()));
    let least = call("divisible", &[(None, 3.0.into()), (Some("min"), 16.0.into())]).unwrap();
    assert!(least.same(&16.0.into()));
}

#[test]
fn lists_part_by_part() {
    let size = Value::numbers([224.0, 320.0]);
    let half = binary(BinaryOp::Div, &size, &2.0.into(), at()).unwrap();
    assert!(half.same(&Value::numbers([112.0, 160.0])));
    assert_eq!(half.to_string(), "112x160");
    let most = call("max", &[(None, size.clone())]).unwrap();
    assert!(most.same(&320.0.into()));
    let second = index(&size, &(-1.0).into(), at()).unwrap();
    assert!(second.same(&320.0.into()));
    let error = binary(BinaryOp::Add, &size, &Value::numbers([1.0]), at()).unwrap_err();
    assert_eq!(error.code, "E0216");
    assert!(call("list", &[(None, 3.0.into())]).unwrap().same(&Value::numbers([0.0, 1.0, 2.0])));
}

#[test]
fn a_number_stays_finite() {
    let div = |a: f64, b: f64| binary(BinaryOp::Div, &a.into(), &b.into(), at());
    assert_eq!(div(1.0, 0.0).unwrap_err().code, "E0211");
    assert_eq!(div(1e300, 1e-300).unwrap_err().code, "E0212");
    assert_eq!(call("sqrt", &[(None, (-1.0).into())]).unwrap_err().code, "E0212");
    assert_eq!(call("ln", &[(None, 0.0.into())]).unwrap_err().code, "E0212");
    let rem = binary(BinaryOp::Rem, &(-1.0).into(), &3.0.into(), at()).unwrap();
    assert!(rem.same(&2.0.into()));
}

#[test]
fn wrong_kinds_are_named() {
    let error = binary(BinaryOp::Mul, &2.0.into(), &"a".into(), at()).unwrap_err();
    assert_eq!(error.message, "an operand of `*` must be a number, this is text (\"a\")");
    let error = Value::Number(2.5).as_count("`groups`", at()).unwrap_err();
    assert_eq!(error.message, "`groups` must be a whole number, this is 2.5");
    assert_eq!(Value::Number(0.0).as_count("`groups`", at()).unwrap_err().code, "E0218");
    assert_eq!(Value::numbers([3.0, 5.0]).as_size2("`k`", 1, at()).unwrap(), [3, 5]);
    let error = call("round", &[(Some("digits"), 2.0.into())]).unwrap_err();
    assert_eq!(error.code, "E0213");
    assert!(function("round", &[], at()).expect("a number function").is_err());
    assert!(function("conv", &[], at()).is_none());
}

#[test]
fn conditions() {
    for (value, truth) in [
        (Value::Absent, false),
        (0.0.into(), false),
        (false.into(), false),
        (0.25.into(), true),
        ("".into(), true),
    ] {
        assert_eq!(value.truth(at()).unwrap(), truth, "{value}");
    }
    // The second operand is not looked at where the first decides.
    let unknown = || Box::new(expr(ExprKind::Name("nowhere".into())));
    let no = || Box::new(expr(ExprKind::Bool(false)));
    let both = expr(ExprKind::Binary(BinaryOp::And, no(), unknown()));
    assert!(!condition(&both, &nothing).unwrap());
    let either = expr(ExprKind::Binary(BinaryOp::Or, no(), unknown()));
    assert_eq!(condition(&either, &nothing).unwrap_err().code, "E0201");
}

#[test]
fn expressions() {
    let lookup = |name: &str| (name == "alpha").then_some(Value::Number(1.4));
    let scaled = expr(ExprKind::Binary(
        BinaryOp::Mul,
        number(1280.0),
        Box::new(expr(ExprKind::Name("alpha".into()))),
    ));
    let step = expr(ExprKind::Call(
        Box::new(expr(ExprKind::Name("divisible".into()))),
        vec![Argument { name: None, value: *number(8.0) }],
    ));
    let piped = expr(ExprKind::Pipe(Box::new(scaled), vec![step]));
    assert!(evaluate(&piped, &lookup).unwrap().same(&1792.0.into()));
    let poison = |_: &str| Some(Value::Poison);
    assert!(evaluate(&piped, &poison).unwrap().is_poison());
    let chosen = expr(ExprKind::If(number(0.0), number(1.0), number(2.0)));
    assert!(evaluate(&chosen, &lookup).unwrap().same(&2.0.into()));
}

#[test]
fn a_deep_expression_is_an_error() {
    let mut deep = *number(1.0);
    for _ in 0..5000 {
        deep = expr(ExprKind::Binary(BinaryOp::Add, Box::new(deep), number(1.0)));
    }
    assert_eq!(evaluate(&deep, &nothing).unwrap_err().code, "E0601");
}

proptest! {
    #[test]
    fn results_are_finite(a in any::<f64>(), b in any::<f64>()) {
        prop_assume!(a.is_finite() && b.is_finite());
        use BinaryOp::{Add, Div, Mul, Pow, Rem, Sub};
        for op in [Add, Sub, Mul, Div, Rem, Pow] {
            if let Ok(value) = binary(op, &a.into(), &b.into(), at()) {
                prop_assert!(value.as_number("it", at()).unwrap().is_finite());
            }
        }
    }
}
