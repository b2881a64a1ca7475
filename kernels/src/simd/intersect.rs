//! Where two ascending index lists meet, found without the unpredictable branches of a merge.
//!
//! [`PositionTable`] spreads one list over a table and looks the other up in it: the fastest way while
//! the table stays in cache. [`by_windows`] needs no table: it compares each index of the shorter list
//! with a whole window of the longer one, and gallops where the lengths differ much.

/// Indices compared at once; one 512-bit register, two of 256 bits.
const WINDOW: usize = 16;
/// From this ratio of lengths on, windows of the longer list are found by galloping.
const GALLOP_RATIO: usize = 32;
/// Marks a position that a table does not hold. Entry numbers are below the dimension, hence below this.
const ABSENT: u32 = u32::MAX;

/// Room for meeting points: entry number in the first and in the second list. Grows to the longest list met.
#[derive(Debug, Default)]
pub(super) struct Matches {
    room: Vec<(u32, u32)>,
    len: usize,
}

impl Matches {
    #[inline(always)]
    fn start(&mut self, most: usize) {
        // One more than can meet: `put` writes before it knows whether the last one counts.
        if self.room.len() <= most {
            self.room.resize(most + 1, (0, 0));
        }
        self.len = 0;
    }

    /// Adds a meeting point if `meets`; otherwise what it writes is overwritten by the next.
    #[inline(always)]
    fn put(&mut self, point: (u32, u32), meets: bool) {
        self.room[self.len] = point;
        self.len += usize::from(meets);
    }

    #[inline(always)]
    fn found(&self) -> &[(u32, u32)] {
        &self.room[..self.len]
    }
}

/// Entry numbers of one list by position.
#[derive(Debug)]
pub(super) struct PositionTable {
    entry_at: Vec<u32>,
}

impl PositionTable {
    /// An empty table for indices below `dim`.
    pub(super) fn new(dim: u32) -> Self {
        Self { entry_at: vec![ABSENT; dim as usize] }
    }

    /// Puts a list into an empty table.
    #[inline(always)]
    pub(super) fn enter(&mut self, list: &[u32]) {
        for (entry, &index) in (0..).zip(list) {
            self.entry_at[index as usize] = entry;
        }
    }

    /// Empties a table that holds `list`.
    #[inline(always)]
    pub(super) fn leave(&mut self, list: &[u32]) {
        for &index in list {
            self.entry_at[index as usize] = ABSENT;
        }
    }

    /// Where the list in the table (first) and `list` (second) meet.
    #[inline(always)]
    pub(super) fn meet<'m>(&self, list: &[u32], matches: &'m mut Matches) -> &'m [(u32, u32)] {
        matches.start(list.len());
        for (entry, &index) in (0u32..).zip(list) {
            let first = self.entry_at[index as usize];
            matches.put((first, entry), first != ABSENT);
        }
        matches.found()
    }
}

/// Where two lists meet, by windows of the longer.
#[inline(always)]
pub(super) fn by_windows<'m>(a: &[u32], b: &[u32], matches: &'m mut Matches) -> &'m [(u32, u32)] {
    matches.start(a.len().min(b.len()));
    if a.len() <= b.len() {
        windows_of_longer(a, b, |i, j| matches.put((i, j), true));
    } else {
        windows_of_longer(b, a, |j, i| matches.put((i, j), true));
    }
    matches.found()
}

/// Calls `meet(entry of short, entry of long)` wherever two ascending lists meet, ascending.
#[inline(always)]
pub(super) fn windows_of_longer(short: &[u32], long: &[u32], mut meet: impl FnMut(u32, u32)) {
    let (windows, tail) = long.as_chunks::<WINDOW>();
    let gallops = long.len() > short.len() * GALLOP_RATIO;
    let (mut window, mut at) = (0, 0);
    for (entry, &index) in (0u32..).zip(short) {
        let before = |window: &[u32; WINDOW]| window[WINDOW - 1] < index;
        if gallops {
            window += gallop(windows.len() - window, |ahead| before(&windows[window + ahead]));
        } else {
            while window < windows.len() && before(&windows[window]) {
                window += 1;
            }
        }
        let found = if let Some(window_of) = windows.get(window) {
            let equal =
                (0..WINDOW).fold(0u32, |mask, lane| mask | u32::from(window_of[lane] == index) << lane);
            (equal != 0).then_some(window * WINDOW + equal.trailing_zeros() as usize)
        } else {
            while at < tail.len() && tail[at] < index {
                at += 1;
            }
            (tail.get(at) == Some(&index)).then_some(windows.len() * WINDOW + at)
        };
        if let Some(found) = found {
            #[expect(clippy::cast_possible_truncation, reason = "a row has at most u32::MAX entries")]
            meet(entry, found as u32);
        }
    }
}

/// The first of `0..end` for which `before` is false, or `end`; `before` is true, then false.
#[inline(always)]
fn gallop(end: usize, before: impl Fn(usize) -> bool) -> usize {
    let mut step = 1;
    let mut low = 0;
    while low + step <= end && before(low + step - 1) {
        low += step;
        step *= 2;
    }
    let mut high = (low + step).min(end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::gallop;

    #[test]
    fn galloping_finds_every_boundary() {
        for end in 0..70 {
            for boundary in 0..=end {
                assert_eq!(gallop(end, |at| at < boundary), boundary, "of {end}");
            }
        }
    }
}
