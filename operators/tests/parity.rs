//! Native functions and aggregates over random and extreme values against what PostgreSQL answered, recorded in `parity.tsv`
//! (`parity.sql` writes it): the same text, the same payload to the byte, the same SQLSTATE and message.

use trickle_operators::expr::function::function;
use trickle_operators::expr::Expr;
use trickle_operators::operators::scalar::{canonical, order, Accumulator};
use trickle_operators::value::numeric::Numeric;
use trickle_operators::value::{EvalError, Kind, Row};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// PostgreSQL's send functions write floats in network order.
fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    if cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

fn image(kind: Kind, text: &str) -> Vec<u8> {
    match kind {
        Kind::Numeric => Numeric::from_text(text).and_then(|value| value.to_image().ok()).expect("a numeric"),
        Kind::Int2 => text.parse::<i16>().expect("smallint").to_ne_bytes().to_vec(),
        Kind::Int4 => text.parse::<i32>().expect("integer").to_ne_bytes().to_vec(),
        Kind::Int8 => text.parse::<i64>().expect("bigint").to_ne_bytes().to_vec(),
        Kind::Float4 | Kind::Float8 => reversed(hex(text)),
        other => panic!("no cases of kind {other:?}"),
    }
}

fn text(kind: Kind, image: &[u8]) -> String {
    match kind {
        Kind::Numeric => Numeric::read(image).expect("a payload").to_text(),
        Kind::Int2 => i16::from_ne_bytes(image.try_into().expect("2 bytes")).to_string(),
        Kind::Int4 => i32::from_ne_bytes(image.try_into().expect("4 bytes")).to_string(),
        Kind::Int8 => i64::from_ne_bytes(image.try_into().expect("8 bytes")).to_string(),
        Kind::Bool => (if image == [1] { "true" } else { "false" }).to_owned(),
        Kind::Float4 => {
            let float = f32::from_ne_bytes(image.try_into().expect("4 bytes"));
            // NaNs are one value whatever their bits.
            let float = if float.is_nan() { f32::from_bits(0x7fc0_0000) } else { float };
            float.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
        }
        Kind::Float8 => {
            let float = f64::from_ne_bytes(image.try_into().expect("8 bytes"));
            let float = if float.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { float };
            float.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
        }
        other => panic!("no cases of kind {other:?}"),
    }
}

/// One line of the file.
struct Case<'a> {
    what: &'a str,
    arguments: Vec<&'a str>,
    sqlstate: &'a str,
    message: &'a str,
    answer: &'a str,
    payload: Option<&'a str>,
}

fn cases() -> Vec<Case<'static>> {
    let lines = include_str!("parity.tsv").lines();
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let &[what, arguments, sqlstate, message, answer, ..] = &fields[..] else { panic!("short line: {line}") };
            let payload = fields.get(5).copied();
            Case { what, arguments: arguments.split(' ').collect(), sqlstate, message, answer, payload }
        })
        .collect()
}

/// What is wrong with `result`, if anything.
fn difference(case: &Case<'_>, kind: Kind, result: Result<Vec<u8>, EvalError>) -> Option<String> {
    let (found, payload) = match result {
        Err(error) => (format!("{}: {}", String::from_utf8_lossy(&error.sqlstate), error.message), None),
        Ok(image) => {
            let payload = (kind == Kind::Numeric).then(|| image.iter().map(|byte| format!("{byte:02x}")).collect());
            (text(kind, &image), payload)
        }
    };
    let payload: Option<String> = payload;
    let expected =
        if case.sqlstate.is_empty() { case.answer.to_owned() } else { format!("{}: {}", case.sqlstate, case.message) };
    let bytes_differ =
        cfg!(target_endian = "little") && case.payload.is_some_and(|expected| payload.as_deref() != Some(expected));
    (found != expected || bytes_differ).then(|| {
        format!(
            "{}({})\n  engine      {found} {}\n  PostgreSQL  {expected} {}",
            case.what,
            case.arguments.join(", "),
            payload.unwrap_or_default(),
            case.payload.unwrap_or_default()
        )
    })
}

fn report(wrong: Vec<String>, seen: usize, least: usize) {
    assert!(seen >= least, "only {seen} cases: the test proves little");
    assert!(wrong.is_empty(), "{} of {seen} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn functions_answer_as_postgresql_did() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for case in cases() {
        let Ok(oid) = case.what.parse::<u32>() else { continue };
        let native = function(oid).expect("a native function");
        let images: Vec<Vec<u8>> =
            native.argument_kinds().iter().zip(&case.arguments).map(|(kind, text)| image(*kind, text)).collect();
        let row = Row::from_columns(images.iter().map(|image| Some(&image[..])));
        let arguments: Vec<Expr> =
            native.argument_kinds().iter().enumerate().map(|(at, kind)| Expr::Column(at, *kind)).collect();
        let call = Expr::Call { function: oid, arguments, kind: native.result, collation: 0 };
        let result = call.eval(row.as_ref()).map(|value| value.expect("strict over no NULL").into_owned());
        if result.is_err() && !call.fallible() {
            wrong.push(format!("{} raises and is said not to", case.what));
        }
        wrong.extend(difference(&case, native.result, result));
        seen += 1;
    }
    report(wrong, seen, 2000);
}

