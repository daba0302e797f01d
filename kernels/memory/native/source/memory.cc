// The loop of a memory network as two calls of XLA's foreign function interface.
//
// Arrays are those of kernels/memory/loop.py, in float32, with hidden, memory and units padded to multiples
// of 16, all weights in one; one of no elements is absent. vmap may put any number of axes before all shapes.
#include "backward.h"
#include "parallel.h"

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;
using Flags = ffi::Buffer<ffi::PRED>;
using Result = ffi::Result<Array>;

namespace memory {

struct Call {
  Sizes sizes;
  int64_t members, weights, kept;  // floats of the weights, and of what is kept of a block
};

ffi::ErrorOr<Call> describe(
    const Flags& valid, const Array& weights, int64_t modalities, int64_t hidden, int64_t memory, int64_t units,
    bool feeds) {
  auto shape = valid.dimensions();
  size_t rank = shape.size();
  Sizes s{shape[rank - 2], shape[rank - 1], modalities, hidden, memory, units, feeds};
  Call call{s, 1, Weights<const float>(s, nullptr).size, s.time * Step(s, nullptr).size};
  for (size_t i = 0; i + 2 < rank; ++i) call.members *= shape[i];
  if (hidden % 16 || memory % 16 || units % 16)
    return ffi::Unexpected(ffi::Error::InvalidArgument("sizes are to be padded to multiples of 16"));
  if (int64_t(weights.element_count()) != call.members * call.weights)
    return ffi::Unexpected(ffi::Error::InvalidArgument("the weights have not the size that the kernel gives them"));
  return call;
}

// An array's part of a member, or null.
float* part(const Array& array, const Call& call, int64_t member) {
  int64_t size = int64_t(array.element_count()) / call.members;
  return size ? array.typed_data() + member * size : nullptr;
}

// Those of an array of each modality, which are the last ones of a call.
template <typename Modalities>
std::vector<Array> of_modalities(const Call& call, const Modalities& given) {
  std::vector<Array> found;
  for (int64_t m = 0; m < call.sizes.modalities; ++m) {
    if constexpr (std::is_same_v<Modalities, ffi::RemainingArgs>) found.push_back(*given.template get<Array>(m));
    else found.push_back(**given.template get<Array>(m));
  }
  return found;
}

template <typename T>
std::vector<T*> parts(const std::vector<Array>& arrays, const Call& call, int64_t member) {
  std::vector<T*> found;
  for (const Array& array : arrays) found.push_back(part(array, call, member));
  return found;
}

Block block_of(const Call& call, int64_t member, int64_t block, const Flags& valid, const Flags& there) {
  const Sizes& s = call.sizes;
  return {
      s, block, valid.typed_data() + member * s.batch * s.time, there.typed_data() + member * s.batch * s.p()};
}

ffi::Error run_forward(
    ffi::ThreadPool pool, Flags valid, Flags there, Array weights, ffi::RemainingArgs projected,
    Result last_hidden, Result last_memory, Result hidden, Result memory, Result attention, Result kept,
    int64_t modalities, int64_t hidden_units, int64_t memory_units, int64_t units, bool feeds, int64_t threads) {
  auto call = describe(valid, weights, modalities, hidden_units, memory_units, units, feeds);
  if (call.has_error()) return call.error();
  const Sizes& s = call->sizes;
  int64_t blocks = s.blocks(), of_kept = int64_t(kept->element_count());
  if (of_kept && of_kept != call->members * blocks * call->kept)
    return ffi::Error::InvalidArgument("what is kept has not the size that the kernel gives it");
  std::vector<Array> inputs = of_modalities(*call, projected);
  parallel(pool, threads, call->members * blocks, [&](int64_t item) {
    int64_t member = item / blocks;
    Outputs to{
        part(*last_hidden, *call, member), part(*last_memory, *call, member), part(*hidden, *call, member),
        part(*memory, *call, member), part(*attention, *call, member)};
    forward_block(
        s, {s, part(weights, *call, member)}, block_of(*call, member, item % blocks, valid, there),
        parts<const float>(inputs, *call, member), to,
        of_kept ? kept->typed_data() + item * call->kept : nullptr);
  });
  return ffi::Error::Success();
}

// to = the sum of `count` arrays, one behind another.
void reduce(ffi::ThreadPool pool, int64_t threads, const float* from, int64_t count, int64_t size, float* to) {
  constexpr int64_t PIECE = 4096;
  parallel(pool, threads, (size + PIECE - 1) / PIECE, [&](int64_t piece) {
    int64_t end = std::min(size, (piece + 1) * PIECE);
    for (int64_t j = piece * PIECE; j < end; j += LANES) {
      Floats total = load(from + j);
      for (int64_t i = 1; i < count; ++i) total += load(from + i * size + j);
      store(to + j, total);
    }
  });
}

ffi::Error run_backward(
    ffi::ThreadPool pool, Flags valid, Flags there, Array turned, Array kept, Array of_last_hidden,
    Array of_last_memory, Array of_hidden, Array of_memory, Array of_attention, Result sums, Result of_weights,
    ffi::RemainingRets of_projected, int64_t modalities, int64_t hidden_units, int64_t memory_units,
    int64_t units, bool feeds, int64_t threads) {
  auto call = describe(valid, turned, modalities, hidden_units, memory_units, units, feeds);
  if (call.has_error()) return call.error();
  const Sizes& s = call->sizes;
  int64_t blocks = s.blocks(), count = s.parts(), size = call->weights;
  if (int64_t(sums->element_count()) != call->members * count * size)
    return ffi::Error::InvalidArgument("the parts of the gradient have not the size that the kernel gives them");
  std::vector<Array> outputs = of_modalities(*call, of_projected);
  parallel(pool, threads, call->members * count, [&](int64_t item) {
    int64_t member = item / count, own = item % count;
    float* to = sums->typed_data() + item * size;
    std::fill(to, to + size, 0.0f);
    Cotangents given{
        part(of_last_hidden, *call, member), part(of_last_memory, *call, member),
        part(of_hidden, *call, member), part(of_memory, *call, member), part(of_attention, *call, member)};
    for (int64_t i = own * blocks / count; i < (own + 1) * blocks / count; ++i)
      backward_block(
          s, {s, part(turned, *call, member), true}, block_of(*call, member, i, valid, there),
          kept.typed_data() + (member * blocks + i) * call->kept, given,
          parts<float>(outputs, *call, member), {s, to});
  });
  for (int64_t member = 0; member < call->members; ++member)
    reduce(pool, threads, sums->typed_data() + member * count * size, count, size, part(*of_weights, *call, member));
  return ffi::Error::Success();
}

}  // namespace memory

#define SIZES                                                                                      \
  Attr<int64_t>("modalities").Attr<int64_t>("hidden").Attr<int64_t>("memory").Attr<int64_t>("units") \
      .Attr<bool>("feeds").Attr<int64_t>("threads")

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    memory_forward, memory::run_forward,
    ffi::Ffi::Bind()
        .Ctx<ffi::ThreadPool>().Arg<Flags>().Arg<Flags>().Arg<Array>().RemainingArgs()
        .Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>().SIZES);

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    memory_backward, memory::run_backward,
    ffi::Ffi::Bind()
        .Ctx<ffi::ThreadPool>().Arg<Flags>().Arg<Flags>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>()
        .Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>().Ret<Array>().RemainingRets().SIZES);
