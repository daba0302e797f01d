// Context and log-sum-exp of one query a row, by an online softmax over chunks of keys.
#pragma once

#include "step.h"

namespace attention {

// sums[j] = shrink sums[j] + sum_s weights[s] value[s][j]
inline void add_values(const Keys& keys, const float* weights, float shrink, float* sums) {
  over_features(keys.call.dv, [&](int64_t j, auto part) {
    Floats total[part.WIDE];
    for (int i = 0; i < part.WIDE; ++i) total[i] = shrink * part.load(sums + j, i);
    for (int64_t s = 0; s < keys.count; ++s)
#pragma GCC unroll 4
      for (int i = 0; i < part.WIDE; ++i) total[i] += weights[s] * part.load(keys.value(s) + j, i);
    for (int i = 0; i < part.WIDE; ++i) part.store(sums + j, i, total[i]);
  });
}

inline void step_forward_row(const StepCall& call, int64_t row, float* context, float* log_sum_exp) {
  int64_t low = std::max(*call.start(row), 0), high = std::min<int64_t>(*call.end(row) + int64_t(1), call.n);
  float weights[CHUNK], top = LOWEST, total = 0;
  std::fill_n(context, call.dv, 0.0f);
  for (int64_t s = low; s < high; s += CHUNK) {
    Keys keys{call, row, s, std::min<int64_t>(CHUNK, high - s)};
    step_scores(keys, weights, nullptr);
    float before = top;
    for (int64_t k = 0; k < keys.count; ++k) top = weights[k] > top || weights[k] != weights[k] ? weights[k] : top;
    float shrink = exponential(all(before - top))[0];
    Floats added = {};
    for (int64_t k = 0; k < keys.count; k += LANES) {
      Floats e = load(weights + k), p = e == LOWEST ? Floats{} : exponential(e - top);
      added += p;
      store(weights + k, call.centre ? p * keys.gaussian(k) : p);
    }
    total = shrink * total + sum(added);
    add_values(keys, weights, shrink, context);
  }
  float share = total == 0 ? 0 : 1 / total;
  for (int64_t j = 0; j < call.dv; ++j) context[j] *= share;
  *log_sum_exp = total == 0 ? INFINITY : top + std::log(total);
}

}  // namespace attention
