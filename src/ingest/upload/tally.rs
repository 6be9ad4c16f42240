//! Counts accepted and rejected rows, and stops a file at its limits.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::UploadError;
use crate::ingest::rows::Reject;

/// Number of rejects that an answer shows.
pub const SHOWN_REJECTS: usize = 20;

/// Number of rows after which a percentage is checked; at the end it is checked too.
const ROWS_OF_A_SHARE: u64 = 1000;

/// Largest number of rejected rows, as the sender gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxRejects {
    Count(u64),
    /// Per ten thousand rows.
    Share(u64),
}

impl FromStr for MaxRejects {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "a whole number, or a percentage from 0% to 100% with at most two decimals";
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Count).map_err(|_| HELP);
        };
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
        let is_number =
            |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 2 {
            return Err(HELP);
        }
        let share: u64 = format!("{whole}{fraction:0<2}").parse().map_err(|_| HELP)?;
        if share <= 10_000 { Ok(Self::Share(share)) } else { Err(HELP) }
    }
}

impl fmt::Display for MaxRejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) if share % 100 == 0 => write!(f, "{}%", share / 100),
            Self::Share(share) => write!(f, "{}.{:02}%", share / 100, share % 100),
        }
    }
}

/// Limits of the rows of a file.
#[derive(Clone, Copy, Debug)]
pub struct RowLimits {
    pub rows: u64,
    /// Rejected rows, whatever the sender says.
    pub rejects: u64,
    pub max_rejects: Option<MaxRejects>,
    pub abort_on_reject: bool,
}

/// Counts rows.
#[derive(Debug)]
pub struct Tally {
    limits: RowLimits,
    pub accepted: u64,
    pub rejected: u64,
    pub by_code: BTreeMap<&'static str, u64>,
    /// The first rejects.
    pub shown: Vec<Reject>,
    /// How many of them.
    most_shown: usize,
}

impl Tally {
    pub fn new(limits: RowLimits) -> Self {
        Self::showing(SHOWN_REJECTS, limits)
    }

    /// Keeps this number of rejects.
    pub fn showing(most_shown: usize, limits: RowLimits) -> Self {
        Self { limits, accepted: 0, rejected: 0, by_code: BTreeMap::new(), shown: Vec::new(), most_shown }
    }

    pub fn rows(&self) -> u64 {
        self.accepted + self.rejected
    }

    /// Checks that one more row is allowed.
    ///
    /// # Errors
    /// It is not.
    pub fn check_rows(&self) -> Result<(), UploadError> {
        if self.rows() >= self.limits.rows {
            return Err(UploadError::TooManyRows { limit: self.limits.rows });
        }
        Ok(())
    }

    /// Counts an accepted row.
    ///
    /// # Errors
    /// Too many earlier rows were rejected.
    pub fn accept(&mut self) -> Result<(), UploadError> {
        self.accepted += 1;
        if self.rows() == ROWS_OF_A_SHARE { self.check_share() } else { Ok(()) }
    }

    /// Counts a rejected row, under its first fault.
    ///
    /// # Errors
    /// It is one too many.
    pub fn reject(&mut self, reject: Reject) -> Result<(), UploadError> {
        self.rejected += 1;
        *self.by_code.entry(reject.first.code).or_default() += 1;
        let aborting = self.limits.abort_on_reject.then(|| Box::new(reject.clone()));
        if self.shown.len() < self.most_shown {
            self.shown.push(reject);
        }
        if let Some(reject) = aborting {
            return Err(UploadError::Rejected(reject));
        }
        let given = match self.limits.max_rejects {
            Some(MaxRejects::Count(count)) => count,
            _ => u64::MAX,
        };
        let most = given.min(self.limits.rejects);
        if self.rejected > most {
            return Err(UploadError::TooManyRejects { limit: most.to_string() });
        }
        if self.rows() >= ROWS_OF_A_SHARE { self.check_share() } else { Ok(()) }
    }

    /// Checks the percentage, which needs enough rows, or all of them.
    ///
    /// # Errors
    /// Too many rows were rejected.
    pub fn check_share(&self) -> Result<(), UploadError> {
        match self.limits.max_rejects {
            Some(max @ MaxRejects::Share(share))
                if u128::from(self.rejected) * 10_000 > u128::from(share) * u128::from(self.rows()) =>
            {
                Err(UploadError::TooManyRejects { limit: max.to_string() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_rejects_is_a_number_or_a_percentage() {
        for (text, max) in [
            ("0", MaxRejects::Count(0)),
            ("250", MaxRejects::Count(250)),
            ("5%", MaxRejects::Share(500)),
            ("0.5%", MaxRejects::Share(50)),
            ("12.25%", MaxRejects::Share(1225)),
            ("100%", MaxRejects::Share(10_000)),
        ] {
            assert_eq!(text.parse(), Ok(max));
            assert_eq!(max.to_string(), text.replace("0.5%", "0.50%"));
        }
        for text in ["", "-1", "5 %", "%", ".5%", "5.%", "0.125%", "101%", "1e3", "99999999999999999999"] {
            assert!(text.parse::<MaxRejects>().is_err(), "{text}");
        }
    }

    fn reject() -> Reject {
        Reject::of_line(1, "not_an_integer", String::new(), b"")
    }

    fn tally(max_rejects: MaxRejects) -> Tally {
        Tally::new(RowLimits {
            rows: 3000,
            rejects: 100,
            max_rejects: Some(max_rejects),
            abort_on_reject: false,
        })
    }

    #[test]
    fn a_percentage_is_checked_from_a_thousand_rows_on_and_at_the_end() {
        let mut all_bad = tally(MaxRejects::Share(500));
        (0..99).for_each(|_| all_bad.reject(reject()).unwrap());
        assert!(all_bad.check_share().is_err());
        for _ in 0..900 {
            all_bad.accept().unwrap();
        }
        assert!(all_bad.accept().is_err(), "9.9% of a thousand");
        let mut few_bad = tally(MaxRejects::Share(500));
        for _ in 0..50 {
            few_bad.reject(reject()).unwrap();
            (0..19).for_each(|_| few_bad.accept().unwrap());
        }
        few_bad.check_share().unwrap();
        assert!(few_bad.reject(reject()).is_err(), "more than 5%");
    }

    #[test]
    fn a_count_is_exact_and_the_server_has_its_own_limit() {
        let mut tally_of_two = tally(MaxRejects::Count(2));
        (0..2).for_each(|_| tally_of_two.reject(reject()).unwrap());
        let error = tally_of_two.reject(reject()).unwrap_err();
        assert!(matches!(&error, UploadError::TooManyRejects { limit } if limit == "2"), "{error}");
        let mut many = tally(MaxRejects::Count(1000));
        (0..100).for_each(|_| many.reject(reject()).unwrap());
        assert!(many.reject(reject()).is_err());
        assert_eq!((many.by_code["not_an_integer"], many.shown.len()), (101, SHOWN_REJECTS));
    }
}
