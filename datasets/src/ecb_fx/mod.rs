//! The European Central Bank's daily euro reference rates since 1999, embedded in the binary.
//!
//! The deltas made of them are what the demo chain carries: naturally sparse, ordered in time, and
//! everyone can check the answers against what they remember of the news.

mod load;

use tensor_kernels::{KernelError, SparseVec};

pub use load::EcbFxError;

use crate::Date;

/// The published file, unmodified; `ecb-fx/SOURCE.md` beside it says where it comes from.
pub const ECB_FX_ZIP: &[u8] = include_bytes!("../../ecb-fx/eurofxref-hist.zip");

/// A published rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate<'a> {
    /// Units of the currency per euro, in the digits that were published.
    pub text: &'a str,
    /// The f64 nearest to those digits, positive and finite.
    pub value: f64,
}

/// Rates per day and currency, with gaps where none was published.
///
/// ```
/// use tensor_datasets::EcbFx;
/// let fx = EcbFx::embedded()?;
/// assert_eq!((fx.dates().len(), fx.currencies().len()), (7_126, 41));
/// let (day, chf) = (fx.day_of("2015-01-15".parse()?).unwrap(), fx.currency_of("CHF").unwrap());
/// assert_eq!(fx.rate(day, chf).unwrap().text, "1.028");
/// assert!(fx.log_return(day, chf).unwrap() < -0.155); // the day the franc was unpegged
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EcbFx {
    dates: Vec<Date>,
    currencies: Vec<String>,
    /// `dates × currencies`, row-major.
    cells: Vec<Option<Cell>>,
    /// The digits of every rate, end to end.
    digits: String,
}

/// Where a rate's digits lie, and their value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    start: usize,
    end: usize,
    value: f64,
}

impl EcbFx {
    /// Magnitude above which a log return counts as a move: 0.2 %.
    pub const DEFAULT_THRESHOLD: f64 = 0.002;

    /// The embedded file: 7,126 business days × 41 currencies, 1999-01-04 to 2026-10-30.
    ///
    /// # Errors
    /// None for the file as shipped; a test holds it to that.
    pub fn embedded() -> Result<Self, EcbFxError> {
        Self::from_zip(ECB_FX_ZIP)
    }

    /// A file of the same form, newer or older.
    ///
    /// # Errors
    /// Whatever is not a zip of one CSV with a date column, one column per currency, and a positive
    /// rate or `N/A` in each cell; days that repeat or are out of order; sizes over the limits named
    /// in [`EcbFxError`].
    pub fn from_zip(zip: &[u8]) -> Result<Self, EcbFxError> {
        load::from_zip(zip)
    }

    /// Business days, ascending.
    #[must_use]
    pub fn dates(&self) -> &[Date] {
        &self.dates
    }

    /// ISO 4217 codes in the order of the file; a currency's position is its dimension in every delta.
    #[must_use]
    pub fn currencies(&self) -> &[String] {
        &self.currencies
    }

    /// Position of a date in [`dates`](Self::dates); `None` for weekends and holidays.
    #[must_use]
    pub fn day_of(&self, date: Date) -> Option<usize> {
        self.dates.binary_search(&date).ok()
    }

    /// Position of a currency in [`currencies`](Self::currencies).
    #[must_use]
    pub fn currency_of(&self, code: &str) -> Option<usize> {
        self.currencies.iter().position(|currency| currency == code)
    }

