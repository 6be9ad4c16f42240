//! The C API of `libchdb` 26.7, behind types that cannot be misused: the only `unsafe` of the crate.
//!
//! A [`Connection`] runs one statement at a time, hence `&mut self`. An [`InsertStream`] borrows it while it is open.
//! Everything blocks.
//!
//! The library's streaming of results is not used: each piece would be a document of its own, with the header of
//! RowBinaryWithNamesAndTypes or the brackets of JSON. See `execute::run_select`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libloading::Library;

type ConnectionPointer = *mut c_void;
type ResultPointer = *mut c_void;
type InsertPointer = *mut c_void;

type Parameterized<R> = unsafe extern "C" fn(
    ConnectionPointer,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> R;

/// `chdb_query_analysis_v1`: what a statement would do.
#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// The functions of the loaded library.
pub(super) struct Api {
    version: unsafe extern "C" fn() -> *const c_char,
    set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut ConnectionPointer,
    close: unsafe extern "C" fn(*mut ConnectionPointer),
    query: Parameterized<ResultPointer>,
    destroy_result: unsafe extern "C" fn(ResultPointer),
    insert: Parameterized<InsertPointer>,
    insert_append: unsafe extern "C" fn(InsertPointer, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(InsertPointer) -> ResultPointer,
    insert_error: unsafe extern "C" fn(InsertPointer) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(InsertPointer),
    result_buffer: unsafe extern "C" fn(ResultPointer) -> *const u8,
    result_length: unsafe extern "C" fn(ResultPointer) -> usize,
    result_error: unsafe extern "C" fn(ResultPointer) -> *const c_char,
    rows_returned: unsafe extern "C" fn(ResultPointer) -> u64,
    bytes_returned: unsafe extern "C" fn(ResultPointer) -> u64,
    rows_scanned: unsafe extern "C" fn(ResultPointer) -> u64,
    bytes_scanned: unsafe extern "C" fn(ResultPointer) -> u64,
    rows_written: unsafe extern "C" fn(ResultPointer) -> u64,
    bytes_written: unsafe extern "C" fn(ResultPointer) -> u64,
    classify: unsafe extern "C" fn(
        ConnectionPointer,
        *const c_char,
        usize,
        *const c_char,
        usize,
        *mut RawAnalysis,
    ) -> c_int,
    /// Never unloaded: the engine's threads run its code until the process ends.
    _library: ManuallyDrop<Library>,
}

impl Api {
    /// Opens the library and finds every function in it.
    ///
    /// # Errors
    /// It cannot be opened, or lacks a function.
    pub(super) fn load(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: opening runs the library's initialisers. The file is the one that the user's own options or
        // installation name as the engine.
        let library = unsafe { Library::new(path)? };
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field's type, from which the symbol's is inferred, repeats the declaration of
                // this function in chdb.h of 26.7. The pointer outlives nothing: the library stays loaded.
                unsafe { *library.get($name)? }
            };
        }
        Ok(Self {
            version: function!(b"chdb_version\0"),
            set_signal_handlers_enabled: function!(b"chdb_set_signal_handlers_enabled\0"),
            connect: function!(b"chdb_connect\0"),
            close: function!(b"chdb_close_conn\0"),
            query: function!(b"chdb_query_with_params_n\0"),
            destroy_result: function!(b"chdb_destroy_query_result\0"),
            insert: function!(b"chdb_stream_insert_with_params_n\0"),
            insert_append: function!(b"chdb_stream_append\0"),
            insert_done: function!(b"chdb_stream_done\0"),
            insert_error: function!(b"chdb_stream_insert_error\0"),
            destroy_insert: function!(b"chdb_destroy_insert_stream\0"),
            result_buffer: function!(b"chdb_result_buffer\0"),
            result_length: function!(b"chdb_result_length\0"),
            result_error: function!(b"chdb_result_error\0"),
            rows_returned: function!(b"chdb_result_rows_read\0"),
            bytes_returned: function!(b"chdb_result_bytes_read\0"),
            rows_scanned: function!(b"chdb_result_storage_rows_read\0"),
            bytes_scanned: function!(b"chdb_result_storage_bytes_read\0"),
            rows_written: function!(b"chdb_result_rows_written\0"),
            bytes_written: function!(b"chdb_result_bytes_written\0"),
            classify: function!(b"chdb_classify_query_n\0"),
            _library: ManuallyDrop::new(library),
        })
    }

    /// The library's version, like `26.7.3`.
    pub(super) fn version(&self) -> String {
        // SAFETY: takes nothing, returns a pointer to a constant string, or null.
        unsafe { text((self.version)()) }.unwrap_or_default()
    }

    /// Stops the library from installing signal handlers. To be called before the first connection.
    pub(super) fn leave_signals_alone(&self) {
        // SAFETY: sets a flag and resets handlers that the library itself installed.
        unsafe { (self.set_signal_handlers_enabled)(0) }
    }
}

