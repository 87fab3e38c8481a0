//! Tests every row of the tables in the crate's documentation, limits, and malformed input.

use super::{to_json, to_msgpack};

fn msgpack(json: &str) -> Vec<u8> {
    let mut out = b"before".to_vec();
    to_msgpack(json.as_bytes(), &mut out).unwrap_or_else(|error| panic!("{json:.80}: {error}"));
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

fn json(msgpack: &[u8]) -> String {
    let mut out = b"before".to_vec();
    let start = &msgpack[..msgpack.len().min(80)];
    to_json(msgpack, &mut out).unwrap_or_else(|error| panic!("{}: {error}", start.escape_ascii()));
    assert!(out.starts_with(b"before"));
    String::from_utf8(out.split_off(6)).unwrap()
}

fn float(value: f64) -> Vec<u8> {
    [&b"\xcb"[..], &value.to_be_bytes()].concat()
}

#[test]
fn json_transcodes_to_messagepack() {
    for (text, expected) in [
        ("null", &b"\xc0"[..]),
        ("false", b"\xc2"),
        ("true", b"\xc3"),
        // Integers, in the shortest format.
        ("0", b"\0"),
        ("127", b"\x7f"),
        ("128", b"\xcc\x80"),
        ("255", b"\xcc\xff"),
        ("256", b"\xcd\x01\0"),
        ("65535", b"\xcd\xff\xff"),
        ("65536", b"\xce\0\x01\0\0"),
        ("4294967295", b"\xce\xff\xff\xff\xff"),
        ("4294967296", b"\xcf\0\0\0\x01\0\0\0\0"),
        ("9007199254740993", b"\xcf\0\x20\0\0\0\0\0\x01"),
        ("18446744073709551615", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("-1", b"\xff"),
        ("-32", b"\xe0"),
        ("-33", b"\xd0\xdf"),
        ("-128", b"\xd0\x80"),
        ("-129", b"\xd1\xff\x7f"),
        ("-32768", b"\xd1\x80\0"),
        ("-32769", b"\xd2\xff\xff\x7f\xff"),
        ("-2147483648", b"\xd2\x80\0\0\0"),
        ("-2147483649", b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"),
        ("-9223372036854775808", b"\xd3\x80\0\0\0\0\0\0\0"),
        // All other numbers.
        ("-0", &float(-0.0)),
        ("0.0", &float(0.0)),
        ("1.0", &float(1.0)),
        ("1e2", &float(100.0)),
        ("1E+2", &float(100.0)),
        ("-1.5e-3", &float(-0.0015)),
        ("18446744073709551616", &float(18_446_744_073_709_551_616.0)),
        ("-9223372036854775809", &float(-9_223_372_036_854_775_808.0)),
        ("0.1000000000000000055511151231257827021181583404541015625", &float(0.1)),
        ("5e-324", &float(5e-324)),
        ("1e-400", &float(0.0)),
        ("1e400", &float(f64::INFINITY)),
        ("-1e999999999999999999999", &float(f64::NEG_INFINITY)),
        // Strings.
        (r#""""#, b"\xa0"),
        ("\"ä€𝄞\u{7f}\"", b"\xaa\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e\x7f"),
        (
            r#""\"\\\/\b\f\n\r\t\u0000\u00e4\u20AC\ud834\udd1e""#,
            b"\xb2\"\\/\x08\x0c\n\r\t\0\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e",
        ),
        (r#""\ud800""#, b"\xa3\xef\xbf\xbd"),
        (r#""\udc00x\ud800\ud834\udd1e""#, b"\xab\xef\xbf\xbdx\xef\xbf\xbd\xf0\x9d\x84\x9e"),
        (r#""\ud834\n\uDD1E\ud834\u0041""#, b"\xab\xef\xbf\xbd\n\xef\xbf\xbd\xef\xbf\xbdA"),
        // Arrays and objects.
        ("[]", b"\x90"),
        ("{}", b"\x80"),
        (" [ 1 ,\t[ ] ,\r\n{ } ] ", b"\x93\x01\x90\x80"),
        (r#"{"b":1, "a" : [2],"b":null,"":{}}"#, b"\x84\xa1b\x01\xa1a\x91\x02\xa1b\xc0\xa0\x80"),
        (r#"{"\u0061":1}"#, b"\x81\xa1a\x01"),
    ] {
        assert_eq!(msgpack(text).escape_ascii().to_string(), expected.escape_ascii().to_string(), "{text}");
    }
}

#[test]
fn messagepack_transcodes_to_json() {
    for (data, expected) in [
        (&b"\xc0"[..], "null"),
        (b"\xc2", "false"),
        (b"\xc3", "true"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
        (b"\xd3\0\0\0\0\0\0\0\x01", "1"),
        (b"\xcf\0\x20\0\0\0\0\0\x01", "9007199254740993"),
        // Floats.
        (&float(1.0), "1.0"),
        (&float(-0.0), "-0.0"),
        (&float(0.1), "0.1"),
        (&float(100.0), "100.0"),
        (&float(1e300), "1e+300"),
        (&float(5e-324), "5e-324"),
        (b"\xca\x3f\x80\0\0", "1.0"),
        (b"\xca\x3d\xcc\xcc\xcd", "0.10000000149011612"),
        (&float(f64::NAN), "null"),
        (&float(f64::INFINITY), "null"),
        (b"\xca\xff\x80\0\0", "null"),
        // Strings.
        (b"\xa0", r#""""#),
        (b"\xab\"\\/\x08\x0c\n\r\t\0\xc3\xa4", r#""\"\\/\b\f\n\r\t\u0000ä""#),
        (b"\xa5a\xff\xc3(\xfe", "\"a\u{fffd}\u{fffd}(\u{fffd}\""),
        // Bytes.
        (b"\xc4\0", r#""""#),
        (b"\x92\xc4\x01\xfb\xc5\0\x02\xfb\xff", r#"["+w==","+/8="]"#),
        // Timestamps, and extensions that resemble one.
        (b"\xd6\xff\0\0\0\0", r#""1970-01-01T00:00:00Z""#),
        (b"\xd7\xff\x77\x35\x94\0\0\0\0\x01", r#""1970-01-01T00:00:01.500Z""#),
        (b"\xc7\x0c\xff\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff", r#""1969-12-31T23:59:59.000000001Z""#),
        (b"\xc7\x04\xff\0\0\0\0", r#""1970-01-01T00:00:00Z""#),
        (b"\xd4\xff\0", r#"{"ext":-1,"data":"AA=="}"#),
        (b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", r#"{"ext":-1,"data":"//////////8="}"#),
        (b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", r#"{"ext":-1,"data":"AAAAAH//////////"}"#),
        // Other extensions.
        (b"\xc7\0\x05", r#"{"ext":5,"data":""}"#),
        (b"\x91\xd5\x80ab", r#"[{"ext":-128,"data":"YWI="}]"#),
        // Arrays and maps.
        (b"\x90", "[]"),
        (b"\x80", "{}"),
        (b"\xdd\0\0\0\x02\x90\xdc\0\x01\x80", "[[],[{}]]"),
        (b"\x83\xa1b\x01\xa1a\x81\xa0\xc0\xa1b\x92\x02\x03", r#"{"b":1,"a":{"":null},"b":[2,3]}"#),
        // Keys that are not strings.
        (
            b"\x84\x01\x02\xff\x02\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x02\xa11\x02",
            r#"{"1":2,"-1":2,"18446744073709551615":2,"1":2}"#,
        ),
        (b"\x83\xc0\xc0\xc2\xc2\xc3\xc3", r#"{"null":null,"false":false,"true":true}"#),
        (b"\x82\xca\x3f\x80\0\0\0\xca\x7f\x80\0\0\0", r#"{"1.0":0,"null":0}"#),
        (b"\x81\xc4\x01\xfb\0", r#"{"+w==":0}"#),
        (b"\x81\xd6\xff\0\0\0\0\0", r#"{"1970-01-01T00:00:00Z":0}"#),
        (b"\x81\xd4\x05a\0", r#"{"{\"ext\":5,\"data\":\"YQ==\"}":0}"#),
        (b"\x81\x90\x80", r#"{"[]":{}}"#),
        (b"\x82\x92\x01\xa2\"\n\0\x81\xa1a\xc4\x01\xfb\0", r#"{"[1,\"\\\"\\n\"]":0,"{\"a\":\"+w==\"}":0}"#),
        (b"\x81\x81\x91\x01\x02\x03", r#"{"{\"[1]\":2}":3}"#),
        (b"\x81\x81\x81\xa1a\x01\x02\x03", r#"{"{\"{\\\"a\\\":1}\":2}":3}"#),
    ] {
        assert_eq!(json(data), expected);
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }
}

#[test]
fn headers_are_the_shortest_possible() {
    for (len, array, map) in [
        (15, &b"\x9f"[..], &b"\x8f"[..]),
        (16, b"\xdc\0\x10", b"\xde\0\x10"),
        (65_535, b"\xdc\xff\xff", b"\xde\xff\xff"),
        (65_536, b"\xdd\0\x01\0\0", b"\xdf\0\x01\0\0"),
    ] {
        assert_eq!(msgpack(&format!("[{}]", vec!["7"; len].join(","))), [array, &vec![7; len]].concat());
        let object = format!("{{{}}}", vec!["\"\":7"; len].join(","));
        assert_eq!(msgpack(&object), [map, &b"\xa0\x07".repeat(len)].concat());
    }
    for (len, head) in [
        (31, &b"\xbf"[..]),
        (32, b"\xd9\x20"),
        (255, b"\xd9\xff"),
        (256, b"\xda\x01\0"),
        (65_535, b"\xda\xff\xff"),
        (65_536, b"\xdb\0\x01\0\0"),
    ] {
        assert_eq!(msgpack(&format!("\"{}\"", "s".repeat(len))), [head, &vec![b's'; len]].concat());
    }
    for (len, head) in [
        (0, &b"\xc4\0"[..]),
        (127, b"\xc4\x7f"),
        (128, b"\xc4\x80"),
        (255, b"\xc4\xff"),
        (256, b"\xc5\x01\0"),
        (65_535, b"\xc5\xff\xff"),
        (65_536, b"\xc6\0\x01\0\0"),
    ] {
        let mut out = Vec::new();
        super::write_bin(&mut out, &vec![b'b'; len]).unwrap();
        assert_eq!(out, [head, &vec![b'b'; len]].concat());
    }
}

#[test]
fn lengths_of_each_width_are_read() {
    use base64::Engine as _;
    let base64 = |len: usize| base64::prelude::BASE64_STANDARD.encode(vec![b'x'; len]);
    // The second number selects one of the three widths.
    for (len, wide) in [(200_u32, 0), (255, 0), (256, 1), (40_000, 1), (65_535, 1), (65_536, 2), (70_001, 2)]
    {
        let length = &len.to_be_bytes()[4 - (1 << wide)..];
        let data = vec![b'x'; len as usize];
        let string = [&[0xd9 + wide], length, &data].concat();
        assert!(json(&string) == format!("\"{}\"", "x".repeat(len as usize)), "str of {len}");
        let bin = [&[0xc4 + wide], length, &data].concat();
        assert!(json(&bin) == format!("\"{}\"", base64(len as usize)), "bin of {len}");
        let ext = [&[0xc7 + wide], length, &[5], &data].concat();
        assert!(json(&ext) == format!("{{\"ext\":5,\"data\":\"{}\"}}", base64(len as usize)), "ext of {len}");
        for whole in [&string, &bin, &ext] {
            assert!(to_json(&whole[..whole.len() - 1], &mut Vec::new()).is_err(), "{len} cut short");
        }
    }
    for (count, heads) in [(200_u32, [0xdc, 0xde]), (40_000, [0xdc, 0xde]), (70_001, [0xdd, 0xdf])] {
        let length =
            if count > 65_535 { count.to_be_bytes().to_vec() } else { (count as u16).to_be_bytes().to_vec() };
        let array = [&[heads[0]], &length[..], &vec![7; count as usize]].concat();
        assert!(json(&array) == format!("[{}]", vec!["7"; count as usize].join(",")), "array of {count}");
        let map = [&[heads[1]], &length[..], &b"\xa0\x07".repeat(count as usize)].concat();
        assert!(json(&map) == format!("{{{}}}", vec!["\"\":7"; count as usize].join(",")), "map of {count}");
    }
}

/// Wide arrays and maps before, after and inside wide and narrow ones.
#[test]
fn headers_are_widened_at_any_depth() {
    let narrow = "[1,2]".to_owned();
    let wide = format!("[{}]", vec!["3"; 20].join(","));
    let members: Vec<_> = ('a'..='q').map(|name| format!("\"{name}\":{wide}")).collect();
    let wider = format!("{{{}}}", members.join(","));
    let widest = format!("[{}]", vec!["4"; 70_000].join(","));
    let nested =
        format!("[{}]", [&narrow[..], &wide, &wider, "5", &narrow, &widest, "[]"].repeat(3).join(","));
    let text = format!("{{\"a\":{nested},\"b\":[{wide},{nested}]}}");
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let data = msgpack(&text);
    // Not `assert_eq!`: the values are too long to print.
    assert!(data == rmp_serde::to_vec(&expected).unwrap());
    assert!(json(&data) == text);
}

#[test]
fn values_beyond_the_depth_limit_are_refused() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close, head) in [("[", "]", &b"\x91"[..]), ("{\"\":", "}", b"\x81\xa0")] {
        let (text, data) = (nested(open, close, 128), [head.repeat(128), b"\x01".to_vec()].concat());
        assert_eq!(msgpack(&text), data);
        assert_eq!(json(&data), text);
        for depth in [129, 1000, 100_000] {
            let (text, data) = (nested(open, close, depth), [head.repeat(depth), b"\x01".to_vec()].concat());
            assert!(to_msgpack(text.as_bytes(), &mut Vec::new()).is_err());
            assert!(to_json(&data, &mut Vec::new()).is_err());
        }
    }
}

#[test]
fn extension_counts_as_one_level() {
    let nested = |depth: usize| [vec![0x91; depth], b"\xd4\x05a".to_vec()].concat();
    let text = json(&nested(127));
    let back = [vec![0x91; 127], b"\x82\xa3ext\x05\xa4data\xa4YQ==".to_vec()].concat();
    assert_eq!(msgpack(&text), back);
    assert!(to_json(&nested(128), &mut Vec::new()).is_err());
    // A key becomes a string, whatever it contains.
    let key = [vec![0x91; 127], b"\x81\xd4\x05a\0".to_vec()].concat();
    assert!(to_json(&key, &mut Vec::new()).is_ok());
    // A timestamp becomes a string, too.
    let moment = [vec![0x91; 128], b"\xd6\xff\0\0\0\0".to_vec()].concat();
    assert!(to_json(&moment, &mut Vec::new()).is_ok());
}

/// Every level of keys doubles the number of backslashes inside.
#[test]
fn keys_nest_at_most_four_levels() {
    let nested = |depth: usize| [vec![0x81; depth + 1], b"\xa1\"".to_vec(), vec![0; depth + 1]].concat();
    let text = json(&nested(4));
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for _ in 0..4 {
        let key = value.as_object().unwrap().keys().next().unwrap();
        value = serde_json::from_str(key).unwrap();
    }
    assert_eq!(value, serde_json::json!({"\"": 0}));
    assert!(to_json(&nested(5), &mut Vec::new()).is_err());
    assert!(to_json(&nested(100_000), &mut Vec::new()).is_err());
    // Siblings do not count as nesting.
    let siblings = [&b"\x94"[..], &nested(4).repeat(4)].concat();
    assert_eq!(json(&siblings), format!("[{text},{text},{text},{text}]"));
}

#[test]
fn invalid_json_is_refused() {
    for text in [
        "",
        " ",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "{]",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{\"a\"x1}",
        "{\"a\",1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1x\"b\":2}",
        "{xa\":1}",
        "[1x2]",
        "[1:2]",
        "{\"a\":1",
        "{,}",
        "1 2",
        "{}x",
        "[]]",
        "nul",
        "nulL",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "1.e1",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "--1",
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\\ud800\\u\"",
        "\"\\ud800\\",
        "\"\u{1}\"",
        "\"\n\"",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
        "\u{b}1",
        "/**/1",
        "ä",
    ] {
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
        assert!(!is_json, "{text}");
        assert!(to_msgpack(text.as_bytes(), &mut Vec::new()).is_err(), "{text}");
    }
    for data in [&b"\"\xff\""[..], b"\"\xed\xa0\x80\"", b"\xc3", b"1\xff"] {
        assert!(to_msgpack(data, &mut Vec::new()).is_err());
    }
}

#[test]
fn invalid_messagepack_is_refused() {
    for data in [
        &b""[..],
        b"\xc1",
        b"\x91",
        b"\x92\x01",
        b"\x81\x01",
        b"\x81\xa1a",
        b"\x91\xc1",
        b"\x01\x01",
        b"\x80\xc0",
        b"\xa2a",
        b"\xc4\x01",
        b"\xd4\x01",
        b"\xcb\0",
        b"\xc7\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01\x01",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
    ] {
        assert!(to_json(data, &mut Vec::new()).is_err(), "{}", data.escape_ascii());
    }
}
