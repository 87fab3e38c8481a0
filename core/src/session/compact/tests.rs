//! Round trips of the compact format.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Kind {
    First,
    Second,
    Third,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Newtype(u16);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Inner {
    small: u8,
    big: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Outer {
    kind: Kind,
    inner: Inner,
    newtype: Newtype,
    maybe: Option<Inner>,
    flag: bool,
    other: Option<Kind>,
    last: u32,
}

fn outer(inner: Inner) -> Outer {
    let (kind, newtype) = (Kind::Second, Newtype(9));
    Outer { kind, inner, newtype, maybe: Some(inner), flag: true, other: Some(Kind::Third), last: u32::MAX }
}

#[test]
fn a_number_of_any_size_reads_back() {
    for number in (0..64).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits]).chain([u64::MAX]) {
        let value = outer(Inner { small: 1, big: number });
        assert_eq!(from_bytes::<Outer>(&to_bytes(&value).unwrap()).unwrap(), value);
    }
}

#[test]
fn zeros_at_the_end_take_no_bytes() {
    let inner = Inner { small: 0, big: 128 };
    let value = Outer { maybe: None, flag: false, other: None, last: 0, ..outer(inner) };
    let bytes = to_bytes(&value).unwrap();
    assert_eq!(*bytes, [1, 0, 0x80, 1, 9]);
    assert_eq!(from_bytes::<Outer>(&bytes).unwrap(), value);
    let nothing =
        Outer { kind: Kind::First, inner: Inner { small: 0, big: 0 }, newtype: Newtype(0), ..value };
    assert!(to_bytes(&nothing).unwrap().is_empty());
}

#[test]
fn unsupported_types_are_refused() {
    assert!(to_bytes(&"text").is_err() && to_bytes(&-1).is_err() && to_bytes(&1.5).is_err());
    assert!(to_bytes(&[1]).is_err() && to_bytes(&(1, 2)).is_err());
    assert!(from_bytes::<String>(&[1, 2]).is_err() && from_bytes::<Vec<u8>>(&[1, 2]).is_err());
    assert!(from_bytes::<u8>(&[0xff, 3]).is_err() && from_bytes::<Kind>(&[3]).is_err());
}
