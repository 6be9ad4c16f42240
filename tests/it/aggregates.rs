//! `GET /aggregates` and `GET /aggregates/summary`.

mod formats;
mod odd_texts;
mod pages;
mod protection;
mod reading;
mod refusals;
mod repaired_text;
