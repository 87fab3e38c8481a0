//! [`Input`]: what the fuzzer wrote, read as choices.

/// What the fuzzer wrote, read from its front as choices. At its end every choice is the first, and every text empty.
///
/// Choices stand one behind the other, each in a byte or a few: a byte that changes, comes or goes changes one of them, and a
/// seed can be written by hand.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Everything that the fuzzer wrote.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A number of one of several sizes: small ones mostly, and all of 64 bits.
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

    /// One of these.
    ///
    /// # Panics
    /// Panics where there are none, or more than 256.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        assert!(all.len() <= 256, "a byte chooses");
        all[usize::from(self.byte()) % all.len()]
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to 255 bytes, their number before them.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.take(len)
    }

    /// [`Self::bytes`], where they are UTF-8.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// As many bytes as the number before them says.
    pub fn part(&mut self) -> &'a [u8] {
        let len = self.number();
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
