// Attention of one query a row as two calls of XLA's foreign function interface.
//
// Arrays are float32, those of one step of kernels/attention/stepwise.py; one of no elements is absent. vmap
// may put any number of axes before all shapes, of size 1 for what is common to all.
#include "step_backward.h"
#include "step_forward.h"

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;
using Integers = ffi::Buffer<ffi::S32>;
using Flags = ffi::Buffer<ffi::PRED>;
using Result = ffi::Result<Array>;

namespace attention {

// A buffer of shape [axes..., own dimensions] under rows of shape `axes`, where it may have 1 in their stead.
template <typename T, typename Buffer, typename Axes>
Shared<T> shared(const Buffer& buffer, const Axes& axes, int64_t rows) {
  if (buffer.element_count() == 0) return {};
  Shared<T> found{reinterpret_cast<T*>(buffer.typed_data()), std::vector<int64_t>(rows)};
  auto shape = buffer.dimensions();
  int64_t stride = 1, inner = 1;
  for (size_t i = shape.size(); i-- > axes.size();) stride *= shape[i];
  for (size_t i = axes.size(); i-- > 0; inner *= axes[i], stride *= shape[i])
    if (shape[i] > 1)
      for (int64_t row = 0; row < rows; ++row) found.places[row] += row / inner % axes[i] * stride;
  return found;
}

struct Axes : std::vector<int64_t> {
  explicit Axes(ffi::Span<const int64_t> of_rows) : std::vector<int64_t>(of_rows.begin(), of_rows.end() - 1) {}
  int64_t rows() const {
    int64_t product = 1;
    for (int64_t size : *this) product *= size;
    return product;
  }
};

StepCall describe(
    const Axes& axes, const Array& query, const Array& key, const Array& value, const Array& vector,
    const Flags& mask, const Integers& start, const Integers& end, const Array& centre, float sigma) {
  auto of_key = key.dimensions(), of_value = value.dimensions();
  size_t rank = of_key.size();
  int64_t rows = axes.rows();
  StepCall call{rows, of_key[rank - 2], of_key[rank - 1], of_value[rank - 1]};
  call.query = shared<const float>(query, axes, rows);
  call.key = shared<const float>(key, axes, rows);
  call.value = shared<const float>(value, axes, rows);
  call.vector = shared<const float>(vector, axes, rows);
  call.mask = shared<const bool>(mask, axes, rows);
  call.start = shared<const int32_t>(start, axes, rows);
  call.end = shared<const int32_t>(end, axes, rows);
  call.centre = shared<const float>(centre, axes, rows);
  call.sigma = sigma;
  return call;
}

ffi::Error run_step_forward(
    ffi::ThreadPool pool, Array query, Array key, Array value, Array vector, Flags mask, Integers start,
    Integers end, Array centre, Result context, Result log_sum_exp, float sigma, int64_t threads) {
  Axes axes(context->dimensions());
  StepCall call = describe(axes, query, key, value, vector, mask, start, end, centre, sigma);
  parallel(pool, threads, call.rows, [&](int64_t row) {
    step_forward_row(call, row, context->typed_data() + row * call.dv, log_sum_exp->typed_data() + row);
  });
  return ffi::Error::Success();
}

ffi::Error run_step_backward(
    ffi::ThreadPool pool, Array query, Array key, Array value, Array vector, Flags mask, Integers start,
    Integers end, Array centre, Array context, Array log_sum_exp, Array cotangent, Array key_sums,
    Array value_sums, Array vector_sums, Result of_query, Result of_centre, Result of_key, Result of_value,
    Result of_vector, float sigma, int64_t threads) {
  if (of_key->typed_data() != key_sums.typed_data() || of_value->typed_data() != value_sums.typed_data())
    return ffi::Error(ffi::ErrorCode::kInternal, "the sums over steps are not where they are to be added to");
  Axes axes(of_query->dimensions());
  StepCall call = describe(axes, query, key, value, vector, mask, start, end, centre, sigma);
  StepSaved saved{
      shared<const float>(context, axes, call.rows), shared<const float>(log_sum_exp, axes, call.rows),
      shared<const float>(cotangent, axes, call.rows)};
  parallel(pool, threads, call.rows, [&](int64_t row) {
    StepGradients to{
        of_query->typed_data() + row * call.d, of_key->typed_data() + row * call.n * call.d,
        of_value->typed_data() + row * call.n * call.dv,
        call.vector ? of_vector->typed_data() + row * call.d : nullptr,
        call.centre ? of_centre->typed_data() + row : nullptr};
    step_backward_row(call, saved, row, to);
  });
  return ffi::Error::Success();
}

}  // namespace attention

#define GIVEN                                                                   \
  Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>() \
      .Arg<Flags>().Arg<Integers>().Arg<Integers>().Arg<Array>()

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    attention_step_forward, attention::run_step_forward,
    ffi::Ffi::Bind().GIVEN.Ret<Array>().Ret<Array>().Attr<float>("sigma").Attr<int64_t>("threads"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    attention_step_backward, attention::run_step_backward,
    ffi::Ffi::Bind()
        .GIVEN.Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>()
        .Attr<float>("sigma").Attr<int64_t>("threads"));
