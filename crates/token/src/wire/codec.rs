//! How values become bytes: written by hand, because it is small, total, bounded, and never leaves a copy of a secret behind.
//!
//! Integers are big-endian; a byte string is its length as `u32` and its bytes; a list is its count as `u16` and its members; of an enumeration
//! its tag comes first. Nothing may remain behind a value.

use zeroize::Zeroizing;

use super::Secret;

/// What was read is no value of the type that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A value that travels.
pub(crate) trait Wire: Sized {
    /// Appends the value.
    fn write(&self, out: &mut Writer);

    /// Takes a value off the front.
    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// The value alone, as bytes that are wiped.
    fn to_bytes(&self) -> Secret {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    /// The value that these bytes are, and nothing behind it.
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader(bytes);
        let value = Self::read(&mut input)?;
        if input.0.is_empty() { Ok(value) } else { Err(Malformed) }
    }
}

/// Collects bytes. When it has to grow, what it held before is wiped.
pub(crate) struct Writer(Secret);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(512)))
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Secret {
        self.0
    }
}

/// What is left to be read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Writer) {
                out.put(&self.to_be_bytes());
            }

            fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
                let bytes = input.take(size_of::<Self>())?;
                Ok(Self::from_be_bytes(bytes.try_into().map_err(|_| Malformed)?))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

impl Wire for bool {
    fn write(&self, out: &mut Writer) {
        u8::from(*self).write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
}

fn write_bytes(bytes: &[u8], out: &mut Writer) {
    // What is longer than a frame may be is refused when the frame is made.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).write(out);
    out.put(bytes);
}

fn read_bytes<'a>(input: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = u32::read(input)?;
    input.take(usize::try_from(length).map_err(|_| Malformed)?)
}

impl Wire for Vec<u8> {
    fn write(&self, out: &mut Writer) {
        write_bytes(self, out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        read_bytes(input).map(<[u8]>::to_vec)
    }
}

impl Wire for Secret {
    fn write(&self, out: &mut Writer) {
        write_bytes(self, out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        read_bytes(input).map(|bytes| Zeroizing::new(bytes.to_vec()))
    }
}

impl Wire for String {
    fn write(&self, out: &mut Writer) {
        write_bytes(self.as_bytes(), out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_utf8(read_bytes(input)?.to_vec()).map_err(|_| Malformed)
    }
}

/// Writes a list. Its count is bounded by what one token holds of ours and by the frame.
pub(crate) fn write_list<T: Wire>(list: &[T], out: &mut Writer) {
    u16::try_from(list.len()).unwrap_or(u16::MAX).write(out);
    list.iter().for_each(|member| member.write(out));
}

/// Reads a list.
pub(crate) fn read_list<T: Wire>(input: &mut Reader<'_>) -> Result<Vec<T>, Malformed> {
    let count = u16::read(input)?;
    // Grows as members come: a count alone must not reserve memory.
    (0..count).map(|_| T::read(input)).collect()
}

/// Enumerations whose variants have tags, and fields that travel in their order.
macro_rules! enumerations {
    ($($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $tag:literal $({ $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? })?),* $(,)?
    })*) => {$(
        $(#[$meta])*
        pub enum $name {
            $($(#[$variant_meta])* $variant $({ $(
                $(#[$field_meta])*
                #[allow(missing_docs, reason = "the variant says what its fields are")]
                $field: $type
            ),* })?),*
        }

        impl $crate::wire::codec::Wire for $name {
            fn write(&self, out: &mut $crate::wire::codec::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        let tag: u8 = $tag;
                        tag.write(out);
                        $($($field.write(out);)*)?
                    })*
                }
            }

            fn read(input: &mut $crate::wire::codec::Reader<'_>) -> Result<Self, $crate::wire::codec::Malformed> {
                match u8::read(input)? {
                    $($tag => Ok(Self::$variant $({ $($field: $crate::wire::codec::Wire::read(input)?),* })?),)*
                    _ => Err($crate::wire::codec::Malformed),
                }
            }
        }
    )*};
}

/// Structures whose fields travel in their order.
macro_rules! structures {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type),*
        }

        impl $crate::wire::codec::Wire for $name {
            fn write(&self, out: &mut $crate::wire::codec::Writer) {
                $(self.$field.write(out);)*
            }

            fn read(input: &mut $crate::wire::codec::Reader<'_>) -> Result<Self, $crate::wire::codec::Malformed> {
                Ok(Self { $($field: $crate::wire::codec::Wire::read(input)?),* })
            }
        }
    )*};
}

pub(crate) use {enumerations, structures};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_believed_only_as_far_as_there_are_bytes() {
        assert_eq!(Vec::<u8>::parse(&[0xff, 0xff, 0xff, 0xff, 1]), Err(Malformed));
        assert_eq!(Vec::<u8>::parse(&[0, 0, 0, 1, 7]), Ok(vec![7]));
        assert_eq!(Vec::<u8>::parse(&[0, 0, 0, 1, 7, 8]), Err(Malformed), "nothing may remain");
        assert_eq!(bool::parse(&[2]), Err(Malformed));
        assert_eq!(String::parse(&[0, 0, 0, 1, 0xff]), Err(Malformed));
    }
}
