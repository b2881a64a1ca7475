//! One open device: its limits, what it is allowed, and the first fault, after which it is out of use.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tensor_shaders::tile::SIDE;

use super::accepts::accepts;
use super::adapters::{Adapter, AdapterKind, found, instance};
use super::fault::Fault;
use super::first_use::{self, FirstUse};
use super::memory::Memory;
use super::pipelines::Pipelines;
use super::{all_pairs, conflict_matrix, cosine_classes, kmeans, known_answers, link, search};
use crate::accelerator::{Accelerator, Fallback, Opened, Request};
use crate::conflict_input::ConflictInput;
use crate::corpus::Corpus;
use crate::isa::{Isa, Level};
use crate::kmeans::{CodePoints, KMeansCodes, KMeansCodesOptions};
use crate::types::{
    ConflictList, CosineRows, Decimal, Neighbor, Pairs, ScoredPair, SearchOptions, SearchRows, Similarity,
    Thresholds,
};

/// A graphics processor that passed its tests, ready to compute. Share one among all threads.
pub struct Gpu {
    adapter: Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    options: Options,
    timeout: Mutex<Duration>,
    memory: Memory,
    pipelines: Pipelines,
    lost: Arc<AtomicBool>,
    uncaptured: Arc<Mutex<Option<String>>>,
    fault: OnceLock<Fault>,
    first_use: FirstUse,
}

/// What a device may take, and who hears of its faults.
#[derive(Clone)]
pub struct Options {
    /// Bytes of device memory that all buffers together may take. Default: 2 GiB.
    pub memory_bytes: u64,
    /// Bytes of rows that one buffer may hold; larger batches lie in several. Default: what the adapter allows, on
    /// many no more than 128 MiB.
    pub buffer_bytes: u64,
    /// How long one submission may take. Default: 10 s.
    pub timeout: Duration,
    /// Fewer pairs than these are left to the CPU. Default: 1,024, those of one workgroup.
    pub least_pairs: u64,
    /// Room for pairs that one tile may list before it is split; at least 1,024. Default: 2²².
    pub list_entries: usize,
    /// Products of 16 bytes that one submission may make. Default: 2³¹, and 2²⁵ in software: some tens of
    /// milliseconds, far below what makes an operating system reset a device.
    pub work: Option<u64>,
    /// Told once, in one line, when a fault takes the device out of use.
    pub on_fault: Option<Arc<OnFault>>,
    /// Changes what is read from the device: how tests make it give wrong answers.
    #[doc(hidden)]
    pub tamper: Option<Arc<Tamper>>,
}

/// Hears of a fault.
type OnFault = dyn Fn(&str) + Send + Sync;
/// Changes the words of each reading of a submission.
type Tamper = dyn Fn(&mut Vec<Vec<u32>>) + Send + Sync;

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            buffer_bytes: u64::MAX,
            timeout: Duration::from_secs(10),
            least_pairs: 1 << 10,
            list_entries: 1 << 22,
            work: None,
            on_fault: None,
            tamper: None,
        }
    }
}

/// Why a device could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No adapter at all; the reason is wgpu's.
    #[error("no adapter: {reason}")]
    NoAdapter {
        /// In wgpu's words.
        reason: String,
    },
    /// There are adapters, but not this one.
    #[error("no adapter gpu:{number}, there are: {}", list(adapters))]
    NoSuchAdapter {
        /// The number asked for.
        number: usize,
        /// Those there are.
        adapters: Vec<Adapter>,
    },
    /// There are only adapters that compute on the CPU, which is faster by itself.
    #[error("only adapters that compute on the CPU, which is faster by itself: {}", list(adapters))]
    OnlySoftware {
        /// Those there are.
        adapters: Vec<Adapter>,
    },
    /// The adapter lacks what every kernel needs.
    #[error("{adapter}: {reason}")]
    Refused {
        /// Which.
        adapter: Adapter,
        /// In wgpu's words.
        reason: String,
    },
    /// The device failed the tests that each must pass before it is used.
    #[error("{adapter}: failed its tests: {fault}")]
    Failed {
        /// Which.
        adapter: Adapter,
        /// How.
        fault: Fault,
    },
}

