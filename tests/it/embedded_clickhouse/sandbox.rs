//! Statements cannot reach the files, programs and ports of the machine.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use reqwest::Method;
use tempfile::TempDir;

use super::{ClickHouse, Reply, read, running};
use crate::sandbox::is_complete;

/// The content of a file that no statement may read.
const SECRET: &str = "sesame-4711";

/// Reverses every restriction of the configuration, so that only the kernel restricts the engine.
const EVERYTHING_GRANTED: &str = "<clickhouse>
    <user_files_path replace=\"replace\">/</user_files_path>
    <custom_local_disks_base_directory replace=\"replace\">/</custom_local_disks_base_directory>
    <remote_url_allow_hosts remove=\"remove\"/>
    <profiles><default><constraints remove=\"remove\"/></default></profiles>
    <users><default><grants replace=\"replace\"><query>GRANT ALL ON *.*</query></grants></default></users>
</clickhouse>";

/// Targets outside of the part's directory.
struct Outside {
    directory: TempDir,
    listener: TcpListener,
}

impl Outside {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { directory, listener }
    }

    /// Replaces the names in a statement: DIR, SECRET (a file in it) and PORT.
    fn fill_in(&self, statement: &str) -> String {
        let directory = self.directory.path().to_str().unwrap();
        let port = self.listener.local_addr().unwrap().port().to_string();
        statement
            .replace("SECRET", &format!("{directory}/secret"))
            .replace("DIR", directory)
            .replace("PORT", &port)
    }

    /// Asserts that nothing was created, changed or connected to.
    fn assert_untouched(&self, after: &str) {
        let names: Vec<_> =
            fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"], "{after}");
        let secret = fs::read_to_string(self.directory.path().join("secret")).unwrap();
        assert_eq!(secret, format!("{SECRET}\n"), "{after}");
        assert!(self.listener.accept().is_err(), "{after}: it connected");
    }
}

/// Statements that must fail without an effect.
const ATTACKS: [&str; 37] = [
    "CREATE DICTIONARY d (k UInt64, v String) PRIMARY KEY k SOURCE(EXECUTABLE(COMMAND 'id > DIR/x' FORMAT \
     'TabSeparated')) LAYOUT(FLAT()) LIFETIME(0)",
    "SELECT * FROM d",
    "SELECT dictGet('d', 'v', 1)",
    "SELECT * FROM executable('id', 'TabSeparated', 'a String')",
    "SELECT file('SECRET')",
    "SELECT file('/etc/passwd')",
    "SELECT file('/proc/self/environ')",
    "SELECT file('/proc/thread-self/environ')",
    "SELECT file('/proc/1/cmdline')",
    "SELECT * FROM file('SECRET', 'LineAsString')",
    "INSERT INTO FUNCTION file('DIR/x', 'TSV', 'a UInt8') SELECT 1",
    "CREATE TABLE f (a String) ENGINE = File('TSV', 'DIR/x')",
    "CREATE TABLE l (a String) ENGINE = FileLog('SECRET', 'LineAsString')",
    "CREATE DATABASE fs ENGINE = Filesystem('DIR')",
    "SELECT * FROM fs.secret",
    "SELECT 1 FORMAT Template SETTINGS format_template_row = 'SECRET'",
    "SELECT 1 SETTINGS format_template_resultset = 'SECRET' FORMAT Template",
    "SELECT * FROM format(Template, 'a String', 'x') SETTINGS format_template_row = 'SECRET'",
    "SELECT 1 FORMAT CapnProto SETTINGS format_schema = 'SECRET:x'",
    "CREATE TABLE s (a Int32) ENGINE = SQLite('DIR/p', 't')",
    "CREATE DATABASE s ENGINE = SQLite('DIR/p')",
    "SELECT * FROM sqlite('DIR/p', 't')",
    "CREATE TABLE o (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'object_storage', \
     object_storage_type = 'local', path = 'DIR/p/')",
    "CREATE TABLE o (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(object_storage_type = 'local', path = 'DIR/p/')",
    "CREATE TABLE o (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = 'DIR/p/')",
    "CREATE DATABASE o ENGINE = Atomic SETTINGS disk = disk(type = 'object_storage', object_storage_type = 'local', path = 'DIR/p/')",
    "CREATE TABLE r (a Int32) ENGINE = EmbeddedRocksDB(0, 'DIR/p') PRIMARY KEY a",
    "BACKUP DATABASE default TO File('DIR/p')",
    "SELECT * FROM icebergLocal('DIR')",
    "SELECT * FROM url('http://127.0.0.1:PORT/', 'LineAsString')",
    "INSERT INTO FUNCTION url('http://127.0.0.1:PORT/', 'TSV', 'a UInt8') SELECT 1",
    "CREATE TABLE u (a String) ENGINE = URL('http://127.0.0.1:PORT/', 'TSV')",
    "SELECT * FROM s3('http://127.0.0.1:PORT/bucket/x', 'key', 'secret', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:PORT', system.one)",
    "SELECT * FROM mysql('127.0.0.1:PORT', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:PORT', 'd', 't', 'u', 'p')",
    "SELECT * FROM redis('127.0.0.1:PORT', 'a', 'a String')",
];

