//! Who may ask again, and what they were answered: the memory by which a request is applied exactly once.
//!
//! It is part of the replicated state, so it is bounded and forgets by rules that read nothing but itself: of
//! [`MAX_SESSIONS`] clients the one goes that has been silent for most log entries, and of a client's outcomes those
//! go that lie [`REMEMBERED_PER_SESSION`] or more below its highest sequence number.
//!
//! ```text
//! n                      number of clients
//! c client               index of its last entry, its highest sequence number
//! u last index, client   the same the other way round, for finding the most silent one
//! r client, sequence     an outcome
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::entry::SessionRequest;
use super::outcome::Remembered;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::index::{Index, IndexError, IndexOp, Space};
use crate::store::StoreError;

/// Most clients that are known at a time.
pub const MAX_SESSIONS: u64 = 1 << 16;
/// Outcomes that are remembered of each client.
pub const REMEMBERED_PER_SESSION: u64 = 1_024;

/// Whether a request may be applied.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    Fresh,
    Known(Remembered),
    Expired,
    TooOld { oldest: u64 },
}

/// The memory as the entry at one index of the log changes it.
pub(super) struct Sessions<'i> {
    index: &'i dyn Index,
    log_index: u64,
    clients: BTreeMap<u64, Client>,
    outcomes: BTreeMap<SessionRequest, Remembered>,
}

/// A client before the entry and after it.
struct Client {
    before: Known,
    highest: Option<u64>,
}

/// What is written of a client.
#[derive(Clone, Copy)]
struct Known {
    last_used: u64,
    highest: Option<u64>,
}

impl<'i> Sessions<'i> {
    pub(super) const fn new(index: &'i dyn Index, log_index: u64) -> Self {
        Self { index, log_index, clients: BTreeMap::new(), outcomes: BTreeMap::new() }
    }

    /// Whether a request may be applied. One that may be counts as asked from here on.
    pub(super) fn admit(&mut self, request: SessionRequest) -> Result<Admission, StoreError> {
        let SessionRequest { client, sequence } = request;
        if !self.clients.contains_key(&client) {
            let Some(before) = known(self.index, client)? else { return Ok(Admission::Expired) };
            self.clients.insert(client, Client { before, highest: before.highest });
        }
        let Some(Client { highest, .. }) = self.clients.get_mut(&client) else {
            return Ok(Admission::Expired);
        };
        let oldest = oldest(*highest);
        if sequence < oldest {
            return Ok(Admission::TooOld { oldest });
        }
        if let Some(remembered) = self.index.get(Space::Sessions, &outcome_key(client, sequence))? {
            return Remembered::from_bytes(&remembered).map(Admission::Known).map_err(StoreError::Session);
        }
        *highest = (*highest).max(Some(sequence));
        Ok(Admission::Fresh)
    }

    /// Remembers the outcome of a request that was admitted.
    pub(super) fn remember(&mut self, request: SessionRequest, outcome: Remembered) {
        self.outcomes.insert(request, outcome);
    }

    /// What the index has to write.
    pub(super) fn into_ops(self) -> Vec<IndexOp> {
        let mut ops = Vec::new();
        for (&client, Client { before, highest }) in &self.clients {
            for sequence in oldest(before.highest)..oldest(*highest).min(window_end(before.highest)) {
                ops.push(IndexOp::delete(Space::Sessions, outcome_key(client, sequence)));
            }
            ops.push(IndexOp::delete(Space::Sessions, used_key(before.last_used, client)));
            ops.extend(write(client, Known { last_used: self.log_index, highest: *highest }));
        }
        for (request, outcome) in self.outcomes {
            let SessionRequest { client, sequence } = request;
            let highest = self.clients.get(&client).and_then(|client| client.highest);
            if sequence >= oldest(highest) {
                ops.push(IndexOp::put(Space::Sessions, outcome_key(client, sequence), outcome.to_bytes()));
            }
        }
        ops
    }
}

/// Issues a client number, the index of the entry that asks for it: none is issued twice. Where there are too many
/// clients, the most silent one is forgotten.
pub(super) fn open(index: &dyn Index, log_index: u64) -> Result<Vec<IndexOp>, StoreError> {
    let mut ops = write(log_index, Known { last_used: log_index, highest: None });
    let count = match index.get(Space::Sessions, COUNT)? {
        Some(bytes) => decode(&bytes, |reader| reader.u64())?,
        None => 0,
    };
    if count < MAX_SESSIONS {
        ops.push(IndexOp::put(Space::Sessions, COUNT.to_vec(), (count + 1).to_le_bytes().to_vec()));
        return Ok(ops);
    }
    let Some((last_used, client)) = most_silent(index)? else { return Ok(ops) };
    if let Some(Known { highest, .. }) = known(index, client)? {
        ops.push(IndexOp::delete(Space::Sessions, client_key(client)));
        ops.push(IndexOp::delete(Space::Sessions, used_key(last_used, client)));
        let outcomes = oldest(highest)..window_end(highest);
        ops.extend(outcomes.map(|sequence| IndexOp::delete(Space::Sessions, outcome_key(client, sequence))));
    }
    Ok(ops)
}

/// The lowest sequence number that is accepted from a client whose highest is given.
fn oldest(highest: Option<u64>) -> u64 {
    highest.map_or(0, |highest| highest.saturating_sub(REMEMBERED_PER_SESSION - 1))
}

/// Above every sequence number of which an outcome can be remembered.
fn window_end(highest: Option<u64>) -> u64 {
    highest.map_or(0, |highest| highest.saturating_add(1))
}

