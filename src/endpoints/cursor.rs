//! Cursors: the values of the page columns after which the next page begins. They belong to an endpoint and the values of its parameters.
//! Opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::arguments::Arguments;
use super::keys::{Key, KeyColumn};
use super::{EndpointError, Prepared};

/// The version of a cursor's layout: this byte, eight bytes of the question's digest, the key as a JSON array of texts.
const LAYOUT: u8 = 1;

/// Writes the cursor of the rows after a key.
pub fn encode(key: &Key, prepared: &Prepared, arguments: &Arguments) -> String {
    let mut bytes = vec![LAYOUT];
    bytes.extend(question(prepared, arguments));
    // Texts are always JSON.
    bytes.extend(serde_json::to_vec(key).unwrap_or_default());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor.
///
/// # Errors
/// It is malformed, or belongs to another endpoint or other values.
pub fn decode(cursor: &str, prepared: &Prepared, arguments: &Arguments) -> Result<Key, EndpointError> {
    let refused = |detail: &str| EndpointError::parameter("cursor", detail);
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (digest, key) = bytes.strip_prefix(&[LAYOUT])?.split_first_chunk::<8>()?;
        let key: Key = serde_json::from_slice(key).ok()?;
        Some((*digest, key))
    };
    let (digest, key) =
        read().ok_or_else(|| refused("it must be the next_cursor of a page of this endpoint"))?;
    let columns = KeyColumn::all(prepared);
    if digest != question(prepared, arguments) {
        return Err(refused(
            "it belongs to other parameters; use those of its page, or start without a cursor",
        ));
    }
    let is_readable = columns.len() == key.len()
        && columns.iter().zip(&key).all(|(column, text)| column.parameter(text).is_some());
    if is_readable { Ok(key) } else { Err(refused("it must be the next_cursor of a page of this endpoint")) }
}

/// A digest of the endpoint and the values of its parameters.
fn question(prepared: &Prepared, arguments: &Arguments) -> [u8; 8] {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    add(&prepared.path());
    for (name, value) in arguments.selection() {
        add(name);
        add(&value);
    }
    digest.finalize().first_chunk().copied().unwrap_or_default()
}