    /// The rate of a currency on a day; `None` in a gap and outside the table.
    #[must_use]
    pub fn rate(&self, day: usize, currency: usize) -> Option<Rate<'_>> {
        let cell = self.cell(day, currency)?;
        Some(Rate { text: &self.digits[cell.start..cell.end], value: cell.value })
    }

    /// The rates of one day, ascending by currency; gaps are skipped.
    pub fn rates(&self, day: usize) -> impl Iterator<Item = (usize, Rate<'_>)> + '_ {
        (0..self.currencies.len()).filter_map(move |currency| Some((currency, self.rate(day, currency)?)))
    }

    /// ln(rate today / rate on the business day before), dimensionless.
    ///
    /// `None` unless both days have a rate: after a gap the first return is missing too, so that no
    /// change of weeks counts as one day's.
    #[must_use]
    pub fn log_return(&self, day: usize, currency: usize) -> Option<f64> {
        let before = self.cell(day.checked_sub(1)?, currency)?;
        Some(libm::log(self.cell(day, currency)?.value / before.value))
    }

    /// The day's delta: its log returns of magnitude greater than `threshold`, rounded to f32, one
    /// dimension per currency. A day without such a return, as the first, has the zero delta.
    ///
    /// # Errors
    /// A return that is zero in f32 yet above the threshold, which takes a negative or NaN threshold.
    pub fn delta(&self, day: usize, threshold: f64) -> Result<SparseVec, KernelError> {
        let width = self.currencies.len();
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for (index, currency) in (0u32..).zip(0..width) {
            if let Some(r) = self.log_return(day, currency).filter(|r| r.abs() > threshold) {
                indices.push(index);
                values.push(r as f32);
            }
        }
        // The loader admits no more currencies than fit a u32.
        SparseVec::new(width as u32, indices, values)
    }

    fn cell(&self, day: usize, currency: usize) -> Option<Cell> {
        let width = self.currencies.len();
        let position = day.checked_mul(width)?.checked_add(currency)?;
        if currency < width { *self.cells.get(position)? } else { None }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn fx() -> EcbFx {
        EcbFx::embedded().unwrap()
    }

    #[test]
    fn the_file_is_the_published_one() {
        let hash: String = Sha256::digest(ECB_FX_ZIP).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "73db21584dd46cebf5cd6df75ebb6de7afcdeebff52f54d5046ca8e459c0fbb3");
        let source = include_str!("../../ecb-fx/SOURCE.md");
        assert!(source.contains(&hash) && source.contains("Source: ECB statistics"));
    }

    #[test]
    fn days_currencies_rates_and_gaps() {
        let fx = fx();
        assert_eq!((fx.dates().len(), fx.currencies().len()), (7_126, 41));
        assert_eq!(
            (fx.dates()[0].to_string(), fx.dates()[7_125].to_string()),
            ("1999-01-04".into(), "2026-10-30".into())
        );
        assert_eq!((&*fx.currencies()[0], &*fx.currencies()[40]), ("USD", "ZAR"));
        assert_eq!((0..7_126).map(|day| fx.rates(day).count()).sum::<usize>(), 221_702);
        let usd = fx.rate(0, 0).unwrap();
        assert_eq!((usd.text, usd.value), ("1.1789", 1.1789));
        let isk = fx.currency_of("ISK").unwrap();
        assert_eq!(fx.rate(fx.day_of("2010-01-04".parse().unwrap()).unwrap(), isk), None);
        assert_eq!((fx.rate(7_126, 0), fx.rate(0, 41)), (None, None));
    }

    #[test]
    fn a_return_needs_a_rate_on_the_business_day_before() {
        let fx = fx();
        let returns = |day| (0..41).filter(|&currency| fx.log_return(day, currency).is_some()).count();
        assert_eq!(returns(0), 0);
        assert_eq!((0..7_126).map(returns).sum::<usize>(), 221_660);
        // The Icelandic króna was not quoted from 2008-12-10 to 2018-01-31.
        let (isk, back) = (fx.currency_of("ISK").unwrap(), fx.day_of("2018-02-01".parse().unwrap()).unwrap());
        assert!(fx.rate(back, isk).is_some() && fx.rate(back - 1, isk).is_none());
        assert_eq!(fx.log_return(back, isk), None);
        assert!(fx.log_return(back + 1, isk).is_some());
    }

    #[test]
    fn deltas_hold_the_moves_above_the_threshold() {
        let fx = fx();
        let deltas: Vec<_> = (0..7_126).map(|day| fx.delta(day, EcbFx::DEFAULT_THRESHOLD).unwrap()).collect();
        assert_eq!(deltas.iter().map(SparseVec::nnz).sum::<usize>(), 115_972);
        assert_eq!(deltas.iter().filter(|delta| delta.is_zero()).count(), 1);
        assert!(
            deltas.iter().all(|delta| delta.dim() == 41 && delta.values().iter().all(|v| v.abs() > 0.002))
        );
        assert!(fx.delta(1, -1.0).is_err() || fx.delta(1, -1.0).unwrap().nnz() > deltas[1].nnz());
    }

    /// The norm ‖delta‖ ranks the days; the currency that moved most names them.
    #[test]
    fn the_largest_deltas_are_the_days_everyone_remembers() {
        let fx = fx();
        let mut days: Vec<(f64, String, &str)> = (1..7_126)
            .map(|day| {
                let delta = fx.delta(day, EcbFx::DEFAULT_THRESHOLD).unwrap();
                let norm = delta.values().iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                let most = delta.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap().0;
                (norm, fx.dates()[day].to_string(), &*fx.currencies()[most as usize])
            })
            .collect();
        days.sort_by(|a, b| b.0.total_cmp(&a.0));
        let top: Vec<_> =
            days[..9].iter().map(|(norm, date, code)| format!("{date} {code} {norm:.3}")).collect();
        assert_eq!(
            top,
            [
                "2001-02-22 TRL 0.521",
                "2008-11-06 ISK 0.405",
                "2008-10-08 ISK 0.352",
                "2021-12-21 TRY 0.309",
                "2008-10-06 ISK 0.233",
                "2022-02-28 RUB 0.223",
                "2014-12-16 RUB 0.215",
                "2008-10-09 ISK 0.182",
                "2015-01-15 CHF 0.171",
            ]
        );
    }
}
