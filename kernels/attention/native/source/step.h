// One query a row over the keys from `start` to `end`: what a decoder that waits for its own last
// step asks for. Features lie on the lanes, so that keys and values are read where they are.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "additive.h"
#include "features.h"
#include "geometry.h"
#include "parallel.h"

namespace attention {

// An array under the rows of a call; where it has fewer than they (axes of size 1), several share a part.
template <typename T>
struct Shared {
  T* data = nullptr;
  std::vector<int64_t> places;  // of each row's part

  T* operator()(int64_t row) const { return data + places[row]; }
  explicit operator bool() const { return !places.empty(); }
};

struct StepCall {
  int64_t rows, n, d, dv;
  Shared<const float> query, key, value, vector, centre;  // no vector: the dot score; centre: or none
  Shared<const bool> mask;                                // or none
  Shared<const int32_t> start, end;
  float sigma;
};

// At most CHUNK keys of one row, from `first` on: scores, and of the additive score each r of
// tanh(q + k) = 1 - 2 r, for the derivative.
struct Keys {
  const StepCall& call;
  int64_t row, first, count;

  const float* key(int64_t s) const { return call.key(row) + (first + s) * call.d; }
  const float* value(int64_t s) const { return call.value(row) + (first + s) * call.dv; }
  bool sees(int64_t s) const { return !call.mask || call.mask(row)[first + s]; }

  // s - centre of LANES keys from s on, and exp(-(s - centre)^2 / 2 sigma^2)
  Floats offset(int64_t s) const {
    Floats place;
    for (int lane = 0; lane < LANES; ++lane) place[lane] = float(first + s + lane);
    return place - call.centre(row)[0];
  }
  Floats gaussian(int64_t s) const {
    Floats scaled = offset(s) / call.sigma;
    return exponential(-0.5f * scaled * scaled);
  }
};

inline int64_t whole_vectors(int64_t features) { return (features + LANES - 1) / LANES * LANES; }

// scores[s] of all keys, LOWEST for those that are masked, up to a whole vector; r: rows of
// whole_vectors(d), or null where nobody wants them.
inline void step_scores(const Keys& keys, float* scores, float* r) {
  int64_t d = keys.call.d, padded = whole_vectors(d);
  const float *query = keys.call.query(keys.row), *v = keys.call.vector ? keys.call.vector(keys.row) : nullptr;
  Floats ones = {};
  if (v)
    over_features(d, [&](int64_t j, auto part) {
      for (int i = 0; i < part.WIDE; ++i) ones += part.load(v + j, i);
    });
  for (int64_t s = 0; s < keys.count; ++s) {
    const float* key = keys.key(s);
    Floats total = {};
    over_features(d, [&](int64_t j, auto part) {
#pragma GCC unroll 4
      for (int i = 0; i < part.WIDE; ++i) {
        Floats a = part.load(query + j, i), b = part.load(key + j, i);
        if (!v) {
          total += a * b;
          continue;
        }
        Floats found = reciprocal(Plain::denominator(a, b));
        total += part.load(v + j, i) * found;
        if (r) store(r + s * padded + j + i * LANES, found);
      }
    });
    scores[s] = !keys.sees(s) ? LOWEST : v ? sum(ones - 2.0f * total) : sum(total);
  }
  for (int64_t s = keys.count; s < whole_vectors(keys.count); ++s) scores[s] = LOWEST;
}

}  // namespace attention
