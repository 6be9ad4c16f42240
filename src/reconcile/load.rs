//! Loads the valid rows of a spooled file into the job's table.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::context::{Context, JobError};
use super::queue::{Job, ROWS_LOADED};
use super::report::Phase;
use super::tables::Tables;
use crate::domain::columns::Columns;
use crate::ingest::rows::{Reject, Row, RowReader, RowSink, RowsError};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::row_binary::write_value;

/// Bytes read from the file at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes of a block that is sent to ClickHouse.
const BLOCK_BYTES: usize = 1 << 20;

/// Blocks that may wait to be sent.
const BLOCKS_IN_FLIGHT: usize = 8;

/// Rows of one part of the table. ClickHouse keeps as many in memory.
const PART_ROWS: usize = 131_072;

/// How many rows of a file are valid and invalid.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loaded {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

/// Loads the file at `path`. A separate thread reads it, at most a few blocks ahead.
pub(super) async fn load(
    context: &Context,
    tables: &Tables,
    path: &Path,
    job: &Arc<Job>,
) -> Result<Loaded, JobError> {
    job.progress.enter(Phase::Reading);
    let statement = tables.insert_statement();
    let mut insert = context.warehouse.insert_in_parts(&statement, &tables.tag(), PART_ROWS);
    let (sender, mut blocks) = mpsc::channel(BLOCKS_IN_FLIGHT);
    let reading = Reading {
        reader: RowReader::new(
            Arc::clone(&context.dataset.columns),
            job.record().read,
            context.max_line_bytes,
        ),
        blocks: Blocks {
            columns: Arc::clone(&context.dataset.columns),
            block: Vec::with_capacity(BLOCK_BYTES),
            sender,
            loaded: Loaded::default(),
        },
        job: Arc::clone(job),
    };
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || reading.run(&path));
    while let Some(block) = blocks.recv().await {
        context.disk.check()?;
        insert.send(block).await.map_err(WarehouseError::from)?;
    }
    let loaded = reading.await.unwrap_or_else(|error| Err(JobError::Read(io::Error::other(error))))?;
    if loaded.accepted > 0 {
        insert.end().await.map_err(WarehouseError::from)?;
    }
    Ok(loaded)
}

/// Reads a file on a separate thread.
struct Reading {
    reader: RowReader,
    blocks: Blocks,
    job: Arc<Job>,
}

impl Reading {
    fn run(mut self, path: &Path) -> Result<Loaded, JobError> {
        let mut file = File::open(path).map_err(JobError::open)?;
        let whole = self.job.record().bytes;
        if file.metadata().map_err(JobError::Read)?.len() != whole {
            return Err(JobError::Gone);
        }
        let mut piece = vec![0; PIECE_BYTES];
        let mut bytes = 0_u64;
        loop {
            let read = read_some(&mut file, &mut piece).map_err(JobError::Read)?;
            self.push(piece.get(..read).unwrap_or_default(), read == 0)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            self.job.progress.reach(ROWS_LOADED * bytes as f64 / whole as f64);
        }
        self.blocks.send().map_err(|Abandoned| JobError::Abandoned)?;
        Ok(self.blocks.loaded)
    }

    fn push(&mut self, bytes: &[u8], last: bool) -> Result<(), JobError> {
        self.reader.push(bytes, last, &mut self.blocks).map_err(|error| match error {
            RowsError::File(error) => JobError::File(error),
            RowsError::Sink(Abandoned) => JobError::Abandoned,
        })
    }
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// The task that inserts the blocks has given up, and reports the reason.
#[derive(Debug)]
struct Abandoned;

/// Collects rows into blocks of RowBinary. The line number comes last in each row.
struct Blocks {
    columns: Arc<Columns>,
    block: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
    loaded: Loaded,
}

impl RowSink for Blocks {
    type Error = Abandoned;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Abandoned> {
        for (column, value) in self.columns.iter().zip(row.values).filter(|(column, _)| column.is_field()) {
            write_value(column, *value, row.buffer, &mut self.block);
        }
        self.block.extend(row.line.to_le_bytes());
        self.loaded.accepted += 1;
        if self.block.len() >= BLOCK_BYTES { self.send() } else { Ok(()) }
    }

    fn reject(&mut self, _: Reject, _: &str) -> Result<(), Abandoned> {
        self.loaded.rejected += 1;
        Ok(())
    }
}

impl Blocks {
    fn send(&mut self) -> Result<(), Abandoned> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.sender.blocking_send(Bytes::from(block)).map_err(|_| Abandoned)
    }
}
