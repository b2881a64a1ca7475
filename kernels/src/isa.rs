//! Instruction-set levels: which exist, which this machine has, and the proof value that opens one.
//!
//! A [`Level`] can only be made on a machine that has it, so code that holds one needs no further
//! check. Dispatch happens once per batch, through [`Level::dispatch`].

use std::fmt;
use std::str::FromStr;

use crate::error::KernelError;
#[cfg(target_arch = "x86_64")]
pub(crate) use crate::simd::{amx::Amx, vnni::Vnni};

/// Name of the environment variable that forces a level.
pub const ISA_ENV: &str = "TENSORCHAIN_ISA";

/// An instruction-set level, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain loops, one element at a time: the oracle.
    Scalar,
    /// Arm Advanced SIMD, 128-bit lanes.
    Neon,
    /// x86-64-v3: AVX2 and FMA, 256-bit lanes.
    Avx2,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ and VL, 512-bit lanes.
    Avx512,
    /// `Avx512` and VNNI, VPOPCNTDQ, VBMI, VBMI2 and BITALG: Ice Lake, Zen 4 and later.
    Avx512Vnni,
    /// `Avx512Vnni` and AMX-INT8, tiles of 16 rows × 64 bytes: Sapphire Rapids and later, under Linux.
    Amx,
}

impl Isa {
    /// Every level, slowest first.
    pub const ALL: [Self; 6] =
        [Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Amx];

    /// The levels this machine has, slowest first; never empty.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|&isa| isa == Self::Scalar || Level::open(isa).is_some()).collect()
    }

    /// The fastest level this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Scalar)
    }

    /// The level that the environment variable `TENSORCHAIN_ISA` forces, if it is set and not empty.
    ///
    /// # Errors
    /// [`KernelError::UnknownIsa`] for a name that does not exist.
    pub fn from_env() -> Result<Option<Self>, KernelError> {
        match std::env::var(ISA_ENV) {
            Ok(text) if !text.is_empty() => text.parse().map(Some),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(text)) => {
                Err(KernelError::UnknownIsa { got: text.to_string_lossy().into_owned() })
            }
        }
    }

    /// The name used on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512vnni",
            Self::Amx => "amx",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = KernelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.name() == text)
            .ok_or_else(|| KernelError::UnknownIsa { got: text.to_owned() })
    }
}

/// Proof that this machine has a SIMD level.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(pulp::x86::V4, Vnni),
    #[cfg(target_arch = "x86_64")]
    Amx(pulp::x86::V4, Amx),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Level {
    /// The proof value of a level, or `None` where the machine lacks it (and for `Scalar`, which needs none).
    pub(crate) fn open(isa: Isa) -> Option<Self> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::try_new().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::try_new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Some(Self::Avx512Vnni(pulp::x86::V4::try_new()?, Vnni::try_new()?)),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Some(Self::Amx(pulp::x86::V4::try_new()?, Amx::try_new()?)),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::try_new().map(Self::Neon),
            _ => None,
        }
    }

    /// The level's name.
    pub(crate) const fn isa(self) -> Isa {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Isa::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(..) => Isa::Avx512Vnni,
            #[cfg(target_arch = "x86_64")]
            Self::Amx(..) => Isa::Amx,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => Isa::Neon,
        }
    }

    /// The proof value of AVX-512, where the level has it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx512(self) -> Option<pulp::x86::V4> {
        match self {
            Self::Avx2(_) => None,
            Self::Avx512(token) | Self::Avx512Vnni(token, _) | Self::Amx(token, _) => Some(token),
        }
    }

    /// Runs `op` compiled for this level. Plain loops inside `op` that are `#[inline(always)]` vectorise for it too.
    #[inline]
    pub(crate) fn dispatch<Op: pulp::WithSimd>(self, op: Op) -> Op::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => pulp::Simd::vectorize(token, op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) | Self::Avx512Vnni(token, _) | Self::Amx(token, _) => {
                pulp::Simd::vectorize(token, op)
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => pulp::Simd::vectorize(token, op),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_names_are_errors() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse::<Isa>(), Ok(isa));
        }
        assert_eq!("sse9".parse::<Isa>(), Err(KernelError::UnknownIsa { got: "sse9".into() }));
    }

    #[test]
    fn scalar_is_always_available_and_best_is_available() {
        let available = Isa::available();
        assert_eq!(available[0], Isa::Scalar);
        assert!(available.contains(&Isa::best()));
    }
}
