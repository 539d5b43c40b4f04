//! Access to the parts of SIMD vectors.

use pulp::bytemuck::{self, Pod};

/// The lanes of a SIMD vector.
#[inline(always)]
pub(super) fn lanes<V: Pod, T: Pod>(vector: &V) -> &[T] {
    bytemuck::cast_slice(std::slice::from_ref(vector))
}
