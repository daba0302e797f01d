// The steps of a block; kernels/memory/loop.py has the same in words of arrays.
#pragma once

#include "products.h"

namespace memory {

inline Floats sigmoid(Floats x) { return reciprocal(1.0f + exponential(-x)); }

// tanh x; below .4 by its Taylor polynomial (truncation below 6e-8 of the value), where 1 - 2 / (1 + e^2x)
// would leave few digits of a small number.
inline Floats tangent(Floats x) {
  Floats s = x * x;
  Floats p = s * (-1382 / 155925.0f) + 62 / 2835.0f;
  p = p * s - 17 / 315.0f;
  p = p * s + 2 / 15.0f;
  p = p * s - 1 / 3.0f;
  Floats far = 1.0f - 2.0f * reciprocal(1.0f + exponential(2.0f * x));
  return s < 0.16f ? x + x * (p * s) : far;
}

inline Floats rectified(Floats x) { return x < 0.0f ? Floats{} : x; }

inline void start(const float* bias, View<float> to) {
  for (int r = 0; r < ROWS; ++r) std::copy(bias, bias + to.stride, to.row(r));
}

inline void rectify(View<float> x) {
  for (int64_t i = 0; i < ROWS * x.stride; i += LANES) store(x.at + i, rectified(load(x.at + i)));
}

// W x_t + b, from an array [batch, time, 4 hidden] of each modality.
inline void enter(
    const Sizes& s, const Block& block, int64_t t, const std::vector<const float*>& projected, const float* bias,
    View<float> gates) {
  int64_t own = 4 * s.hidden;
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t m = 0; m < s.modalities; ++m) {
      const float* x = place(s, block, r, t, own, projected[m]);
      for (int64_t j = 0; j < own; j += LANES)
        store(gates.row(r) + m * own + j, load(x + j) + load(bias + m * own + j));
    }
  for (int64_t r = block.rows; r < ROWS; ++r) std::fill(gates.row(r), gates.row(r) + gates.stride, 0.0f);
}

// Gates' sums into gates, cells and states of one modality.
inline void move_cells(
    const Sizes& s, const Block& block, int64_t t, int64_t modality, const Step& before, const Step& now) {
  int64_t p = s.p(), h = s.hidden, first = modality * h;
  for (int64_t r = 0; r < ROWS; ++r) {
    bool exists = block.exists(s, r, t);
    const float *old = before.cell().row(r) + first, *there = block.there.data() + r * p + first;
    const float* old_hidden = before.hidden.row(r) + first;
    float *gates = now.gates.row(r) + 4 * first, *both = now.both.row(r) + first;
    float* hidden = now.hidden.row(r) + first;
    for (int64_t j = 0; j < h; j += LANES) {
      Floats i = sigmoid(load(gates + j)), f = sigmoid(load(gates + h + j));
      Floats g = tangent(load(gates + 2 * h + j)), o = sigmoid(load(gates + 3 * h + j));
      store(gates + j, i), store(gates + h + j, f), store(gates + 2 * h + j, g), store(gates + 3 * h + j, o);
      Floats cell = load(old + j);
      store(both + j, cell);
      Ints moves = exists ? load(there + j) > 0.0f : Ints{};
      cell = moves ? f * cell + i * g : cell;
      store(both + p + j, cell);
      store(hidden + j, moves ? o * tangent(cell) : load(old_hidden + j));
    }
  }
}

// Softmax over the coordinates that are there, and 0 where none is.
inline void attend(const Sizes& s, const Block& block, const Step& now) {
  constexpr float LOWEST = -3e38f;
  int64_t p = s.p();
  for (int64_t r = 0; r < ROWS; ++r) {
    const float* there = block.there.data() + r * p;
    float* scores = now.attention.row(r);
    Floats most = all(LOWEST), total = {};
    for (int64_t j = 0; j < 2 * p; j += LANES) {
      Floats x = load(there + (j < p ? j : j - p)) > 0.0f ? load(scores + j) : LOWEST;
      most = x > most ? x : most;
    }
    float highest = most[0];
    for (int lane = 1; lane < LANES; ++lane) highest = std::max(highest, most[lane]);
    for (int64_t j = 0; j < 2 * p; j += LANES) {
      Floats weight = exponential(load(scores + j) - highest);
      weight = load(there + (j < p ? j : j - p)) > 0.0f ? weight : 0.0f;
      total += weight;
      store(scores + j, weight);
    }
    float whole = sum(total), scale = whole == 0 ? 0 : 1 / whole;
    for (int64_t j = 0; j < 2 * p; j += LANES) store(scores + j, load(scores + j) * scale);
  }
}

