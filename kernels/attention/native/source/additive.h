// The additive score v . tanh(a + b) and its derivative, by
//
//     tanh(a + b) = 1 - 2 r,  r = 1 / t,  t = 1 + e^{2a} e^{2b},  sech^2(a + b) = 4 r (1 - r)
//
// with the exponentials made once for each query and key: a multiply-add and a reciprocal an element.
#pragma once

#include "products.h"

namespace attention {

// tanh is 1 in float32 beyond 9.01, so that nothing is lost by stopping e^{2(a + b)} at e^{20}; a
// product of four t then still is a normal number, and so is its reciprocal.
constexpr float SATURATED = 4.85165195e8f;  // e^20
// Within this e^{2a} and e^{2b} are normal numbers; beyond, where a and b may cancel, t is made from a + b.
constexpr float LARGEST = 43.0f;

// The two forms of t: from e^{2a} and e^{2b}, or from a and b themselves.
struct Raised {
  static Floats denominator(Floats a, Floats b) { return at_most(a * b + 1.0f, SATURATED); }
};
struct Plain {
  static Floats denominator(Floats a, Floats b) {
    return exponential(at_most(2.0f * (a + b), 20.0f)) + 1.0f;
  }
};

// scores[key][lane] = sum_j v_j tanh(x[j][lane] + keys[key][j]); one reciprocal for four features:
// v1 / t1 + v2 / t2 = (v1 t2 + v2 t1) / (t1 t2), and once more.
template <typename Form>
void additive_scores(
    const KeyRows& keys, const Floats* x, const float* v, int64_t features, Floats* scores) {
  Floats total[KEYS] = {};
  for (int64_t j = 0; j < features; j += 4) {
#pragma GCC unroll 8
    for (int k = 0; k < KEYS; ++k) {
      const float* b = keys.at[k] + j;
      Floats t0 = Form::denominator(x[j], all(b[0])), t1 = Form::denominator(x[j + 1], all(b[1]));
      Floats t2 = Form::denominator(x[j + 2], all(b[2])), t3 = Form::denominator(x[j + 3], all(b[3]));
      Floats above = v[j] * t1 + v[j + 1] * t0, below = t0 * t1;
      Floats above2 = v[j + 2] * t3 + v[j + 3] * t2, below2 = t2 * t3;
      total[k] += (above * below2 + above2 * below) * reciprocal(below * below2);
    }
  }
  float whole = 0;
  for (int64_t j = 0; j < features; ++j) whole += v[j];
  for (int k = 0; k < KEYS; ++k) scores[k] = whole - 2.0f * total[k];
}

// What GROUP queries and the keys `low` to `high` add to the gradients, features on the lanes:
//     query_sums[query][j] += sum_key 4 v_j w r (1 - r),  key_sums[key][j] += sum_query 4 v_j w r (1 - r),
//     vector_sums[j] += sum_query,key w r
// with w = weights[key][lane + query] the derivative of the score.
constexpr int GROUP = 4;

template <typename Form>
void additive_gradients(
    const float* queries, const float* keys, const float* weights, const float* v, int64_t features,
    int64_t low, int64_t high, float* query_sums, float* key_sums, float* vector_sums) {
  for (int64_t j = 0; j < features; j += LANES) {
    Floats a[GROUP], of_query[GROUP] = {}, of_vector = {}, scale = 4.0f * load(v + j);
    for (int q = 0; q < GROUP; ++q) a[q] = load(queries + q * features + j);
    for (int64_t s = low; s < high; ++s) {
      Floats b = load(keys + s * features + j), wr[GROUP], slope[GROUP];
#pragma GCC unroll 4
      for (int q = 0; q < GROUP; ++q) {
        Floats r = reciprocal(Form::denominator(a[q], b));
        wr[q] = weights[s * LANES + q] * r;
        slope[q] = wr[q] - wr[q] * r;
        of_query[q] += slope[q];
      }
      of_vector += (wr[0] + wr[1]) + (wr[2] + wr[3]);
      Floats of_key = (slope[0] + slope[1]) + (slope[2] + slope[3]);
      store(key_sums + s * features + j, load(key_sums + s * features + j) + scale * of_key);
    }
    for (int q = 0; q < GROUP; ++q) {
      float* to = query_sums + q * features + j;
      store(to, load(to) + scale * of_query[q]);
    }
    store(vector_sums + j, load(vector_sums + j) + of_vector);
  }
}

}  // namespace attention
