// One ASRG block (section 3.1, eq. 14-20) for LANES rows at once, and its gradients.
#pragma once

#include "products.h"
#include "sizes.h"

namespace tafe {
namespace {

// Inducing points whose scores are in the caches at one time.
constexpr int kPoints = 8;

// Scores up to this size, as powers of two, need no largest one subtracted from them.
constexpr float kSafeScore = 20.0f;

// A layer's sizes and weights.
struct Layer {
  int fields;  // rows of its input: F in the first layer, K after it
  int inducing, heads, dim, size, tasks;  // K, M, d, e = d / M, N
  bool is_first;
  float epsilon, gamma;
  const float* weights;
  const float* task_queries;  // alpha_m W^K_m^T / sqrt(e), [N M, d]
  WeightOffsets at;

  const float* of(int64_t offset) const { return weights + offset; }
};

// Where a block's intermediate results lie.
struct BlockScratch {
  Vector *keys, *values;  // H W^K, H W^V, [F, d]
  Vector* queries;  // I * z * log2(e) / sqrt(e): their scores are powers of two, [K, d]
  Vector* z;  // [K]
  Vector* deviation;  // 1 / the standard deviation of what the norm reads, [K]
  Vector* normal;  // the output before scale and shift, [K, d]
  Vector* scores;  // of kPoints inducing points, [kPoints, F]
  // Of the backward pass alone:
  Vector* powers;  // [kPoints, F]
  Vector *d_keys, *d_values;  // [F, d]
  Vector* d_sum;  // of what the norm reads, [K, d]
  Vector *d_mixed, *d_queries;  // [K, d]
};

// What a block's forward pass leaves for the backward pass, see SavedOffsets.
struct Saved {
  Vector *step, *offset, *inverse, *mixed, *output, *task_normal, *task_inverse;
};

// Matrices in lanes, [rows, size], as they lie and transposed; and a weight [rows, columns] likewise.
Operand<Vector> lines(const Vector* data, int64_t size) { return {data, size, 1}; }
Operand<Vector> turned(const Vector* data, int64_t size) { return {data, 1, size}; }
Operand<float> lines(const float* data, int64_t columns) { return {data, columns, 1}; }
Operand<float> turned(const float* data, int64_t columns) { return {data, 1, columns}; }

// h W: [rows, d] -> [rows, d].
template <bool ADD = false>
void times(const Vector* h, int rows, int d, const float* weight, Vector* out) {
  product<ADD>(d, rows, d, turned(weight, d), lines(h, d), Result{out, 1, d});
}

// h W^T: [rows, d] -> [rows, d].
template <bool ADD = false>
void times_transposed(const Vector* h, int rows, int d, const float* weight, Vector* out) {
  product<ADD>(d, rows, d, lines(weight, d), lines(h, d), Result{out, 1, d});
}

// Adds x^T y, the gradient of a weight in y = x W, to its sums: [rows, d], [rows, d] -> [d, d].
void add_outer(const Vector* x, const Vector* y, int rows, int d, Vector* sums) {
  product<true>(d, d, rows, turned(x, d), turned(y, d), Result{sums, d, 1});
}

// The smooth step f_D (eq. 16) and its derivative, in u = z / gamma.
TAFE_INLINE Vector smooth_step(Vector u) {
  u = clip(u, -0.5f, 0.5f);
  return u * (1.5f - 2.0f * u * u) + 0.5f;
}
TAFE_INLINE Vector smooth_step_slope(Vector u) {
  u = clip(u, -0.5f, 0.5f);
  return 1.5f - 6.0f * u * u;  // 0 where u is clipped
}

// Normalizes x [d] in place to mean 0 and variance 1; returns 1 / its standard deviation.
TAFE_INLINE Vector normalize(Vector* x, int d, float epsilon) {
  Vector mean{}, variance{};
  for (int c = 0; c < d; ++c) mean += x[c];
  mean /= (float)d;
  for (int c = 0; c < d; ++c) {
    x[c] -= mean;
    variance += x[c] * x[c];
  }
  const Vector inverse = reciprocal_root(variance / (float)d + epsilon);
  for (int c = 0; c < d; ++c) x[c] *= inverse;
  return inverse;
}

// The gradient g [d] of the norm's output, in place to that of its input. Adds to d_scale, d_shift.
TAFE_INLINE void normalize_back(const Vector* normal, Vector inverse, const float* scale, int d, Vector* g,
                                       Vector* d_scale, Vector* d_shift) {
  Vector mean{}, along{};
  for (int c = 0; c < d; ++c) {
    d_scale[c] += g[c] * normal[c];
    d_shift[c] += g[c];
    g[c] *= scale[c];
    mean += g[c];
    along += g[c] * normal[c];
  }
  mean /= (float)d;
  along /= (float)d;
  for (int c = 0; c < d; ++c) g[c] = inverse * (g[c] - mean - normal[c] * along);
}

// MLP(H) / gamma of the selector (eq. 14) for several groups of rows, whose inputs and results lie
// h_stride and step_stride vectors apart: [groups, F d] -> [groups, K].
void select(const Layer& l, const Vector* h, int64_t h_stride, int groups, Vector* step, int64_t step_stride) {
  const float* bias = l.of(l.at.bias);
  product(l.inducing, groups, l.fields * l.dim, turned(l.of(l.at.selector), l.inducing),
          Operand<Vector>{h, h_stride, 1}, Result{step, 1, step_stride},
          [&](Vector sum, int k, int) { return (sum + bias[k]) / l.gamma; });
}

// Adds the selector's part to the gradients of its inputs: [groups, K] -> [groups, F d].
void select_back(const Layer& l, const Vector* d_step, int groups, Vector* d_h, int64_t h_stride) {
  product<true>(l.fields * l.dim, groups, l.inducing, lines(l.of(l.at.selector), l.inducing),
                Operand<Vector>{d_step, l.inducing, 1}, Result{d_h, 1, h_stride});
}

// The keys, the values and the queries of all heads.
void project(const Layer& l, const Vector* h, const BlockScratch& s) {
  const int d = l.dim;
  const float* points = l.of(l.at.inducing);
  const float by = kLogTwo / std::sqrt((float)l.size);
  times(h, l.fields, d, l.of(l.at.key), s.keys);
  times(h, l.fields, d, l.of(l.at.value), s.values);
  for (int k = 0; k < l.inducing; ++k) {
    const Vector z = s.z[k] * by;
    for (int c = 0; c < d; ++c) s.queries[k * d + c] = z * points[k * d + c];
  }
}

// The largest square of the lengths of the rows of one head, x [rows, d], at this head's columns.
Vector largest_square(const Vector* x, int rows, int d, int size) {
  Vector largest{};
  for (int i = 0; i < rows; ++i) {
    Vector square{};
    for (int c = 0; c < size; ++c) square += x[i * d + c] * x[i * d + c];
    largest = maximum(largest, square);
  }
  return largest;
}

// Whether no score can exceed kSafeScore, by Cauchy and Schwarz's inequality; false if any is NaN.
bool scores_are_small(Vector query_square, Vector key_square) {
  const Vector bound = query_square * key_square;
  bool small = true;
  for (int lane = 0; lane < LANES; ++lane) small &= bound[lane] <= kSafeScore * kSafeScore;
  return small;
}

// O before its projection (eq. 17-19): mixes the values into saved.mixed [K, d]; keeps offset and
// inverse, [M, K].
void attend(const Layer& l, const BlockScratch& s, const Saved& saved) {
  const int d = l.dim, e = l.size, fields = l.fields;
  for (int head = 0; head < l.heads; ++head) {
    const Vector* keys = s.keys + head * e;
    const Vector* values = s.values + head * e;
    const Vector key_square = largest_square(keys, fields, d, e);
    for (int first = 0; first < l.inducing; first += kPoints) {
      const int points = l.inducing - first < kPoints ? l.inducing - first : kPoints;
      const Vector* queries = s.queries + first * d + head * e;
      const Result scores{s.scores, fields, 1};
      Vector top[kMostRows] = {}, sum[kMostRows] = {};
      if (scores_are_small(largest_square(queries, points, d, e), key_square)) {
        product(points, fields, e, lines(queries, d), lines(keys, d), scores, [&](Vector score, int i, int) {
          const Vector weight = power_of_two(score);
          sum[i] += weight;
          return weight;
        });
      } else {
        for (int i = 0; i < points; ++i) top[i] = broadcast(-INFINITY);
        product(points, fields, e, lines(queries, d), lines(keys, d), scores, [&](Vector score, int i, int) {
          top[i] = maximum(top[i], score);
          return score;
        });
        for (int i = 0; i < points; ++i) {
          for (int f = 0; f < fields; ++f) {
            Vector& score = s.scores[i * fields + f];
            score = power_of_two(score - top[i]);
            sum[i] += score;
          }
        }
      }
      for (int i = 0; i < points; ++i) {
        sum[i] = 1.0f / sum[i];
        saved.offset[head * l.inducing + first + i] = top[i];
        saved.inverse[head * l.inducing + first + i] = sum[i];
      }
      product(e, points, fields, turned(values, d), lines(s.scores, fields),
              Result{saved.mixed + first * d + head * e, 1, d}, [&](Vector value, int, int i) { return value * sum[i]; });
    }
  }
}

// What the norm reads, O + the residual, normalized: into s.normal [K, d] and s.deviation [K].
void finish(const Layer& l, const Vector* h, const Vector* mixed, const BlockScratch& s) {
  const int d = l.dim;
  const float* points = l.of(l.at.inducing);
  times(mixed, l.inducing, d, l.of(l.at.output), s.normal);
  for (int k = 0; k < l.inducing; ++k) {
    Vector* x = s.normal + k * d;
    for (int c = 0; c < d; ++c) x[c] += l.is_first ? s.z[k] * points[k * d + c] : h[k * d + c];
    s.deviation[k] = normalize(x, d, l.epsilon);
  }
}

// Y of a block: h [F, d] and saved.step -> saved.output [K, d], which may lie where h does, and what
// the backward pass needs.
void block_forward(const Layer& l, const Vector* h, const Saved& saved, const BlockScratch& s) {
  const int d = l.dim;
  for (int k = 0; k < l.inducing; ++k) s.z[k] = smooth_step(saved.step[k]);
  project(l, h, s);
  attend(l, s, saved);
  finish(l, h, saved.mixed, s);
  const float* scale = l.of(l.at.scale);
  const float* shift = l.of(l.at.shift);
  for (int k = 0; k < l.inducing; ++k) {
    for (int c = 0; c < d; ++c) saved.output[k * d + c] = s.normal[k * d + c] * scale[c] + shift[c];
  }
}

// Attention's gradients: d_mixed [K, d] -> d_queries [K, d], d_keys and d_values [F, d].
//
// With E the powers, P = E / their sum and g the gradient of O = P V, the scores' gradient is
// dS = P * (g V^T - rowsum(g * O)). Dividing g by the sum instead of E saves a pass over [K, F].
void attend_back(const Layer& l, const BlockScratch& s, const Saved& saved) {
  const int d = l.dim, e = l.size, fields = l.fields;
  fill(s.d_keys, fields * d, 0.0f);
  fill(s.d_values, fields * d, 0.0f);
  for (int head = 0; head < l.heads; ++head) {
    const int column = head * e;
    for (int first = 0; first < l.inducing; first += kPoints) {
      const int points = l.inducing - first < kPoints ? l.inducing - first : kPoints;
      const Vector* top = saved.offset + head * l.inducing + first;
      const Vector* queries = s.queries + first * d + column;
      Vector* g = s.d_mixed + first * d + column;
      Vector row_sum[kMostRows];
      for (int i = 0; i < points; ++i) {
        const Vector by = saved.inverse[head * l.inducing + first + i];
        const Vector* o = saved.mixed + (first + i) * d + column;
        row_sum[i] = Vector{};
        for (int c = 0; c < e; ++c) {
          g[i * d + c] *= by;
          row_sum[i] += g[i * d + c] * o[c];
        }
      }
      product(points, fields, e, lines(queries, d), lines(s.keys + column, d), Result{s.powers, fields, 1},
              [&](Vector score, int i, int) { return power_of_two(score - top[i]); });
      product(points, fields, e, lines(g, d), lines(s.values + column, d), Result{s.scores, fields, 1},
              [&](Vector along, int i, int f) { return s.powers[i * fields + f] * (along - row_sum[i]); });
      const Vector* d_scores = s.scores;
      product(e, points, fields, turned(s.keys + column, d), lines(d_scores, fields),
              Result{s.d_queries + first * d + column, 1, d});
      product<true>(e, fields, points, turned(queries, d), turned(d_scores, fields), Result{s.d_keys + column, 1, d});
      product<true>(e, fields, points, turned(g, d), turned(s.powers, fields), Result{s.d_values + column, 1, d});
    }
  }
  for (int i = 0; i < fields * d; ++i) s.d_keys[i] /= kLogTwo;  // which the queries had
}

// A block's gradients but for what passes through its selector, see `select_back`: from that of Y
// [K, d], in place to that of H [F, d], and d_step [K].
//
// Adds the gradients of all weights but the selector's to `sums`.
void block_backward(const Layer& l, const Vector* h, const Saved& saved, const SumOffsets& sum_at, Vector* sums,
                    const BlockScratch& s, Vector* gradient, Vector* d_step) {
  const int d = l.dim, points = l.inducing;
  for (int k = 0; k < points; ++k) s.z[k] = smooth_step(saved.step[k]);
  project(l, h, s);
  finish(l, h, saved.mixed, s);
  for (int k = 0; k < points; ++k) {
    normalize_back(s.normal + k * d, s.deviation[k], l.of(l.at.scale), d, gradient + k * d, sums + sum_at.scale,
                   sums + sum_at.shift);
  }
  times_transposed(gradient, points, d, l.of(l.at.output), s.d_mixed);
  add_outer(saved.mixed, gradient, points, d, sums + sum_at.output);
  attend_back(l, s, saved);

  // I and z, through the queries and through the first block's residual I * z.
  const float* inducing = l.of(l.at.inducing);
  const float by = 1.0f / std::sqrt((float)l.size);
  for (int k = 0; k < points; ++k) {
    Vector d_z{};
    for (int c = 0; c < d; ++c) {
      Vector d_product = s.d_queries[k * d + c] * by;
      if (l.is_first) d_product += gradient[k * d + c];
      sums[sum_at.inducing + k * d + c] += d_product * s.z[k];
      d_z += d_product * inducing[k * d + c];
    }
    d_step[k] = d_z * smooth_step_slope(saved.step[k]) / l.gamma;
    sums[sum_at.bias + k] += d_step[k];
  }

  // H, through the keys, the values and the other blocks' residual.
  add_outer(h, s.d_keys, l.fields, d, sums + sum_at.key);
  add_outer(h, s.d_values, l.fields, d, sums + sum_at.value);
  if (l.is_first) fill(gradient, l.fields * d, 0.0f);
  times_transposed<true>(s.d_keys, l.fields, d, l.of(l.at.key), gradient);
  times_transposed<true>(s.d_values, l.fields, d, l.of(l.at.value), gradient);
}

}  // namespace
}  // namespace tafe
