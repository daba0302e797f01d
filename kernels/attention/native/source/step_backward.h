// Gradients of one query a row. Those of keys, values and the score vector are added to what earlier
// steps have left there; each row has its own, so that no two threads add to one place.
#pragma once

#include "step.h"

namespace attention {

struct StepSaved {
  Shared<const float> context, log_sum_exp, cotangent;
};

struct StepGradients {  // of a row; key and value: from its first key on; vector and centre may be null
  float *query, *key, *value, *vector, *centre;
};

// value_sums[s] += weights[s] cotangent;  products[s] = cotangent . value[s]
inline void pull_values(
    const Keys& keys, const float* cotangent, const float* weights, float* value_sums, float* products) {
  int64_t dv = keys.call.dv;
  for (int64_t s = 0; s < keys.count; ++s) {
    const float* value = keys.value(s);
    float* to = value_sums + s * dv;
    Floats total = {};
    over_features(dv, [&](int64_t j, auto part) {
#pragma GCC unroll 4
      for (int i = 0; i < part.WIDE; ++i) {
        Floats y = part.load(cotangent + j, i);
        total += y * part.load(value + j, i);
        part.store(to + j, i, part.load(to + j, i) + weights[s] * y);
      }
    });
    products[s] = sum(total);
  }
}

// Of the additive score, w = slopes[s] the derivative of a score:
//     query[j] += sum_s 4 v_j w r (1 - r),  key[s][j] += 4 v_j w r (1 - r),  vector[j] += sum_s w (1 - 2 r)
inline void pull_tanh(const Keys& keys, const float* slopes, const float* r, const StepGradients& to) {
  int64_t d = keys.call.d, padded = whole_vectors(d);
  const float* v = keys.call.vector(keys.row);
  over_features(d, [&](int64_t j, auto part) {
    Floats of_query[part.WIDE] = {}, of_vector[part.WIDE] = {}, scale[part.WIDE];
    for (int i = 0; i < part.WIDE; ++i) scale[i] = 4.0f * part.load(v + j, i);
    for (int64_t s = 0; s < keys.count; ++s) {
      float* key = to.key + s * d + j;
#pragma GCC unroll 4
      for (int i = 0; i < part.WIDE; ++i) {
        Floats found = load(r + s * padded + j + i * LANES), weighted = slopes[s] * found;
        Floats slope = scale[i] * (weighted - weighted * found);
        of_query[i] += slope;
        of_vector[i] += slopes[s] - 2.0f * weighted;
        part.store(key, i, part.load(key, i) + slope);
      }
    }
    for (int i = 0; i < part.WIDE; ++i) {
      part.store(to.query + j, i, part.load(to.query + j, i) + of_query[i]);
      part.store(to.vector + j, i, part.load(to.vector + j, i) + of_vector[i]);
    }
  });
}

// Of the dot score: query += sum_s slopes[s] key[s],  key[s] += slopes[s] query
inline void pull_products(const Keys& keys, const float* slopes, const StepGradients& to) {
  int64_t d = keys.call.d;
  const float* query = keys.call.query(keys.row);
  over_features(d, [&](int64_t j, auto part) {
    Floats total[part.WIDE] = {};
    for (int64_t s = 0; s < keys.count; ++s) {
      float* key = to.key + s * d + j;
      for (int i = 0; i < part.WIDE; ++i) {
        total[i] += slopes[s] * part.load(keys.key(s) + j, i);
        part.store(key, i, part.load(key, i) + slopes[s] * part.load(query + j, i));
      }
    }
    for (int i = 0; i < part.WIDE; ++i) part.store(to.query + j, i, part.load(to.query + j, i) + total[i]);
  });
}

inline void step_backward_row(
    const StepCall& call, const StepSaved& saved, int64_t row, const StepGradients& whole) {
  int64_t low = std::max(*call.start(row), 0), high = std::min<int64_t>(*call.end(row) + int64_t(1), call.n);
  const float* cotangent = saved.cotangent(row);
  float log_sum_exp = *saved.log_sum_exp(row), delta = product(cotangent, saved.context(row), call.dv);
  float slopes[CHUNK], weights[CHUNK], products[CHUNK];
  Memory r(call.vector ? new float[CHUNK * whole_vectors(call.d)] : nullptr);
  Floats of_centre = {};
  std::fill_n(whole.query, call.d, 0.0f);
  for (int64_t s = low; s < high; s += CHUNK) {
    Keys keys{call, row, s, std::min<int64_t>(CHUNK, high - s)};
    StepGradients to = whole;
    to.key += s * call.d, to.value += s * call.dv;
    step_scores(keys, slopes, r.get());
    for (int64_t k = 0; k < keys.count; k += LANES) {
      Floats e = load(slopes + k), p = e == LOWEST ? Floats{} : exponential(e - log_sum_exp);
      store(slopes + k, p);
      store(weights + k, call.centre ? p * keys.gaussian(k) : p);
    }
    std::fill_n(products, CHUNK, 0.0f);
    pull_values(keys, cotangent, weights, to.value, products);
    for (int64_t k = 0; k < keys.count; k += LANES) {
      Floats weighted = load(weights + k) * load(products + k);
      if (call.centre) of_centre += weighted * keys.offset(k);
      store(slopes + k, weighted - load(slopes + k) * delta);
    }
    call.vector ? pull_tanh(keys, slopes, r.get(), to) : pull_products(keys, slopes, to);
  }
  if (call.centre) *whole.centre = sum(of_centre) / (call.sigma * call.sigma);
}

}  // namespace attention