fn known(index: &dyn Index, client: u64) -> Result<Option<Known>, StoreError> {
    let Some(bytes) = index.get(Space::Sessions, &client_key(client))? else { return Ok(None) };
    decode(&bytes, |reader| {
        let last_used = reader.u64()?;
        let highest = match reader.bool()? {
            true => Some(reader.u64()?),
            false => None,
        };
        Ok(Some(Known { last_used, highest }))
    })
}

fn write(client: u64, Known { last_used, highest }: Known) -> Vec<IndexOp> {
    let mut record = Writer::new();
    record.u64(last_used);
    record.bool(highest.is_some());
    if let Some(highest) = highest {
        record.u64(highest);
    }
    vec![
        IndexOp::put(Space::Sessions, client_key(client), record.into_bytes()),
        IndexOp::put(Space::Sessions, used_key(last_used, client), Vec::new()),
    ]
}

fn most_silent(index: &dyn Index) -> Result<Option<(u64, u64)>, IndexError> {
    let mut first = None;
    index.scan(Space::Sessions, b"u", None, &mut |key, _| {
        let number = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).ok().map(u64::from_be_bytes);
        first = key
            .split_at_checked(9)
            .and_then(|(used, client)| Some((number(used.get(1..)?)?, number(client)?)));
        ControlFlow::Break(())
    })?;
    Ok(first)
}

fn decode<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, StoreError> {
    read(&mut Reader::new(bytes)).map_err(StoreError::Session)
}

const COUNT: &[u8] = b"n";

fn client_key(client: u64) -> Vec<u8> {
    [b"c".as_slice(), &client.to_be_bytes()].concat()
}

fn used_key(last_used: u64, client: u64) -> Vec<u8> {
    [b"u".as_slice(), &last_used.to_be_bytes(), &client.to_be_bytes()].concat()
}

fn outcome_key(client: u64, sequence: u64) -> Vec<u8> {
    [b"r".as_slice(), &client.to_be_bytes(), &sequence.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Height;
    use crate::index::MemoryIndex;

    const CLIENT: u64 = 1;

    fn index_with_client() -> MemoryIndex {
        let index = MemoryIndex::new();
        index.write(open(&index, CLIENT).unwrap()).unwrap();
        index
    }

    /// Asks one request in an entry of its own and remembers its outcome where it is fresh.
    fn ask(index: &MemoryIndex, log_index: u64, client: u64, sequence: u64) -> Admission {
        let request = SessionRequest { client, sequence };
        let mut sessions = Sessions::new(index, log_index);
        let admission = sessions.admit(request).unwrap();
        if admission == Admission::Fresh {
            sessions.remember(request, Remembered::Committed { height: Height(sequence), log_index });
        }
        index.write(sessions.into_ops()).unwrap();
        admission
    }

    #[test]
    fn a_request_is_fresh_once_in_any_order_inside_the_window_and_refused_below_it() {
        let index = index_with_client();
        assert_eq!(ask(&index, 2, CLIENT, 5), Admission::Fresh);
        assert_eq!(ask(&index, 3, CLIENT, 4), Admission::Fresh);
        let first = Remembered::Committed { height: Height(5), log_index: 2 };
        assert_eq!(ask(&index, 4, CLIENT, 5), Admission::Known(first.clone()));
        // 1,024 are remembered: 5 to 1,028, and then 6 to 1,029.
        assert_eq!(ask(&index, 5, CLIENT, 1_028), Admission::Fresh);
        assert_eq!(ask(&index, 6, CLIENT, 5), Admission::Known(first));
        assert_eq!(ask(&index, 7, CLIENT, 4), Admission::TooOld { oldest: 5 });
        assert_eq!(ask(&index, 8, CLIENT, 1_029), Admission::Fresh);
        assert_eq!(ask(&index, 9, CLIENT, 5), Admission::TooOld { oldest: 6 });
        assert_eq!(ask(&index, 9, 77, 1), Admission::Expired);
    }

    #[test]
    fn what_is_below_the_window_leaves_nothing_behind() {
        let index = index_with_client();
        for (step, sequence) in [3, 1, 2, 40_000, u64::MAX].into_iter().enumerate() {
            assert_eq!(ask(&index, 10 + step as u64, CLIENT, sequence), Admission::Fresh);
        }
        // Client, its place among the silent, the number of clients, one outcome.
        assert_eq!(index.len(Space::Sessions).unwrap(), 4);
    }

    #[test]
    fn two_requests_of_one_entry_leave_only_what_the_window_holds() {
        let index = index_with_client();
        let mut sessions = Sessions::new(&index, 2);
        for sequence in [1, 5_000] {
            let request = SessionRequest { client: CLIENT, sequence };
            assert_eq!(sessions.admit(request).unwrap(), Admission::Fresh);
            sessions.remember(request, Remembered::Rejected(crate::Rejection::DetailsForgotten));
        }
        index.write(sessions.into_ops()).unwrap();
        assert_eq!(index.len(Space::Sessions).unwrap(), 4);
    }

    #[test]
    fn of_too_many_clients_the_most_silent_one_is_forgotten() {
        let index = MemoryIndex::new();
        for client in 1..=MAX_SESSIONS {
            index.write(open(&index, client).unwrap()).unwrap();
        }
        let later = MAX_SESSIONS + 1;
        assert_eq!(ask(&index, later, 1, 1), Admission::Fresh);
        index.write(open(&index, later + 1).unwrap()).unwrap();
        assert_eq!(ask(&index, later + 2, 2, 1), Admission::Expired, "the most silent");
        assert!(matches!(ask(&index, later + 3, 1, 1), Admission::Known(_)));
        assert_eq!(ask(&index, later + 4, later + 1, 1), Admission::Fresh);
        // One outcome each of two clients.
        assert_eq!(index.len(Space::Sessions).unwrap(), 2 * MAX_SESSIONS + 1 + 2);
    }
}