fn list(adapters: &[Adapter]) -> String {
    adapters.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Gpu {
    /// Opens an adapter by its number and holds it to answers that are known.
    ///
    /// # Errors
    /// No such adapter, one that lacks what the kernels need, or one that gives a wrong answer.
    pub fn open(number: usize, options: Options) -> Result<Self, OpenError> {
        let instance = instance();
        let mut found = found(&instance)?;
        if number >= found.len() {
            let adapters = found.into_iter().map(|(adapter, _)| adapter).collect();
            return Err(OpenError::NoSuchAdapter { number, adapters });
        }
        let (described, adapter) = found.swap_remove(number);
        let limits = wgpu::Limits {
            max_buffer_size: adapter.limits().max_buffer_size,
            max_storage_buffer_binding_size: adapter.limits().max_storage_buffer_binding_size,
            ..wgpu::Limits::defaults()
        };
        let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| OpenError::Refused { adapter: described.clone(), reason: error.to_string() })?;
        let gpu = Self::new(described, device, queue, options);
        match known_answers::check(&gpu) {
            Ok(()) => Ok(gpu),
            Err(fault) => Err(OpenError::Failed { adapter: gpu.adapter, fault }),
        }
    }

    fn new(adapter: Adapter, device: wgpu::Device, queue: wgpu::Queue, options: Options) -> Self {
        let (lost, uncaptured) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let flag = Arc::clone(&lost);
        device.set_device_lost_callback(move |_, _| flag.store(true, Ordering::Release));
        // Without a handler wgpu panics.
        let message = Arc::clone(&uncaptured);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            message.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
        }));
        let memory = Memory::new(options.memory_bytes);
        let (pipelines, fault) = (Pipelines::default(), OnceLock::new());
        Self {
            adapter,
            device,
            queue,
            timeout: Mutex::new(options.timeout),
            options,
            memory,
            pipelines,
            lost,
            uncaptured,
            fault,
            first_use: FirstUse::default(),
        }
    }

    /// Which adapter this is.
    #[must_use]
    pub const fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// The fault that took the device out of use, if one has.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.get()
    }

    /// Takes the device away, as a driver's crash does: how tests lose one.
    #[doc(hidden)]
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Bytes of device memory that batches keep between operations.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.memory.kept_bytes()
    }

    /// Another patience for all submissions from now on.
    #[doc(hidden)]
    pub fn set_timeout(&self, timeout: Duration) {
        *self.timeout.lock().unwrap_or_else(PoisonError::into_inner) = timeout;
    }

    /// Another number of bytes that all buffers together may take.
    #[doc(hidden)]
    pub fn set_memory(&self, bytes: u64) {
        self.memory.set_allowed(bytes);
    }

    pub(super) fn timeout(&self) -> Duration {
        *self.timeout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn options(&self) -> &Options {
        &self.options
    }

    pub(super) const fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) const fn pipelines(&self) -> &Pipelines {
        &self.pipelines
    }

    pub(super) const fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Bytes of rows that one buffer may hold.
    pub(super) fn most_bytes(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(self.options.buffer_bytes)
    }

    /// Bytes of codes in one of the parts that are kept: few enough for every adapter, and for the workgroups of one
    /// dimension.
    pub(super) fn part_bytes(&self) -> usize {
        const MOST: u64 = 128 << 20;
        // At most 2^27.
        self.most_bytes().min(MOST) as usize
    }

    /// Products of 16 bytes that one submission may make.
    pub(super) fn work(&self) -> u64 {
        let software = self.adapter.kind == AdapterKind::Software;
        self.options.work.unwrap_or(if software { 1 << 25 } else { 1 << 31 })
    }

    /// Tiles of rows of so many bytes that may meet `others` such rows in one submission.
    pub(super) fn most_tiles(&self, others: usize, row_bytes: usize) -> usize {
        let tile = (SIDE as u64).saturating_mul(others as u64).saturating_mul(row_bytes.div_ceil(16) as u64);
        usize::try_from(self.work() / tile.max(1)).unwrap_or(usize::MAX)
    }

    /// Does something with the device and turns what wgpu objects to into a fault.
    pub(super) fn checked<T>(&self, work: impl FnOnce(&wgpu::Device) -> T) -> Result<T, Fault> {
        let scope = |filter| self.device.push_error_scope(filter);
        let memory = scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = scope(wgpu::ErrorFilter::Internal);
        let validation = scope(wgpu::ErrorFilter::Validation);
        let value = work(&self.device);
        // The last pushed is the first to be popped.
        let errors = [validation.pop(), internal.pop(), memory.pop()].map(pollster::block_on);
        match errors.into_iter().flatten().next() {
            None => self.still_there().map(|()| value),
            Some(wgpu::Error::OutOfMemory { source }) => Err(Fault::OutOfMemory(source.to_string())),
            Some(error) => Err(Fault::Refused(error.to_string())),
        }
    }

    /// The same with the queue.
    pub(super) fn checked_queue<T>(&self, work: impl FnOnce(&wgpu::Queue) -> T) -> Result<T, Fault> {
        self.checked(|_| work(&self.queue))
    }

    /// A device that is gone may not say so but by its flag.
    pub(super) fn still_there(&self) -> Result<(), Fault> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Fault::Lost(self.adapter.name.clone()));
        }
        match self.uncaptured.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(message) => Err(Fault::Refused(message.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn tampered(&self, mut readings: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
        if let Some(tamper) = &self.options.tamper {
            tamper(&mut readings);
        }
        readings
    }

    /// An answer of the device, unless it is out of use; the first final fault takes it out.
    fn answer<T>(&self, compute: impl FnOnce(&Self) -> Result<T, Fault>) -> Result<T, Fallback> {
        if self.fault.get().is_some() {
            return Err(Fallback::Quarantined);
        }
        compute(self).map_err(|fault| {
            let reason = fault.fallback();
            if fault.is_final() {
                let line = format!("{}: {fault}; the CPU computes from now on", self.adapter);
                if self.fault.set(fault).is_ok()
                    && let Some(on_fault) = &self.options.on_fault
                {
                    on_fault(&line);
                }
            }
            reason
        })
    }
}

impl Accelerator for Gpu {
    fn name(&self) -> String {
        self.adapter.to_string()
    }

    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback> {
        accepts(self.options.least_pairs, request)
    }

    fn open(&self) -> Result<Opened, Fallback> {
        let link = self.answer(link::measure)?;
        let Adapter { name, driver, .. } = &self.adapter;
        let kernels = format!("{:016x}", tensor_shaders::fingerprint());
        Ok(Opened { adapter: name.clone(), driver: driver.clone(), kernels, link })
    }

    fn conflict_matrices(
        &self,
        inputs: &[ConflictInput<'_>],
        thresholds: &Thresholds,
    ) -> Result<Vec<ConflictList>, Fallback> {
        let jobs = conflict_matrix::for_gpu(self.options.least_pairs, inputs)?;
        self.answer(|gpu| conflict_matrix::conflict_matrices(gpu, &jobs, thresholds))
    }

    fn cosine_conflicts(
        &self,
        rows: CosineRows<'_>,
        thresholds: &Thresholds,
    ) -> Result<ConflictList, Fallback> {
        let coded = cosine_classes::for_gpu(self.options.least_pairs, rows)?;
        self.answer(|gpu| cosine_classes::cosine_conflicts(gpu, coded, rows, thresholds))
    }

    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Vec<Neighbor>>, Fallback> {
        search::is_for_gpu(self.options.least_pairs, corpus, queries, options.wanted)?;
        let level = level()?;
        self.answer(|gpu| {
            gpu.first_use.search.pass(|| first_use::search(gpu, level))?;
            search::search(gpu, level, corpus, queries, options)
        })
    }

    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, Fallback> {
        // What is refused is for the CPU to refuse.
        let points = CodePoints::new(codes, dim, options).map_err(|_| Fallback::NoVersion)?;
        kmeans::is_for_gpu(self.options.least_pairs, points.rows(), options.k)?;
        let level = level()?;
        self.answer(|gpu| {
            gpu.first_use.kmeans.pass(|| first_use::kmeans_codes(gpu, level))?;
            kmeans::kmeans_codes(gpu, level, points, dim, options)
        })
    }

    fn all_pairs(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
        at_least: Decimal,
    ) -> Result<Vec<ScoredPair>, Fallback> {
        all_pairs::is_for_gpu(self.options.least_pairs, pairs, similarity, at_least)?;
        self.answer(|gpu| {
            gpu.first_use.all_pairs.pass(|| first_use::all_pairs(gpu))?;
            all_pairs::all_pairs(gpu, pairs, at_least)
        })
    }
}

/// What the CPU decides with; a machine without vector units has none.
fn level() -> Result<Level, Fallback> {
    Level::open(Isa::best()).ok_or(Fallback::NoVersion)
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({})", self.adapter)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_bytes, buffer_bytes, timeout, least_pairs, list_entries, work, .. } = self;
        f.debug_struct("Options")
            .field("memory_bytes", memory_bytes)
            .field("buffer_bytes", buffer_bytes)
            .field("timeout", timeout)
            .field("least_pairs", least_pairs)
            .field("list_entries", list_entries)
            .field("work", work)
            .finish_non_exhaustive()
    }
}
