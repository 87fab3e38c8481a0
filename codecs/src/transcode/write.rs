//! Writes MessagePack values, always in the shortest format.

use rejoin_core::EncodeError;

/// Appends a string.
pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    match counted(text.len())? {
        len @ 0..=31 => out.push(0xa0 + len as u8),
        len @ 32..=255 => out.extend_from_slice(&[0xd9, len as u8]),
        len => write_wide_len(out, 0xda, len),
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a `bin`.
pub(crate) fn write_bin(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    match counted(bytes.len())? {
        len @ 0..=255 => out.extend_from_slice(&[0xc4, len as u8]),
        len => write_wide_len(out, 0xc5, len),
    }
    out.extend_from_slice(bytes);
    Ok(())
}

pub(super) fn write_unsigned(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => write_number(out, 0xcd, &(value as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => write_number(out, 0xce, &(value as u32).to_be_bytes()),
        _ => write_number(out, 0xcf, &value.to_be_bytes()),
    }
}

/// Appends a number below 0.
pub(super) fn write_negative(out: &mut Vec<u8>, value: i64) {
    match value {
        -0x20.. => out.push(value as u8),
        -0x80..-0x20 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..-0x80 => write_number(out, 0xd1, &(value as i16).to_be_bytes()),
        -0x8000_0000..-0x8000 => write_number(out, 0xd2, &(value as i32).to_be_bytes()),
        _ => write_number(out, 0xd3, &value.to_be_bytes()),
    }
}

pub(super) fn write_float(out: &mut Vec<u8>, value: f64) {
    write_number(out, 0xcb, &value.to_be_bytes());
}

fn write_number(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// Appends a 16-bit length with `marker`, or a 32-bit length with the next marker.
pub(super) fn write_wide_len(out: &mut Vec<u8>, marker: u8, len: u32) {
    match u16::try_from(len) {
        Ok(len) => write_number(out, marker, &len.to_be_bytes()),
        Err(_) => write_number(out, marker + 1, &len.to_be_bytes()),
    }
}

/// Checks that a length fits into MessagePack's 32 bits.
pub(super) fn counted(len: usize) -> Result<u32, EncodeError> {
    u32::try_from(len).map_err(|_| EncodeError::new("more than 4 GiB, or 2^32 members, in MessagePack"))
}
