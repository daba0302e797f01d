// Sums over the edges of a graph, each of which pulls at both its ends.
#pragma once

#include <algorithm>

#include "student.h"

namespace tsne {

// A map [n, D], and the edges of each row.
template <int D>
struct Edges {
  int64_t n, k;
  Student student;
  const float* y;
  const int32_t* neighbors;  // [n, k]; a number that is no row's is the row itself, at no distance
  const float* values;       // M, [n, k]; 0 where there is no edge

  // sum M log(1 + d^2 / v) of the edges of some rows; sum M s (y_i - y_j) of both their ends, added to `pulls`.
  double add(int64_t first, int64_t last, float* pulls) const {
    double stretch = 0;
    for (int64_t i = first; i < last; ++i) stretch += add_row(i, pulls);
    return stretch;
  }

 private:
  float add_row(int64_t i, float* pulls) const {
    Floats stretch{}, own[D] = {};
    for (int64_t j = 0; j < k; j += LANES) {
      int64_t count = std::min<int64_t>(LANES, k - j);
      float m[LANES] = {}, there[D][LANES] = {};
      int64_t near[LANES];
      for (int64_t lane = 0; lane < count; ++lane) {
        m[lane] = values[i * k + j + lane];
        int64_t number = neighbors[i * k + j + lane];
        near[lane] = m[lane] != 0 && 0 <= number && number < n ? number : i;
        for (int e = 0; e < D; ++e) there[e][lane] = y[near[lane] * D + e];
      }
      Floats differences[D], value = load(m);
      for (int e = 0; e < D; ++e) differences[e] = y[i * D + e] - load(there[e]);
      Floats grown = student.grown<D>(differences), pull = value * reciprocal(grown);
      stretch += value * logarithm(grown);
      for (int e = 0; e < D; ++e) {
        own[e] += pull * differences[e];
        store(there[e], pull * differences[e]);
      }
      for (int64_t lane = 0; lane < count; ++lane)
        for (int e = 0; e < D; ++e) pulls[near[lane] * D + e] -= there[e][lane];
    }
    for (int e = 0; e < D; ++e) pulls[i * D + e] += sum(own[e]);
    return sum(stretch);
  }
};

}  // namespace tsne
