//! [`Mask`]: the exclusive-or with which clients mask payloads (RFC 6455 §5.3).

/// A masking key, rotated to the current position: its first byte applies to the next payload byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    /// For unmasked frames. Applying it costs nothing.
    pub(super) const NONE: Self = Self([0; 4]);

    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks the next piece of a payload in place.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        if self.0 == [0; 4] {
            return;
        }
        let [a, b, c, d] = self.0;
        // Eight bytes at a time, which the compiler vectorizes further. Both operands use native order, so each byte is combined
        // with the key byte at its position.
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (chunks, rest) = bytes.as_chunks_mut::<8>();
        for chunk in chunks {
            *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
            *byte ^= key;
        }
        // Whole chunks do not change the key's position, so only the remainder moves it.
        self.0.rotate_left(rest.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn byte_by_byte(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    #[test]
    fn unmasks_the_example_of_the_rfc() {
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        Mask::new(KEY).apply(&mut bytes);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn wide_and_narrow_masking_agree() {
        let plain: Vec<u8> = (0..67).collect();
        for len in 0..plain.len() {
            for split in 0..=len {
                let mut bytes = plain[..len].to_vec();
                let mut mask = Mask::new(KEY);
                let (front, back) = bytes.split_at_mut(split);
                mask.apply(front);
                mask.apply(back);
                assert_eq!(bytes, byte_by_byte(&plain[..len]), "{len} bytes split at {split}");
            }
        }
    }
}
