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
//! r client, slot         sequence number and outcome of the newest request whose number, modulo
//!                        [`REMEMBERED_PER_SESSION`], is the slot
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
        let Some(Client { before, highest }) = self.clients.get_mut(&client) else {
            return Ok(Admission::Expired);
        };
        let oldest = oldest(*highest);
        if sequence < oldest {
            return Ok(Admission::TooOld { oldest });
        }
        // Of what lies above all that was asked before nothing can be remembered.
        if Some(sequence) <= before.highest
            && let Some(remembered) = remembered(self.index, request)?
        {
            return Ok(Admission::Known(remembered));
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
            ops.push(IndexOp::delete(Space::Sessions, used_key(before.last_used, client)));
            ops.extend(write(client, Known { last_used: self.log_index, highest: *highest }));
        }
        // Ascending by sequence number: of a slot the newest is written last.
        for (request, outcome) in self.outcomes {
            let mut row = Writer::new();
            row.u64(request.sequence);
            outcome.encode(&mut row);
            ops.push(IndexOp::put(Space::Sessions, slot_key(request), row.into_bytes()));
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
        // Slots are used from the first on.
        let used = highest.map_or(0, |highest| highest.saturating_add(1).min(REMEMBERED_PER_SESSION));
        let slots = (0..used).map(|sequence| slot_key(SessionRequest { client, sequence }));
        ops.extend(slots.map(|key| IndexOp::delete(Space::Sessions, key)));
    }
    Ok(ops)
}

/// The lowest sequence number that is accepted from a client whose highest is given.
fn oldest(highest: Option<u64>) -> u64 {
    highest.map_or(0, |highest| highest.saturating_sub(REMEMBERED_PER_SESSION - 1))
}

/// What a client was answered, if its slot does not hold the answer to another request.
fn remembered(index: &dyn Index, request: SessionRequest) -> Result<Option<Remembered>, StoreError> {
    let Some(bytes) = index.get(Space::Sessions, &slot_key(request))? else { return Ok(None) };
    let (sequence, outcome) = decode(&bytes, |reader| Ok((reader.u64()?, Remembered::decode(reader)?)))?;
    Ok((sequence == request.sequence).then_some(outcome))
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

/// Requests that may be remembered at the same time have different ones.
fn slot_key(SessionRequest { client, sequence }: SessionRequest) -> Vec<u8> {
    let slot = (sequence % REMEMBERED_PER_SESSION) as u16; // below 1,024
    [b"r".as_slice(), &client.to_be_bytes(), &slot.to_be_bytes()].concat()
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
        let second = Remembered::Committed { height: Height(4), log_index: 3 };
        assert_eq!(ask(&index, 4, CLIENT, 4), Admission::Known(second));
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
    fn a_client_takes_no_more_than_its_window_however_long_it_asks_and_however_far_it_jumps() {
        let index = index_with_client();
        for (log_index, sequence) in (2..).zip((0..3_000).chain([40_000, u64::MAX])) {
            assert_eq!(ask(&index, log_index, CLIENT, sequence), Admission::Fresh);
        }
        // Client, its place among the silent, the number of clients, outcomes.
        assert_eq!(index.len(Space::Sessions).unwrap(), 3 + REMEMBERED_PER_SESSION);
        // Slots still hold what is below the window, and the window more than what was asked.
        assert_eq!(ask(&index, 5_000, CLIENT, 2_999), Admission::TooOld { oldest: u64::MAX - 1_023 });
        assert_eq!(ask(&index, 5_001, CLIENT, u64::MAX - 7), Admission::Fresh);
    }

    #[test]
    fn two_requests_of_one_entry_leave_only_what_the_window_holds() {
        let index = index_with_client();
        let mut sessions = Sessions::new(&index, 2);
        for sequence in [1, 5_121] {
            let request = SessionRequest { client: CLIENT, sequence };
            assert_eq!(sessions.admit(request).unwrap(), Admission::Fresh);
            sessions.remember(request, Remembered::Rejected(crate::Rejection::DetailsForgotten));
        }
        index.write(sessions.into_ops()).unwrap();
        let forgotten = Admission::Known(Remembered::Rejected(crate::Rejection::DetailsForgotten));
        assert_eq!(ask(&index, 3, CLIENT, 5_121), forgotten, "of the same slot as 1");
        assert_eq!(index.len(Space::Sessions).unwrap(), 4);
    }

    #[test]
    fn of_too_many_clients_the_most_silent_one_is_forgotten() {
        let index = MemoryIndex::new();
        for client in 1..=MAX_SESSIONS {
            index.write(open(&index, client).unwrap()).unwrap();
        }
        // When it was issued, so that this one stays the most silent but for one.
        for sequence in [0, 5, 1_500] {
            assert_eq!(ask(&index, 2, 2, sequence), Admission::Fresh);
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
