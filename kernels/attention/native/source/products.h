// The three matrix products of attention over a tile, each with its accumulators in registers.
//
// A tile of scores is [key][lane]; features are multiples of 16. What is spread over the lanes comes
// straight from memory as an operand of the multiply-add, so that nothing needs to be packed.
#pragma once

#include "geometry.h"

namespace attention {

// Rows of KEYS keys from s on; behind the last key that one again (its scores are masked).
struct KeyRows {
  const float* at[KEYS];

  KeyRows(const float* keys, int64_t features, int64_t s, int64_t n) {
    for (int k = 0; k < KEYS; ++k) at[k] = keys + std::min(s + k, n - 1) * features;
  }
};

// scores[key][lane] = sum_j keys[key][j] x[j][lane]
inline void contract_features(const KeyRows& keys, const Floats* x, int64_t features, Floats* scores) {
  Floats total[KEYS] = {};
#pragma GCC unroll 4
  for (int64_t j = 0; j < features; ++j) {
    Floats y = x[j];
#pragma GCC unroll 8
    for (int k = 0; k < KEYS; ++k) total[k] += keys.at[k][j] * y;
  }
  for (int k = 0; k < KEYS; ++k) scores[k] = total[k];
}

// sums[j][lane] += sum_key weights[key][lane] rows[key][j]
inline void contract_keys(
    const float* rows, const Floats* weights, int64_t keys, int64_t features, Floats* sums) {
  constexpr int BLOCK = LANES == 16 ? 16 : 8;
  for (int64_t j = 0; j < features; j += BLOCK) {
    Floats total[BLOCK];
#pragma GCC unroll 16
    for (int k = 0; k < BLOCK; ++k) total[k] = sums[j + k];
    const float* row = rows + j;
    for (int64_t s = 0; s < keys; ++s, row += features) {
      Floats w = weights[s];
#pragma GCC unroll 16
      for (int k = 0; k < BLOCK; ++k) total[k] += row[k] * w;
    }
#pragma GCC unroll 16
    for (int k = 0; k < BLOCK; ++k) sums[j + k] = total[k];
  }
}

// sums[key][j] += sum_lane weights[key][lane] queries[lane][j], for COUNT keys and WIDE vectors of features
template <int COUNT, int WIDE>
inline void contract_lanes(const float* queries, const Floats* weights, int64_t features, float* sums) {
  Floats total[COUNT][WIDE] = {};
  const float* w = reinterpret_cast<const float*>(weights);
#pragma GCC unroll 2
  for (int lane = 0; lane < LANES; ++lane) {
    Floats y[WIDE];
    for (int i = 0; i < WIDE; ++i) y[i] = load(queries + lane * features + i * LANES);
#pragma GCC unroll 8
    for (int k = 0; k < COUNT; ++k)
      for (int i = 0; i < WIDE; ++i) total[k][i] += w[k * LANES + lane] * y[i];
  }
#pragma GCC unroll 8
  for (int k = 0; k < COUNT; ++k)
    for (int i = 0; i < WIDE; ++i) {
      float* to = sums + k * features + i * LANES;
      store(to, load(to) + total[k][i]);
    }
}

template <int COUNT>
inline void contract_lanes(const float* queries, const Floats* weights, int64_t features, float* sums) {
  int64_t j = 0;
  for (; j + 2 * LANES <= features; j += 2 * LANES)
    contract_lanes<COUNT, 2>(queries + j, weights, features, sums + j);
  for (; j < features; j += LANES) contract_lanes<COUNT, 1>(queries + j, weights, features, sums + j);
}

// The same for any number of keys.
inline void contract_lanes(
    const float* queries, const Floats* weights, int64_t keys, int64_t features, float* sums) {
  int64_t s = 0;
  for (; s + KEYS <= keys; s += KEYS)
    contract_lanes<KEYS>(queries, weights + s, features, sums + s * features);
  for (; s < keys; ++s) contract_lanes<1>(queries, weights + s, features, sums + s * features);
}

}  // namespace attention