/// Statements for which the engine's client would write or read a file.
const CLIENT_FILES: [&str; 4] = [
    "SELECT 1 INTO OUTFILE 'DIR/x'",
    "SELECT 1 INTO\u{a0}OUTFILE 'DIR/x'",
    "SELECT ‘'’ INTO OUTFILE 'DIR/x' --'",
    "INSERT INTO t FROM\u{3000}INFILE ‘SECRET’ FORMAT LineAsString",
];

/// Texts that two lexers may read differently: in front of a keyword, and between two keywords.
const BEFORE: [&str; 25] = [
    "1 ",
    "-.5",
    "-.5e1",
    "0x1f ",
    "1e5 ",
    "1.5 ",
    "1_0 ",
    "x'41'",
    "b'01'",
    "'\\''",
    "'''' ",
    "'‘'",
    "‘'’",
    "‘\\’",
    "‘/*’",
    "‘--’",
    "1 AS “\"” ",
    "1 AS \"`\" ",
    "$$'$$",
    "$a$ '$$ $a$",
    "1 AS $a ",
    "1 // '\n",
    "1 # '\n",
    "1 /* ' /* */ ' */",
    "1\u{feff}",
];
const BETWEEN: [&str; 14] = [
    " ", "\t", "\x0b", "\u{85}", "\u{a0}", "\u{180e}", "\u{2000}", "\u{200b}", "\u{2028}", "\u{202f}",
    "\u{3000}", "\u{feff}", "/**/", "//'\n",
];

/// Sends a statement in every possible way, and asserts that it fails without an effect.
async fn attack(clickhouse: &ClickHouse, outside: &Outside, statement: &str) {
    let statement = outside.fill_in(statement);
    let url = [("query", statement.as_str())];
    let lifted = [("query", statement.as_str()), ("readonly", "0")];
    let session = [("query", statement.as_str()), ("session_id", "attack")];
    let ways = [
        clickhouse.request(Method::POST, &[]).body(statement.clone()),
        clickhouse.request(Method::POST, &[("session_id", "attack")]).body(statement.clone()),
        clickhouse.request(Method::GET, &url),
        clickhouse.request(Method::GET, &lifted),
        clickhouse.request(Method::HEAD, &lifted),
        clickhouse.request(Method::GET, &session),
    ];
    for (way, request) in ways.into_iter().enumerate() {
        assert_failed(&read(request).await, way, &statement);
        outside.assert_untouched(&statement);
    }
}

fn assert_failed(reply: &Reply, way: usize, statement: &str) {
    let text = String::from_utf8_lossy(&reply.body);
    assert!(!text.contains(SECRET), "way {way}, {statement}: {text}");
    assert!(!reply.header("x-clickhouse-exception-code").is_empty(), "way {way}, {statement}: {text}");
}

#[tokio::test]
async fn no_statement_reaches_a_file_a_program_or_a_port_of_the_machine() {
    if !is_complete() {
        return;
    }
    let (clickhouse, outside) = (ClickHouse::start(), Outside::new());
    clickhouse.sql("CREATE TABLE t (a String) ENGINE = Memory").await;
    for statement in ATTACKS.iter().chain(&CLIENT_FILES) {
        attack(&clickhouse, &outside, statement).await;
    }
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "0");
}

