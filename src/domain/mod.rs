//! What a round is made of: columns, values, money, time. Pure: no I/O, nothing of ours used.

pub mod columns;
pub mod decimal_mark;
pub mod money;
pub mod timestamp;
pub mod value;
