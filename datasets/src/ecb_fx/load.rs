//! Reads the bank's zip: one CSV, newest day first, a column per currency, `N/A` in gaps.
//!
//! Nothing is trusted: what is inflated and counted is bounded, every date and rate is checked.

use std::io::{Cursor, Read};
use std::ops::Range;

use super::{Cell, EcbFx};
use crate::{BadDate, Date};

/// Most bytes a file may inflate to: the table of 27 years takes 2 MB.
const MAX_BYTES: u64 = 64 << 20;
/// Most currencies a file may have.
const MAX_CURRENCIES: usize = 1_024;
/// What the file writes where no rate was published.
const GAP: &str = "N/A";

/// What is wrong with a file of reference rates. Days and lines are named as the file has them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EcbFxError {
    /// Not a zip, or one whose content does not inflate or does not match its checksum.
    #[error("cannot unpack the rates: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// The content cannot be read out of the zip.
    #[error("cannot unpack the rates: {0}")]
    Read(#[from] std::io::Error),
    /// The zip holds another number of files than one.
    #[error("the zip holds {got} files, expected 1")]
    FileCount {
        /// Files found.
        got: usize,
    },
    /// The table is larger than any real one.
    #[error("the {what} exceed the limit {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Not a table of UTF-8 text with equally long lines.
    #[error("not a table: {0}")]
    Csv(#[from] csv::Error),
    /// The first line does not begin with `Date` or names no currency, or one of them twice.
    #[error("the header {got:?} is not Date and distinct currency codes")]
    BadHeader {
        /// The header's fields, joined by commas.
        got: String,
    },
    /// A line that does not begin with a date.
    #[error("line {line}: {error}")]
    BadDate {
        /// Line of the file, the header being line 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        error: BadDate,
    },
    /// Days have to descend from line to line.
    #[error("line {line}: {date} does not lie before {previous}")]
    DateOrder {
        /// Line of the file.
        line: u64,
        /// The date there.
        date: Date,
        /// The date on the line before.
        previous: Date,
    },
    /// A cell that is neither `N/A` nor a positive decimal number.
    #[error("line {line}, {currency}: {got:?} is not a positive rate")]
    BadRate {
        /// Line of the file.
        line: u64,
        /// The column.
        currency: String,
        /// The cell.
        got: String,
    },
}

pub(super) fn from_zip(zip: &[u8]) -> Result<EcbFx, EcbFxError> {
    let table = unpack(zip)?;
    let mut reader = csv::Reader::from_reader(&*table);
    let currencies = currencies(reader.headers()?)?;
    let mut dates: Vec<Date> = Vec::new();
    let mut cells = Vec::new();
    let mut digits = String::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        let date = date(&record, line)?;
        if let Some(&previous) = dates.last()
            && date >= previous
        {
            return Err(EcbFxError::DateOrder { line, date, previous });
        }
        dates.push(date);
        for (currency, field) in currencies.iter().zip(record.iter().skip(1)) {
            cells.push(if field == GAP { None } else { Some(cell(&mut digits, field, currency, line)?) });
        }
    }
    // The file is newest first; time runs forward here.
    dates.reverse();
    let cells = cells.chunks(currencies.len()).rev().flatten().copied().collect();
    Ok(EcbFx { dates, currencies, cells, digits })
}

/// The bytes of the only file in the zip.
fn unpack(zip: &[u8]) -> Result<Vec<u8>, EcbFxError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip))?;
    if archive.len() != 1 {
        return Err(EcbFxError::FileCount { got: archive.len() });
    }
    let mut table = Vec::new();
    archive.by_index(0)?.take(MAX_BYTES + 1).read_to_end(&mut table)?;
    if table.len() as u64 > MAX_BYTES {
        return Err(EcbFxError::TooLarge { what: "inflated bytes", limit: MAX_BYTES });
    }
    Ok(table)
}

/// The header's currency codes. Every line of the file ends in a comma, hence one empty column at the end.
fn currencies(header: &csv::StringRecord) -> Result<Vec<String>, EcbFxError> {
    let bad = || EcbFxError::BadHeader { got: header.iter().collect::<Vec<_>>().join(",") };
    let mut fields: Vec<&str> = header.iter().collect();
    if fields.last() == Some(&"") {
        fields.pop();
    }
    let [first, codes @ ..] = &*fields else { return Err(bad()) };
    if codes.len() > MAX_CURRENCIES {
        return Err(EcbFxError::TooLarge { what: "currencies", limit: MAX_CURRENCIES as u64 });
    }
    let mut distinct = codes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if *first != "Date" || codes.is_empty() || codes.contains(&"") || distinct.len() != codes.len() {
        return Err(bad());
    }
    Ok(codes.iter().map(|&code| code.to_owned()).collect())
}