/// Copies a C string; `None` for null.
///
/// # Safety
/// `pointer` is null or points to a terminated string that lives until this returns.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// What a statement does, as the engine's parser reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Analysis {
    /// Zero if it does not parse.
    pub(super) statements: u32,
    /// It changes nothing: SELECT, SHOW, DESCRIBE, EXPLAIN …
    pub(super) read_only: bool,
}

/// Rows and bytes that a statement has read from tables, written, and returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) read_rows: u64,
    pub(super) read_bytes: u64,
    pub(super) written_rows: u64,
    pub(super) written_bytes: u64,
    pub(super) result_rows: u64,
    pub(super) result_bytes: u64,
}

impl Progress {
    /// Adds a further part of the same statement.
    pub(super) fn add(&mut self, other: Self) {
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
        self.result_rows += other.result_rows;
        self.result_bytes += other.result_bytes;
    }
}

/// A statement's text, the format of what it returns or is given, and its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a [u8],
    pub(super) format: &'a str,
    pub(super) parameters: &'a [(String, String)],
}

impl Statement<'_> {
    /// Calls one of the entry points that take a statement.
    fn call<R>(&self, function: Parameterized<R>, connection: ConnectionPointer) -> R {
        let names: Vec<*const c_char> =
            self.parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect();
        let name_lengths: Vec<usize> = self.parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<*const c_char> =
            self.parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect();
        let value_lengths: Vec<usize> = self.parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: `connection` is open and used by this call alone. Each pointer is valid for the length given
        // with it, the four arrays have as many entries as the count says, and the library copies all of it
        // before it returns.
        unsafe {
            function(
                connection,
                self.text.as_ptr().cast(),
                self.text.len(),
                self.format.as_ptr().cast(),
                self.format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                self.parameters.len(),
            )
        }
    }
}

/// A session of the engine: current database, settings, temporary tables.
pub(super) struct Connection {
    api: Arc<Api>,
    handle: NonNull<ConnectionPointer>,
}

// SAFETY: the library ties a connection to no thread; it asks that calls do not overlap, which `&mut self` sees to.
unsafe impl Send for Connection {}

