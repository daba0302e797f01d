// Gradients, from the log-sum-exp and from scores made again.
//
// A thread does a chunk of queries and adds what it finds straight to the gradients of the keys that
// the chunk sees. Chunks that see common keys come in different phases, one after another, so that
// each key's sum is made in one order. Chunks and phases depend on the sizes and ranges alone: any
// number of threads gives the same bytes.
#pragma once

#include "scores.h"

namespace attention {

struct Saved {
  Rows<const float> log_sum_exp, cotangent, delta;
};

struct Gradients {  // of the call's arrays; vector and centre null where the call has none
  float *query, *key, *value, *vector, *centre;
};

struct Chunk {
  int64_t row, first, last;  // queries, last excluded
  int64_t low, high;         // keys they see, high excluded
  int64_t phase;
};

// The first phase whose chunks of this row all end before this one begins.
inline int64_t first_free(std::vector<int64_t>& ends, const Chunk& chunk) {
  size_t phase = 0;
  while (phase < ends.size() && ends[phase] > chunk.low) ++phase;
  if (phase == ends.size()) ends.push_back(0);
  ends[phase] = std::max(ends[phase], chunk.high);
  return phase;
}

// Chunks enough to occupy a machine, each of at least SMALLEST queries.
inline std::vector<Chunk> divide(const Call& call) {
  constexpr int64_t CHUNKS = 64, SMALLEST = 128;
  int64_t parts = std::max<int64_t>(1, std::min(CHUNKS / call.rows, call.m / SMALLEST));
  int64_t tiles = (call.m + LANES - 1) / LANES, size = (tiles + parts - 1) / parts * LANES;
  std::vector<Chunk> chunks;
  for (int64_t row = 0; row < call.rows; ++row) {
    std::vector<int64_t> ends;  // of each phase
    for (int64_t first = 0; first < call.m; first += size) {
      Chunk chunk{row, first, std::min(first + size, call.m), call.n, 0, 0};
      const int32_t *start = call.start(row), *end = call.end(row);
      for (int64_t t = chunk.first; t < chunk.last; ++t) {
        if (start[t] > end[t]) continue;
        chunk.low = std::min<int64_t>(chunk.low, std::max(start[t], 0));
        chunk.high = std::max<int64_t>(chunk.high, std::min<int64_t>(end[t] + 1, call.n));
      }
      chunk.phase = first_free(ends, chunk);
      chunks.push_back(chunk);
    }
  }
  std::stable_sort(chunks.begin(), chunks.end(), [](auto& a, auto& b) { return a.phase < b.phase; });
  return chunks;
}

// Where the sums over keys go, at some key, and those over everything of a chunk.
struct Sums {
  float *key, *value, *vector;
};

class BackwardTile {
 public:
  BackwardTile(const Tile& tile, const Saved& saved)
      : tile_(tile), call_(tile.call), score_(tile), cotangent_(call_.dv), key_sums_(call_.d),
        query_rows_(LANES * call_.d), cotangent_rows_(LANES * call_.dv), query_sums_(LANES * call_.d) {
    const float* queries = call_.query(tile.row) + tile.first * call_.d;
    const float* cotangents = saved.cotangent(tile.row) + tile.first * call_.dv;
    gather(cotangents, call_.dv, tile.count, cotangent_.data());
    std::copy_n(queries, tile.count * call_.d, query_rows_.data());
    std::copy_n(cotangents, tile.count * call_.dv, cotangent_rows_.data());
    for (int lane = 0; lane < tile.count; ++lane) {
      log_sum_exp_[lane] = saved.log_sum_exp(tile.row)[tile.first + lane];
      delta_[lane] = saved.delta(tile.row)[tile.first + lane];
    }
  }

  // Adds what `count` keys from s on give; sums: at key s.
  void chunk(int64_t s, int64_t count, const Sums& sums) {
    score_(s, count, slopes_);
    const float* values = call_.value(tile_.row);
    for (int64_t k = 0; k < count; k += KEYS)
      contract_features(KeyRows(values, call_.dv, s + k, call_.n), cotangent_.data(), call_.dv, weights_ + k);
    for (int64_t k = 0; k < count; ++k) softmax_slope(s + k, weights_[k], slopes_[k]);
    contract_lanes(cotangent_rows_.data(), weights_, count, call_.dv, sums.value);
    if (call_.vector) return additive(s, count, sums);
    contract_keys(call_.key(tile_.row) + s * call_.d, slopes_, count, call_.d, key_sums_.data());
    contract_lanes(query_rows_.data(), slopes_, count, call_.d, sums.key);
  }

  void write(float* query, float* centre) {
    if (!call_.vector) {
      scatter(key_sums_.data(), call_.d, tile_.count, query);
    } else {
      std::copy_n(query_sums_.data(), tile_.count * call_.d, query);
    }
    for (int lane = 0; centre && lane < tile_.count; ++lane) centre[lane] = of_centre_[lane];
  }

