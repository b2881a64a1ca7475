//! The log of a chain that lives in memory. A block's offset is its height.

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{BlockBytes, BlockLog, Frame, LogError, MAX_PAYLOAD_BYTES};
use crate::ids::{BlockHash, Height};

/// A [`BlockLog`] in memory: durable for as long as the program runs.
#[derive(Debug, Default)]
pub struct MemoryLog {
    params: Vec<u8>,
    payloads: RwLock<Vec<Vec<u8>>>,
}

impl MemoryLog {
    /// An empty log with the parameters of its chain.
    #[must_use]
    pub const fn new(params: Vec<u8>) -> Self {
        Self { params, payloads: RwLock::new(Vec::new()) }
    }

    fn payloads(&self) -> RwLockReadGuard<'_, Vec<Vec<u8>>> {
        self.payloads.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockBytes for MemoryLog {
    fn read_part(&self, offset: u64, range: Range<u32>) -> Result<Vec<u8>, LogError> {
        let payloads = self.payloads();
        let payload = usize::try_from(offset).ok().and_then(|offset| payloads.get(offset));
        let part = payload.and_then(|payload| payload.get(range.start as usize..range.end as usize));
        part.map(<[u8]>::to_vec).ok_or(LogError::NoSuchOffset { offset })
    }
}

impl BlockLog for MemoryLog {
    fn params(&self) -> &[u8] {
        &self.params
    }

    fn append(&self, height: Height, payload: &[u8]) -> Result<u64, LogError> {
        self.append_unsynced(height, payload)
    }

    fn append_unsynced(&self, height: Height, payload: &[u8]) -> Result<u64, LogError> {
        let mut payloads = self.payloads.write().unwrap_or_else(PoisonError::into_inner);
        let expected = Height(payloads.len() as u64);
        if height != expected {
            return Err(LogError::HeightOutOfOrder { got: height, expected });
        }
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(LogError::PayloadTooLarge { got: payload.len() });
        }
        payloads.push(payload.to_vec());
        Ok(height.0)
    }

    fn sync(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn read(&self, offset: u64) -> Result<Frame, LogError> {
        let payloads = self.payloads();
        let payload = usize::try_from(offset).ok().and_then(|offset| payloads.get(offset));
        let payload = payload.ok_or(LogError::NoSuchOffset { offset })?.clone();
        Ok(Frame { offset, end: offset + 1, height: Height(offset), payload })
    }

    fn start(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        self.payloads().len() as u64
    }

    fn tip(&self) -> Option<Height> {
        Height(self.end()).previous()
    }

    fn close(&self, _tip_hash: BlockHash) -> Result<(), LogError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Scan;

    #[test]
    fn blocks_come_back_in_order() {
        let log = MemoryLog::new(b"params".to_vec());
        assert_eq!((log.params(), log.tip(), log.end()), (b"params".as_slice(), None, log.start()));
        for height in 0..5_u8 {
            let offset = log.append(Height(height.into()), &[height; 3]).unwrap();
            assert_eq!(log.read(offset).unwrap().payload, [height; 3]);
            assert_eq!(log.read_part(offset, 1..3).unwrap(), [height; 2]);
            assert!(log.read_part(offset, 1..4).is_err());
            assert_eq!(log.tip(), Some(Height(height.into())));
        }
        let heights: Vec<u64> = Scan::new(&log, log.start()).map(|frame| frame.unwrap().height.0).collect();
        assert_eq!(heights, [0, 1, 2, 3, 4]);
        assert_eq!(Scan::new(&log, 3).count(), 2);
        assert!(matches!(log.read(5), Err(LogError::NoSuchOffset { offset: 5 })));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let log = MemoryLog::new(Vec::new());
        let gap = log.append(Height(1), &[]);
        assert!(matches!(gap, Err(LogError::HeightOutOfOrder { got: Height(1), expected: Height(0) })));
        let huge = log.append(Height(0), &vec![0; MAX_PAYLOAD_BYTES + 1]);
        assert!(matches!(huge, Err(LogError::PayloadTooLarge { .. })));
        assert_eq!(log.tip(), None);
    }
}
