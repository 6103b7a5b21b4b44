// The kernel as calls of JAX on a CPU, by XLA's foreign function interface:
//
// TafeScore(h, gamma, weights) -> t
// TafeForward(h, gamma, weights) -> t, saved of each layer
// TafeBackward(gamma, weights, d_t, saved of each layer) -> d_h, d_weights
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernel.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Floats>;

tafe_sizes sizes_of(int32_t fields, int32_t inducing, int32_t heads, int32_t dim, int32_t tasks, int32_t layers,
                    float epsilon) {
  tafe_sizes sizes{};
  sizes.fields = fields;
  sizes.inducing = inducing;
  sizes.heads = heads;
  sizes.dim = dim;
  sizes.tasks = tasks;
  sizes.layers = layers;
  sizes.epsilon = epsilon;
  return sizes;
}

// Whether an array has a shape; -1 stands for any size.
bool fits(const Floats& array, const std::vector<int64_t>& shape) {
  const auto found = array.dimensions();
  if (found.size() != shape.size()) return false;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] != -1 && shape[axis] != found[axis]) return false;
  }
  return true;
}

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("tafe: " + what); }

ffi::Error finished(int result) {
  return result == 0 ? ffi::Error::Success() : ffi::Error(ffi::ErrorCode::kResourceExhausted, "not enough memory");
}

// What is saved of each layer, in the memory of the arguments or results that follow the others.
ffi::Error saved_in(const std::vector<Floats>& arrays, const tafe_sizes& sizes, int64_t rows,
                    std::vector<float*>* saved) {
  if ((int)arrays.size() != sizes.layers) return wrong("one array must be saved of each layer");
  for (int layer = 0; layer < sizes.layers; ++layer) {
    const Floats& array = arrays[layer];
    if (!fits(array, {tafe_count_saved(&sizes, layer, rows)})) return wrong("a saved array has another size");
    float* data = (float*)array.untyped_data();
    if ((uintptr_t)data % 64 != 0) return wrong("a saved array does not lie at a multiple of 64 bytes");
    saved->push_back(data);
  }
  return ffi::Error::Success();
}

ffi::Error run_forward(const tafe_sizes& sizes, int32_t threads, const Floats& h, const Floats& gamma,
                       const Floats& weights, const Floats& t, float* const* saved) {
  if (!fits(h, {-1, sizes.fields, sizes.dim})) return wrong("H has another shape");
  if (!fits(gamma, {}) || !fits(weights, {tafe_count_weights(&sizes)})) return wrong("the weights have another size");
  const int64_t rows = h.dimensions()[0];
  if (!fits(t, {rows, sizes.tasks, sizes.dim})) return wrong("T has another shape");
  if (rows == 0) return ffi::Error::Success();
  return finished(tafe_forward(&sizes, *gamma.typed_data(), weights.typed_data(), h.typed_data(), rows, threads,
                               t.typed_data(), saved));
}

ffi::Error score(Floats h, Floats gamma, Floats weights, Result t, int32_t fields, int32_t inducing, int32_t heads,
                 int32_t dim, int32_t tasks, int32_t layers, float epsilon, int32_t threads) {
  const tafe_sizes sizes = sizes_of(fields, inducing, heads, dim, tasks, layers, epsilon);
  return run_forward(sizes, threads, h, gamma, weights, *t, nullptr);
}

ffi::Error forward(Floats h, Floats gamma, Floats weights, Result t, ffi::RemainingRets further, int32_t fields,
                   int32_t inducing, int32_t heads, int32_t dim, int32_t tasks, int32_t layers, float epsilon,
                   int32_t threads) {
  const tafe_sizes sizes = sizes_of(fields, inducing, heads, dim, tasks, layers, epsilon);
  std::vector<Floats> arrays;
  for (size_t i = 0; i < further.size(); ++i) {
    auto array = further.get<Floats>(i);
    if (!array) return array.error();
    arrays.push_back(**array);
  }
  std::vector<float*> saved;
  ffi::Error error = saved_in(arrays, sizes, h.dimensions()[0], &saved);
  if (error.failure()) return error;
  return run_forward(sizes, threads, h, gamma, weights, *t, saved.data());
}

ffi::Error backward(Floats gamma, Floats weights, Floats d_t, ffi::RemainingArgs further, Result d_h, Result d_weights,
                    int32_t fields, int32_t inducing, int32_t heads, int32_t dim, int32_t tasks, int32_t layers,
                    float epsilon, int32_t threads) {
  const tafe_sizes sizes = sizes_of(fields, inducing, heads, dim, tasks, layers, epsilon);
  const int64_t count = tafe_count_weights(&sizes);
  if (!fits(gamma, {}) || !fits(weights, {count})) return wrong("the weights have another size");
  if (!fits(d_t, {-1, sizes.tasks, sizes.dim})) return wrong("T's gradient has another shape");
  const int64_t rows = d_t.dimensions()[0];
  if (!fits(*d_h, {rows, sizes.fields, sizes.dim})) return wrong("H's gradient has another shape");
  if (!fits(*d_weights, {count})) return wrong("the weights' gradient has another size");
  std::vector<Floats> arrays;
  for (size_t i = 0; i < further.size(); ++i) {
    auto array = further.get<Floats>(i);
    if (!array) return array.error();
    arrays.push_back(*array);
  }
  std::vector<float*> saved;
  ffi::Error error = saved_in(arrays, sizes, rows, &saved);
  if (error.failure()) return error;
  return finished(tafe_backward(&sizes, *gamma.typed_data(), weights.typed_data(), rows, threads, saved.data(),
                                d_t.typed_data(), d_h->typed_data(), d_weights->typed_data()));
}

template <class Binding>
auto with_settings(Binding binding) {
  return std::move(binding)
      .template Attr<int32_t>("fields")
      .template Attr<int32_t>("inducing")
      .template Attr<int32_t>("heads")
      .template Attr<int32_t>("dim")
      .template Attr<int32_t>("tasks")
      .template Attr<int32_t>("layers")
      .template Attr<float>("epsilon")
      .template Attr<int32_t>("threads");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    TafeScore, score, with_settings(ffi::Ffi::Bind().Arg<Floats>().Arg<Floats>().Arg<Floats>().Ret<Floats>()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    TafeForward, forward,
    with_settings(ffi::Ffi::Bind().Arg<Floats>().Arg<Floats>().Arg<Floats>().Ret<Floats>().RemainingRets()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(TafeBackward, backward,
                              with_settings(ffi::Ffi::Bind()
                                                .Arg<Floats>()
                                                .Arg<Floats>()
                                                .Arg<Floats>()
                                                .RemainingArgs()
                                                .Ret<Floats>()
                                                .Ret<Floats>()));
