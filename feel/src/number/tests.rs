use super::*;

fn n(text: &str) -> Number {
    Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
}

#[test]
fn reads_and_writes_decimals() {
    for (source, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("-1.50", "-1.5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("12345678901234567890123456789012345", "12345678901234567890123456789012340"),
        ("1e100", "1E+100"),
        ("1e-100", "1E-100"),
        ("-2.5e200", "-2.5E+200"),
    ] {
        assert_eq!(n(source).to_string(), expected, "{source}");
    }
    for bad in ["", "-", ".", "1.", "a", "1e", "1..2", "+1", "1e99999999999", "9e7000"] {
        assert!(Number::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn arithmetic_is_decimal_and_keeps_34_digits() {
    assert_eq!(n("0.1").add(&n("0.2")).unwrap(), n("0.3"));
    assert_eq!(n("1").div(&n("3")).unwrap().to_string(), "0.3333333333333333333333333333333333");
    assert_eq!(n("2").div(&n("3")).unwrap().to_string(), "0.6666666666666666666666666666666667");
    assert_eq!(n("-2").div(&n("3")).unwrap().to_string(), "-0.6666666666666666666666666666666667");
    assert_eq!(n("1e33").add(&n("0.5")).unwrap(), n("1e33"));
    assert_eq!(n("1e6000").add(&n("1e-6000")).unwrap(), n("1e6000"));
    assert_eq!(n("9999999999999999999999999999999999").add(&n("1")).unwrap(), n("1e34"));
    assert_eq!(
        n("12345678901234567890").mul(&n("98765432109876543210")).unwrap().to_string(),
        "1219326311370217952237463801111264000000"
    );
    assert!(n("1").div(&n("0")).is_none());
    assert!(n("1e6000").mul(&n("1e6000")).is_none());
    for (a, b, r) in
        [("10", "4", "2"), ("10", "-4", "-2"), ("-10", "4", "2"), ("10.1", "4.5", "1.1"), ("-10", "-4", "-2")]
    {
        assert_eq!(n(a).modulo(&n(b)).unwrap(), n(r), "{a} mod {b}");
    }
}

#[test]
fn order_ignores_the_form() {
    assert_eq!(n("1.0"), n("1"));
    assert_eq!(Number::new(10, -1).unwrap(), n("1"));
    assert!(n("1e40") > n("9e39") && n("-1e40") < n("-9e39") && n("0.1") > n("-5") && n("0") < n("1e-50"));
    assert!(n("1e40") > n("9999999999999999999999999999999999"));
}

#[test]
fn rounds_in_every_mode() {
    use Rounding::{Ceiling, Down, Floor, HalfDown, HalfEven, HalfUp, Up};
    for (source, mode, expected) in [
        ("5.5", Up, "6"),
        ("-5.5", Up, "-6"),
        ("5.5", Down, "5"),
        ("-5.5", Down, "-5"),
        ("5.5", HalfUp, "6"),
        ("-5.5", HalfUp, "-6"),
        ("5.5", HalfDown, "5"),
        ("-5.5", HalfDown, "-5"),
        ("2.5", HalfEven, "2"),
        ("1.5", HalfEven, "2"),
        ("1.5", Floor, "1"),
        ("-1.5", Floor, "-2"),
        ("1.5", Ceiling, "2"),
        ("-1.5", Ceiling, "-1"),
        ("1e-50", Ceiling, "1"),
        ("5", Up, "5"),
    ] {
        assert_eq!(n(source).round(0, mode).unwrap(), n(expected), "{source} {mode:?}");
    }
    assert_eq!(n("1.126").round(2, HalfUp).unwrap(), n("1.13"));
    assert_eq!(n("1155").round(-2, HalfEven).unwrap(), n("1200"));
}

#[test]
fn transcendental_functions_agree_with_known_digits() {
    assert_eq!(n("2").sqrt().unwrap().to_string(), "1.414213562373095048801688724209698");
    assert_eq!(n("16").sqrt().unwrap(), n("4"));
    assert_eq!(n("1").exp().unwrap().to_string(), "2.718281828459045235360287471352662");
    assert_eq!(n("4").exp().unwrap().to_string(), "54.59815003314423907811026120286088");
    assert_eq!(n("10").ln().unwrap().to_string(), "2.302585092994045684017991454684364");
    assert_eq!(n("1").ln().unwrap(), n("0"));
    assert_eq!(n("2").pow(&n("10")).unwrap(), n("1024"));
    assert_eq!(n("2").pow(&n("-2")).unwrap(), n("0.25"));
    assert_eq!(n("27").pow(&n("0.5")).unwrap().to_string(), "5.196152422706631880582339024517617");
    assert!(n("-8").pow(&n("0.3")).is_none() && n("0").ln().is_none() && n("1e5").exp().is_none());
    assert!(n("10").pow(&n("99999999999")).is_none());
}

#[test]
fn json_text_survives_what_is_not_computed_with() {
    for text in ["1.0", "1e5", "-0", "1E400", "123456789012345678901234567890123456789012", "0.10", "1e99999"] {
        assert_eq!(Number::from_json_text(text).json_text(), text);
    }
    assert_eq!(Number::from_json_text("1.0").add(&Number::ZERO).unwrap().json_text(), "1");
}