#[tokio::test]
async fn statements_that_name_a_file_of_the_client_are_refused_in_every_spelling() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a String) ENGINE = Memory").await;
    // The sandbox allows the engine to read and write here.
    let own = clickhouse.path().join("data");
    fs::write(own.join("in"), "1\n").unwrap();
    let (source, target) = (own.join("in").display().to_string(), own.join("out").display().to_string());
    let mut statements = Vec::new();
    for between in BETWEEN {
        statements.push(format!("INSERT INTO t FROM{between}INFILE '{source}' FORMAT LineAsString"));
        statements
            .push(format!("INSERT INTO “t” FROM{between}INFILE{between}‘{source}’ FORMAT LineAsString"));
        for kind in ["EXPLAIN SELECT 1 ", "SHOW TABLES ", "DESCRIBE t ", "WITH 1 AS a SELECT a "] {
            statements.push(format!("{kind}INTO{between}OUTFILE '{target}'"));
        }
        // The end of the text closes every kind of quote and comment.
        let before =
            BEFORE.iter().map(|before| format!("SELECT {before}INTO{between}OUTFILE '{target}' --'\"`*/"));
        statements.extend(before);
    }
    for statement in statements {
        let reply = clickhouse.post(&[], statement.clone()).await;
        let code = reply.header("x-clickhouse-exception-code");
        assert!(["358", "78"].contains(&code), "{statement:?}: {}", reply.text());
        assert!(!own.join("out").exists(), "{statement:?}");
    }
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "0");
}

/// Files that have no end, wait for a writer, or belong to a terminal.
#[tokio::test]
async fn no_statement_reads_a_device() {
    if !is_complete() {
        return;
    }
    let (directory, paths) = (tempfile::tempdir().unwrap(), devices());
    assert!(paths.len() > 3, "{paths:?}");
    let extra = directory.path().join("config.d");
    fs::create_dir(&extra).unwrap();
    fs::write(extra.join("everything.xml"), EVERYTHING_GRANTED).unwrap();
    let clickhouse = ClickHouse::start_in(directory, &[]);
    for path in paths {
        // Few bytes, should it be readable: most have no end.
        for statement in [
            format!("SELECT length(file('{path}')) SETTINGS max_memory_usage = 10000000"),
            format!("SELECT * FROM file('{path}', 'RawBLOB') SETTINGS max_memory_usage = 10000000"),
        ] {
            let reply = clickhouse.post(&[], statement.clone()).await;
            assert!(reply.text().contains("Permission denied"), "{statement}: {}", reply.text());
        }
    }
    // Functions that need random numbers work without the devices.
    let random = "SELECT length(toString(generateUUIDv4())), length(randomString(7)), rand() >= 0";
    assert_eq!(clickhouse.sql(random).await, "36\t7\t1");
    let encrypted = "SELECT length(encrypt('aes-256-gcm', 'text', randomString(32), randomString(12)))";
    assert_eq!(clickhouse.sql(encrypted).await, "20");
}

/// The devices of this machine that its user can read, except `/dev/null`, which is empty.
fn devices() -> Vec<String> {
    let entries = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap());
    let is_device = |entry: &fs::DirEntry| {
        entry
            .metadata()
            .is_ok_and(|data| data.file_type().is_char_device() || data.file_type().is_block_device())
    };
    let paths = entries.filter(is_device).map(|entry| entry.path().to_str().unwrap().to_owned());
    paths.filter(|path| path != "/dev/null").collect()
}