impl Connection {
    /// Opens a connection. The first one starts the engine with `arguments`. `None`: the engine refused, and wrote the
    /// reason to standard error.
    pub(super) fn open(api: &Arc<Api>, arguments: &[CString]) -> Option<Self> {
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` has `count` terminated strings, which the library copies and does not write to.
        let handle = unsafe { (api.connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(handle).map(|handle| Self { api: Arc::clone(api), handle })
    }

    fn pointer(&self) -> ConnectionPointer {
        // SAFETY: `handle` came from `connect` and is closed in `drop` only; what it points to is set until then.
        unsafe { *self.handle.as_ptr() }
    }

    /// Runs a statement to its end and returns all of its result.
    ///
    /// # Errors
    /// The engine's message.
    pub(super) fn query(&mut self, statement: Statement<'_>) -> Result<Reply, String> {
        let pointer = statement.call(self.api.query, self.pointer());
        Reply::checked(&self.api, pointer)
    }

    /// Starts an INSERT (its text up to, and without, FORMAT or VALUES) to which data in the statement's format
    /// is then appended.
    ///
    /// # Errors
    /// The engine's message.
    pub(super) fn insert(&mut self, statement: Statement<'_>) -> Result<InsertStream<'_>, String> {
        let pointer = statement.call(self.api.insert, self.pointer());
        let Some(handle) = NonNull::new(pointer) else {
            return Err("the engine returned nothing".to_owned());
        };
        let stream = InsertStream { api: Arc::clone(&self.api), handle, _connection: PhantomData };
        match stream.error() {
            Some(message) => Err(message),
            None => Ok(stream),
        }
    }

    /// Parses a text without running it.
    pub(super) fn classify(&mut self, text: &[u8]) -> Analysis {
        let size = u32::try_from(size_of::<RawAnalysis>()).unwrap_or_default();
        let mut raw = RawAnalysis { struct_size: size, statement_count: 0, flags: 0, query_class: 4 };
        // SAFETY: `text` is valid for its length, no target database is given, and `raw` is as large as it says.
        unsafe {
            (self.api.classify)(
                self.pointer(),
                text.as_ptr().cast(),
                text.len(),
                ptr::null(),
                0,
                &raw mut raw,
            );
        }
        Analysis { statements: raw.statement_count, read_only: raw.query_class == 0 }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: open until here, and no stream can be left, since streams borrow the connection.
        unsafe { (self.api.close)(self.handle.as_ptr()) }
    }
}

/// A result, or a piece of one.
pub(super) struct Reply {
    api: Arc<Api>,
    handle: NonNull<c_void>,
}

impl Reply {
    /// Takes ownership of what a call returned, and turns a result that carries an error into that error.
    fn checked(api: &Arc<Api>, pointer: ResultPointer) -> Result<Self, String> {
        let Some(handle) = NonNull::new(pointer) else {
            return Err("the engine returned nothing".to_owned());
        };
        let reply = Self { api: Arc::clone(api), handle };
        // SAFETY: the result is alive, and the message belongs to it.
        match unsafe { text((reply.api.result_error)(reply.handle.as_ptr())) } {
            Some(message) => Err(message),
            None => Ok(reply),
        }
    }

    /// The formatted bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the result is alive; its buffer is null or has the length that the library says, and is not
        // changed before the result is destroyed, which `self` outlives.
        unsafe {
            let data = (self.api.result_buffer)(self.handle.as_ptr());
            let length = (self.api.result_length)(self.handle.as_ptr());
            if data.is_null() || length == 0 { &[] } else { std::slice::from_raw_parts(data, length) }
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let api = &self.api;
        let result = self.handle.as_ptr();
        // SAFETY: the result is alive; these read numbers from it.
        unsafe {
            Progress {
                read_rows: (api.rows_scanned)(result),
                read_bytes: (api.bytes_scanned)(result),
                written_rows: (api.rows_written)(result),
                written_bytes: (api.bytes_written)(result),
                result_rows: (api.rows_returned)(result),
                result_bytes: (api.bytes_returned)(result),
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: owned by this value alone.
        unsafe { (self.api.destroy_result)(self.handle.as_ptr()) }
    }
}

/// An INSERT under way. Dropped before [`InsertStream::finish`], it is cancelled.
pub(super) struct InsertStream<'c> {
    api: Arc<Api>,
    handle: NonNull<c_void>,
    _connection: PhantomData<&'c mut Connection>,
}

impl InsertStream<'_> {
    /// Appends data, and waits if the engine reads slowly. `false` if the insert has failed; [`InsertStream::finish`] returns
    /// the error.
    pub(super) fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: the stream is open; `data` is valid for its length and copied.
        unsafe { (self.api.insert_append)(self.handle.as_ptr(), data.as_ptr().cast(), data.len()) == 0 }
    }

    /// Ends the data and waits until it is stored.
    ///
    /// # Errors
    /// The engine's message.
    pub(super) fn finish(self) -> Result<Progress, String> {
        // SAFETY: the stream is open; the result belongs to us.
        let pointer = unsafe { (self.api.insert_done)(self.handle.as_ptr()) };
        Reply::checked(&self.api, pointer).map(|reply| reply.progress())
    }

    fn error(&self) -> Option<String> {
        // SAFETY: the stream is alive, and the message belongs to it.
        unsafe { text((self.api.insert_error)(self.handle.as_ptr())) }
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: owned by this value alone; the library cancels what was not finished. The connection, which
        // `_connection` keeps borrowed, is still open.
        unsafe { (self.api.destroy_insert)(self.handle.as_ptr()) }
    }
}
