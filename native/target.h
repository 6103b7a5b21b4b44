// What each target compiles: the three parts that threads share out.
#pragma once

#include "sizes.h"

namespace tafe {

// One call: a batch of rows, the model, and where everything lies.
struct Call {
  Sizes sizes;
  float gamma;
  const float* weights;  // flat, by WeightOffsets
  const float* task_queries;  // [L, N M, d]
  const float* h;  // [rows, F, d]
  int64_t rows;
  float* t;  // [rows, N, d]
  float* const* saved;  // of each layer, by group of rows and SavedOffsets; null to save nothing
  int64_t groups_of_task;  // of `lanes` rows, of one call of `forward`
  // Of the backward pass alone:
  const float* d_t;  // [rows, N, d]
  float* d_h;  // [rows, F, d]
  float* d_step;  // [L, groups, K] vectors
  float* sums;  // [chunks, L, SumOffsets::end]
  float* d_weights;  // flat
};

// Rows whose gradients are summed before those of others. The sums of chunks are added in order, so
// that their bits depend neither on the number of threads nor on who comes first.
constexpr int64_t kChunkRows = 64;

struct Target {
  const char* name;
  int lanes;
  // Floats that a thread needs.
  int64_t (*scratch)(const Sizes&);
  // Computes T of groups_of_task groups of rows.
  void (*forward)(const Call&, int64_t task, float* scratch);
  // Computes d_h, d_step and the sums of one chunk of rows.
  void (*backward)(const Call&, int64_t chunk, float* scratch);
  // Computes the gradient of one layer's selector for the inputs [from, to), over all rows.
  void (*selector_gradient)(const Call&, int layer, int64_t from, int64_t to);
};

#ifdef TARGET
extern const Target TARGET;
#endif

}  // namespace tafe