 private:
  // From score and cotangent . value to the derivative of the score, and to the weight of the value.
  void softmax_slope(int64_t s, Floats& weight, Floats& slope) {
    Floats p = slope == LOWEST ? Floats{} : exponential(slope - log_sum_exp_), product = weight;
    weight = p;
    if (call_.centre) {
      weight *= gaussian(tile_, s);
      of_centre_ += weight * product * (float(s) - tile_.centre) / (call_.sigma * call_.sigma);
    }
    slope = weight * product - p * delta_;
  }

  void additive(int64_t s, int64_t count, const Sums& sums) {
    bool raised = score_.within(s, count);
    const float* keys = raised ? call_.raised.get() + tile_.row * call_.n * call_.d : call_.key(tile_.row);
    std::vector<float> queries(query_rows_);
    if (raised) raise(query_rows_.data(), LANES * call_.d, queries.data());
    std::vector<float> of_vector(call_.d);
    for (int lane = 0; lane < tile_.count; lane += GROUP) {
      int64_t low = count, high = 0;
      for (int q = lane; q < std::min(lane + GROUP, LANES); ++q) {
        if (tile_.start[q] > tile_.end[q]) continue;
        low = std::min<int64_t>(low, std::max<int64_t>(tile_.start[q] - s, 0));
        high = std::max<int64_t>(high, std::min<int64_t>(tile_.end[q] + 1 - s, count));
      }
      auto add = raised ? additive_gradients<Raised> : additive_gradients<Plain>;
      add(queries.data() + lane * call_.d, keys + s * call_.d, reinterpret_cast<float*>(slopes_) + lane,
          call_.vector(tile_.row), call_.d, low, high, query_sums_.data() + lane * call_.d, sums.key,
          of_vector.data());
    }
    Floats whole = {};
    for (int64_t k = 0; k < count; ++k) whole += slopes_[k];
    float total = sum(whole);
    for (int64_t j = 0; j < call_.d; ++j) sums.vector[j] += total - 2 * of_vector[j];
  }

  const Tile& tile_;
  const Call& call_;
  Scorer score_;
  std::vector<Floats> cotangent_, key_sums_;
  std::vector<float> query_rows_, cotangent_rows_, query_sums_;
  Floats log_sum_exp_ = {}, delta_ = {}, of_centre_ = {};
  Floats weights_[CHUNK], slopes_[CHUNK];
};

// vector: the chunk's own sums.
inline void backward_chunk(
    const Call& call, const Saved& saved, const Chunk& chunk, const Gradients& to, float* vector) {
  for (int64_t t = chunk.first; t < chunk.last; t += LANES) {
    Tile tile(call, chunk.row, t);
    BackwardTile backward(tile, saved);
    for (int64_t s = tile.low; s < tile.high; s += CHUNK) {
      int64_t place = chunk.row * call.n + s;
      Sums sums{to.key + place * call.d, to.value + place * call.dv, vector};
      backward.chunk(s, std::min<int64_t>(CHUNK, tile.high - s), sums);
    }
    int64_t place = chunk.row * call.m + t;
    backward.write(to.query + place * call.d, call.centre ? to.centre + place : nullptr);
  }
}

inline void clear(float* from, int64_t size, xla::ffi::ThreadPool pool, int64_t threads) {
  constexpr int64_t BLOCK = 1 << 16;
  in_huge_pages(from, size);
  parallel(pool, threads, (size + BLOCK - 1) / BLOCK, [&](int64_t item) {
    std::fill_n(from + item * BLOCK, std::min(BLOCK, size - item * BLOCK), 0.0f);
  });
}

inline void backward(
    Call& call, xla::ffi::ThreadPool pool, int64_t threads, const Saved& saved, const Gradients& to) {
  prepare(call, pool, threads);
  clear(to.key, call.rows * call.n * call.d, pool, threads);
  clear(to.value, call.rows * call.n * call.dv, pool, threads);
  in_huge_pages(to.query, call.rows * call.m * call.d);
  std::vector<Chunk> chunks = divide(call);
  int64_t size = chunks.size(), first = 0;
  std::vector<float> vectors(call.vector ? size * call.d : 0);
  while (first < size) {
    int64_t last = first;
    while (last < size && chunks[last].phase == chunks[first].phase) ++last;
    parallel(pool, threads, last - first, [&](int64_t i) {
      backward_chunk(call, saved, chunks[first + i], to, vectors.data() + (first + i) * call.d);
    });
    first = last;
  }
  if (!call.vector) return;
  std::fill_n(to.vector, call.vector.rows * call.d, 0.0f);
  for (int64_t i = 0; i < size; ++i) {
    float* of_vector = to.vector + (call.vector(chunks[i].row) - call.vector.data);
    for (int64_t j = 0; j < call.d; ++j) of_vector[j] += vectors[i * call.d + j];
  }
}

}  // namespace attention
