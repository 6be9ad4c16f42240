//! The behaviour of a Kafka broker that Roundhouse relies on, tested on the embedded broker with third-party clients.

mod damage;
mod descriptors;
mod durability;
mod foreign;
mod groups;
mod hostile;
mod kafka;
mod producing;
mod reading;
mod topics;
