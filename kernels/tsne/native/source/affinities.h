// P of a strip of ROWS rows and LANES columns: read from memory, recomputed from the points, or absent.
#pragma once

#include <algorithm>

#include "lanes.h"

namespace tsne {

using namespace native;

constexpr int ROWS = LANES == 16 ? 4 : 2;  // that share what is loaded of a column; divides LANES

// Arrays of `padded` columns hold zeros from column n on; padded is a multiple of 16.
struct Size {
  int64_t n, padded;
};

// No P: q alone.
struct Absent {
  static constexpr bool GIVEN = false;
  template <bool EDGE>
  void read(int64_t, int64_t, Floats (&)[ROWS]) const {}
};

// [n, n]
struct Dense {
  static constexpr bool GIVEN = true;
  Size size;
  const float* values;

  template <bool EDGE>
  inline __attribute__((always_inline)) void read(int64_t i, int64_t j, Floats (&p)[ROWS]) const {
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      int64_t row = EDGE ? std::min(i + r, size.n - 1) : i + r;
      const float* from = values + row * size.n + j;
      if (!EDGE || j + LANES <= size.n) {
        p[r] = load(from);
      } else {
        float last[LANES] = {};
        std::copy(from, from + (size.n - j), last);
        p[r] = load(last);
      }
    }
  }
};

// (exp(-beta_i (D - shift_i) - log_total_i) + the same of j) w_i w_j, that is P times twice the sum of all
// weights, with D the squared distance of the points. Those lie in blocks of 16 rows, [padded / 16, features,
// 16], so that what a strip reads lies together (a stride of a power of two would meet in one set of the cache).
struct Streamed {
  static constexpr bool GIVEN = true;
  Size size;
  int64_t features;
  const float *points, *beta, *shift, *log_total, *weights;

  template <bool EDGE>
  inline __attribute__((always_inline)) void read(int64_t i, int64_t j, Floats (&p)[ROWS]) const {
    Floats distance[ROWS] = {};
    const float *own = points + place(i), *others = points + place(j);
    for (int64_t e = 0; e < features; ++e, own += BLOCK, others += BLOCK) {
      Floats there = load(others);
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; ++r) {
        Floats difference = own[r] - there;
        distance[r] += difference * difference;
      }
    }
    Floats of_beta = load(beta + j), of_shift = load(shift + j), of_total = load(log_total + j);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      Floats from_i = exponential(-beta[i + r] * (distance[r] - shift[i + r]) - log_total[i + r]);
      p[r] = from_i + exponential(-of_beta * (distance[r] - of_shift) - of_total);
      p[r] *= weights[i + r] * load(weights + j);
    }
  }

 private:
  static constexpr int64_t BLOCK = 16;
  int64_t place(int64_t row) const { return row / BLOCK * BLOCK * features + row % BLOCK; }
};

}  // namespace tsne
