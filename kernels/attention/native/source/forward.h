// Context and log-sum-exp of each query, by an online softmax over chunks of keys.
#pragma once

#include <cmath>

#include "scores.h"

namespace attention {

// Asks for rows ahead of their use: a tile's rows are too few for the processor to see a stream.
inline void ahead(const Rows<const float>& x, int64_t row, int64_t first, int64_t last, int64_t features) {
  for (int64_t i = first * features; i < last * features; i += 16) __builtin_prefetch(x(row) + i);
}

inline void forward_tile(const Tile& tile, float* context, float* log_sum_exp) {
  const Call& call = tile.call;
  int64_t next = std::min(tile.high + LANES, call.n), after = std::min(tile.first + 2 * LANES, call.m);
  ahead(call.key, tile.row, tile.high, next, call.d);
  ahead(call.value, tile.row, tile.high, next, call.dv);
  ahead(call.query, tile.row, tile.first + LANES, after, call.d);
  Scorer score(tile);
  Floats weights[CHUNK], top = all(LOWEST), total = {};
  std::vector<Floats> sums(call.dv);
  for (int64_t s = tile.low; s < tile.high; s += CHUNK) {
    int64_t count = std::min<int64_t>(CHUNK, tile.high - s);
    score(s, count, weights);
    Floats before = top;
    for (int64_t k = 0; k < count; ++k) top = weights[k] > top ? weights[k] : top;
    Floats shrink = exponential(before - top);
    total *= shrink;
    if (s > tile.low)
      for (Floats& x : sums) x *= shrink;
    for (int64_t k = 0; k < count; ++k) {
      Floats p = weights[k] == LOWEST ? Floats{} : exponential(weights[k] - top);
      total += p;
      weights[k] = call.centre ? p * gaussian(tile, s + k) : p;
    }
    contract_keys(call.value(tile.row) + s * call.dv, weights, count, call.dv, sums.data());
  }
  Floats share = total == 0.0f ? Floats{} : 1.0f / total;
  for (Floats& x : sums) x *= share;
  scatter(sums.data(), call.dv, tile.count, context);
  for (int lane = 0; lane < tile.count; ++lane)
    log_sum_exp[lane] = total[lane] == 0 ? INFINITY : top[lane] + std::log(total[lane]);
}

// context [rows, m, dv], log_sum_exp [rows, m]
inline void forward(
    Call& call, xla::ffi::ThreadPool pool, int64_t threads, float* context, float* log_sum_exp) {
  constexpr int64_t QUERIES = 64;  // of a unit of work
  prepare(call, pool, threads);
  in_huge_pages(context, call.rows * call.m * call.dv);
  int64_t units = (call.m + QUERIES - 1) / QUERIES;
  parallel(pool, threads, call.rows * units, [&](int64_t item) {
    int64_t row = item / units, first = item % units * QUERIES;
    for (int64_t t = first; t < std::min(first + QUERIES, call.m); t += LANES) {
      int64_t place = row * call.m + t;
      forward_tile(Tile(call, row, t), context + place * call.dv, log_sum_exp + place);
    }
  });
}

}  // namespace attention