fn date(record: &csv::StringRecord, line: u64) -> Result<Date, EcbFxError> {
    record.get(0).unwrap_or_default().parse().map_err(|error| EcbFxError::BadDate { line, error })
}

/// Keeps a rate's digits and parses them. Digits and one point only: no sign, no exponent, no `inf`.
fn cell(digits: &mut String, field: &str, currency: &str, line: u64) -> Result<Cell, EcbFxError> {
    let plain = field.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = field.parse().ok().filter(|value: &f64| plain && *value > 0.0 && value.is_finite());
    let Some(value) = value else {
        return Err(EcbFxError::BadRate { line, currency: currency.to_owned(), got: field.to_owned() });
    };
    let Range { start, end } = digits.len()..digits.len() + field.len();
    digits.push_str(field);
    Ok(Cell { start, end, value })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn load(table: &str) -> Result<EcbFx, EcbFxError> {
        from_zip(&zip_of(&[("rates.csv", table.as_bytes())]))
    }

    #[test]
    fn reads_newest_first_with_gaps_and_exact_digits() {
        let fx = load("Date,USD,XAU,\n2020-01-03,1.10,N/A,\n2020-01-02,1.2000,0.50,\n").unwrap();
        assert_eq!(fx.dates(), ["2020-01-02".parse().unwrap(), "2020-01-03".parse().unwrap()]);
        assert_eq!(fx.currencies(), ["USD", "XAU"]);
        let text = |day, currency| fx.rate(day, currency).map(|rate| rate.text);
        assert_eq!(
            [text(0, 0), text(0, 1), text(1, 0), text(1, 1)],
            [Some("1.2000"), Some("0.50"), Some("1.10"), None]
        );
    }

    #[test]
    fn names_what_is_wrong_and_where() {
        use EcbFxError as E;
        let line = |table: &str| load(&format!("Date,USD,\n{table}")).unwrap_err();
        assert!(matches!(line("2020-01-03,1,\n2020-01-03,1,\n"), E::DateOrder { line: 3, .. }));
        assert!(matches!(line("2020-01-03,1,\n2020-02-30,1,\n"), E::BadDate { line: 3, .. }));
        assert!(matches!(line("2020-01-03,1,2,3\n"), E::Csv(_)));
        for bad in ["", "0", "-1", "+1", "1e3", "nan", "inf", ".", "1.2.3", "1 ", "n/a"] {
            let error = line(&format!("2020-01-03,{bad},\n"));
            assert!(matches!(&error, E::BadRate { line: 2, got, .. } if got == bad), "{bad}: {error}");
        }
        for bad in ["", "Day,USD,\n", "Date,\n", "Date,USD,USD,\n", "Date,,USD,\n"] {
            assert!(matches!(load(bad), Err(E::BadHeader { .. })), "{bad}");
        }
        assert!(matches!(load(&format!("Date{}\n", ",X".repeat(2_000))), Err(E::TooLarge { .. })));
    }

    #[test]
    fn refuses_what_is_not_a_zip_of_one_file() {
        assert!(matches!(from_zip(b"Date,USD"), Err(EcbFxError::Zip(_))));
        assert!(matches!(from_zip(&zip_of(&[])), Err(EcbFxError::FileCount { got: 0 })));
        assert!(matches!(
            from_zip(&zip_of(&[("a", b""), ("b", b"")])),
            Err(EcbFxError::FileCount { got: 2 })
        ));
    }

    #[test]
    fn a_zip_that_inflates_beyond_the_limit_is_stopped() {
        let bomb = zip_of(&[("rates.csv", &vec![b'0'; MAX_BYTES as usize + 1])]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(from_zip(&bomb), Err(EcbFxError::TooLarge { .. })));
    }

    #[test]
    fn damaged_content_does_not_pass_the_checksum() {
        let mut zip = super::super::ECB_FX_ZIP.to_vec();
        let middle = zip.len() / 2;
        zip[middle] ^= 1;
        assert!(from_zip(&zip).is_err());
    }
}
