// The kernel, compiled once for each target: with -DTARGET=its name, -DLANES and its -march.
#include "target.h"

#include "adapter.h"

#define TAFE_TEXT_OF(x) #x
#define TAFE_TEXT(x) TAFE_TEXT_OF(x)

namespace tafe {
namespace {

// Deals out a thread's memory; without any, it counts what is needed.
struct Memory {
  Vector* at;
  int64_t used = 0;

  Vector* take(int64_t vectors) {
    Vector* begin = at ? at + used : nullptr;
    used += vectors;
    return begin;
  }
};

constexpr int64_t kGroups = kChunkRows / LANES;  // of a chunk

struct Scratch {
  BlockScratch block;
  AdapterScratch adapter;
  Saved saved;  // of one group, where nothing is saved
  int64_t y_size;  // vectors of a group in `y`
  Vector *y, *t;  // of each group of a chunk, [F, d] or [K, d], and [N, d]; or their gradients
  Vector* sums;
  int64_t used;

  Scratch(const Sizes& s, float* memory) {
    const int64_t d = s.dim, n = s.tasks, k = s.inducing, queries = n * s.heads;
    const int64_t fields = s.fields > k ? s.fields : k;
    Memory m{(Vector*)memory};
    block.keys = m.take(fields * d);
    block.values = m.take(fields * d);
    block.queries = m.take(k * d);
    block.z = m.take(k);
    block.deviation = m.take(k);
    block.normal = m.take(k * d);
    block.scores = m.take(kPoints * fields);
    block.powers = m.take(kPoints * fields);
    block.d_keys = m.take(fields * d);
    block.d_values = m.take(fields * d);
    block.d_mixed = m.take(k * d);
    block.d_queries = m.take(k * d);
    adapter.attention = m.take(queries * k);
    adapter.context = m.take(queries * d);
    adapter.mixed = m.take(n * d);
    adapter.d_scores = m.take(queries * k);
    adapter.d_context = m.take(queries * d);
    adapter.d_mixed = m.take(n * d);
    saved.step = m.take(kGroups * k);
    saved.offset = m.take(s.heads * k);
    saved.inverse = m.take(s.heads * k);
    saved.mixed = m.take(k * d);
    saved.output = nullptr;
    saved.task_normal = m.take(n * d);
    saved.task_inverse = m.take(n);
    y_size = fields * d;
    y = m.take(kGroups * y_size);
    t = m.take(kGroups * n * d);
    sums = m.take(SumOffsets(s).end);
    used = m.used;
  }
};

int64_t scratch_size(const Sizes& s) { return Scratch(s, nullptr).used * LANES; }

Layer layer_of(const Call& c, int layer) {
  const Sizes& s = c.sizes;
  return Layer{
      (int)fields_of(s, layer),
      s.inducing,
      s.heads,
      s.dim,
      s.dim / s.heads,
      s.tasks,
      layer == 0,
      s.epsilon,
      c.gamma,
      c.weights,
      c.task_queries + (int64_t)layer * s.tasks * s.heads * s.dim,
      weights_of_layer(s, layer),
  };
}

int64_t groups_of(const Call& c) { return (c.rows + LANES - 1) / LANES; }

int rows_of_group(const Call& c, int64_t group) {
  const int64_t left = c.rows - group * LANES;
  return left < LANES ? (int)left : LANES;
}

// A range of groups of rows.
struct Groups {
  int64_t first, end;

  Groups(const Call& c, int64_t task, int64_t size) {
    first = task * size;
    end = first + size < groups_of(c) ? first + size : groups_of(c);
  }
  int count() const { return (int)(end - first); }
};

Vector* memory_of(const Call& c, int layer, int64_t group) {
  return (Vector*)c.saved[layer] + group * SavedOffsets(c.sizes, layer).end;
}

Saved saved_of(const Call& c, int layer, int64_t group) {
  const SavedOffsets at(c.sizes, layer);
  Vector* memory = memory_of(c, layer, group);
  return Saved{
      memory + at.step,
      memory + at.offset,
      memory + at.inverse,
      memory + at.mixed,
      memory + at.output,
      memory + at.task_normal,
      memory + at.task_inverse,
  };
}

// What a block reads: H, or the output of the block before. That of the next group lies `stride`
// vectors further.
struct Input {
  Vector* h;
  int64_t stride;

