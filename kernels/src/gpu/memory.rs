//! Buffers on the device: leased, kept for the next lease, and never more of them than allowed.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use super::device::Gpu;
use super::fault::Fault;

/// The least size of a buffer; sizes are powers of two, so that few of them serve all.
const LEAST_BYTES: u64 = 256;

/// Buffers that nobody uses at the moment, and how many bytes all buffers take.
#[derive(Debug)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: Vec<wgpu::Buffer>,
    bytes: u64,
    allowed: u64,
    /// Bytes of all buffers that batches keep.
    kept: u64,
}

impl State {
    /// What nobody uses makes room.
    fn free_unused(&mut self) {
        self.bytes -= self.free.iter().map(wgpu::Buffer::size).sum::<u64>();
        self.free.clear();
    }
}

/// A buffer for the time of one operation.
#[derive(Debug)]
pub(super) struct Lease {
    buffer: wgpu::Buffer,
    state: Arc<Mutex<State>>,
}

/// A share of the memory, in bytes, for buffers that outlive an operation.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: u64,
    state: Arc<Mutex<State>>,
}

impl Memory {
    pub(super) fn new(allowed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { free: Vec::new(), bytes: 0, allowed, kept: 0 })))
    }

    /// Leave to keep buffers of so many bytes. All that is kept takes half of what is allowed at most, so that the
    /// other half is there to work with.
    pub(super) fn keep(&self, bytes: u64) -> Option<Kept> {
        let mut state = lock(&self.0);
        let kept = state.kept.saturating_add(bytes);
        if kept > state.allowed / 2 {
            return None;
        }
        state.kept = kept;
        Some(Kept { bytes, state: Arc::clone(&self.0) })
    }

    /// Bytes of all buffers that are kept.
    pub(super) fn kept_bytes(&self) -> u64 {
        lock(&self.0).kept
    }

    /// Allows another number of bytes from now on.
    pub(super) fn set_allowed(&self, bytes: u64) {
        let mut state = lock(&self.0);
        state.allowed = bytes;
        state.free_unused();
    }

    /// Whether what is kept is kept on this device.
    pub(super) fn keeps(&self, kept: &Kept) -> bool {
        Arc::ptr_eq(&self.0, &kept.state)
    }

    /// A buffer of at least so many bytes, whose contents are what they are.
    pub(super) fn lease(&self, gpu: &Gpu, bytes: u64, usage: wgpu::BufferUsages) -> Result<Lease, Fault> {
        let size = bytes.max(LEAST_BYTES).next_power_of_two();
        {
            let mut state = lock(&self.0);
            if let Some(at) = state.free.iter().position(|free| free.size() == size && free.usage() == usage)
            {
                let buffer = state.free.swap_remove(at);
                return Ok(Lease { buffer, state: Arc::clone(&self.0) });
            }
            if state.bytes.saturating_add(size) > state.allowed {
                state.free_unused();
            }
            let wanted = state.bytes.saturating_add(size);
            if wanted > state.allowed {
                return Err(Fault::OverCap { wanted, allowed: state.allowed });
            }
            state.bytes = wanted;
        }
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        match gpu.checked(|device| device.create_buffer(&descriptor)) {
            Ok(buffer) => Ok(Lease { buffer, state: Arc::clone(&self.0) }),
            Err(fault) => {
                lock(&self.0).bytes -= size;
                Err(fault)
            }
        }
    }

    /// Whether a buffer is this device's.
    pub(super) fn lent(&self, lease: &Lease) -> bool {
        Arc::ptr_eq(&self.0, &lease.state)
    }

    /// A buffer with these words in it, read by kernels.
    pub(super) fn upload(&self, gpu: &Gpu, bytes: &[u8], usage: wgpu::BufferUsages) -> Result<Lease, Fault> {
        let lease = self.lease(gpu, bytes.len() as u64, usage | wgpu::BufferUsages::COPY_DST)?;
        gpu.checked_queue(|queue| queue.write_buffer(&lease, 0, bytes))?;
        Ok(lease)
    }
}

impl Deref for Lease {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.state).free.push(self.buffer.clone());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        lock(&self.state).kept -= self.bytes;
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
