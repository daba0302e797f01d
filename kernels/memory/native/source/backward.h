// The way back through the steps of a block, and the gradients of the weights, a few steps at a time.
#pragma once

#include "forward.h"

namespace memory {

constexpr int STEPS = 8;  // whose gradients of the weights are summed in one go

// The gradients of a step's sums, and a * c*.
struct Deltas {
  View<float> gates, scored, scores, read, update, attended;
  int64_t size;

  Deltas(const Sizes& s, float* at) : Deltas(s, Pieces<float>{at}) {}

 private:
  Deltas(const Sizes& s, Pieces<float> pieces)
      : gates(pieces.take(ROWS, 4 * s.p())),
        scored(pieces.take(ROWS, s.units)),
        scores(pieces.take(ROWS, 2 * s.p())),
        read(pieces.take(ROWS, 3 * s.units)),
        update(pieces.take(ROWS, 3 * s.memory)),
        attended(pieces.take(ROWS, 2 * s.p())),
        size(pieces.used) {}
};

// Gradients of the states behind a step, and then of those before it; room for what lies between.
struct Back {
  View<float> hidden, cell, memory, both, attended;
  int64_t size;

  Back(const Sizes& s, float* at) : Back(s, Pieces<float>{at}) {}

 private:
  Back(const Sizes& s, Pieces<float> pieces)
      : hidden(pieces.take(ROWS, s.p())),
        cell(pieces.take(ROWS, s.p())),
        memory(pieces.take(ROWS, s.memory)),
        both(pieces.take(ROWS, 2 * s.p())),
        attended(pieces.take(ROWS, 2 * s.p())),
        size(pieces.used) {}
};

struct Cotangents {
  const float *last_hidden, *last_memory;     // [batch, ...]
  const float *hidden, *memory, *attention;  // [batch, time, ...], or null for 0
};

inline void clear(View<float> x) { std::fill(x.at, x.at + ROWS * x.stride, 0.0f); }

// x += what the batch has of a step.
inline void add(const Sizes& s, const Block& block, int64_t t, const float* from, View<float> x) {
  for (int64_t r = 0; from && r < block.rows; ++r) {
    const float* row = place(s, block, r, t, x.stride, from);
    for (int64_t j = 0; j < x.stride; j += LANES) store(x.row(r) + j, load(x.row(r) + j) + load(row + j));
  }
}

// x = what the batch has of the last step.
inline void begin(const Block& block, const float* from, View<float> x) {
  std::copy(from + block.first * x.stride, from + (block.first + block.rows) * x.stride, x.at);
}

// Gradient of the attention; what is given out is 0 where a step does not exist.
inline void start_scores(
    const Sizes& s, const Block& block, int64_t t, const float* of_attention, View<float> scores) {
  clear(scores);
  for (int64_t r = 0; of_attention && r < block.rows; ++r) {
    const float* row = place(s, block, r, t, scores.stride, of_attention);
    if (block.exists(s, r, t)) std::copy(row, row + scores.stride, scores.row(r));
  }
}

// Gradients of the three sums behind the memory's update, and of the memory before it.
inline void forget(
    const Sizes& s, const Block& block, int64_t t, const Step& before, const Step& now, View<float> of_update,
    View<float> of_memory) {
  int64_t d = s.memory;
  for (int64_t r = 0; r < ROWS; ++r) {
    bool exists = block.exists(s, r, t);
    const float* update = now.update.row(r);
    float *of_sums = of_update.row(r), *of_state = of_memory.row(r);
    for (int64_t j = 0; j < d; j += LANES) {
      Floats u = load(update + j), keep = load(update + d + j), write = load(update + 2 * d + j);
      Floats found = load(of_state + j), moved = exists ? found : Floats{};
      Floats of_keep = moved * load(before.memory.row(r) + j);
      store(of_sums + j, moved * write * (1.0f - u * u));
      store(of_sums + d + j, of_keep * keep * (1.0f - keep));
      store(of_sums + 2 * d + j, moved * u * write * (1.0f - write));
      if (exists) store(of_state + j, moved * keep);
    }
  }
}

// 0 where the rectifier gave 0.
inline void gate_by(View<const float> rectified, View<float> delta) {
  for (int64_t i = 0; i < ROWS * delta.stride; i += LANES)
    store(delta.at + i, load(rectified.at + i) > 0.0f ? load(delta.at + i) : 0.0f);
}

// From the gradient of a * c* and, in `of_scores`, of the attention given out: of the scores, and of c*.
inline void unweigh(
    const Sizes& s, const Step& now, View<const float> of_attended, View<float> of_scores, View<float> of_both) {
  int64_t p = s.p();
  for (int64_t r = 0; r < ROWS; ++r) {
    const float *a = now.attention.row(r), *both = now.both.row(r), *of = of_attended.row(r);
    Floats total = {};
    for (int64_t j = 0; j < 2 * p; j += LANES) {
      Floats weight = load(a + j), found = load(of + j) * load(both + j) + load(of_scores.row(r) + j);
      total += found * weight;
      store(of_scores.row(r) + j, found);
      store(of_both.row(r) + j, load(of + j) * weight);
    }
    float mean = sum(total);
    for (int64_t j = 0; j < 2 * p; j += LANES)
      store(of_scores.row(r) + j, load(a + j) * (load(of_scores.row(r) + j) - mean));
  }
}

// Of one modality: gradients of the gates' sums, and of the states before the step but for what goes
// through products.
inline void unmove_cells(
    const Sizes& s, const Block& block, int64_t t, int64_t modality, const Step& now, View<float> of_gates,
    const Back& back) {
  int64_t p = s.p(), h = s.hidden, first = modality * h;
  for (int64_t r = 0; r < ROWS; ++r) {
    bool exists = block.exists(s, r, t);
    const float *gates = now.gates.row(r) + 4 * first, *both = now.both.row(r) + first;
    const float *there = block.there.data() + r * p + first, *of_both = back.both.row(r) + first;
    float *to = of_gates.row(r) + 4 * first, *hidden = back.hidden.row(r) + first;
    float* cell = back.cell.row(r) + first;
    for (int64_t j = 0; j < h; j += LANES) {
      Floats i = load(gates + j), f = load(gates + h + j), g = load(gates + 2 * h + j);
      Floats o = load(gates + 3 * h + j), squashed = tangent(load(both + p + j));
      Ints moves = exists ? load(there + j) > 0.0f : Ints{};
      Floats of_hidden = load(hidden + j), of_cell = load(cell + j) + load(of_both + p + j);
      Floats of_new = moves ? of_hidden : 0.0f;
      Floats fresh = (moves ? of_cell : 0.0f) + of_new * o * (1.0f - squashed * squashed);
      store(to + j, fresh * g * i * (1.0f - i));
      store(to + h + j, fresh * load(both + j) * f * (1.0f - f));
      store(to + 2 * h + j, fresh * i * (1.0f - g * g));
      store(to + 3 * h + j, of_new * squashed * o * (1.0f - o));
      store(hidden + j, moves ? 0.0f : of_hidden);
      store(cell + j, load(of_both + j) + (moves ? fresh * f : of_cell));
    }
  }
}

// From the gradient of the states behind a step to that of the states before it. w: the other way round.
inline void backward_step(
    const Sizes& s, const Weights<const float>& w, const Block& block, int64_t t, const Step& before,
    const Step& now, const Cotangents& given, const Deltas& deltas, const Back& back) {
  int64_t p = s.p(), h = s.hidden, e = s.units, d = s.memory;
  add(s, block, t, given.hidden, back.hidden);
  add(s, block, t, given.memory, back.memory);
  forget(s, block, t, before, now, deltas.update, back.memory);
  clear(deltas.read);
  for (int64_t j = 0; j < 3; ++j)
    multiply(
        deltas.update.from(j * d), d, View<const float>(w.read_out.row(j * d), e), e, deltas.read.from(j * e));
  gate_by(now.read, deltas.read);
  multiply(deltas.read.from(e), 2 * e, w.gate_memory, d, back.memory);

  clear(back.attended);
  multiply(deltas.read, 3 * e, w.read_in, 2 * p, back.attended);
  start_scores(s, block, t, given.attention, deltas.scores);
  unweigh(s, now, back.attended, deltas.scores, back.both);
  clear(deltas.scored);
  multiply(deltas.scores, 2 * p, w.score_out, e, deltas.scored);
  gate_by(now.scored, deltas.scored);
  multiply(deltas.scored, e, w.score_in, 2 * p, back.both);

  for (int64_t m = 0; m < s.modalities; ++m) {
    unmove_cells(s, block, t, m, now, deltas.gates, back);
    multiply(
        deltas.gates.from(4 * m * h), 4 * h, View<const float>(w.recurrent.row(4 * m * h), h), h,
        back.hidden.from(m * h));
  }
  if (s.feeds) multiply(deltas.gates, 4 * p, w.feeding, d, back.memory);
}

// Adds to the gradients of the weights what steps first .. first + count of a block give. steps: from the
// one before the first on.
inline void add_gradients(
    const Sizes& s, const std::vector<Step>& steps, const std::vector<Deltas>& deltas,
    const Weights<float>& to) {
  int64_t p = s.p(), h = s.hidden, e = s.units, d = s.memory;
  auto sides = [&](auto inputs, auto outputs) {
    Sides found;
    for (size_t i = 0; i < deltas.size(); ++i) {
      found.inputs.push_back(inputs(i));
      found.deltas.push_back(outputs(i));
    }
    return found;
  };
  auto gates = [&](size_t i) { return deltas[i].gates; };
  auto memory = [&](size_t i) { return steps[i].memory; };
  auto both = [&](size_t i) { return steps[i + 1].both; };
  auto attended = [&](size_t i) { return deltas[i].attended; };
  for (int64_t m = 0; m < s.modalities; ++m) {
    Sides own = sides(
        [&](size_t i) { return steps[i].hidden.from(m * h); },
        [&](size_t i) { return deltas[i].gates.from(4 * m * h); });
    add_outer(own, h, 4 * h, View<float>(to.recurrent.row(m * h), 4 * h));
  }
  add_sums(sides(memory, gates), 4 * p, to.bias.at);
  if (s.feeds) add_outer(sides(memory, gates), d, 4 * p, to.feeding);
  Sides scored = sides(both, [&](size_t i) { return deltas[i].scored; });
  add_outer(scored, 2 * p, e, to.score_in);
  add_sums(scored, e, to.score_in_bias.at);
  Sides scores = sides([&](size_t i) { return steps[i + 1].scored; }, [&](size_t i) { return deltas[i].scores; });
  add_outer(scores, e, 2 * p, to.score_out);
  add_sums(scores, 2 * p, to.score_out_bias.at);
  Sides read = sides(attended, [&](size_t i) { return deltas[i].read; });
  add_outer(read, 2 * p, 3 * e, to.read_in);
  add_sums(read, 3 * e, to.read_in_bias.at);
  add_outer(sides(memory, [&](size_t i) { return deltas[i].read.from(e); }), d, 2 * e, to.gate_memory);
  for (int64_t j = 0; j < 3; ++j) {
    Sides update = sides(
        [&](size_t i) { return steps[i + 1].read.from(j * e); },
        [&](size_t i) { return deltas[i].update.from(j * d); });
    add_outer(update, e, d, View<float>(to.read_out.row(j * e), d));
    add_sums(update, d, to.read_out_bias.at + j * d);
  }
}

// Gradients of W x_t + b, into an array [batch, time, 4 hidden] of each modality.
inline void leave(
    const Sizes& s, const Block& block, int64_t t, View<const float> gates, const std::vector<float*>& to) {
  int64_t own = 4 * s.hidden;
  for (int64_t r = 0; r < block.rows; ++r)
    for (int64_t m = 0; m < s.modalities; ++m) {
      const float* from = gates.row(r) + m * own;
      std::copy(from, from + own, place(s, block, r, t, own, to[m]));
    }
}

// All steps of a block, back in time; adds to the gradients of the weights.
inline void backward_block(
    const Sizes& s, const Weights<const float>& turned, const Block& block, float* kept, const Cotangents& given,
    const std::vector<float*>& of_projected, const Weights<float>& to) {
  int64_t size = Step(s, nullptr).size, of_back = Back(s, nullptr).size, wide = Deltas(s, nullptr).size;
  float* own = scratch(size + of_back + STEPS * wide);
  std::fill(own, own + size + of_back, 0.0f);
  Back back(s, own + size);
  begin(block, given.last_hidden, back.hidden);
  begin(block, given.last_memory, back.memory);
  auto step = [&](int64_t t) { return Step(s, t < 0 ? own : kept + t * size); };
  for (int64_t end = s.time; end > 0; end -= STEPS) {
    int64_t first = std::max<int64_t>(0, end - STEPS);
    std::vector<Step> steps{step(first - 1)};
    std::vector<Deltas> deltas;
    for (int64_t t = first; t < end; ++t) {
      steps.push_back(step(t));
      deltas.emplace_back(s, own + size + of_back + (t - first) * wide);
    }
    for (int64_t t = end; t-- > first;) {
      const Step& now = steps[t - first + 1];
      weigh(now, deltas[t - first].attended);
      backward_step(s, turned, block, t, steps[t - first], now, given, deltas[t - first], back);
      leave(s, block, t, deltas[t - first].gates, of_projected);
    }
    add_gradients(s, steps, deltas, to);
  }
}

}  // namespace memory
