// Sums over all pairs of rows, each pair taken once and added to both its rows.
//
// A strip of ROWS rows goes over the columns behind its diagonal, LANES at a time: what its rows gain stays
// in registers, what the columns gain is read and written once a strip.
#pragma once

#include "affinities.h"
#include "student.h"

namespace tsne {

constexpr int64_t PIECE = 1024;       // columns whose sums are kept in single precision
constexpr int64_t CACHED = 1 << 17;   // floats of columns that stay near the core

// Where a part of the pairs adds what it finds; each of pulls and pushes is [D, padded].
struct Gains {
  double stretch = 0, total = 0;  // sum p log(1 + d^2 / v), sum q
  float *pulls, *pushes;          // sum p s (y_i - y_j), sum q s (y_i - y_j)
};

template <int D, typename Affinities, bool CAUCHY>
struct Pairs {
  Size size;
  Student student;
  const float *y, *weights;  // [D, padded], [padded]
  Affinities affinities;

  // Of a strip: coordinates and gains of its rows, and gains of all its pairs.
  struct Strip {
    Floats y[ROWS][D], pull[ROWS][D], push[ROWS][D], stretch, total;
  };

  // Rows first to last - 1 with all columns behind them; first is a multiple of ROWS.
  void add(int64_t first, int64_t last, int64_t features, Gains& to) const {
    int64_t chunk = std::max<int64_t>(CACHED / (3 * D + features + 4) / PIECE, 1) * PIECE;
    int64_t start = first / LANES * LANES;
    for (int64_t from = start; from < size.n; from += chunk)
      for (int64_t i = first; i < last; i += ROWS) {
        int64_t end = std::min(from + chunk, size.n);
        for (int64_t j = std::max(from, i / LANES * LANES); j < end; j += PIECE)
          add_piece(i, j, std::min(j + PIECE, end), to);
      }
  }

 private:
  inline void add_piece(int64_t i, int64_t from, int64_t end, Gains& to) const {
    Strip strip{};
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 3
      for (int e = 0; e < D; ++e) strip.y[r][e] = all(y[e * size.padded + i + r]);
    int64_t j = from;
    if (j < i + ROWS) add_columns<true>(i, j, strip, to), j += LANES;
    for (; j + LANES <= end; j += LANES) add_columns<false>(i, j, strip, to);
    if (j < end) add_columns<true>(i, j, strip, to);
    for (int r = 0; r < ROWS; ++r)
      for (int e = 0; e < D; ++e) {
        int64_t at = e * size.padded + i + r;
        to.pushes[at] += sum(strip.push[r][e]);
        if (Affinities::GIVEN) to.pulls[at] += sum(strip.pull[r][e]);
      }
    to.total += sum(strip.total);
    to.stretch += sum(strip.stretch);
  }

  // EDGE: some of the pairs are not behind the diagonal, or not of rows.
  template <bool EDGE>
  inline __attribute__((always_inline)) void add_columns(int64_t i, int64_t j, Strip& strip, Gains& to) const {
    Floats p[ROWS] = {}, there[D], pulled[D], pushed[D];
    affinities.template read<EDGE>(i, j, p);
#pragma GCC unroll 3
    for (int e = 0; e < D; ++e) {
      there[e] = load(y + e * size.padded + j);
      pushed[e] = load(to.pushes + e * size.padded + j);
      if (Affinities::GIVEN) pulled[e] = load(to.pulls + e * size.padded + j);
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      Floats differences[D];
#pragma GCC unroll 3
      for (int e = 0; e < D; ++e) differences[e] = strip.y[r][e] - there[e];
      Floats grown = student.grown<D>(differences), s = reciprocal(grown), logged{}, q;
      if constexpr (Affinities::GIVEN || !CAUCHY) logged = logarithm(grown);
      if constexpr (CAUCHY) q = s;
      else q = student.power(logged);
      q *= weights[i + r] * load(weights + j);
      if constexpr (EDGE) {
        Ints keep = behind(i + r, j);
        q = keep ? q : Floats{};
        p[r] = keep ? p[r] : Floats{};
      }
      strip.total += q;
      q *= s;
      if constexpr (Affinities::GIVEN) strip.stretch += p[r] * logged, p[r] *= s;
#pragma GCC unroll 3
      for (int e = 0; e < D; ++e) {
        strip.push[r][e] += q * differences[e];
        pushed[e] -= q * differences[e];
        if constexpr (Affinities::GIVEN) {
          strip.pull[r][e] += p[r] * differences[e];
          pulled[e] -= p[r] * differences[e];
        }
      }
    }
#pragma GCC unroll 3
    for (int e = 0; e < D; ++e) {
      store(to.pushes + e * size.padded + j, pushed[e]);
      if (Affinities::GIVEN) store(to.pulls + e * size.padded + j, pulled[e]);
    }
  }

  // Which of the columns are rows behind row i.
  Ints behind(int64_t i, int64_t j) const {
    Ints found;
    for (int lane = 0; lane < LANES; ++lane) found[lane] = i < j + lane && j + lane < size.n ? -1 : 0;
    return found;
  }
};

}  // namespace tsne
