//! The way of a case: its answer is checked, then it is timed beside the others, then it is recorded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tensor_kernels::{Accelerator, Isa, KernelError, Kernels};

use crate::error::BenchError;
use crate::given::Given;
use crate::gpu;
use crate::limits::{self, Limit};
use crate::options::{Device, Options};
use crate::progress::Progress;
use crate::record::{Case, Record, Roof};
use crate::timing::interleaved;
use crate::work::Work;

/// One run of the program: what was asked for, and what has been measured so far.
#[derive(Debug)]
pub struct Bench {
    /// The command line.
    pub options: Options,
    /// All cases so far.
    pub record: Record,
    /// A table to print in place of the usual one.
    pub table: Option<String>,
    pub(crate) progress: Progress,
    data: Option<Arc<Given>>,
    /// The GPU that is measured beside the CPU.
    gpu: Option<Kernels>,
    skipped: String,
    /// Limits measured so far, by name and threads.
    roofs: BTreeMap<(&'static str, usize), Option<Roof>>,
}

/// One of several that do the same work: its case, checked but not yet timed, and one run of it.
pub struct Contender<'a> {
    /// What is recorded, apart from the samples.
    pub case: Case,
    /// Does the work once.
    pub run: Box<dyn FnMut() + 'a>,
}

impl Bench {
    /// Nothing measured yet; the user's own data are read.
    ///
    /// # Errors
    /// Data or a GPU that cannot be opened.
    pub fn new(options: Options) -> Result<Self, BenchError> {
        let (mut record, progress) = (Record::new(), Progress::new());
        let data = match &options.data {
            Some(name) => Some(Arc::new(Given::open(name)?)),
            None => None,
        };
        if let Some(data) = &data {
            record.environment.data.insert(data.name.clone(), data.sha256.clone());
        }
        let gpu = match options.device {
            Device::Cpu => None,
            Device::Gpu(number) => Some(gpu::open(number)?),
        };
        Ok(Self {
            options,
            gpu,
            record,
            table: None,
            progress,
            data,
            skipped: String::new(),
            roofs: BTreeMap::new(),
        })
    }

    /// The user's own data, in place of generated inputs.
    #[must_use]
    pub fn data(&self) -> Option<Arc<Given>> {
        self.data.clone()
    }

    /// Refuses data where a workload makes its own.
    ///
    /// # Errors
    /// There are data.
    pub fn without_data(&self, command: &'static str) -> Result<(), BenchError> {
        if self.data.is_none() { Ok(()) } else { Err(BenchError::NoUseForData { command }) }
    }

    /// What was measured, and what could not be, a line each.
    ///
    /// # Errors
    /// A filter that fitted no case.
    pub fn finish(self) -> Result<(Record, String), BenchError> {
        match self.options.filter {
            Some(filter) if self.record.cases.is_empty() => Err(BenchError::NothingMatches { filter }),
            _ => Ok((self.record, self.skipped)),
        }
    }

    /// Notes loudly what this machine or build cannot measure.
    pub fn skip(&mut self, what: &str) {
        self.skipped += &format!("SKIPPED: this machine has no {what}\n");
    }

    /// Whether a piece of work is asked for.
    #[must_use]
    pub fn wants(&self, work: &Work) -> bool {
        self.options.wants(&work.workload, &work.variant)
    }

    /// Our handles to measure: the fastest level, or the ones chosen, at each thread count.
    ///
    /// # Errors
    /// A level this machine lacks, threads that cannot be started.
    pub fn kernels(&self) -> Result<Vec<Kernels>, BenchError> {
        self.options.kernels(&[Isa::from_env()?.unwrap_or_else(Isa::best)])
    }

    /// Our handles at these levels, unless others were chosen, and the GPU where that was.
    ///
    /// # Errors
    /// As [`kernels`](Self::kernels).
    pub fn kernels_and_gpu(&self, levels: &[Isa]) -> Result<Vec<Kernels>, BenchError> {
        let mut kernels = self.options.kernels(levels)?;
        kernels.extend(self.gpu.clone());
        Ok(kernels)
    }

    /// Times everyone who does `work` in turns, and records each.
    ///
    /// # Errors
    /// A limit that cannot be measured.
    pub fn contest(
        &mut self,
        work: &Work,
        limit: Option<Limit>,
        contenders: Vec<Contender<'_>>,
    ) -> Result<(), BenchError> {
        self.progress.begin(&format!("{} {}", work.workload, work.variant));
        let (mut cases, mut runs): (Vec<_>, Vec<_>) = contenders.into_iter().map(|c| (c.case, c.run)).unzip();
        for case in &mut cases {
            // The limits are the CPU's.
            if let Some(limit) = limit
                && case.isa != gpu::NAME
            {
                case.roof = self.roof(limit, case.threads)?;
            }
        }
        let mut operations: Vec<&mut dyn FnMut()> = runs.iter_mut().map(|run| &mut **run as _).collect();
        let taken = interleaved(self.options.budget(), &mut operations);
        let timed =
            cases.into_iter().zip(taken).map(|(case, taken)| case.timed(taken, work.units, work.unit));
        self.record.cases.extend(timed);
        Ok(())
    }

