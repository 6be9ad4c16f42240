//! Bytes that are not valid requests: they end their own connection and have no other effect.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::kafka::{PATIENCE, TestBroker, noise};

/// Produces a record and reads it back, like another client.
fn works(broker: &TestBroker, id: u64) {
    let producer = broker.producer(&[]);
    producer.send("others", 0, id, &id.to_be_bytes());
    assert_eq!(producer.finish_acknowledged()[0].outcome, Ok(id as i64));
    assert_eq!(broker.read_all("others", 1)[&0].last().unwrap(), &id.to_be_bytes());
}

fn connect(broker: &TestBroker) -> TcpStream {
    let stream = TcpStream::connect(broker.part.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Returns the broker's resident memory in mebibytes, if the kernel reports it.
fn resident(broker: &TestBroker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.part.pid())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).map_or(0, |kibibytes| kibibytes.parse::<u64>().unwrap() >> 10)
}

/// Returns the frame of a request: length, key, version, correlation id, client and body.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = [key.to_be_bytes(), version.to_be_bytes()].concat();
    request.extend([0, 0, 0, 1, 0, 0]);
    request.extend(body);
    [&(request.len() as u32).to_be_bytes()[..], &request].concat()
}

#[test]
fn bytes_that_are_not_a_request_end_only_their_own_connection() {
    let broker = TestBroker::start();
    broker.create_topic("others", 1).unwrap();
    works(&broker, 0);
    let before = resident(&broker);
    let negative = (-1_i32).to_be_bytes().to_vec();
    let two_gigabytes = [&i32::MAX.to_be_bytes()[..], &noise(1, 1_000)].concat();
    let produce_with_huge_count = frame(0, 7, &[0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
    let fetch_with_huge_count = frame(1, 11, &[0x7f; 60]);
    let metadata_with_huge_text = frame(3, 4, &[0, 0, 0, 1, 0x7f, 0xff, 1]);
    let unknown_request = frame(999, 0, b"");
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let all = [
        negative,
        two_gigabytes,
        produce_with_huge_count,
        fetch_with_huge_count,
        metadata_with_huge_text,
        unknown_request,
        http,
    ];
    for bytes in all {
        let mut stream = connect(&broker);
        stream.write_all(&bytes).unwrap();
        let answered = stream.read_to_end(&mut Vec::new());
        assert!(matches!(answered, Ok(0) | Err(_)), "{answered:?} for {bytes:?}");
    }
    works(&broker, 1);
    let grown = resident(&broker).saturating_sub(before);
    assert!(grown < 100, "{grown} MiB more");
}

#[test]
fn noise_on_the_port_does_not_end_the_broker() {
    let broker = TestBroker::start();
    broker.create_topic("others", 1).unwrap();
    works(&broker, 0);
    for seed in 0..300_u64 {
        let mut stream = connect(&broker);
        let mut bytes = noise(seed, 300);
        // Mostly supported requests in a supported version, with random contents.
        if seed % 4 != 0 {
            bytes = frame((seed % 23) as i16, (seed / 23 % 6) as i16, &bytes);
        }
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    works(&broker, 1);
}

#[test]
fn incomplete_requests_delay_no_other_client_and_use_no_memory() {
    let broker = TestBroker::start();
    broker.create_topic("others", 1).unwrap();
    works(&broker, 0);
    let before = resident(&broker);
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = connect(&broker);
            // The length of a request of 90 MiB, and its first bytes.
            stream.write_all(&(90_u32 << 20).to_be_bytes()).unwrap();
            stream.write_all(&[0, 0, 0, 7, 0, 0]).unwrap();
            stream
        })
        .collect();
    works(&broker, 1);
    let grown = resident(&broker).saturating_sub(before);
    assert!(grown < 100, "{grown} MiB more for {} incomplete requests", waiting.len());
}

#[test]
fn a_batch_that_was_damaged_in_transit_is_refused() {
    let broker = TestBroker::start();
    broker.create_topic("others", 1).unwrap();
    works(&broker, 0);
    // A batch of the right form, but with a wrong checksum.
    let mut batch = vec![0; 80];
    batch[8..12].copy_from_slice(&68_u32.to_be_bytes());
    batch[16] = 2;
    batch[60] = 1;
    let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0x75, 0x30, 0, 0, 0, 1, 0, 6];
    body.extend(b"others");
    body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend((batch.len() as u32).to_be_bytes());
    body.extend(&batch);
    let mut stream = connect(&broker);
    stream.write_all(&frame(0, 7, &body)).unwrap();
    let mut answer = [0; 32];
    stream.read_exact(&mut answer).unwrap();
    let error = i16::from_be_bytes([answer[28], answer[29]]);
    assert_eq!(error, 2, "CORRUPT_MESSAGE in {answer:?}");
    works(&broker, 1);
}

/// Returns a batch with these records and a correct checksum.
fn batch(attributes: u8, count: u32, records: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; 61];
    batch[16] = 2;
    batch[22] = attributes;
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    // No producer id, epoch or sequence number.
    batch[43..57].fill(0xff);
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch.extend(records);
    let length = batch.len() as u32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    batch[17..21].copy_from_slice(&sum.to_be_bytes());
    batch
}

/// Produces a batch to `others` in version 8. Returns the error code and message.
fn produce(broker: &TestBroker, batch: &[u8]) -> (i16, String) {
    let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0x75, 0x30, 0, 0, 0, 1, 0, 6];
    body.extend(b"others");
    body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend((batch.len() as u32).to_be_bytes());
    body.extend(batch);
    let mut stream = connect(broker);
    stream.write_all(&frame(0, 8, &body)).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation id, one topic, its name, one partition, its number; then offset, time, start, no record errors, and the length of the
    // message.
    let error = i16::from_be_bytes([answer[24], answer[25]]);
    let message = &answer[56..answer.len() - 4];
    (error, String::from_utf8_lossy(message).into_owned())
}

#[test]
fn a_batch_that_no_consumer_could_read_is_refused_with_a_reason() {
    const INVALID_RECORD: i16 = 87;
    const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
    let broker = TestBroker::start();
    broker.create_topic("others", 1).unwrap();
    works(&broker, 0);
    // Attributes, timestamp, offset, no key, one byte of value, no headers.
    let record = [14, 0, 0, 0, 1, 2, b'v', 0];
    assert_eq!(produce(&broker, &batch(0, 1, &record)), (0, String::new()));
    // A length of 2^31 - 1.
    let endless = [&[0xfe, 0xff, 0xff, 0xff, 0x0f][..], &record[1..]].concat();
    let plain = b"not compressed".to_vec();
    for (attributes, records, code, reason) in [
        (0, &endless, INVALID_RECORD, "record 0 is malformed: its length"),
        (1, &plain, INVALID_RECORD, "record 0 is malformed"),
        (2, &plain, INVALID_RECORD, "cannot decompress the records (snappy)"),
        (3, &plain, INVALID_RECORD, "cannot decompress the records (lz4)"),
        (4, &plain, INVALID_RECORD, "cannot decompress the records (zstd)"),
        (5, &record.to_vec(), UNSUPPORTED_COMPRESSION_TYPE, "unknown compression codec 5"),
    ] {
        let (error, message) = produce(&broker, &batch(attributes, 1, records));
        assert_eq!(error, code, "attributes {attributes}: {message}");
        assert!(message.contains(reason), "attributes {attributes}: {message}");
    }
    works(&broker, 2);
}
