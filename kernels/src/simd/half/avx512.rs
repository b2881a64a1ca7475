//! f16 by the processor's own conversions, sixteen values at a time.
//!
//! Both respect denormals whatever the processor's modes are, and round as they are told.

use pulp::x86::V4;

use super::{narrow_f16, widen_f16};

/// Values of one conversion.
const LANES: usize = 16;
/// Rounding half to even.
const NEAREST: i32 = 0;

pub(super) struct Widen<'a> {
    pub(super) token: V4,
    pub(super) bits: &'a [u16],
    pub(super) out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (bits, bits_tail) = self.bits.as_chunks::<LANES>();
        let (out, out_tail) = self.out.as_chunks_mut::<LANES>();
        for (out, &bits) in out.iter_mut().zip(bits) {
            *out = bytemuck::cast(self.token.avx512f._mm512_cvtph_ps(bytemuck::cast(bits)));
        }
        for (out, &bits) in out_tail.iter_mut().zip(bits_tail) {
            *out = widen_f16(bits);
        }
    }
}

pub(super) struct Narrow<'a> {
    pub(super) token: V4,
    pub(super) values: &'a [f32],
    pub(super) out: &'a mut [u16],
}

impl pulp::NullaryFnOnce for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (values, values_tail) = self.values.as_chunks::<LANES>();
        let (out, out_tail) = self.out.as_chunks_mut::<LANES>();
        for (out, &values) in out.iter_mut().zip(values) {
            *out = bytemuck::cast(self.token.avx512f._mm512_cvtps_ph::<NEAREST>(bytemuck::cast(values)));
        }
        for (out, &x) in out_tail.iter_mut().zip(values_tail) {
            *out = narrow_f16(x);
        }
    }
}
