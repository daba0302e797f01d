// The matrix products of a block, with tiles of the result in registers: features on the lanes, a few
// rows by a few vectors. A number that is spread over the lanes is an operand of the multiply-add.
#pragma once

#include "layout.h"

namespace memory {

constexpr int HIGH = LANES == 16 ? 8 : 4;  // rows of a tile
constexpr int WIDE = LANES == 16 ? 3 : 2;  // vectors of a tile, at most

// to += sum_k x(k) w(k)^T of a tile, for pairs (x, w) of columns k of x and rows k of w.
template <int COUNT>
struct Tile {
  Floats sums[HIGH][COUNT];

  explicit Tile(View<float> to) {
    for (int r = 0; r < HIGH; ++r)
      for (int i = 0; i < COUNT; ++i) sums[r][i] = load(to.row(r) + i * LANES);
  }
  // x of row r is at x[r * step]
  inline __attribute__((always_inline)) void add(const float* x, int64_t step, const float* w) {
    Floats y[COUNT];
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; ++i) y[i] = load(w + i * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < HIGH; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < COUNT; ++i) sums[r][i] += x[r * step] * y[i];
  }
  void put(View<float> to) const {
    for (int r = 0; r < HIGH; ++r)
      for (int i = 0; i < COUNT; ++i) store(to.row(r) + i * LANES, sums[r][i]);
  }
};

// visit(column, count) for the columns as tiles of at most WIDE vectors, as even as they come.
template <typename Visit>
inline void over_columns(int64_t columns, const Visit& visit) {
  int64_t vectors = columns / LANES, tiles = (vectors + WIDE - 1) / WIDE;
  for (int64_t tile = 0, at = 0; tile < tiles; ++tile) {
    int64_t count = (vectors - at + tiles - tile - 1) / (tiles - tile);
    if (count == 1) visit(at * LANES, std::integral_constant<int, 1>());
    else if (count == 2) visit(at * LANES, std::integral_constant<int, 2>());
    else visit(at * LANES, std::integral_constant<int, WIDE>());
    at += count;
  }
}

// to[r] += x[r] W for the rows of a block; W is [inputs, outputs].
inline void multiply(
    View<const float> x, int64_t inputs, View<const float> w, int64_t outputs, View<float> to) {
  over_columns(outputs, [&](int64_t column, auto count) {
    for (int r = 0; r < ROWS; r += HIGH) {
      View<float> at{to.row(r) + column, to.stride};
      Tile<count> tile(at);
      const float *left = x.row(r), *right = w.at + column;
#pragma GCC unroll 2
      for (int64_t k = 0; k < inputs; ++k, right += w.stride) tile.add(left + k, x.stride, right);
      tile.put(at);
    }
  });
}

// The two sides of one weight's gradient in each of several steps.
struct Sides {
  std::vector<View<const float>> inputs, deltas;
};

// to += sum over steps and rows of inputs^T deltas.
inline void add_outer(const Sides& sides, int64_t inputs, int64_t outputs, View<float> to) {
  over_columns(outputs, [&](int64_t column, auto count) {
    for (int64_t k = 0; k < inputs; k += HIGH) {
      View<float> at{to.row(k) + column, to.stride};
      Tile<count> tile(at);
      for (size_t step = 0; step < sides.inputs.size(); ++step) {
        const float *left = sides.inputs[step].at + k, *right = sides.deltas[step].at + column;
        int64_t of_left = sides.inputs[step].stride, of_right = sides.deltas[step].stride;
#pragma GCC unroll 2
        for (int r = 0; r < ROWS; ++r) tile.add(left + r * of_left, 1, right + r * of_right);
      }
      tile.put(at);
    }
  });
}

// to += sum over steps and rows of the deltas.
inline void add_sums(const Sides& sides, int64_t outputs, float* to) {
  for (int64_t j = 0; j < outputs; j += LANES) {
    Floats total = load(to + j);
    for (const auto& deltas : sides.deltas)
      for (int r = 0; r < ROWS; ++r) total += load(deltas.row(r) + j);
    store(to + j, total);
  }
}

}  // namespace memory
