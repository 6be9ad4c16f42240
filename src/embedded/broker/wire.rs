//! Reads and writes the primitive types of the Kafka protocol, for the most frequent requests.
//!
//! Only versions without tagged fields are supported, which every client knows. Other answers are written by `nisshi_sans_io`.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use thiserror::Error;

/// The bytes are not a valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed request")]
pub(super) struct Malformed;

/// Reads a request. Never allocates memory because of a length field alone.
#[derive(Debug)]
pub(super) struct Reader(pub Bytes);

impl Reader {
    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.0.try_get_i8().map_err(|_| Malformed)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.0.try_get_i16().map_err(|_| Malformed)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.0.try_get_i32().map_err(|_| Malformed)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.0.try_get_i64().map_err(|_| Malformed)
    }

    /// Reads text, or `None` for null.
    pub fn string(&mut self) -> Result<Option<String>, Malformed> {
        let length = self.i16()?;
        let bytes = self.take(i32::from(length))?;
        bytes.map(|bytes| String::from_utf8(bytes.into()).map_err(|_| Malformed)).transpose()
    }

    /// Reads text that must not be null.
    pub fn text(&mut self) -> Result<String, Malformed> {
        self.string()?.ok_or(Malformed)
    }

    /// Reads bytes, shared with the request, or `None` for null.
    pub fn bytes(&mut self) -> Result<Option<Bytes>, Malformed> {
        let length = self.i32()?;
        self.take(length)
    }

    /// Reads the items of an array. A null array gives no items.
    pub fn array<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        Ok(self.nullable_array(item)?.unwrap_or_default())
    }

    /// Reads the items of an array, or `None` for null.
    pub fn nullable_array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        let count = self.i32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok((count >= 0).then_some(items))
    }

    fn take(&mut self, length: i32) -> Result<Option<Bytes>, Malformed> {
        match usize::try_from(length) {
            Err(_) => Ok(None),
            Ok(length) if length <= self.0.len() => Ok(Some(self.0.split_to(length))),
            Ok(_) => Err(Malformed),
        }
    }
}

/// Writes an answer. The frame begins with its length.
#[derive(Debug)]
pub(super) struct Writer(BytesMut);

impl Writer {
    /// Begins the answer to the request with this correlation id. `capacity`: about how many bytes will follow.
    pub fn answer(correlation_id: i32, capacity: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(capacity + 8);
        bytes.put_i32(0);
        bytes.put_i32(correlation_id);
        Self(bytes)
    }

    pub fn i8(&mut self, value: i8) -> &mut Self {
        self.0.put_i8(value);
        self
    }

    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.0.put_i16(value);
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.0.put_i32(value);
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64(value);
        self
    }

    /// Writes text of at most 32,767 bytes. Longer text is cut; no name that was read from a request is that long.
    pub fn string(&mut self, text: &str) -> &mut Self {
        let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
        self.i16(length);
        self.0.extend(text.bytes().take(usize::try_from(length).unwrap_or_default()));
        self
    }

    /// Writes text, or null.
    pub fn nullable_string(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.i16(-1),
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.i32(i32::try_from(bytes.len()).unwrap_or_default());
        self.0.put_slice(bytes);
        self
    }

    /// Begins an array. The items must follow.
    pub fn array(&mut self, items: usize) -> &mut Self {
        self.i32(i32::try_from(items).unwrap_or_default())
    }

    /// Returns the complete frame.
    pub fn finish(mut self) -> Bytes {
        let length = i32::try_from(self.0.len() - 4).unwrap_or_default();
        if let Some(place) = self.0.get_mut(..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.0.freeze()
    }
}
