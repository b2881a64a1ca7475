//! AMX: the proof value, the tile registers' configuration, and the product of a 32 × 32 block.
//!
//! A tile register holds 16 rows of 64 bytes, and one instruction multiplies two of them: 16 384 products of
//! bytes. Four registers hold the 32 × 32 sums, two the rows, two the panel. The compiler has no stable
//! names for these instructions, so they are written as assembly.

#![expect(
    unsafe_code,
    reason = "tile instructions exist only as assembly, tile state only through a system call"
)]

use std::arch::asm;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::tile::{Block, Dots, SIDE};
use super::vnni::Vnni;

/// Bytes of one tile row.
const WIDTH: usize = 64;
/// Rows of one tile.
const HEIGHT: usize = 16;

/// Proof that the processor has AMX-INT8 beside [`Vnni`] and that the system lets this process use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amx(Vnni);

impl Amx {
    /// The proof value, or `None`.
    pub(crate) fn try_new() -> Option<Self> {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        let vnni = Vnni::try_new()?;
        AVAILABLE.get_or_init(|| processor_has_it() && system_allows_it()).then_some(Self(vnni))
    }

    /// The level below.
    #[inline(always)]
    pub(super) fn vnni(self) -> Vnni {
        self.0
    }

    /// Sets the shapes of this thread's tile registers until the last guard of the thread is dropped.
    pub(super) fn configure(self) -> Configured {
        let held = HELD.get();
        HELD.set(held + 1);
        if held > 0 {
            return Configured(PhantomData);
        }
        let mut shapes = Shapes([0; 64]);
        shapes.0[0] = 1; // palette
        for tile in 0..8 {
            shapes.0[16 + 2 * tile] = 64; // bytes of a row, low byte of 16 bits
            shapes.0[48 + tile] = 16; // rows
        }
        // SAFETY: `self` proves that the instruction exists and is allowed; it reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) shapes.0.as_ptr(), options(nostack, readonly)) };
        Configured(PhantomData)
    }

    /// The products of a block with one panel. The thread's tiles must be configured.
    #[inline(always)]
    pub(super) fn times(self, left: Block<'_>, panel: &[u8], dots: &mut Dots) {
        let (stride, steps) = (left.stride, left.stride / WIDTH);
        assert!(stride == steps * WIDTH && left.codes.len() == SIDE * stride && panel.len() == SIDE * stride);
        // SAFETY: the processor has the instructions and the system allows them (`self`). Rows are read at
        // `codes + row · stride + 64 · step` for row < 32 and step < stride / 64: inside 32 · stride bytes.
        // The panel is read at `panel + 2048 · step + 128 · quad + 64 · half` for quad < 16: inside
        // 32 · stride bytes. Starts are 32 rows of 64 bytes, read; sums are 32 rows of 128 bytes, written.
        unsafe {
            asm!(
                "tileloadd tmm0, [{starts} + {width}]",
                "tileloadd tmm1, [{starts} + {width}]",
                "tileloadd tmm2, [{starts} + {width} + 1024]",
                "tileloadd tmm3, [{starts} + {width} + 1024]",
                "test {steps}, {steps}",
                "jz 3f",
                "2:",
                "tileloadd tmm4, [{upper} + {stride}]",
                "tileloadd tmm6, [{panel} + {double}]",
                "tileloadd tmm7, [{panel} + {double} + 64]",
                "tdpbsud tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{lower} + {stride}]",
                "tdpbsud tmm1, tmm4, tmm7",
                "tdpbsud tmm2, tmm5, tmm6",
                "tdpbsud tmm3, tmm5, tmm7",
                "add {upper}, 64",
                "add {lower}, 64",
                "add {panel}, 2048",
                "dec {steps}",
                "jnz 2b",
                "3:",
                "tilestored [{out} + {double}], tmm0",
                "tilestored [{out} + {double} + 64], tmm1",
                "tilestored [{out} + {double} + 2048], tmm2",
                "tilestored [{out} + {double} + 2112], tmm3",
                starts = in(reg) left.starts.as_ptr(),
                upper = inout(reg) left.codes.as_ptr() => _,
                lower = inout(reg) left.codes.as_ptr().add(HEIGHT * stride) => _,
                panel = inout(reg) panel.as_ptr() => _,
                steps = inout(reg) steps => _,
                out = in(reg) dots.as_mut_ptr(),
                stride = in(reg) stride,
                width = in(reg) WIDTH,
                double = in(reg) 2 * WIDTH,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

#[repr(align(64))]
struct Shapes([u8; 64]);

/// Holds this thread's tile configuration; not to be sent to another thread.
pub(super) struct Configured(PhantomData<*const ()>);

thread_local! {
    /// Guards of this thread.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

impl Drop for Configured {
    fn drop(&mut self) {
        let held = HELD.get() - 1;
        HELD.set(held);
        if held > 0 {
            return;
        }
        // SAFETY: the value only exists where AMX does. Released tiles make context switches cheap again.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// CPUID leaf 7: AMX-TILE and AMX-INT8.
fn processor_has_it() -> bool {
    let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
    features & (1 << 24) != 0 && features & (1 << 25) != 0
}

/// Asks Linux for the tile registers' state, which a process gets only on request.
#[cfg(target_os = "linux")]
fn system_allows_it() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this call takes two integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Elsewhere the state is not asked for, so tiles are not used.
#[cfg(not(target_os = "linux"))]
fn system_allows_it() -> bool {
    false
}
