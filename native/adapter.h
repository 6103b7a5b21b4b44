// One layer of Task-Specific Adapters (section 3.2, eq. 21-22) for LANES rows at once, and its gradients.
#pragma once

#include "block.h"

namespace tafe {
namespace {

// Where an adapter's intermediate results lie.
struct AdapterScratch {
  Vector* attention;  // [N M, K]
  Vector* context;  // the attention's mix of Y, [N M, d]
  Vector* mixed;  // the heads' values, mixed, [N, d]
  // Of the backward pass alone:
  Vector* d_scores;  // [N M, K]
  Vector* d_context;  // [N M, d]
  Vector* d_mixed;  // [N, d]
};

// softmax(alpha W^K^T Y^T / sqrt(e)) Y W^V of all tasks and heads: y [K, d] -> s.mixed [N, d].
void adapter_attend(const Layer& l, const Vector* y, const AdapterScratch& s) {
  const int d = l.dim, e = l.size, points = l.inducing, queries = l.tasks * l.heads;
  product(queries, points, d, lines(l.task_queries, d), lines(y, d), Result{s.attention, points, 1});
  for (int j = 0; j < queries; ++j) {
    Vector* weights = s.attention + j * points;
    Vector top = weights[0], sum{};
    for (int k = 1; k < points; ++k) top = maximum(top, weights[k]);
    for (int k = 0; k < points; ++k) {
      weights[k] = power_of_two((weights[k] - top) * kLogTwo);
      sum += weights[k];
    }
    const Vector inverse = 1.0f / sum;
    for (int k = 0; k < points; ++k) weights[k] *= inverse;
  }
  product(queries, d, points, lines(s.attention, points), turned(y, d), Result{s.context, d, 1});
  for (int task = 0; task < l.tasks; ++task) {
    const float* value = l.of(l.at.task_value) + task * d * d;
    for (int head = 0; head < l.heads; ++head) {
      const Vector* context = s.context + (task * l.heads + head) * d;
      product(e, 1, d, turned(value + head * e, d), Operand<Vector>{context, 0, 1},
              Result{s.mixed + task * d + head * e, 1, 0});
    }
  }
}

// T of a layer: y [K, d] and T of the layer before, null in the first -> t [N, d], which may lie where
// that does.
void adapter_forward(const Layer& l, const Vector* y, const Vector* before, const Saved& saved, const AdapterScratch& s,
                     Vector* t) {
  const int d = l.dim;
  adapter_attend(l, y, s);
  const float* scale = l.of(l.at.task_scale);
  const float* shift = l.of(l.at.task_shift);
  for (int task = 0; task < l.tasks; ++task) {
    const float* output = l.of(l.at.task_output) + task * d * d;
    Vector* normal = saved.task_normal + task * d;
    product(d, 1, d, turned(output, d), Operand<Vector>{s.mixed + task * d, 0, 1}, Result{normal, 1, 0});
    if (before) {
      for (int c = 0; c < d; ++c) normal[c] += before[task * d + c];
    }
    saved.task_inverse[task] = normalize(normal, d, l.epsilon);
    for (int c = 0; c < d; ++c) t[task * d + c] = normal[c] * scale[task * d + c] + shift[task * d + c];
  }
}

// An adapter's gradients: d_t [N, d], in place to that of the layer before; adds to d_y [K, d] and,
// for the weights, to `sums`.
void adapter_backward(const Layer& l, const Vector* y, const Saved& saved, const SumOffsets& sum_at, Vector* sums,
                      const AdapterScratch& s, Vector* d_t, Vector* d_y) {
  const int d = l.dim, e = l.size, points = l.inducing, queries = l.tasks * l.heads;
  adapter_attend(l, y, s);
  for (int task = 0; task < l.tasks; ++task) {
    Vector* g = d_t + task * d;
    normalize_back(saved.task_normal + task * d, saved.task_inverse[task], l.of(l.at.task_scale) + task * d, d, g,
                   sums + sum_at.task_scale + task * d, sums + sum_at.task_shift + task * d);
    const Vector* mixed = s.mixed + task * d;
    Vector* d_mixed = s.d_mixed + task * d;
    product(d, 1, d, lines(l.of(l.at.task_output) + task * d * d, d), Operand<Vector>{g, 0, 1}, Result{d_mixed, 1, 0});
    add_outer(mixed, g, 1, d, sums + sum_at.task_output + task * d * d);
    const float* value = l.of(l.at.task_value) + task * d * d;
    Vector* d_value = sums + sum_at.task_value + task * d * d;
    for (int head = 0; head < l.heads; ++head) {
      const int64_t row = (task * l.heads + head) * d;
      const Vector* of_head = d_mixed + head * e;
      product(d, 1, e, lines(value + head * e, d), Operand<Vector>{of_head, 0, 1}, Result{s.d_context + row, 1, 0});
      product<true>(d, e, 1, Operand<Vector>{s.context + row, 1, 0}, Operand<Vector>{of_head, 1, 0},
                    Result{d_value + head * e, d, 1});
    }
  }
  product(queries, points, d, lines((const Vector*)s.d_context, d), lines(y, d), Result{s.d_scores, points, 1});
  for (int j = 0; j < queries; ++j) {
    const Vector* weights = s.attention + j * points;
    Vector* d_scores = s.d_scores + j * points;
    Vector row_sum{};
    for (int k = 0; k < points; ++k) row_sum += weights[k] * d_scores[k];
    for (int k = 0; k < points; ++k) d_scores[k] = weights[k] * (d_scores[k] - row_sum);
  }
  const Operand<Vector> d_scores{s.d_scores, points, 1};
  product<true>(queries, d, points, d_scores, turned(y, d), Result{sums + sum_at.task_queries, d, 1});
  product<true>(d, points, queries, turned(s.d_context, d), turned(s.attention, points), Result{d_y, 1, d});
  product<true>(d, points, queries, turned(l.task_queries, d), turned(s.d_scores, points), Result{d_y, 1, d});
}

}  // namespace
}  // namespace tafe
