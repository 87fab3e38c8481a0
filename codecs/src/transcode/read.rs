//! [`Reader`]: reads MessagePack token by token.

use std::fmt;

/// Why bytes are not exactly one MessagePack value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MalformedMsgPack {
    /// The bytes end inside a value.
    Truncated,
    /// The byte 0xc1, which the format never uses.
    Reserved,
    /// More bytes follow the value.
    Trailing,
}

impl fmt::Display for MalformedMsgPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "value is truncated",
            Self::Reserved => "reserved marker 0xc1",
            Self::Trailing => "trailing bytes after the value",
        })
    }
}

/// A scalar, or the head of an array or map, whose members are the tokens that follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MsgPackToken<'a> {
    Nil,
    Bool(bool),
    /// From an unsigned format or a positive fixint.
    Unsigned(u64),
    /// From a signed format; not necessarily negative.
    Signed(i64),
    /// A float 32 is widened, which is exact.
    Float(f64),
    /// UTF-8 according to the specification, but not validated.
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Ext(i8, &'a [u8]),
    /// Number of elements that follow, as claimed by the input.
    Array(u32),
    /// Number of pairs of key and value that follow, as claimed by the input.
    Map(u32),
}

impl MsgPackToken<'_> {
    /// Number of direct members that follow, before the next value on the same level.
    pub(crate) fn members(&self) -> u64 {
        match *self {
            Self::Array(len) => len.into(),
            Self::Map(len) => u64::from(len) * 2,
            _ => 0,
        }
    }
}

