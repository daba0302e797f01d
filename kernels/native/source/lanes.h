// Vectors of float, one lane a query (or a feature), and the few functions of them that are needed.
//
// Written with the vector extensions that GCC and Clang share; LANES follows the instruction set the
// file is compiled for. Only sum, minimum and reciprocal know instructions of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace native {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));

inline Floats load(const float* from) {
  Floats x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

inline void store(float* to, Floats x) { __builtin_memcpy(to, &x, sizeof x); }

inline Floats all(float x) { return x - Floats{}; }  // exact, and x - 0 keeps the sign of zero

inline Ints all(int32_t x) { return x - Ints{}; }

inline float sum(Floats x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)x);
#else
  float total = 0;
  for (int lane = 0; lane < LANES; ++lane) total += x[lane];
  return total;
#endif
}

// The lesser of the two; NaN for NaN.
inline Floats at_most(Floats x, float limit) {
#if defined(__AVX512F__)
  return (Floats)_mm512_min_ps((__m512)all(limit), (__m512)x);
#else
  return x > limit ? all(limit) : x;
#endif
}

// 1 / x to 1 ulp for normal x and 1 / x: a 14-bit estimate and one Newton step, or the division.
inline Floats reciprocal(Floats x) {
#if defined(__AVX512F__)
  Floats r = (Floats)_mm512_rcp14_ps((__m512)x);
  return r + r * (1.0f - x * r);
#else
  return 1.0f / x;
#endif
}

// e^x to 2 ulp for |x| <= 87; e^-87 below, e^87 above, NaN for NaN.
//
// x = k ln 2 + f with |f| <= ln 2 / 2 (ln 2 in two parts, so that f is exact), e^f by its Taylor
// polynomial of degree 7 (truncation below 6e-9), times 2^k, made in the exponent's bits.
inline Floats exponential(Floats x) {
  constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  x = at_most(x, 87.0f);
  x = x < -87.0f ? all(-87.0f) : x;
  Floats shifted = x * 1.44269504f + ROUND, k = shifted - ROUND;
  Floats f = (x - k * 0.693359375f) - k * -2.12194440e-4f;
  Floats p = f * (1 / 5040.0f) + 1 / 720.0f;
  p = p * f + 1 / 120.0f;
  p = p * f + 1 / 24.0f;
  p = p * f + 1 / 6.0f;
  p = p * f + 0.5f;
  p = (p * f + 1.0f) * f + 1.0f;
  Ints power = ((Ints)shifted - (Ints)all(ROUND) + 127) << 23;
  return p * (Floats)power;
}

// A square of LANES x LANES, in log2(LANES) rounds that swap ever larger blocks off the diagonal.
template <int BLOCK, size_t... LANE>
inline void swap_blocks(Floats& above, Floats& below, std::index_sequence<LANE...>) {
  Floats a = above, b = below;
  above = __builtin_shufflevector(a, b, (LANE & BLOCK ? LANE - BLOCK + LANES : LANE)...);
  below = __builtin_shufflevector(a, b, (LANE & BLOCK ? LANE + LANES : LANE + BLOCK)...);
}

template <int BLOCK = 1>
inline void transpose(Floats (&square)[LANES]) {
  if constexpr (BLOCK < LANES) {
#pragma GCC unroll 16
    for (int row = 0; row < LANES; ++row)
      if (!(row & BLOCK))
        swap_blocks<BLOCK>(square[row], square[row + BLOCK], std::make_index_sequence<LANES>());
    transpose<2 * BLOCK>(square);
  }
}

}  // namespace native
