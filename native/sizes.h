// The sizes of a model, and where its weights lie in one flat array.
#pragma once

#include <cstdint>

extern "C" {

// F, K, M, d, N and L of the paper, and what layer norms add to the variance.
struct tafe_sizes {
  int32_t fields;
  int32_t inducing;
  int32_t heads;
  int32_t dim;
  int32_t tasks;
  int32_t layers;
  float epsilon;
};

}  // extern "C"

namespace tafe {

typedef tafe_sizes Sizes;

namespace {  // each target compiles its own, see lanes.h


inline int64_t fields_of(const Sizes& s, int layer) { return layer == 0 ? s.fields : s.inducing; }

// Deals out places in an array, one after the other.
struct Places {
  int64_t at;

  int64_t operator()(int64_t count) {
    const int64_t begin = at;
    at += count;
    return begin;
  }
};

// Offsets into a layer's weights, in the order in which Python lays them side by side.
struct WeightOffsets {
  int64_t selector;  // [F d, K]
  int64_t bias;  // [K]
  int64_t inducing;  // I, [K, d]
  int64_t key, value, output;  // W^K, W^V, W^O, [d, d]
  int64_t scale, shift;  // of the block's norm, [d]
  int64_t indicators;  // alpha, [N, d]
  int64_t task_key, task_value, task_output;  // [N, d, d]
  int64_t task_scale, task_shift;  // [N, d]
  int64_t end;

  // `at` is where the layer's weights begin.
  WeightOffsets(const Sizes& s, int layer, int64_t at) {
    const int64_t d = s.dim, n = s.tasks, k = s.inducing;
    Places take{at};
    selector = take(fields_of(s, layer) * d * k);
    bias = take(k);
    inducing = take(k * d);
    key = take(d * d);
    value = take(d * d);
    output = take(d * d);
    scale = take(d);
    shift = take(d);
    indicators = take(n * d);
    task_key = take(n * d * d);
    task_value = take(n * d * d);
    task_output = take(n * d * d);
    task_scale = take(n * d);
    task_shift = take(n * d);
    end = take.at;
  }
};

inline WeightOffsets weights_of_layer(const Sizes& s, int layer) {
  int64_t at = 0;
  for (int i = 0; i < layer; ++i) at = WeightOffsets(s, i, at).end;
  return WeightOffsets(s, layer, at);
}

inline int64_t count_weights(const Sizes& s) { return weights_of_layer(s, s.layers - 1).end; }

// Offsets into the sums of a layer's gradients over rows: of all its weights but the selector's.
// Of the tasks' queries alpha_m W^K_m^T, which are the same for all rows, it has the gradient of the
// product, [N M, d].
struct SumOffsets {
  int64_t bias, inducing, key, value, output, scale, shift;
  int64_t task_queries, task_value, task_output, task_scale, task_shift;
  int64_t end;

  explicit SumOffsets(const Sizes& s) {
    const int64_t d = s.dim, n = s.tasks, k = s.inducing;
    Places take{0};
    bias = take(k);
    inducing = take(k * d);
    key = take(d * d);
    value = take(d * d);
    output = take(d * d);
    scale = take(d);
    shift = take(d);
    task_queries = take(n * s.heads * d);
    task_value = take(n * d * d);
    task_output = take(n * d * d);
    task_scale = take(n * d);
    task_shift = take(n * d);
    end = take.at;
  }
};

// Offsets, in vectors, into what a layer's forward pass leaves for the backward pass.
struct SavedOffsets {
  int64_t input;  // H in lanes, [F, d]; of the first layer alone
  int64_t step;  // u = MLP(H) / gamma, [K]
  int64_t offset;  // what was subtracted from the scores, [M, K]
  int64_t inverse;  // 1 / the sum of their powers, [M, K]
  int64_t mixed;  // the heads' values, mixed, [K, d]
  int64_t output;  // Y, [K, d]
  int64_t task_normal;  // the tasks' representations before scale and shift, [N, d]
  int64_t task_inverse;  // 1 / their standard deviation, [N]
  int64_t end;

  SavedOffsets(const Sizes& s, int layer) {
    const int64_t d = s.dim, n = s.tasks, k = s.inducing, m = s.heads;
    Places take{0};
    input = take(layer == 0 ? s.fields * d : 0);
    step = take(k);
    offset = take(m * k);
    inverse = take(m * k);
    mixed = take(k * d);
    output = take(k * d);
    task_normal = take(n * d);
    task_inverse = take(n);
    end = take.at;
  }
};

}  // namespace
}  // namespace tafe
