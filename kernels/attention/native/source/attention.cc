// Attention over ranges of keys as two calls of XLA's foreign function interface.
//
// Arrays are those of kernels/attention/reference.py and alignment.py, in float32, with d and dv padded to
// multiples of 16; an array of no elements is absent. vmap may put any number of axes before all shapes.
#include "backward.h"
#include "forward.h"

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;
using Whole = ffi::Buffer<ffi::S32>;
using Flags = ffi::Buffer<ffi::PRED>;
using Result = ffi::Result<Array>;

namespace attention {

// Rows of what remains once the last `own` dimensions are taken off.
template <typename T, typename Buffer>
Rows<T> rows(const Buffer& buffer, size_t own, int64_t total) {
  Rows<T> found{reinterpret_cast<T*>(buffer.typed_data()), 0, 1, total};
  auto shape = buffer.dimensions();
  for (size_t i = shape.size() - own; i < shape.size(); ++i) found.stride *= shape[i];
  if (found.stride > 0) found.rows = int64_t(buffer.element_count()) / found.stride;
  return found;
}

ffi::ErrorOr<Call> describe(
    const Array& query, const Array& key, const Array& value, const Array& vector, const Flags& mask,
    const Whole& start, const Whole& end, const Array& centre, float sigma) {
  auto of_query = query.dimensions(), of_value = value.dimensions();
  size_t rank = of_query.size();
  Call call;
  call.m = of_query[rank - 2], call.d = of_query[rank - 1];
  call.n = of_value[rank - 2], call.dv = of_value[rank - 1];
  if (call.d % 16 || call.dv % 16)
    return ffi::Unexpected(ffi::Error::InvalidArgument("features are to be padded to multiples of 16"));
  call.rows = int64_t(query.element_count()) / (call.m * call.d);
  call.query = rows<const float>(query, 2, call.rows);
  call.key = rows<const float>(key, 2, call.rows);
  call.value = rows<const float>(value, 2, call.rows);
  call.vector = rows<const float>(vector, 1, call.rows);
  call.mask = rows<const bool>(mask, 1, call.rows);
  call.start = rows<const int32_t>(start, 1, call.rows);
  call.end = rows<const int32_t>(end, 1, call.rows);
  call.centre = rows<const float>(centre, 1, call.rows);
  call.sigma = sigma;
  return call;
}

ffi::Error run_forward(
    ffi::ThreadPool pool, Array query, Array key, Array value, Array vector, Flags mask, Whole start,
    Whole end, Array centre, Result context, Result log_sum_exp, float sigma, int64_t threads) {
  auto call = describe(query, key, value, vector, mask, start, end, centre, sigma);
  if (call.has_error()) return call.error();
  forward(*call, pool, threads, context->typed_data(), log_sum_exp->typed_data());
  return ffi::Error::Success();
}

ffi::Error run_backward(
    ffi::ThreadPool pool, Array query, Array key, Array value, Array vector, Flags mask, Whole start,
    Whole end, Array centre, Array log_sum_exp, Array cotangent, Array delta, Result of_query, Result of_key,
    Result of_value, Result of_vector, Result of_centre, float sigma, int64_t threads) {
  auto call = describe(query, key, value, vector, mask, start, end, centre, sigma);
  if (call.has_error()) return call.error();
  Saved saved{
      rows<const float>(log_sum_exp, 1, call->rows), rows<const float>(cotangent, 2, call->rows),
      rows<const float>(delta, 1, call->rows)};
  Gradients to{
      of_query->typed_data(), of_key->typed_data(), of_value->typed_data(), of_vector->typed_data(),
      of_centre->typed_data()};
  backward(*call, pool, threads, saved, to);
  return ffi::Error::Success();
}

}  // namespace attention

#define GIVEN                                                                   \
  Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>() \
      .Arg<Flags>().Arg<Whole>().Arg<Whole>().Arg<Array>()

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    attention_forward, attention::run_forward,
    ffi::Ffi::Bind().GIVEN.Ret<Array>().Ret<Array>().Attr<float>("sigma").Attr<int64_t>("threads"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    attention_backward, attention::run_backward,
    ffi::Ffi::Bind()
        .GIVEN.Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>()
        .Attr<float>("sigma").Attr<int64_t>("threads"));
