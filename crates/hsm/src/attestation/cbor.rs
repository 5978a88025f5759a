//! A reader of CBOR that accepts less than the standard allows: definite lengths only, every number in its shortest form. Source: RFC 8949,
//! sections 3 and 4.2.1 ("Core Deterministic Encoding Requirements").

/// What is left to read. Each method takes one item, or answers none and must not be called again: what could not be read is refused as a whole.
pub(super) struct Reader<'a>(&'a [u8]);

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// Major type 7, value 22.
const NULL: u8 = 0xf6;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// An unsigned number.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        self.head(UNSIGNED)
    }

    /// A byte string.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.string(BYTES)
    }

    /// A text, which has to be UTF-8.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string(TEXT)?).ok()
    }

    /// The beginning of an array: how many items follow.
    pub(super) fn array(&mut self) -> Option<u64> {
        self.head(ARRAY)
    }

    /// The beginning of a map: how many pairs follow.
    pub(super) fn map(&mut self) -> Option<u64> {
        self.head(MAP)
    }

    /// Takes this tag if it is there.
    pub(super) fn skip_tag(&mut self, tag: u8) {
        // A tag of the numbers 0 to 23 is one byte.
        if let Some((first, rest)) = self.0.split_first()
            && *first == (TAG << 5) | tag
        {
            self.0 = rest;
        }
    }

    /// Takes a null if it is there, and says whether it was.
    pub(super) fn skip_null(&mut self) -> bool {
        match self.0.split_first() {
            Some((&NULL, rest)) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn string(&mut self, major: u8) -> Option<&'a [u8]> {
        let length = usize::try_from(self.head(major)?).ok()?;
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    /// The head of an item of this major type: its argument.
    fn head(&mut self, major: u8) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if first >> 5 != major {
            return None;
        }
        let (argument, least, rest) = match first & 0x1f {
            small @ 0..=23 => (u64::from(small), 0, rest),
            24 => number::<1>(rest, 24)?,
            25 => number::<2>(rest, 1 << 8)?,
            26 => number::<4>(rest, 1 << 16)?,
            27 => number::<8>(rest, 1 << 32)?,
            // 28 to 30 mean nothing, 31 is an indefinite length.
            _ => return None,
        };
        if argument < least {
            return None;
        }
        self.0 = rest;
        Some(argument)
    }
}

/// A number of N bytes, the least that needs so many, and what comes after it.
fn number<const N: usize>(bytes: &[u8], least: u64) -> Option<(u64, u64, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<N>()?;
    Some((digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)), least, rest))
}

/// Appends a byte string.
pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a text.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the beginning of an array.
pub(super) fn write_array(out: &mut Vec<u8>, items: u64) {
    write_head(out, ARRAY, items);
}

fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let (info, length) = match argument {
        0..=23 => (bytes[7], 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | info);
    out.extend(bytes.iter().skip(8 - length));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(hex: &str, read: impl for<'a> FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
        let bytes = hex::decode(hex).unwrap();
        let mut reader = Reader::new(&bytes);
        let value = read(&mut reader)?;
        reader.end().map(|()| value)
    }

    /// RFC 8949, appendix A.
    #[test]
    fn examples_of_the_standard_are_read() {
        for (text, number) in [
            ("00", 0),
            ("17", 23),
            ("1818", 24),
            ("1864", 100),
            ("1903e8", 1000),
            ("1a000f4240", 1_000_000),
            ("1b000000e8d4a51000", 1_000_000_000_000),
            ("1bffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(read(text, |reader| reader.unsigned()), Some(number), "{text}");
        }
        assert_eq!(read("4401020304", |reader| reader.bytes().map(<[u8]>::to_vec)), Some(vec![1, 2, 3, 4]));
        assert_eq!(read("6449455446", |reader| reader.text().map(str::to_owned)).as_deref(), Some("IETF"));
        assert_eq!(read("62c3bc", |reader| reader.text().map(str::to_owned)).as_deref(), Some("ü"));
        assert_eq!(read("80", |reader| reader.array()), Some(0));
        assert_eq!(read("a0", |reader| reader.map()), Some(0));
    }

    #[test]
    fn other_forms_of_the_same_are_refused() {
        // Longer than they have to be.
        for text in ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff"] {
            assert_eq!(read(text, |reader| reader.unsigned()), None, "{text}");
        }
        // Indefinite, reserved, negative, cut off, too long.
        for text in ["1f", "1c", "1d", "1e", "20", "18", "1901", "1a000f42", "0000", ""] {
            assert_eq!(read(text, |reader| reader.unsigned()), None, "{text}");
        }
        for text in ["5f42010243030405ff", "4401020304ff", "44010203", "5bffffffffffffffff00", "63616263"] {
            assert_eq!(read(text, |reader| reader.bytes().map(<[u8]>::to_vec)), None, "{text}");
        }
        assert_eq!(read("62c328", |reader| reader.text().map(str::to_owned)), None, "not UTF-8");
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
            let mut out = Vec::new();
            write_bytes(&mut out, &vec![7; length]);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.bytes().map(<[u8]>::len), Some(length));
            assert_eq!(reader.end(), Some(()));
        }
    }
}
