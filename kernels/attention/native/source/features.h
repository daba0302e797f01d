// Vectors over the features of one row, however many: blocks of four, single ones, and a last one in part.
#pragma once

#include <cstring>

#include "lanes.h"

namespace attention {

using namespace native;

// WIDTH whole vectors.
template <int WIDTH>
struct Whole {
  static constexpr int WIDE = WIDTH;
  Floats load(const float* from, int i) const { return attention::load(from + i * LANES); }
  void store(float* to, int i, Floats x) const { attention::store(to + i * LANES, x); }
};

// Less than a vector: nothing behind it is read or written, and its other lanes are 0.
struct Part {
  static constexpr int WIDE = 1;
  int64_t count;

  Floats load(const float* from, int) const {
#if defined(__AVX512F__)
    return (Floats)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from);
#else
    Floats x = {};
    std::memcpy(&x, from, count * sizeof(float));
    return x;
#endif
  }
  void store(float* to, int, Floats x) const {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), (__m512)x);
#else
    std::memcpy(to, &x, count * sizeof(float));
#endif
  }
};

// body(first feature, Whole or Part) over all features.
template <typename Body>
inline void over_features(int64_t features, const Body& body) {
  constexpr int BLOCK = 4;
  int64_t j = 0;
  for (; j + BLOCK * LANES <= features; j += BLOCK * LANES) body(j, Whole<BLOCK>{});
  for (; j + LANES <= features; j += LANES) body(j, Whole<1>{});
  if (j < features) body(j, Part{features - j});
}

// sum_j x_j y_j
inline float product(const float* x, const float* y, int64_t features) {
  Floats total = {};
  over_features(features, [&](int64_t j, auto part) {
    for (int i = 0; i < part.WIDE; ++i) total += part.load(x + j, i) * part.load(y + j, i);
  });
  return sum(total);
}

}  // namespace attention
