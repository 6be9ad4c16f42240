//! The API: thin handlers over the rooms, `router.rs` its index.

pub mod accept;
pub mod aggregates;
pub mod auth;
pub mod body;
pub mod connection;
pub mod differences;
pub mod download;
pub mod freshness;
pub mod head;
pub mod health;
pub mod metrics;
pub mod newest;
pub mod openapi;
pub mod parameters;
pub mod problem;
pub mod reconcile;
pub mod rejects;
pub mod repair;
pub mod router;
pub mod serve;
pub mod state;
pub mod unread;
pub mod upload;
pub mod upload_view;
pub mod uploads;
