// t-SNE's divergence as two calls of XLA's foreign function interface: sums over all pairs, sums over edges.
//
// The work is cut into parts, as many for any number of threads; each adds to arrays of its own, which are
// then added up in their order. Arrays are float32; one of no elements is absent.
#include <cmath>
#include <vector>

#include "edges.h"
#include "pairs.h"
#include "parallel.h"

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;
using Numbers = ffi::Buffer<ffi::S32>;
using Result = ffi::Result<Array>;

namespace tsne {

const float* given(const Array& array) { return array.element_count() ? array.typed_data() : nullptr; }

// to = the sum of `count` arrays, one behind another.
void reduce(ffi::ThreadPool pool, int64_t threads, const float* from, int64_t count, int64_t size, float* to) {
  constexpr int64_t SHARE = 4096;
  parallel(pool, threads, (size + SHARE - 1) / SHARE, [&](int64_t share) {
    int64_t first = share * SHARE, last = std::min(size, first + SHARE);
    std::copy(from + first, from + last, to + first);
    for (int64_t part = 1; part < count; ++part)
      for (int64_t i = first; i < last; ++i) to[i] += from[part * size + i];
  });
}

// The row before which a part ends, such that every part has about as many pairs behind the diagonal.
int64_t end_of_part(int64_t n, int64_t part, int64_t parts) {
  if (part == parts) return n;
  int64_t strips = (n + ROWS - 1) / ROWS;
  return std::min<int64_t>(n, std::llround(strips * (1 - std::sqrt(1 - double(part) / parts))) * ROWS);
}

// What the call is given.
struct Call {
  ffi::ThreadPool pool;
  int64_t threads, parts;
  Size size;
  Student student;
  const float *y, *weights;
  float *sums, *gained, *scratch;  // [2]; [pulls and pushes, D, padded]; the same of each part
};

template <int D, bool CAUCHY, typename Affinities>
void run_parts(const Call& call, const Affinities& affinities, int64_t features) {
  Pairs<D, Affinities, CAUCHY> pairs{call.size, call.student, call.y, call.weights, affinities};
  int64_t own = 2 * D * call.size.padded;
  std::vector<Gains> parts(call.parts);
  parallel(call.pool, call.threads, call.parts, [&](int64_t part) {
    float* to = call.scratch + part * own;
    std::fill(to, to + own, 0.0f);
    parts[part].pulls = to, parts[part].pushes = to + own / 2;
    int64_t first = end_of_part(call.size.n, part, call.parts), last = end_of_part(call.size.n, part + 1, call.parts);
    pairs.add(first, last, features, parts[part]);
  });
  double stretch = 0, total = 0;
  for (const Gains& part : parts) stretch += part.stretch, total += part.total;
  call.sums[0] = float(2 * stretch), call.sums[1] = float(2 * total);
  reduce(call.pool, call.threads, call.scratch, call.parts, own, call.gained);
}

template <int D, typename Affinities>
void run_kind(const Call& call, const Affinities& affinities, int64_t features) {
  if (call.student.v == 1) run_parts<D, true>(call, affinities, features);
  else run_parts<D, false>(call, affinities, features);
}

ffi::Error run_pairs(
    ffi::ThreadPool pool, Array y, Array weights, Array values, Array points, Array rows, Result sums,
    Result gained, Result scratch, int64_t n, float v, int64_t threads) {
  auto shape = y.dimensions();
  int64_t d = shape[0], padded = shape[1], own = 2 * d * padded;
  if (d < 1 || d > 3 || padded % 16 || padded < n)
    return ffi::Error::InvalidArgument("the map is to be [1 to 3, rows padded to a multiple of 16]");
  Size size{n, padded};
  Call call{
      pool, threads, int64_t(scratch->element_count()) / own, size, {v}, y.typed_data(), weights.typed_data(),
      sums->typed_data(), gained->typed_data(), scratch->typed_data()};
  auto run = [&](auto affinities, int64_t features) {
    if (d == 1) run_kind<1>(call, affinities, features);
    if (d == 2) run_kind<2>(call, affinities, features);
    if (d == 3) run_kind<3>(call, affinities, features);
  };
  if (given(values)) run(Dense{size, given(values)}, 0);
  else if (const float* x = given(points)) {
    const float* of_rows = rows.typed_data();
    int64_t features = points.dimensions()[1];
    run(Streamed{size, features, x, of_rows, of_rows + padded, of_rows + 2 * padded, call.weights}, features);
  } else run(Absent{}, 0);
  return ffi::Error::Success();
}

template <int D>
void run_edges_of(
    ffi::ThreadPool pool, int64_t threads, const Edges<D>& edges, int64_t count, float* scratch, float* stretch,
    float* pulls) {
  int64_t own = edges.n * D;
  std::vector<double> parts(count);
  parallel(pool, threads, count, [&](int64_t part) {
    float* to = scratch + part * own;
    std::fill(to, to + own, 0.0f);
    parts[part] = edges.add(part * edges.n / count, (part + 1) * edges.n / count, to);
  });
  double total = 0;
  for (double part : parts) total += part;
  *stretch = float(total);
  reduce(pool, threads, scratch, count, own, pulls);
}

ffi::Error run_edges(
    ffi::ThreadPool pool, Array y, Numbers neighbors, Array values, Result stretch, Result pulls, Result scratch,
    float v, int64_t threads) {
  auto shape = neighbors.dimensions();
  int64_t n = shape[0], k = shape[1], d = y.dimensions()[1], count = int64_t(scratch->element_count()) / (n * d);
  if (d < 1 || d > 3) return ffi::Error::InvalidArgument("the map is to be [n, 1 to 3]");
  auto run = [&](auto edges) {
    run_edges_of(pool, threads, edges, count, scratch->typed_data(), stretch->typed_data(), pulls->typed_data());
  };
  const float *map = y.typed_data(), *m = values.typed_data();
  if (d == 1) run(Edges<1>{n, k, {v}, map, neighbors.typed_data(), m});
  if (d == 2) run(Edges<2>{n, k, {v}, map, neighbors.typed_data(), m});
  if (d == 3) run(Edges<3>{n, k, {v}, map, neighbors.typed_data(), m});
  return ffi::Error::Success();
}

}  // namespace tsne

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    tsne_pairs, tsne::run_pairs,
    ffi::Ffi::Bind()
        .Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>().Attr<int64_t>("n").Attr<float>("v").Attr<int64_t>("threads"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    tsne_edges, tsne::run_edges,
    ffi::Ffi::Bind()
        .Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Numbers>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>().Attr<float>("v").Attr<int64_t>("threads"));