inline void weigh(const Step& now, View<float> attended) {
  for (int64_t i = 0; i < ROWS * attended.stride; i += LANES)
    store(attended.at + i, load(now.attention.at + i) * load(now.both.at + i));
}

// Sums of u, g1 and g2 into the three, and the memory.
inline void remember(const Sizes& s, const Block& block, int64_t t, const Step& before, const Step& now) {
  int64_t d = s.memory;
  for (int64_t r = 0; r < ROWS; ++r) {
    bool exists = block.exists(s, r, t);
    float* update = now.update.row(r);
    for (int64_t j = 0; j < d; j += LANES) {
      Floats u = tangent(load(update + j)), keep = sigmoid(load(update + d + j));
      Floats write = sigmoid(load(update + 2 * d + j)), old = load(before.memory.row(r) + j);
      store(update + j, u), store(update + d + j, keep), store(update + 2 * d + j, write);
      store(now.memory.row(r) + j, exists ? keep * old + write * u : old);
    }
  }
}

// A step, whose gates hold W x_t + b; attended: room for a * c*.
inline void forward_step(
    const Sizes& s, const Weights<const float>& w, const Block& block, int64_t t, const Step& before,
    const Step& now, View<float> attended) {
  int64_t p = s.p(), h = s.hidden;
  for (int64_t m = 0; m < s.modalities; ++m)
    multiply(
        before.hidden.from(m * h), h, View<const float>(w.recurrent.row(m * h), 4 * h), 4 * h,
        now.gates.from(4 * m * h));
  if (s.feeds) multiply(before.memory, s.memory, w.feeding, 4 * p, now.gates);
  for (int64_t m = 0; m < s.modalities; ++m) move_cells(s, block, t, m, before, now);

  start(w.score_in_bias.at, now.scored);
  multiply(now.both, 2 * p, w.score_in, s.units, now.scored);
  rectify(now.scored);
  start(w.score_out_bias.at, now.attention);
  multiply(now.scored, s.units, w.score_out, 2 * p, now.attention);
  attend(s, block, now);

  weigh(now, attended);
  start(w.read_in_bias.at, now.read);
  multiply(attended, 2 * p, w.read_in, 3 * s.units, now.read);
  multiply(before.memory, s.memory, w.gate_memory, 2 * s.units, now.read.from(s.units));
  rectify(now.read);
  start(w.read_out_bias.at, now.update);
  for (int64_t j = 0; j < 3; ++j)
    multiply(
        now.read.from(j * s.units), s.units, View<const float>(w.read_out.row(j * s.units), s.memory),
        s.memory, now.update.from(j * s.memory));
  remember(s, block, t, before, now);
}

struct Outputs {
  float *last_hidden, *last_memory;     // [batch, ...]
  float *hidden, *memory, *attention;  // [batch, time, ...], or null where nobody wants them
};

inline void give(const Sizes& s, const Block& block, int64_t t, const Step& now, const Outputs& to) {
  int64_t p = s.p(), d = s.memory;
  for (int64_t r = 0; r < block.rows; ++r) {
    const float *hidden = now.hidden.row(r), *memory = now.memory.row(r), *attention = now.attention.row(r);
    if (t + 1 == s.time) {
      std::copy(hidden, hidden + p, to.last_hidden + (block.first + r) * p);
      std::copy(memory, memory + d, to.last_memory + (block.first + r) * d);
    }
    if (!to.hidden) continue;
    std::copy(hidden, hidden + p, place(s, block, r, t, p, to.hidden));
    std::copy(memory, memory + d, place(s, block, r, t, d, to.memory));
    float* weights = place(s, block, r, t, 2 * p, to.attention);
    if (block.exists(s, r, t)) std::copy(attention, attention + 2 * p, weights);
    else std::fill(weights, weights + 2 * p, 0.0f);
  }
}

// All steps of a block. kept: room for a `Step` of each, or null where nobody wants them.
inline void forward_block(
    const Sizes& s, const Weights<const float>& w, const Block& block,
    const std::vector<const float*>& projected, const Outputs& to, float* kept) {
  int64_t size = Step(s, nullptr).size, wide = ROWS * 2 * s.p();
  float* own = scratch(3 * size + wide);
  std::fill(own, own + size, 0.0f);
  View<float> attended{own + 3 * size, 2 * s.p()};
  Step before(s, own);
  for (int64_t t = 0; t < s.time; ++t) {
    Step now(s, kept ? kept + t * size : own + (1 + t % 2) * size);
    enter(s, block, t, projected, w.bias.at, now.gates);
    forward_step(s, w, block, t, before, now, attended);
    give(s, block, t, now, to);
    before = now;
  }
}

}  // namespace memory
