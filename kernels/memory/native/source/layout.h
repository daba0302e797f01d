// Where the arrays of a call lie. P is modalities * hidden, E units, D memory; all sizes are padded to
// multiples of 16, which LANES divides.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lanes.h"

namespace memory {

using namespace native;

constexpr int ROWS = 16;   // examples of a block, which goes through all steps by itself
constexpr int UNITS = 16;  // at most so many parts of a batch sum gradients of the weights on their own

struct Sizes {
  int64_t batch, time, modalities, hidden, memory, units;
  bool feeds;

  int64_t p() const { return modalities * hidden; }
  int64_t blocks() const { return (batch + ROWS - 1) / ROWS; }
  int64_t parts() const { return std::min<int64_t>(blocks(), UNITS); }
};

template <typename T>
struct View {
  T* at;
  int64_t stride;  // from row to row

  View(T* at, int64_t stride) : at(at), stride(stride) {}
  template <typename U>
  View(const View<U>& other) : at(other.at), stride(other.stride) {}
  T* row(int64_t r) const { return at + r * stride; }
  View from(int64_t column) const { return {at + column, stride}; }
};

// Hands out consecutive pieces of an array.
template <typename T>
struct Pieces {
  T* at;
  int64_t used = 0;

  T* take(int64_t size) {
    used += size;
    return at ? at + used - size : nullptr;
  }
  View<T> take(int64_t rows, int64_t columns) { return {take(rows * columns), columns}; }
};

// The fields of `Weights` in kernels/memory/loop.py, one behind another; or their gradients. For the way
// back every matrix is the other way round.
template <typename T>
struct Weights {
  View<T> recurrent, bias, feeding, score_in, score_in_bias, score_out, score_out_bias, read_in, read_in_bias,
      gate_memory, read_out, read_out_bias;
  int64_t size;

  Weights(const Sizes& s, T* at, bool turned = false) : Weights(s, Pieces<T>{at}, turned) {}

 private:
  static View<T> matrix(Pieces<T>& pieces, int64_t inputs, int64_t outputs, bool turned, int64_t count = 1) {
    return {pieces.take(count * inputs * outputs), turned ? inputs : outputs};
  }
  Weights(const Sizes& s, Pieces<T> pieces, bool turned)
      : recurrent(matrix(pieces, s.hidden, 4 * s.hidden, turned, s.modalities)),
        bias(pieces.take(1, 4 * s.p())),
        feeding(matrix(pieces, s.feeds ? s.memory : 0, 4 * s.p(), turned)),
        score_in(matrix(pieces, 2 * s.p(), s.units, turned)),
        score_in_bias(pieces.take(1, s.units)),
        score_out(matrix(pieces, s.units, 2 * s.p(), turned)),
        score_out_bias(pieces.take(1, 2 * s.p())),
        read_in(matrix(pieces, 2 * s.p(), 3 * s.units, turned)),
        read_in_bias(pieces.take(1, 3 * s.units)),
        gate_memory(matrix(pieces, s.memory, 2 * s.units, turned)),
        read_out(matrix(pieces, s.units, s.memory, turned, 3)),
        read_out_bias(pieces.take(1, 3 * s.memory)),
        size(pieces.used) {
    if (turned && !s.feeds) feeding.stride = s.memory;
  }
};

// A step of a block: every layer behind its nonlinearity, and the states behind the step.
struct Step {
  View<float> hidden, memory, attention, gates, both, scored, read, update;
  int64_t size;

  Step(const Sizes& s, float* at) : Step(s, Pieces<float>{at}) {}
  View<float> cell() const { return both.from(both.stride / 2); }

 private:
  Step(const Sizes& s, Pieces<float> pieces)
      : hidden(pieces.take(ROWS, s.p())),
        memory(pieces.take(ROWS, s.memory)),
        attention(pieces.take(ROWS, 2 * s.p())),
        gates(pieces.take(ROWS, 4 * s.p())),
        both(pieces.take(ROWS, 2 * s.p())),
        scored(pieces.take(ROWS, s.units)),
        read(pieces.take(ROWS, 3 * s.units)),
        update(pieces.take(ROWS, 3 * s.memory)),
        size(pieces.used) {}
};

// The examples of a block: which there are, which of their steps and units.
struct Block {
  int64_t first, rows;
  const bool* valid;       // [batch, time]
  std::vector<float> there;  // [ROWS, P], 1 or 0

  Block(const Sizes& s, int64_t block, const bool* valid, const bool* of_batch)
      : first(block * ROWS),
        rows(std::min<int64_t>(ROWS, s.batch - first)),
        valid(valid + first * s.time),
        there(ROWS * s.p()) {
    for (int64_t i = 0; i < rows * s.p(); ++i) there[i] = of_batch[first * s.p() + i];
  }
  bool exists(const Sizes& s, int64_t row, int64_t t) const { return row < rows && valid[row * s.time + t]; }
};

// Row of an example of a block at a step, in an array of the batch, [batch, time, columns].
template <typename T>
inline T* place(const Sizes& s, const Block& block, int64_t row, int64_t t, int64_t columns, T* array) {
  return array + ((block.first + row) * s.time + t) * columns;
}

// Memory that a thread keeps for the calls to come.
inline float* scratch(int64_t size) {
  thread_local std::vector<float> held;
  if (int64_t(held.size()) < size) held.resize(size);
  return held.data();
}

}  // namespace memory
