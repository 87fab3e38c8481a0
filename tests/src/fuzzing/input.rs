//! [`Input`]: reads the fuzzer's bytes as choices.

/// Reads the fuzzer's bytes as choices, from the front. At the end, every choice is the first one, and every text is empty.
///
/// Choices are encoded one after the other, in one or a few bytes each: a changed, inserted or removed byte changes one of them,
/// and seeds can be written by hand.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads these bytes.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// Whether all bytes have been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A number in one of several ranges: usually small, up to 64 bits.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=249 => small.into(),
            250 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            251 => (1 << 53) - 1,
            252 => 1 << 53,
            253 => u64::MAX,
            _ => self.take(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    /// One of these values.
    ///
    /// # Panics
    /// Panics if there are none, or more than 256.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        assert!(all.len() <= 256, "a byte chooses");
        all[usize::from(self.byte()) % all.len()]
    }

    /// A boolean.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to 255 bytes, preceded by their number.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.take(len)
    }

    /// [`Self::bytes`] as text, if they are UTF-8.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// The number of bytes that the preceding number specifies.
    pub fn part(&mut self) -> &'a [u8] {
        let len = self.number();
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// All remaining bytes.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
