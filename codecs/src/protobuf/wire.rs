//! Protobuf's wire format: a sequence of field numbers and values, read without recursion and written without a schema.

use rejoin_core::DecodeError;

/// Length of a field with a number up to 15 and a value below 128.
pub(super) const SMALL_INT_LEN: usize = 2;

// Wire types, which suffice to skip unknown fields.
const INT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;
const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// Length of a field with a number up to 15 and a value of `len` bytes.
pub(super) fn bytes_len(len: usize) -> usize {
    // Seven bits per byte, and at least one byte.
    let len_of_len = (usize::BITS - len.leading_zeros()).div_ceil(7).max(1) as usize;
    1 + len_of_len + len
}

/// `number` must be at most 15.
pub(super) fn write_bytes(data: &mut Vec<u8>, number: u32, value: &[u8]) {
    data.push(small_tag(number, LEN));
    let mut len = value.len();
    while len >= 0x80 {
        data.push(len as u8 | 0x80);
        len >>= 7;
    }
    data.push(len as u8);
    data.extend_from_slice(value);
}

/// `number` must be at most 15, `value` at most 127.
pub(super) fn write_small_int(data: &mut Vec<u8>, number: u32, value: u8) {
    data.extend_from_slice(&[small_tag(number, INT), value]);
}

/// The tag of a field with a number up to 15.
fn small_tag(number: u32, wire_type: u32) -> u8 {
    (8 * number + wire_type) as u8
}

/// The value of a field.
pub(super) enum WireValue<'a> {
    /// A varint: any integer, bool or enum.
    Int(u64),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
    /// A number of fixed size, or a group. No field of ours has such a value.
    Other,
}

/// Reads the fields of a message in order.
pub(super) struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The number and value of the next field; `None` at the end of the message.
    pub(super) fn next_field(&mut self) -> Result<Option<(u32, WireValue<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            INT => WireValue::Int(self.varint()?),
            LEN => WireValue::Bytes(self.len_delimited()?),
            GROUP => {
                self.skip_group(number)?;
                WireValue::Other
            }
            _ => {
                self.skip_value(wire_type)?;
                WireValue::Other
            }
        };
        Ok(Some((number, value)))
    }

    /// Skips a group, up to its end with the same number. Groups can nest as deeply as the message is long, so open groups are
    /// on the heap, not on the call stack.
    fn skip_group(&mut self, number: u32) -> Result<(), DecodeError> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            match self.tag()? {
                (number, GROUP) => open.push(number),
                (number, GROUP_END) if number == innermost => drop(open.pop()),
                (_, wire_type) => self.skip_value(wire_type)?,
            }
        }
        Ok(())
    }

    /// Skips a value other than a group.
    fn skip_value(&mut self, wire_type: u32) -> Result<(), DecodeError> {
        match wire_type {
            INT => drop(self.varint()?),
            FIXED64 => drop(self.take(8)?),
            LEN => drop(self.len_delimited()?),
            FIXED32 => drop(self.take(4)?),
            GROUP_END => return Err(malformed("group end without a group")),
            _ => return Err(malformed("invalid wire type")),
        }
        Ok(())
    }

    /// Reads the number and wire type of a field.
    fn tag(&mut self) -> Result<(u32, u32), DecodeError> {
        let tag = u32::try_from(self.varint()?).map_err(|_| malformed("field number exceeds 29 bits"))?;
        if tag >> 3 == 0 {
            return Err(malformed("field number 0"));
        }
        Ok((tag >> 3, tag & 7))
    }

    fn len_delimited(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        self.take(len)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        let taken = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (value, rest) = taken.ok_or_else(|| malformed("field extends beyond the message"))?;
        self.rest = rest;
        Ok(value)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok((*byte).into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().enumerate() {
            // The tenth byte is the last, and holds only one of the 64 bits.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(malformed("number is truncated, or exceeds 64 bits"))
    }
}

/// The error for bytes that violate the wire format.
pub(super) fn malformed(why: &'static str) -> DecodeError {
    DecodeError::Malformed(why.into())
}
