//! Endpoints of datasets: SQL files that are served.

mod command;
mod engine;
pub mod served;
