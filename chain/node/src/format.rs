//! Numbers as people read them.

/// An integer with its digits in groups of three: `7,126`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in 0..=1 as a percentage with one decimal: `13.4 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_percentages() {
        let groups = [0, 7, 999, 1_000, 7_126, 224_007, 1_000_000].map(grouped);
        assert_eq!(groups, ["0", "7", "999", "1,000", "7,126", "224,007", "1,000,000"]);
        assert_eq!([percent(0.134_2), percent(0.002), percent(1.0)], ["13.4 %", "0.2 %", "100.0 %"]);
    }
}
