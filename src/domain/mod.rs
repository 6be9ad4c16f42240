//! The parts of a row: columns, values, money, times. Pure: no I/O, and no other module is used.

pub mod columns;
pub mod date;
pub mod decimal_mark;
pub mod double;
pub mod money;
mod offset;
pub mod time_zone;
pub mod timestamp;
pub mod value;
