//! Transcodes JSON text to MessagePack.

use rejoin_core::EncodeError;

use super::scan::{Number, Scanner, no_json};
use super::write::{counted, write_float, write_negative, write_str, write_unsigned, write_wide_len};
use super::{MAX_DEPTH, TOO_DEEP};

/// Appends the MessagePack for `json`, with every value in its shortest format.
///
/// # Errors
/// Fails if `json` is not exactly one JSON text, or nested too deeply. Partial output remains in `out`.
pub(crate) fn to_msgpack(json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut scanner = Scanner::new(json)?;
    let mut writer = MsgPackWriter { out, open: Vec::new(), wide: Vec::new() };
    writer.write(&mut scanner)?;
    if scanner.peek().is_some() {
        return Err(no_json("trailing text after the value"));
    }
    writer.widen();
    Ok(())
}

/// Writes a one-byte head when an array or map begins, because its length is known only at its end. Longer heads are inserted
/// after everything else is written.
struct MsgPackWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Arrays and maps that are not closed yet, outermost first.
    open: Vec<MsgPackContainer>,
    /// Arrays and maps whose length does not fit into a one-byte head, in the order of their ends.
    wide: Vec<Wide>,
}

struct MsgPackContainer {
    is_map: bool,
    /// Offset of the head.
    at: usize,
    /// Number of elements or pairs.
    len: usize,
    /// Length of `wide` when this began.
    wide_before: usize,
}

struct Wide {
    is_map: bool,
    at: usize,
    len: u32,
    /// Index in `wide` of the first one inside this one; its own index if there is none.
    first_inside: usize,
}

impl MsgPackWriter<'_> {
    fn write(&mut self, json: &mut Scanner<'_>) -> Result<(), EncodeError> {
        loop {
            match json.next()? {
                first @ (b'{' | b'[') => {
                    if self.open(json, first == b'{')? {
                        continue;
                    }
                }
                first => self.write_scalar(json, first)?,
            }
            // A value has ended, and with it perhaps the arrays and maps that it was the last member of.
            loop {
                let Some(top) = self.open.last() else {
                    return Ok(());
                };
                match (json.next()?, top.is_map) {
                    (b',', _) => break self.begin_member(json)?,
                    (b'}', true) | (b']', false) => self.close()?,
                    _ => return Err(no_json("expected a comma or the end after a member")),
                }
            }
        }
    }

    /// Opens an array or map. Returns whether it has a first member; an empty one is closed at once.
    fn open(&mut self, json: &mut Scanner<'_>, is_map: bool) -> Result<bool, EncodeError> {
        if self.open.len() == MAX_DEPTH {
            return Err(EncodeError::new(TOO_DEEP));
        }
        self.open.push(MsgPackContainer { is_map, at: self.out.len(), len: 0, wide_before: self.wide.len() });
        self.out.push(0);
        if json.peek() == Some(if is_map { b'}' } else { b']' }) {
            json.next()?;
            self.close()?;
            return Ok(false);
        }
        self.begin_member(json)?;
        Ok(true)
    }

    /// Counts a member of the innermost array or map. For a map, also reads its name, so that its value is next.
    fn begin_member(&mut self, json: &mut Scanner<'_>) -> Result<(), EncodeError> {
        let Some(top) = self.open.last_mut() else {
            return Ok(());
        };
        top.len += 1;
        if top.is_map {
            if json.next()? != b'"' {
                return Err(no_json("member name is not a string"));
            }
            write_str(self.out, json.string()?)?;
            if json.next()? != b':' {
                return Err(no_json("expected a colon after a member name"));
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), EncodeError> {
        let Some(MsgPackContainer { is_map, at, len, wide_before }) = self.open.pop() else {
            return Ok(());
        };
        match len {
            0..=15 => self.out[at] = if is_map { 0x80 } else { 0x90 } + len as u8,
            _ => self.wide.push(Wide { is_map, at, len: counted(len)?, first_inside: wide_before }),
        }
        Ok(())
    }

    fn write_scalar(&mut self, json: &mut Scanner<'_>, first: u8) -> Result<(), EncodeError> {
        match first {
            b'"' => write_str(self.out, json.string()?)?,
            b'-' | b'0'..=b'9' => match json.number()? {
                Number::Unsigned(value) => write_unsigned(self.out, value),
                Number::Negative(value) => write_negative(self.out, value),
                Number::Float(value) => write_float(self.out, value),
            },
            b'n' => {
                json.word("ull")?;
                self.out.push(0xc0);
            }
            b'f' => {
                json.word("alse")?;
                self.out.push(0xc2);
            }
            b't' => {
                json.word("rue")?;
                self.out.push(0xc3);
            }
            _ => return Err(no_json("expected a value")),
        }
        Ok(())
    }

    /// Inserts the long heads, from the end backwards, so that each byte moves at most once.
    fn widen(self) {
        let mut head = Vec::with_capacity(5);
        let extra: usize = self.wide.iter().map(|wide| if wide.len <= 0xffff { 2 } else { 4 }).sum();
        let mut from = self.out.len();
        let mut to = from + extra;
        self.out.resize(to, 0);
        // `wide` is in the order of ends, so an outer one follows its inner ones although its head precedes theirs.
        let mut waiting: Vec<&Wide> = Vec::new();
        for (index, wide) in self.wide.iter().enumerate().rev() {
            waiting.push(wide);
            while let Some(wide) = waiting.pop_if(|wide| wide.first_inside == index) {
                let members = wide.at + 1..from;
                to -= members.len();
                self.out.copy_within(members, to);
                head.clear();
                write_wide_len(&mut head, if wide.is_map { 0xde } else { 0xdc }, wide.len);
                to -= head.len();
                self.out[to..to + head.len()].copy_from_slice(&head);
                from = wide.at;
            }
        }
    }
}