/// Sums over values that came and went: in any order, with others in between, merged from parts.
#[test]
fn e23_aggregates_answer_as_postgresql_did_after_retractions() {
    let others = |kind| match kind {
        Kind::Numeric => vec!["NaN", "Infinity", "-Infinity", "0.000000000000000000001", "98765432109876543210"],
        Kind::Int2 => vec!["-32768", "12"],
        Kind::Int4 => vec!["-2147483648", "12"],
        _ => vec!["-9223372036854775808", "12"],
    };
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (number, case) in cases().iter().enumerate() {
        let Some((aggregate, kind)) = case.what.split_once(' ') else { continue };
        let kind = match kind {
            "numeric" => Kind::Numeric,
            "int2" => Kind::Int2,
            "int4" => Kind::Int4,
            _ => Kind::Int8,
        };
        let others: Vec<Vec<u8>> = others(kind).into_iter().map(|text| image(kind, text)).collect();
        let mut sum = Accumulator::new(kind);
        let mut part = Accumulator::new(kind);
        let diff = 1 + number as i64 % 3;
        others.iter().for_each(|other| sum.add(other, diff).expect("a value"));
        for (at, text) in case.arguments.iter().enumerate() {
            let into = if at % 2 == 0 { &mut sum } else { &mut part };
            into.add(&image(kind, text), 1).expect("a value");
        }
        others.iter().for_each(|other| part.add(other, -diff).expect("a value"));
        sum.merge(&part);
        let result = if aggregate == "sum" { sum.sum() } else { sum.average() };
        let result_kind =
            if aggregate == "sum" && matches!(kind, Kind::Int2 | Kind::Int4) { Kind::Int8 } else { Kind::Numeric };
        wrong.extend(difference(case, result_kind, result.map(|image| image.expect("a sum of something"))));
        for text in &case.arguments {
            sum.add(&image(kind, text), -1).expect("a value");
        }
        if !sum.is_zero() {
            wrong.push(format!("{}({}) leaves a rest: {sum:?}", case.what, case.arguments.join(", ")));
        }
        seen += 1;
    }
    report(wrong, seen, 400);
}

/// Canonical forms are equal exactly for equal numerics, and order keys order as values do.
#[test]
fn e22_numeric_keys_agree_with_comparison() {
    let mut values: Vec<Vec<u8>> = cases()
        .iter()
        .filter(|case| matches!(case.what, "1718" | "1722" | "1723" | "1704" | "1771"))
        .flat_map(|case| case.arguments.iter().map(|text| image(Kind::Numeric, text)))
        .collect();
    values.extend(
        ["0", "0.000", "-1.10", "-1.1", "1.10000", "1.1", "10000", "10000.0", "NaN"].map(|t| image(Kind::Numeric, t)),
    );
    let numerics: Vec<Numeric> = values.iter().map(|image| Numeric::read(image).expect("a payload")).collect();
    let canonicals: Vec<_> = values.iter().map(|image| canonical(Kind::Numeric, image).expect("a payload")).collect();
    let orders: Vec<_> = values.iter().map(|image| order(Kind::Numeric, image).expect("a payload")).collect();
    for i in 0..values.len() {
        assert_eq!(canonical(Kind::Numeric, &canonicals[i]).expect("a payload"), canonicals[i]);
        for j in 0..values.len() {
            let compared = numerics[i].compare(&numerics[j]);
            let names = || (numerics[i].to_text(), numerics[j].to_text());
            assert_eq!(compared.is_eq(), canonicals[i] == canonicals[j], "{:?}", names());
            assert_eq!(compared, orders[i].cmp(&orders[j]), "{:?}", names());
        }
    }
}

#[test]
fn e22_floats_that_are_equal_have_one_form() {
    let nan = f64::from_bits(0xfff8_0000_0000_0001).to_ne_bytes();
    let same = |a: &[u8], b: &[u8]| {
        assert_eq!(canonical(Kind::Float8, a), canonical(Kind::Float8, b));
        assert_eq!(order(Kind::Float8, a), order(Kind::Float8, b));
    };
    same(&nan, &f64::NAN.to_ne_bytes());
    same(&(-0f64).to_ne_bytes(), &0f64.to_ne_bytes());
    let ascending = [f64::NEG_INFINITY, f64::MIN, -1.5, -5e-324, 0.0, 5e-324, 1.5, f64::MAX, f64::INFINITY, f64::NAN];
    let keys: Vec<_> =
        ascending.iter().map(|float| order(Kind::Float8, &float.to_ne_bytes()).expect("8 bytes")).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    let negative_nan = order(Kind::Float8, &nan).expect("8 bytes");
    assert!(negative_nan > order(Kind::Float8, &f64::INFINITY.to_ne_bytes()).expect("8 bytes"));
}
