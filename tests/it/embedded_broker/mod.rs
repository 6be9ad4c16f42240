//! What we rely on in a Kafka broker, asked of the embedded one by clients that nobody here wrote.

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