  Input(const Call& c, int layer, int64_t group) {
    const int from = layer == 0 ? 0 : layer - 1;
    const SavedOffsets at(c.sizes, from);
    h = memory_of(c, from, group) + (layer == 0 ? at.input : at.output);
    stride = at.end;
  }
  Input(Vector* h, int64_t stride) : h(h), stride(stride) {}
  Vector* of(int64_t i) const { return h + i * stride; }
};

void forward(const Call& c, int64_t task, float* memory) {
  const Sizes& s = c.sizes;
  const Scratch scratch(s, memory);
  const Groups groups(c, task, c.groups_of_task);
  const int64_t input_size = s.fields * s.dim, t_size = s.tasks * s.dim;
  const Input first = c.saved ? Input(c, 0, groups.first) : Input(scratch.y, scratch.y_size);
  for (int i = 0; i < groups.count(); ++i) {
    const int64_t group = groups.first + i;
    load_rows(c.h + group * LANES * input_size, input_size, rows_of_group(c, group), first.of(i));
  }
  for (int l = 0; l < s.layers; ++l) {
    const Layer layer = layer_of(c, l);
    const Input input = c.saved ? Input(c, l, groups.first) : first;
    Vector* steps = c.saved ? saved_of(c, l, groups.first).step : scratch.saved.step;
    select(layer, input.h, input.stride, groups.count(), steps, c.saved ? SavedOffsets(s, l).end : s.inducing);
    for (int i = 0; i < groups.count(); ++i) {
      Saved saved;
      if (c.saved) {
        saved = saved_of(c, l, groups.first + i);
      } else {
        saved = scratch.saved;
        saved.step += i * s.inducing;
        saved.output = input.of(i);
      }
      Vector* t = scratch.t + i * t_size;
      block_forward(layer, input.of(i), saved, scratch.block);
      adapter_forward(layer, saved.output, l == 0 ? nullptr : t, saved, scratch.adapter, t);
    }
  }
  for (int i = 0; i < groups.count(); ++i) {
    const int64_t group = groups.first + i;
    store_rows(scratch.t + i * t_size, t_size, rows_of_group(c, group), c.t + group * LANES * t_size);
  }
}

void backward(const Call& c, int64_t chunk, float* memory) {
  const Sizes& s = c.sizes;
  const Scratch scratch(s, memory);
  const SumOffsets sum_at(s);
  const Groups groups(c, chunk, kGroups);
  const int64_t input_size = s.fields * s.dim, t_size = s.tasks * s.dim;
  for (int i = 0; i < groups.count(); ++i) {
    const int64_t group = groups.first + i;
    const int rows = rows_of_group(c, group);
    Vector* d_t = scratch.t + i * t_size;
    load_rows(c.d_t + group * LANES * t_size, t_size, rows, d_t);
    for (int64_t j = 0; j < t_size; ++j) {
      for (int lane = rows; lane < LANES; ++lane) d_t[j][lane] = 0.0f;  // lanes of no row add nothing
    }
  }
  fill(scratch.y, groups.count() * scratch.y_size, 0.0f);
  for (int l = s.layers - 1; l >= 0; --l) {
    const Layer layer = layer_of(c, l);
    const Input input(c, l, groups.first);
    Vector* d_steps = (Vector*)c.d_step + (l * groups_of(c) + groups.first) * s.inducing;
    fill(scratch.sums, sum_at.end, 0.0f);
    for (int i = 0; i < groups.count(); ++i) {
      const Saved saved = saved_of(c, l, groups.first + i);
      Vector* d_t = scratch.t + i * t_size;
      Vector* d_y = scratch.y + i * scratch.y_size;
      adapter_backward(layer, saved.output, saved, sum_at, scratch.sums, scratch.adapter, d_t, d_y);
      block_backward(layer, input.of(i), saved, sum_at, scratch.sums, scratch.block, d_y, d_steps + i * s.inducing);
    }
    select_back(layer, d_steps, groups.count(), scratch.y, scratch.y_size);
    sum_lanes(scratch.sums, sum_at.end, c.sums + (chunk * s.layers + l) * sum_at.end);
  }
  for (int i = 0; i < groups.count(); ++i) {
    const int64_t group = groups.first + i;
    store_rows(scratch.y + i * scratch.y_size, input_size, rows_of_group(c, group), c.d_h + group * LANES * input_size);
  }
}

void selector_gradient(const Call& c, int layer, int64_t from, int64_t to) {
  const Sizes& s = c.sizes;
  const int points = s.inducing;
  const int64_t groups = groups_of(c);
  const Vector* d_step = (const Vector*)c.d_step + layer * groups * points;
  float* gradient = c.d_weights + weights_of_layer(s, layer).selector;
  const Input input(c, layer, 0);
  const Operand<Vector> inputs{input.h, 1, input.stride};
  const Operand<Vector> steps{d_step, 1, points};
  constexpr int kInputs = 16, kMostPoints = 64;
  Vector sums[kInputs * kMostPoints];
  for (int64_t i = from; i < to; i += kInputs) {
    const int count = to - i < kInputs ? (int)(to - i) : kInputs;
    for (int k = 0; k < points; k += kMostPoints) {
      const int width = points - k < kMostPoints ? points - k : kMostPoints;
      product(count, width, (int)groups, inputs.from_line((int)i), steps.from_line(k), Result{sums, width, 1});
      for (int row = 0; row < count; ++row) sum_lanes(sums + row * width, width, gradient + (i + row) * points + k);
    }
  }
}

}  // namespace

const Target TARGET = {
    TAFE_TEXT(TARGET), LANES, scratch_size, forward, backward, selector_gradient,
};

}  // namespace tafe
