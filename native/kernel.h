// The kernel's interface in C: TAFE between the embeddings and the heads, forward and backward.
//
// All arrays are float32, row after row. Every function may be called from several threads at once.
#pragma once

#include "sizes.h"

extern "C" {

// The instruction set that this machine's calls use: x86_64_v2, x86_64_v3, x86_64_v4 or aarch64.
const char* tafe_target();

// Takes another target than the best one, for tests; returns 0, or 1 if this machine lacks it.
int tafe_use_target(const char* name);

// Number of weights, in the order of `WeightOffsets`, layer after layer.
int64_t tafe_count_weights(const tafe_sizes*);

// Number of floats that `tafe_forward` saves of one layer.
int64_t tafe_count_saved(const tafe_sizes*, int layer, int64_t rows);

// Computes T [rows, N, d] from H [rows, F, d].
//
// `saved` holds an array for each layer, of tafe_count_saved floats at an address divisible by 64;
// it is null where no backward pass follows. Returns 0, or 1 if there is not enough memory.
int tafe_forward(const tafe_sizes*, float gamma, const float* weights, const float* h, int64_t rows, int threads,
                 float* t, float* const* saved);

// Computes the gradients of H and of all weights from that of T. Returns as `tafe_forward` does.
//
// The bits of the gradients do not depend on the number of threads.
int tafe_backward(const tafe_sizes*, float gamma, const float* weights, int64_t rows, int threads,
                  float* const* saved, const float* d_t, float* d_h, float* d_weights);

}  // extern "C"