/// The descriptors of a process that are pipes.
fn pipes(pid: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap());
    let is_pipe =
        |path: &Path| fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"));
    descriptors
        .filter(|descriptor| is_pipe(&descriptor.path()))
        .map(|descriptor| descriptor.file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn no_statement_reads_from_or_writes_to_a_descriptor_of_the_process() {
    let mut clickhouse = ClickHouse::start();
    // Its result is a pipe, like those of the part itself and of the engine.
    let streaming = clickhouse
        .request(Method::POST, &[])
        .body("SELECT number, sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1")
        .send();
    let streaming = tokio::spawn(streaming);
    clickhouse.eventually(&running("1"), "1").await;
    let pipes = pipes(clickhouse.part.pid());
    assert!(pipes.len() >= 4, "{pipes:?}");
    for pipe in pipes {
        for path in [
            format!("/dev/fd/{pipe}"),
            format!("/proc/self/fd/{pipe}"),
            format!("/proc/thread-self/fd/{pipe}"),
        ] {
            let reply = clickhouse.post(&[], format!("SELECT file('{path}')")).await;
            assert!(reply.text().contains("strerror: Permission denied"), "{path}: {}", reply.text());
        }
    }
    // These are empty.
    for name in ["/dev/stdin", "/dev/stdout", "/dev/fd/0", "/dev/fd/1", "/proc/self/fd/0"] {
        assert_eq!(clickhouse.sql(&format!("SELECT file('{name}')")).await, "", "{name}");
    }
    for name in ["-", "stdin", "stdout", "stderr", "0"] {
        let reply = clickhouse.post(&[], format!("SELECT file('{name}')")).await;
        assert_eq!(reply.header("x-clickhouse-exception-code"), "107", "{name}: {}", reply.text());
    }
    for descriptor in ["'-'", "'stdin'", "'stdout'", "'stderr'", "'/dev/stdin'", "'/dev/stderr'"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..64).map(|number| number.to_string()))
    {
        for statement in [
            format!("SELECT * FROM file({descriptor}, 'LineAsString')"),
            format!("INSERT INTO FUNCTION file({descriptor}, 'TSV', 'a String') SELECT 'x'"),
            format!("CREATE TABLE f (a String) ENGINE = File(TSV, {descriptor})"),
        ] {
            let reply = clickhouse.post(&[], statement.clone()).await;
            assert!(!reply.header("x-clickhouse-exception-code").is_empty(), "{statement}: {}", reply.text());
        }
    }
    streaming.abort();
    clickhouse.eventually(&running("1"), "0").await;
    assert!(clickhouse.part.stop().success(), "the part did not notice that its supervisor ended");
}

#[tokio::test]
async fn the_kernel_alone_protects_files_programs_and_ports_from_a_user_with_all_grants() {
    if !is_complete() {
        return;
    }
    let (directory, outside) = (tempfile::tempdir().unwrap(), Outside::new());
    let extra = directory.path().join("config.d");
    fs::create_dir(&extra).unwrap();
    fs::write(extra.join("everything.xml"), EVERYTHING_GRANTED).unwrap();
    let clickhouse = ClickHouse::start_in(directory, &[]);
    assert_eq!(clickhouse.sql("SHOW GRANTS").await, "GRANT ALL ON *.* TO default");
    clickhouse.sql("CREATE TABLE t (a String) ENGINE = Memory").await;
    // Some fail only when the table is used, and some not at all: their files are in the part's directory.
    for statement in ATTACKS.iter().chain(&CLIENT_FILES) {
        let statement = outside.fill_in(statement);
        for session in ["", "attack"] {
            // By default the engine retries a refused connection for minutes.
            let once = [("http_max_tries", "1"), ("s3_retry_attempts", "1"), ("session_id", session)];
            let reply = clickhouse.post(&once, statement.clone()).await;
            assert!(!String::from_utf8_lossy(&reply.body).contains(SECRET), "{statement}");
            assert!(!statement.contains(" file('") || reply.status != 200, "{statement}");
            outside.assert_untouched(&statement);
        }
    }
    let reply = clickhouse.post(&[], "SELECT * FROM d").await;
    assert!(
        reply.text().contains("CANNOT_FORK") || reply.text().contains("Cannot vfork"),
        "{}",
        reply.text()
    );
    let reply = clickhouse.post(&[], outside.fill_in("SELECT file('SECRET')")).await;
    assert!(reply.text().contains("Permission denied"), "{}", reply.text());
    // The engine cannot change its configuration either.
    let config = clickhouse.path().join("config.d/x.xml");
    let target =
        format!("INSERT INTO FUNCTION file('{}', 'RawBLOB', 'a String') SELECT 'x'", config.display());
    assert_ne!(clickhouse.post(&[], target).await.status, 200);
    assert!(!Path::new(&config).exists());
}
