// The scores of a tile, dot or additive, with those that a query does not see set to LOWEST.
#pragma once

#include <cmath>

#include "additive.h"
#include "parallel.h"

namespace attention {

// of |x|; size is a multiple of LANES
inline float largest(const float* x, int64_t size) {
  Floats most = {};
  for (int64_t i = 0; i < size; i += LANES) {
    Floats y = load(x + i), magnitude = y < 0.0f ? -y : y;
    most = magnitude > most ? magnitude : most;
  }
  float found = 0;
  for (int lane = 0; lane < LANES; ++lane) found = std::max(found, most[lane]);
  return found;
}

// to = e^{2 from}; size is a multiple of LANES
inline void raise(const float* from, int64_t size, float* to) {
  for (int64_t i = 0; i < size; i += LANES) store(to + i, exponential(2.0f * load(from + i)));
}

// Fills in what the additive score needs of the keys.
inline void prepare(Call& call, xla::ffi::ThreadPool pool, int64_t threads) {
  if (!call.vector) return;
  constexpr int64_t POSITIONS = 512;
  int64_t positions = call.rows * call.n;
  call.raised = memory(positions * call.d);
  call.largest = memory(positions);
  parallel(pool, threads, (positions + POSITIONS - 1) / POSITIONS, [&](int64_t item) {
    int64_t first = item * POSITIONS, last = std::min(first + POSITIONS, positions);
    raise(call.key.data + first * call.d, (last - first) * call.d, call.raised.get() + first * call.d);
    for (int64_t s = first; s < last; ++s) call.largest[s] = largest(call.key.data + s * call.d, call.d);
  });
}

// The queries of a tile, as the scores need them.
class Scorer {
 public:
  explicit Scorer(const Tile& tile)
      : tile_(tile), call_(tile.call), plain_(call_.d), raised_(call_.vector ? call_.d : 0) {
    const float* queries = call_.query(tile.row) + tile.first * call_.d;
    gather(queries, call_.d, tile.count, plain_.data());
    if (!call_.vector) return;
    largest_ = largest(queries, tile.count * call_.d);
    for (int64_t j = 0; j < call_.d; ++j) raised_[j] = exponential(2.0f * plain_[j]);
  }

  // Whether e^{2a} and e^{2b} serve for all of these keys: Raised, else Plain.
  bool within(int64_t s, int64_t count) const {
    const float* keys = call_.largest.get() + tile_.row * call_.n;
    float most = largest_;
    for (int64_t k = s; k < s + count; ++k) most = std::max(most, keys[k]);
    return most <= LARGEST;
  }

  // scores[key][lane] of `count` keys from s on, written in whole blocks of KEYS.
  void operator()(int64_t s, int64_t count, Floats* scores) const {
    bool raised = call_.vector && within(s, count);
    const float* keys = raised ? call_.raised.get() + tile_.row * call_.n * call_.d : call_.key(tile_.row);
    for (int64_t k = 0; k < count; k += KEYS) {
      if (tile_.sees_block(s + k)) block(KeyRows(keys, call_.d, s + k, call_.n), raised, scores + k);
      for (int64_t i = k; i < k + KEYS; ++i)
        scores[i] = i < count ? (tile_.sees(s + i) ? scores[i] : all(LOWEST)) : all(LOWEST);
    }
  }

 private:
  void block(const KeyRows& keys, bool raised, Floats* scores) const {
    if (!call_.vector) return contract_features(keys, plain_.data(), call_.d, scores);
    const float* v = call_.vector(tile_.row);
    if (raised) return additive_scores<Raised>(keys, raised_.data(), v, call_.d, scores);
    additive_scores<Plain>(keys, plain_.data(), v, call_.d, scores);
  }

  const Tile& tile_;
  const Call& call_;
  std::vector<Floats> plain_, raised_;
  float largest_ = 0;
};

// exp(-(s - centre)^2 / 2 sigma^2)
inline Floats gaussian(const Tile& tile, int64_t s) {
  Floats offset = (float(s) - tile.centre) / tile.call.sigma;
  return exponential(-0.5f * offset * offset);
}

}  // namespace attention
