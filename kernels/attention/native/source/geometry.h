// What a call is given, and a tile of it: LANES queries, one a lane, and the keys they see.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "lanes.h"

namespace attention {

using namespace native;

constexpr int KEYS = 8;     // rows of a block: LANES queries x KEYS keys fill the registers
constexpr int CHUNK = 128;  // keys whose scores are held at once; a multiple of KEYS
constexpr float LOWEST = -3e38f;

// An array of `rows` rows under a call over `total` rows. Where it has fewer, each serves as many
// that follow each other: ranges of one row for the batch, a score vector for each mapped batch.
template <typename T>
struct Rows {
  T* data = nullptr;
  int64_t rows = 0, stride = 0, total = 1;

  T* operator()(int64_t row) const { return data + row * rows / total * stride; }
  explicit operator bool() const { return rows > 0; }
};

// Asks for huge pages where an array that is about to be written is large. Such arrays come fresh
// from the system with each call, and a sixth of the time went into touching them first, 4 KB at a time.
inline void in_huge_pages(float* array, int64_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t PAGE = 1 << 21;
  uintptr_t first = (reinterpret_cast<uintptr_t>(array) + PAGE - 1) / PAGE * PAGE;
  uintptr_t last = reinterpret_cast<uintptr_t>(array + size) / PAGE * PAGE;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

// Floats that are written before they are read: unlike a vector's they are not all set by one thread.
using Memory = std::unique_ptr<float[]>;

inline Memory memory(int64_t size) {
  Memory fresh(new float[size]);
  in_huge_pages(fresh.get(), size);
  return fresh;
}

// float32 everywhere; d and dv are multiples of 16 (padded with zeros, which change nothing).
struct Call {
  int64_t rows, m, n, d, dv;
  Rows<const float> query, key, value, vector, centre;  // no vector: the dot score; centre: or none
  Rows<const bool> mask;                                // or none
  Rows<const int32_t> start, end;
  float sigma;
  Memory raised, largest;  // of the additive score, made once a call: e^{2 key}, largest |key| of each key
};

// x[j][lane] = row `lane` of `from`, feature j; zeros for the lanes at and after `count`.
inline void gather(const float* from, int64_t features, int count, Floats* x) {
  for (int64_t j = 0; j < features; j += LANES) {
    Floats square[LANES];
    for (int lane = 0; lane < LANES; ++lane)
      square[lane] = lane < count ? load(from + lane * features + j) : Floats{};
    transpose(square);
    for (int k = 0; k < LANES; ++k) x[j + k] = square[k];
  }
}

// The way back.
inline void scatter(const Floats* x, int64_t features, int count, float* to) {
  for (int64_t j = 0; j < features; j += LANES) {
    Floats square[LANES];
    for (int k = 0; k < LANES; ++k) square[k] = x[j + k];
    transpose(square);
    for (int lane = 0; lane < count; ++lane) store(to + lane * features + j, square[lane]);
  }
}

struct Tile {
  const Call& call;
  int64_t row, first;         // batch row and first query
  int count;                  // queries, at most LANES
  int64_t low, high;          // the keys that any of them sees, high excluded
  Ints start, end;            // of each lane; lanes without a query see nothing
  Floats centre = {};
  const bool* mask = nullptr;

  Tile(const Call& call, int64_t row, int64_t first)
      : call(call), row(row), first(first), count(int(std::min<int64_t>(LANES, call.m - first))) {
    const int32_t *starts = call.start(row) + first, *ends = call.end(row) + first;
    low = call.n, high = 0;
    for (int lane = 0; lane < LANES; ++lane) {
      start[lane] = lane < count ? std::max(starts[lane], 0) : int32_t(call.n);
      end[lane] = lane < count ? std::min(ends[lane], int32_t(call.n) - 1) : -1;
      if (start[lane] > end[lane]) continue;
      low = std::min<int64_t>(low, start[lane]);
      high = std::max<int64_t>(high, end[lane] + 1);
    }
    if (call.centre)
      for (int lane = 0; lane < count; ++lane) centre[lane] = call.centre(row)[first + lane];
    if (call.mask) mask = call.mask(row);
  }

  // -1 in the lanes whose query sees key s.
  Ints sees(int64_t s) const {
    if (mask && !mask[s]) return Ints{};
    return (start <= int32_t(s)) & (end >= int32_t(s));
  }

  // Whether any lane sees any key of s .. s + KEYS - 1.
  bool sees_block(int64_t s) const {
    Ints live = (start <= int32_t(s + KEYS - 1)) & (end >= int32_t(s));
    int32_t any = 0;
    for (int lane = 0; lane < LANES; ++lane) any |= live[lane];
    return any;
  }
};

}  // namespace attention
