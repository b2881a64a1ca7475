//! MovieLens: one rating a line, user and item by number.

use std::collections::BTreeMap;

use tensor_kernels::SparseBatch;

use super::FetchError;
use super::error::content;

const HEADER: &str = "user_id:token\titem_id:token\trating:float\ttimestamp:float";
/// Greatest user or item that is believed; the data set of 100,000 ratings has 1,682 items.
const MAX_NUMBER: u32 = 1 << 20;

/// A row a user, a component an item, in the order of their numbers; the value is the rating, 1..=5.
pub(super) fn rows(table: &[u8]) -> Result<SparseBatch<'static>, FetchError> {
    let bad = |line, expected| content("the table of ratings", line, expected);
    let table = std::str::from_utf8(table).map_err(|_| bad(1, "UTF-8 text"))?;
    let mut lines = table.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(bad(1, "columns for user, item, rating and time"));
    }
    let mut ratings = BTreeMap::new();
    for (position, line) in lines {
        let bad = |expected| bad(position + 1, expected);
        let fields: Vec<&str> = line.split('\t').collect();
        let &[user, item, rating, _] = &*fields else { return Err(bad("four fields")) };
        let number = |text: &str| text.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number));
        let (Some(user), Some(item)) = (number(user), number(item)) else {
            return Err(bad("numbers of a user and an item"));
        };
        let rating = rating.parse().ok().filter(|rating: &f32| (1.0..=5.0).contains(rating));
        let rating = rating.ok_or_else(|| bad("a rating from 1 to 5"))?;
        if ratings.insert((user, item), rating).is_some() {
            return Err(bad("one rating of an item by a user"));
        }
    }
    let users = ratings.keys().map(|&(user, _)| user).max().unwrap_or(0);
    let dim = ratings.keys().map(|&(_, item)| item).max().unwrap_or(0);
    let mut indptr = vec![0; users as usize + 1];
    ratings.keys().for_each(|&(user, _)| indptr[user as usize] += 1);
    let mut end = 0;
    for count in &mut indptr {
        end += *count;
        *count = end;
    }
    let indices = ratings.keys().map(|&(_, item)| item - 1).collect();
    Ok(SparseBatch::new(dim, indptr, indices, ratings.into_values().collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_become_rows_of_users() {
        let table = format!("{HEADER}\n3\t1\t5\t8\n1\t4\t3\t9\n1\t2\t1\t9\n");
        let rows = rows(table.as_bytes()).unwrap();
        let expected = SparseBatch::new(4, vec![0, 2, 2, 3], vec![1, 3, 0], vec![1.0, 3.0, 5.0]);
        assert_eq!(rows, expected.unwrap());
    }

    #[test]
    fn a_line_that_is_no_rating_is_named() {
        for bad in ["1\t2\t3", "0\t2\t3\t9", "1\t2\t6\t9", "1\t2\tnan\t9", "1\t9999999\t3\t9", "1\t1\t3\t9"] {
            let table = format!("{HEADER}\n1\t1\t5\t8\n{bad}\n");
            let error = rows(table.as_bytes()).unwrap_err();
            assert!(matches!(error, FetchError::Content { position: 3, .. }), "{bad}: {error}");
        }
        assert!(rows(b"").is_err() && rows(b"\xff").is_err());
    }
}
