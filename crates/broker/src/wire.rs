//! Reads and writes the primitive types of the Kafka protocol.
//!
//! The crate `kafka-protocol` (0.18) has the structures of all requests, but it allocates whatever a length says: a request of 12 bytes
//! ends the process. This reader never allocates because of a length alone.
//!
//! Later versions of a request are "flexible": lengths are variable, and each structure ends with tagged fields (KIP-482). Reader and
//! writer know which kind they are in, so a request is parsed by the same code in all of its versions.
//!
//! Source: <https://kafka.apache.org/protocol.html#protocol_types>

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use crate::error_code::ErrorCode;

/// The bytes are not a valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed request")]
pub(crate) struct Malformed;

pub(crate) type Parsed<T> = Result<T, Malformed>;

/// Reads a request.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
    flexible: bool,
}

impl Reader {
    pub fn new(bytes: Bytes, flexible: bool) -> Self {
        Self { bytes, flexible }
    }

    /// Continues in the other kind of encoding: the header of a request is read before its version is known.
    pub fn flexible(mut self, flexible: bool) -> Self {
        self.flexible = flexible;
        self
    }

    pub fn bool(&mut self) -> Parsed<bool> {
        self.i8().map(|byte| byte != 0)
    }

    pub fn i8(&mut self) -> Parsed<i8> {
        self.bytes.try_get_i8().map_err(|_| Malformed)
    }

    pub fn i16(&mut self) -> Parsed<i16> {
        self.bytes.try_get_i16().map_err(|_| Malformed)
    }

    pub fn i32(&mut self) -> Parsed<i32> {
        self.bytes.try_get_i32().map_err(|_| Malformed)
    }

    pub fn i64(&mut self) -> Parsed<i64> {
        self.bytes.try_get_i64().map_err(|_| Malformed)
    }

    /// Reads text, or `None` for null.
    pub fn string(&mut self) -> Parsed<Option<String>> {
        let length = if self.flexible { self.compact_length()? } else { i64::from(self.i16()?) };
        let bytes = self.take(length)?;
        bytes.map(|bytes| String::from_utf8(bytes.into()).map_err(|_| Malformed)).transpose()
    }

    /// Reads text that must not be null.
    pub fn text(&mut self) -> Parsed<String> {
        self.string()?.ok_or(Malformed)
    }

    /// Reads bytes, shared with the request, or `None` for null.
    pub fn bytes(&mut self) -> Parsed<Option<Bytes>> {
        let length = self.length()?;
        self.take(length)
    }

    /// Reads the items of an array. A null array gives no items.
    pub fn array<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        Ok(self.nullable_array(item)?.unwrap_or_default())
    }

    /// Reads the items of an array, or `None` for null.
    pub fn nullable_array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Option<Vec<T>>> {
        let count = self.length()?;
        // Not reserved in advance: the count is only what the client says. Each item has at least one byte.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok((count >= 0).then_some(items))
    }

    /// Reads the structures of an array: each one ends with its tagged fields. A null array gives no structures.
    pub fn structs<T>(&mut self, structure: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        Ok(self.nullable_structs(structure)?.unwrap_or_default())
    }

    /// Reads the structures of an array, or `None` for null.
    pub fn nullable_structs<T>(
        &mut self,
        mut structure: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Option<Vec<T>>> {
        self.nullable_array(|reader| {
            let read = structure(reader)?;
            reader.tags()?;
            Ok(read)
        })
    }

    /// Reads topics, each with an array of partitions, as many requests have them.
    pub fn topics<T>(
        &mut self,
        mut partition: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<(String, Vec<T>)>> {
        self.structs(|topic| Ok((topic.text()?, topic.structs(&mut partition)?)))
    }

    /// Reads topics, each with the numbers of partitions.
    pub fn numbered_topics(&mut self) -> Parsed<Vec<(String, Vec<i32>)>> {
        self.structs(|topic| Ok((topic.text()?, topic.array(Self::i32)?)))
    }

    /// Skips the tagged fields at the end of a structure. None of the supported versions needs one.
    pub fn tags(&mut self) -> Parsed<()> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let _tag = self.varint()?;
            let size = i64::from(self.varint()?);
            self.take(size)?;
        }
        Ok(())
    }

    /// Reads the length of bytes or of an array; negative for null.
    fn length(&mut self) -> Parsed<i64> {
        if self.flexible { self.compact_length() } else { self.i32().map(i64::from) }
    }

    /// Reads a length that is stored plus one.
    fn compact_length(&mut self) -> Parsed<i64> {
        Ok(i64::from(self.varint()?) - 1)
    }

    /// Reads an unsigned number of at most 32 bits, seven per byte, lowest first.
    fn varint(&mut self) -> Parsed<u32> {
        let mut value = 0_u64;
        for place in 0..5 {
            let byte = self.i8()?.cast_unsigned();
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: i64) -> Parsed<Option<Bytes>> {
        match usize::try_from(length) {
            Err(_) => Ok(None),
            Ok(length) if length <= self.bytes.len() => Ok(Some(self.bytes.split_to(length))),
            Ok(_) => Err(Malformed),
        }
    }
}

/// Writes an answer. The frame begins with its length.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: BytesMut,
    flexible: bool,
}

impl Writer {
    /// Begins an answer with the header in version 0. `capacity`: about how many bytes will follow.
    pub fn answer(correlation_id: i32, capacity: usize, flexible: bool) -> Self {
        let mut bytes = BytesMut::with_capacity(capacity + 8);
        bytes.put_i32(0);
        bytes.put_i32(correlation_id);
        Self { bytes, flexible }
    }

