// Student's kernel on the lanes: the logarithm that its divergence needs, and its powers.
#pragma once

#include "lanes.h"

namespace tsne {

using namespace native;

// log x to 3e-8 of itself and 2 roundings, for normal x.
//
// x = 2^k (1 + f) with 1 + f in [1 / sqrt 2, sqrt 2), log(1 + f) = f - f^2 / 2 + f^3 r(f), and r the
// polynomial whose largest relative error of the logarithm is least.
inline Floats logarithm(Floats x) {
  constexpr int32_t ROOT = 0x3f3504f3;  // bits of 1 / sqrt 2
  Ints bits = (Ints)x, power = (bits - ROOT) >> 23;
  Floats f = (Floats)(bits - (power << 23)) - 1.0f;
  Floats r = f * 0.08700434863567352f - 0.14267486333847046f;
  r = r * f + 0.14914768934249878f;
  r = r * f - 0.1657758504152298f;
  r = r * f + 0.19963063299655914f;
  r = r * f - 0.2500133812427521f;
  r = r * f + 0.3333390951156616f;
  return __builtin_convertvector(power, Floats) * 0.69314718f + (f + f * f * (f * r - 0.5f));
}

// What the pair at a distance enters with.
struct Student {
  float v;

  // 1 + d^2 / v, of the differences of D coordinates
  template <int D>
  inline __attribute__((always_inline)) Floats grown(const Floats (&differences)[D]) const {
    Floats square = differences[0] * differences[0];
#pragma GCC unroll 3
    for (int e = 1; e < D; ++e) square += differences[e] * differences[e];
    return v == 1 ? 1.0f + square : 1.0f + square * (1 / v);
  }
  // (1 + d^2 / v)^(-(v + 1) / 2), of its logarithm
  Floats power(Floats logged) const { return exponential(logged * (-(v + 1) / 2)); }
};

}  // namespace tsne