/// Reads MessagePack in any valid format, shortest or not. Does not allocate or recurse.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// # Errors
    /// Fails if bytes are left.
    pub(crate) fn finish(self) -> Result<(), MalformedMsgPack> {
        if self.rest.is_empty() { Ok(()) } else { Err(MalformedMsgPack::Trailing) }
    }

    /// The next token.
    pub(crate) fn token(&mut self) -> Result<MsgPackToken<'a>, MalformedMsgPack> {
        // In the order of the specification's table of formats.
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => MsgPackToken::Unsigned(marker.into()),
            0x80..=0x8f => MsgPackToken::Map((marker & 0x0f).into()),
            0x90..=0x9f => MsgPackToken::Array((marker & 0x0f).into()),
            0xa0..=0xbf => MsgPackToken::Str(self.bytes(usize::from(marker & 0x1f))?),
            0xc0 => MsgPackToken::Nil,
            0xc1 => return Err(MalformedMsgPack::Reserved),
            0xc2 => MsgPackToken::Bool(false),
            0xc3 => MsgPackToken::Bool(true),
            0xc4 => MsgPackToken::Bin(self.counted_8()?),
            0xc5 => MsgPackToken::Bin(self.counted_16()?),
            0xc6 => MsgPackToken::Bin(self.counted_32()?),
            0xc7 => {
                let [len] = self.array()?;
                self.ext(len.into())?
            }
            0xc8 => {
                let len = u16::from_be_bytes(self.array()?);
                self.ext(len.into())?
            }
            0xc9 => {
                let len = u32::from_be_bytes(self.array()?);
                self.ext(addressable(len))?
            }
            0xca => MsgPackToken::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => MsgPackToken::Float(f64::from_be_bytes(self.array()?)),
            0xcc => MsgPackToken::Unsigned(u8::from_be_bytes(self.array()?).into()),
            0xcd => MsgPackToken::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => MsgPackToken::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => MsgPackToken::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => MsgPackToken::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => MsgPackToken::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => MsgPackToken::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => MsgPackToken::Signed(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.ext(1 << (marker - 0xd4))?,
            0xd9 => MsgPackToken::Str(self.counted_8()?),
            0xda => MsgPackToken::Str(self.counted_16()?),
            0xdb => MsgPackToken::Str(self.counted_32()?),
            0xdc => MsgPackToken::Array(u16::from_be_bytes(self.array()?).into()),
            0xdd => MsgPackToken::Array(u32::from_be_bytes(self.array()?)),
            0xde => MsgPackToken::Map(u16::from_be_bytes(self.array()?).into()),
            0xdf => MsgPackToken::Map(u32::from_be_bytes(self.array()?)),
            0xe0..=0xff => MsgPackToken::Signed(i8::from_be_bytes([marker]).into()),
        })
    }

    /// Returns the bytes of the next value, after checking that it is complete. Takes linear time for any depth.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], MalformedMsgPack> {
        let data = self.rest;
        let mut at = 0;
        let mut left: u64 = 1;
        while left > 0 {
            let rest = data.get(at..).ok_or(MalformedMsgPack::Truncated)?;
            // Every value takes at least one byte, so a larger claim is false. This also prevents overflow of the sum.
            if left > rest.len() as u64 {
                return Err(MalformedMsgPack::Truncated);
            }
            // Fast paths for the most frequent values. Branches are faster than a table of lengths here: the CPU predicts them
            // and does not wait for this byte before it loads the next one.
            left -= 1;
            match rest[0] {
                0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => at += 1,
                marker @ 0xa0..=0xbf => at += 1 + usize::from(marker & 0x1f),
                0xcb => at += 9,
                _ => {
                    self.rest = rest;
                    left += self.token()?.members();
                    at = data.len() - self.rest.len();
                }
            }
        }
        let (value, rest) = data.split_at_checked(at).ok_or(MalformedMsgPack::Truncated)?;
        self.rest = rest;
        Ok(value)
    }

    fn ext(&mut self, len: usize) -> Result<MsgPackToken<'a>, MalformedMsgPack> {
        let kind = i8::from_be_bytes(self.array()?);
        Ok(MsgPackToken::Ext(kind, self.bytes(len)?))
    }

    fn counted_8(&mut self) -> Result<&'a [u8], MalformedMsgPack> {
        let [len] = self.array()?;
        self.bytes(len.into())
    }

    fn counted_16(&mut self) -> Result<&'a [u8], MalformedMsgPack> {
        let len = u16::from_be_bytes(self.array()?);
        self.bytes(len.into())
    }

    fn counted_32(&mut self) -> Result<&'a [u8], MalformedMsgPack> {
        let len = u32::from_be_bytes(self.array()?);
        self.bytes(addressable(len))
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], MalformedMsgPack> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(MalformedMsgPack::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedMsgPack> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(MalformedMsgPack::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Converts a length; one that does not fit becomes `usize::MAX`, which exceeds any input as well.
fn addressable(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_is_classified() {
        for marker in 0..=u8::MAX {
            let mut data = [0; 20];
            data[0] = marker;
            let (short, long) = (Reader::new(&data[..1]).token(), Reader::new(&data).token());
            if marker == 0xc1 {
                assert_eq!((short, long), (Err(MalformedMsgPack::Reserved), Err(MalformedMsgPack::Reserved)));
            } else {
                assert!(matches!(short, Ok(_) | Err(MalformedMsgPack::Truncated)), "{marker:#x}: {short:?}");
                assert!(long.is_ok() || (0xb1..=0xbf).contains(&marker), "{marker:#x}: {long:?}");
            }
        }
    }

    #[test]
    fn faults_have_different_texts() {
        let texts = [MalformedMsgPack::Truncated, MalformedMsgPack::Reserved, MalformedMsgPack::Trailing]
            .map(|why| why.to_string());
        for (text, word) in texts.iter().zip(["truncated", "reserved", "trailing"]) {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn value_length_is_the_sum_of_its_tokens() {
        for marker in 0..=u8::MAX {
            let mut data = [0; 40];
            data[0] = marker;
            let mut reader = Reader::new(&data);
            let mut left = 1;
            let whole = loop {
                match reader.token() {
                    Ok(token) => left = left - 1 + token.members(),
                    Err(why) => break Err(why),
                }
                if left == 0 {
                    break Ok(&data[..data.len() - reader.rest.len()]);
                }
            };
            assert_eq!(Reader::new(&data).value(), whole, "{marker:#x}");
            for cut in 1..whole.map_or(1, <[u8]>::len) {
                assert_eq!(
                    Reader::new(&data[..cut]).value(),
                    Err(MalformedMsgPack::Truncated),
                    "{marker:#x} of {cut}"
                );
            }
        }
    }

    #[test]
    fn reads_limits_of_each_format() {
        for (data, token) in [
            (&b"\x7f"[..], MsgPackToken::Unsigned(127)),
            (b"\xcc\xff", MsgPackToken::Unsigned(255)),
            (b"\xcd\xff\xff", MsgPackToken::Unsigned(65_535)),
            (b"\xce\xff\xff\xff\xff", MsgPackToken::Unsigned(u32::MAX.into())),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", MsgPackToken::Unsigned(u64::MAX)),
            (b"\xe0", MsgPackToken::Signed(-32)),
            (b"\xd0\x80", MsgPackToken::Signed(-128)),
            (b"\xd1\x80\0", MsgPackToken::Signed(i16::MIN.into())),
            (b"\xd2\x80\0\0\0", MsgPackToken::Signed(i32::MIN.into())),
            (b"\xd3\x80\0\0\0\0\0\0\0", MsgPackToken::Signed(i64::MIN)),
            (b"\xca\x3f\x80\0\0", MsgPackToken::Float(1.0)),
            (b"\xcb\xbf\xf0\0\0\0\0\0\0", MsgPackToken::Float(-1.0)),
            (b"\xa1a", MsgPackToken::Str(b"a")),
            (b"\xd9\x01a", MsgPackToken::Str(b"a")),
            (b"\xda\0\x01a", MsgPackToken::Str(b"a")),
            (b"\xdb\0\0\0\x01a", MsgPackToken::Str(b"a")),
            (b"\xc4\x01a", MsgPackToken::Bin(b"a")),
            (b"\xc5\0\x01a", MsgPackToken::Bin(b"a")),
            (b"\xc6\0\0\0\x01a", MsgPackToken::Bin(b"a")),
            (b"\xd4\xffa", MsgPackToken::Ext(-1, b"a")),
            (b"\xd5\x7fab", MsgPackToken::Ext(127, b"ab")),
            (b"\xd6\0abcd", MsgPackToken::Ext(0, b"abcd")),
            (b"\xd7\0abcdefgh", MsgPackToken::Ext(0, b"abcdefgh")),
            (b"\xd8\0abcdefghabcdefgh", MsgPackToken::Ext(0, b"abcdefghabcdefgh")),
            (b"\xc7\x01\x05a", MsgPackToken::Ext(5, b"a")),
            (b"\xc8\0\x01\x05a", MsgPackToken::Ext(5, b"a")),
            (b"\xc9\0\0\0\x01\x05a", MsgPackToken::Ext(5, b"a")),
            (b"\x9f", MsgPackToken::Array(15)),
            (b"\xdc\xff\xff", MsgPackToken::Array(65_535)),
            (b"\xdd\xff\xff\xff\xff", MsgPackToken::Array(u32::MAX)),
            (b"\x8f", MsgPackToken::Map(15)),
            (b"\xde\xff\xff", MsgPackToken::Map(65_535)),
            (b"\xdf\xff\xff\xff\xff", MsgPackToken::Map(u32::MAX)),
        ] {
            let mut reader = Reader::new(data);
            assert_eq!(reader.token(), Ok(token));
            assert_eq!(reader.finish(), Ok(()));
            for cut in 0..data.len() {
                assert_eq!(Reader::new(&data[..cut]).token(), Err(MalformedMsgPack::Truncated));
            }
        }
    }

    #[test]
    fn value_ends_with_its_last_member() {
        let data = b"\x82\xa1a\x92\x01\xc4\x01x\xc0\x80\x2a";
        let mut reader = Reader::new(data);
        assert_eq!(reader.value(), Ok(&data[..data.len() - 1]));
        assert_eq!(reader.value(), Ok(&b"\x2a"[..]));
        assert_eq!(reader.value(), Err(MalformedMsgPack::Truncated));
    }

    #[test]
    fn depth_and_declared_sizes_cost_nothing() {
        let mut deep = vec![0x91; 1_000_000];
        assert_eq!(Reader::new(&deep).value(), Err(MalformedMsgPack::Truncated));
        deep.push(0xc0);
        assert_eq!(Reader::new(&deep).value().map(<[u8]>::len), Ok(deep.len()));
        let liars = b"\xdf\xff\xff\xff\xff".repeat(100_000);
        assert_eq!(Reader::new(&liars).value(), Err(MalformedMsgPack::Truncated));
    }
}