    /// Continues in the other kind of encoding.
    #[cfg(test)]
    pub fn flexible(mut self, flexible: bool) -> Self {
        self.flexible = flexible;
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.i8(i8::from(value))
    }

    pub fn i8(&mut self, value: i8) -> &mut Self {
        self.bytes.put_i8(value);
        self
    }

    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.bytes.put_i16(value);
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes.put_i32(value);
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes.put_i64(value);
        self
    }

    /// Writes an error code, or 0.
    pub fn error(&mut self, error: Option<ErrorCode>) -> &mut Self {
        self.i16(error.map_or(0, ErrorCode::number))
    }

    /// Writes the error code of a result, or 0.
    pub fn outcome<T>(&mut self, result: &Result<T, ErrorCode>) -> &mut Self {
        self.error(result.as_ref().err().copied())
    }

    /// Writes text of at most 32,767 bytes. Longer text is cut; no name that was read from a request is that long.
    pub fn string(&mut self, text: &str) -> &mut Self {
        let cut = text.floor_char_boundary(text.len().min(i16::MAX.unsigned_abs().into()));
        if self.flexible {
            self.varint(cut + 1);
        } else {
            self.i16(i16::try_from(cut).unwrap_or(i16::MAX));
        }
        self.bytes.extend(text.bytes().take(cut));
        self
    }

    /// Writes text, or null.
    pub fn nullable_string(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None if self.flexible => self.varint(0),
            None => self.i16(-1),
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.array(bytes.len());
        self.bytes.put_slice(bytes);
        self
    }

    /// Begins an array. The items must follow.
    pub fn array(&mut self, items: usize) -> &mut Self {
        if self.flexible {
            self.varint(items + 1)
        } else {
            self.i32(i32::try_from(items).unwrap_or_default())
        }
    }

    /// Writes an array of structures, each with its tagged fields at its end.
    pub fn structs<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.array(items.len());
        for item in items {
            write(self, item);
            self.tags();
        }
        self
    }

    /// Writes topics, each with an array of partitions, as many answers have them.
    pub fn topics<T>(
        &mut self,
        topics: &[(String, Vec<T>)],
        mut partition: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        self.structs(topics, |answer, (name, partitions)| {
            answer.string(name).structs(partitions, &mut partition);
        })
    }

    /// Writes an array of numbers.
    pub fn numbers(&mut self, numbers: &[i32]) -> &mut Self {
        self.array(numbers.len());
        numbers.iter().for_each(|number| self.bytes.put_i32(*number));
        self
    }

    /// Ends a structure: it has no tagged fields.
    pub fn tags(&mut self) -> &mut Self {
        if self.flexible { self.varint(0) } else { self }
    }

    /// Ends the answer, and returns the complete frame.
    pub fn finish(mut self) -> Bytes {
        self.tags();
        let length = i32::try_from(self.bytes.len() - 4).unwrap_or_default();
        if let Some(place) = self.bytes.get_mut(..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.bytes.freeze()
    }

    fn varint(&mut self, value: usize) -> &mut Self {
        let mut left = value;
        while left > 0x7f {
            self.bytes.put_u8((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.bytes.put_u8(left as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(writer: Writer) -> Bytes {
        writer.finish().slice(8..)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            text in proptest::option::of(".{0,300}"),
            numbers in proptest::collection::vec(any::<i32>(), 0..200),
            flexible in any::<bool>(),
        ) {
            let mut writer = Writer::answer(7, 16, flexible);
            writer.nullable_string(text.as_deref()).numbers(&numbers);
            writer.structs(&numbers, |writer, number| { writer.i32(*number).bool(true); });
            writer.bytes(b"tail");
            let mut reader = Reader::new(body(writer), flexible);
            prop_assert_eq!(reader.string(), Ok(text));
            prop_assert_eq!(reader.array(Reader::i32), Ok(numbers.clone()));
            let structs = reader.structs(|reader| Ok((reader.i32()?, reader.bool()?)));
            prop_assert_eq!(structs, Ok(numbers.into_iter().map(|number| (number, true)).collect::<Vec<_>>()));
            prop_assert_eq!(reader.bytes(), Ok(Some(Bytes::from_static(b"tail"))));
            prop_assert_eq!(reader.tags(), Ok(()));
            prop_assert_eq!(reader.i8(), Err(Malformed));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), flexible in any::<bool>()) {
            let mut reader = Reader::new(bytes.into(), flexible);
            let _ = reader.topics(Reader::i32);
            let _ = reader.string();
            let _ = reader.bytes();
            let _ = reader.tags();
        }
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        for flexible in [false, true] {
            let huge =
                if flexible { vec![0xff, 0xff, 0xff, 0xff, 0x0f] } else { vec![0x7f, 0xff, 0xff, 0xff] };
            assert_eq!(Reader::new(huge.clone().into(), flexible).array(Reader::i64), Err(Malformed));
            assert_eq!(Reader::new(huge.into(), flexible).bytes(), Err(Malformed));
        }
    }

    #[test]
    fn tagged_fields_are_skipped() {
        let mut reader = Reader::new(Bytes::from_static(&[2, 0, 1, 9, 5, 2, 8, 8, 42]), true);
        assert_eq!(reader.tags(), Ok(()));
        assert_eq!(reader.i8(), Ok(42));
    }
}