    /// Our own operation at every handle given: the first answer passes `check`, the others equal the
    /// first, then all are timed in turns. Returns the answer.
    ///
    /// # Errors
    /// A wrong answer, or a kernel that refuses its input.
    pub fn ours<T: PartialEq>(
        &mut self,
        work: &Work,
        limit: Option<Limit>,
        kernels: &[Kernels],
        check: impl Fn(&T) -> Result<bool, BenchError>,
        operation: impl Fn(&Kernels) -> Result<T, KernelError>,
    ) -> Result<Option<T>, BenchError> {
        self.ours_as(OURS, work, limit, kernels, check, operation)
    }

    /// As [`ours`](Self::ours), for one of several ways to do the same, under a name that begins with [`OURS`].
    ///
    /// # Errors
    /// As [`ours`](Self::ours).
    pub fn ours_as<T: PartialEq>(
        &mut self,
        name: &str,
        work: &Work,
        limit: Option<Limit>,
        kernels: &[Kernels],
        check: impl Fn(&T) -> Result<bool, BenchError>,
        operation: impl Fn(&Kernels) -> Result<T, KernelError>,
    ) -> Result<Option<T>, BenchError> {
        let (first, kernels) = self.checked(name, work, kernels, check, &operation)?;
        let operation = &operation;
        let contenders = kernels.into_iter().map(|handle| Contender {
            case: case(work, name, handle),
            run: Box::new(move || drop(std::hint::black_box(operation(handle)))),
        });
        self.contest(work, limit, contenders.collect())?;
        Ok(first)
    }

    /// As [`ours`](Self::ours) for an operation that writes into memory of the caller's, here `out`, which
    /// begins as it is given for every answer that is checked.
    ///
    /// # Errors
    /// As [`ours`](Self::ours).
    pub fn ours_into<T: PartialEq + Clone>(
        &mut self,
        work: &Work,
        limit: Option<Limit>,
        kernels: &[Kernels],
        out: T,
        check: impl Fn(&T) -> Result<bool, BenchError>,
        operation: impl Fn(&Kernels, &mut T) -> Result<(), KernelError>,
    ) -> Result<(), BenchError> {
        let (_, kernels) = self.checked(OURS, work, kernels, check, |handle| {
            let mut answer = out.clone();
            operation(handle, &mut answer)?;
            Ok(answer)
        })?;
        // The contenders take turns, so that they can share the memory.
        let (operation, out) = (&operation, &RefCell::new(out));
        let contenders = kernels.into_iter().map(|handle| Contender {
            case: case(work, OURS, handle),
            run: Box::new(move || drop(std::hint::black_box(operation(handle, &mut out.borrow_mut())))),
        });
        self.contest(work, limit, contenders.collect())
    }

    /// The answer of the first handle, which passes `check` and which all other handles give too, and the handles that
    /// do the work themselves: a GPU that leaves it to the CPU is none of them.
    fn checked<'k, T: PartialEq>(
        &mut self,
        name: &str,
        work: &Work,
        kernels: &'k [Kernels],
        check: impl Fn(&T) -> Result<bool, BenchError>,
        operation: impl Fn(&Kernels) -> Result<T, KernelError>,
    ) -> Result<(Option<T>, Vec<&'k Kernels>), BenchError> {
        self.progress.begin(&format!("checking {} {}", work.workload, work.variant));
        let (mut first, mut doers): (Option<T>, _) = (None, Vec::new());
        for handle in kernels {
            let before = handle.asked();
            let answer = operation(handle)?;
            let right = match &first {
                Some(first) => *first == answer,
                None => check(&answer)?,
            };
            if !right {
                return Err(wrong(work, name, place(handle), handle.threads()));
            }
            first.get_or_insert(answer);
            match gpu::left_to_the_cpu(handle, &before) {
                None => doers.push(handle),
                Some(why) => {
                    let Work { workload, variant, .. } = work;
                    self.skipped += &format!("SKIPPED: {workload}, {variant}, on the GPU: {why}\n");
                }
            }
        }
        Ok((first, doers))
    }

    /// A limit of this machine at a number of threads, measured once; `None` where it has none of the kind.
    fn roof(&mut self, limit: Limit, threads: usize) -> Result<Option<Roof>, BenchError> {
        let key = (limit.name(), threads);
        if let Some(roof) = self.roofs.get(&key) {
            return Ok(roof.clone());
        }
        let roof = limits::measure(limit, Isa::best(), threads, &self.options)?.map(|case| Roof {
            name: case.variant,
            rate: case.throughput,
            unit: limit.unit().to_owned(),
        });
        self.roofs.insert(key, roof.clone());
        Ok(roof)
    }
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.case.fmt(f)
    }
}

/// Where a handle computes.
fn place(handle: &Kernels) -> &'static str {
    if handle.accelerator().is_some() { gpu::NAME } else { handle.isa().name() }
}

/// The case of one of our handles.
fn case(work: &Work, name: &str, handle: &Kernels) -> Case {
    let case = work.case(name).on(place(handle), handle.threads());
    Case { note: handle.accelerator().map(Accelerator::name), ..case }
}

/// How our kernels are called in records.
pub const OURS: &str = "tensor-kernels";

/// The failure that a wrong answer is.
#[must_use]
pub fn wrong(work: &Work, implementation: &str, isa: &str, threads: usize) -> BenchError {
    BenchError::WrongAnswer {
        workload: work.workload.clone(),
        variant: work.variant.clone(),
        implementation: implementation.to_owned(),
        isa: isa.to_owned(),
        threads,
    }
}
