//! The limits of this machine, measured: what no kernel can pass, and what all of them are held against.
//!
//! Each limit is a loop that keeps one unit or one level of memory busy, run on every thread at once with
//! a buffer of its own. Memory behind the last cache is read from buffers of ten times its size where a
//! sixteenth of main memory allows that; the size is part of the name.

mod memory;

use tensor_kernels::Isa;
use tensor_kernels::roofs::{Unit, arithmetic, common_bits};

use crate::error::BenchError;
use crate::options::Options;
use crate::record::Case;
use crate::runner::Bench;
use crate::timing::samples;
use memory::Level;

/// The workload under which limits are recorded.
pub const WORKLOAD: &str = "limits";

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// f32 multiply-adds.
    F32,
    /// bf16 dot products.
    Bf16,
    /// Dot products of bytes by VNNI.
    Int8,
    /// Dot products of bytes by the fastest unit there is: AMX tiles, else VNNI.
    Int8Best,
    /// Dot products of bytes by AMX tiles.
    Int8Tile,
    /// Load, and, count the bits.
    Bits,
    /// Reads from the nearest cache.
    L1,
    /// Reads from the second cache.
    L2,
    /// Reads from the third cache.
    L3,
    /// Reads from memory on huge pages.
    Read,
    /// Reads from memory on pages of 4 KiB.
    ReadSmallPages,
    /// Copies in memory on huge pages, bytes read and bytes written.
    Copy,
}

impl Limit {
    /// Every limit that `limits` lists.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::Bf16,
        Self::Int8,
        Self::Int8Tile,
        Self::Bits,
        Self::L1,
        Self::L2,
        Self::L3,
        Self::Read,
        Self::ReadSmallPages,
        Self::Copy,
    ];

    /// The name, without sizes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32 multiply-add",
            Self::Bf16 => "bf16 dot",
            Self::Int8 => "int8 dot (VNNI)",
            Self::Int8Tile => "int8 tiles (AMX)",
            Self::Int8Best => "int8, fastest unit",
            Self::Bits => "and, bit count",
            Self::L1 => "L1 read",
            Self::L2 => "L2 read",
            Self::L3 => "L3 read",
            Self::Read => "DRAM read, huge pages",
            Self::ReadSmallPages => "DRAM read, small pages",
            Self::Copy => "DRAM copy, huge pages",
        }
    }

    /// What its rate counts: operations or bytes.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::F32 | Self::Bf16 | Self::Int8 | Self::Int8Best | Self::Int8Tile => "op",
            _ => "B",
        }
    }
}

/// Measures every limit at each thread count.
///
/// # Errors
/// Memory that cannot be mapped.
pub fn run(bench: &mut Bench) -> Result<(), BenchError> {
    bench.without_data(WORKLOAD)?;
    for limit in Limit::ALL {
        if !bench.options.wants(WORKLOAD, limit.name()) {
            continue;
        }
        for threads in bench.options.thread_counts() {
            bench.progress.begin(limit.name());
            match measure(limit, Isa::best(), threads, &bench.options)? {
                Some(case) => bench.record.cases.push(case),
                None => {
                    bench.skip(limit.name());
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Measures one limit; `None` where this machine has none of the kind.
///
/// # Errors
/// Memory that cannot be mapped.
pub fn measure(
    limit: Limit,
    isa: Isa,
    threads: usize,
    options: &Options,
) -> Result<Option<Case>, BenchError> {
    match limit {
        Limit::F32 => Ok(busy(limit, isa, Unit::F32, threads, options)),
        Limit::Bf16 => Ok(busy(limit, isa, Unit::Bf16, threads, options)),
        Limit::Int8 => Ok(busy(limit, isa, Unit::Int8, threads, options)),
        Limit::Int8Tile => Ok(busy(limit, isa, Unit::Int8Tile, threads, options)),
        Limit::Int8Best => {
            let tiles = measure(Limit::Int8Tile, isa, threads, options)?;
            tiles.map_or_else(|| measure(Limit::Int8, isa, threads, options), |case| Ok(Some(case)))
        }
        Limit::Bits => Ok(Some(bits(isa, threads, options))),
        Limit::L1 => memory::read(limit, Level::Cache(1), isa, threads, options),
        Limit::L2 => memory::read(limit, Level::Cache(2), isa, threads, options),
        Limit::L3 => memory::read(limit, Level::Cache(3), isa, threads, options),
        Limit::Read => memory::read(limit, Level::Main { huge_pages: true }, isa, threads, options),
        Limit::ReadSmallPages => {
            memory::read(limit, Level::Main { huge_pages: false }, isa, threads, options)
        }
        Limit::Copy => memory::copy(limit, isa, threads, options).map(Some),
    }
}

/// A unit kept busy on every thread.
fn busy(limit: Limit, isa: Isa, unit: Unit, threads: usize, options: &Options) -> Option<Case> {
    let rounds = if options.quick { 1_000 } else { 4_000_000 };
    let ops = arithmetic(isa, unit, rounds)?;
    let taken =
        samples(options.budget(), || on_each(&mut vec![(); threads], |()| arithmetic(isa, unit, rounds)));
    Some(case(limit, limit.name(), isa, threads).timed(taken, ops as f64 * threads as f64, "op"))
}

/// Bits counted in buffers that stay in the nearest cache; counted in bytes read.
fn bits(isa: Isa, threads: usize, options: &Options) -> Case {
    let (words, rounds) = (1_024, if options.quick { 10 } else { 50_000 });
    let mut buffers = vec![(vec![0x0123_4567_89ab_cdef_u64; words], vec![u64::MAX / 3; words]); threads];
    let taken = samples(options.budget(), || {
        on_each(&mut buffers, |(left, right)| {
            (0..rounds).filter_map(|_| common_bits(isa, std::hint::black_box(left), right)).sum::<u64>()
        });
    });
    let bytes = (16 * words * rounds * threads) as f64;
    case(Limit::Bits, Limit::Bits.name(), isa, threads).timed(taken, bytes, "B")
}

fn case(limit: Limit, variant: &str, isa: Isa, threads: usize) -> Case {
    let mut case = Case::new(WORKLOAD, "this machine", variant).on(isa, threads);
    limit.unit().clone_into(&mut case.unit);
    case
}

/// Runs `work` on every item at once, each on a thread of its own.
fn on_each<T: Send, R>(items: &mut [T], work: impl Fn(&mut T) -> R + Sync) {
    let work = &work;
    match items {
        [only] => drop(std::hint::black_box(work(only))),
        many => std::thread::scope(|scope| {
            for item in many {
                scope.spawn(move || drop(std::hint::black_box(work(item))));
            }
        }),
    }
}
