// Vectors of LANES numbers, each lane of which is a row of the batch.
//
// Whatever is computed for one row is computed for LANES rows at once: every number of the model is
// such a vector, every weight a scalar. So nothing is padded, transposed or summed across lanes.
// All of it is in an unnamed namespace: each target compiles its own, and the linker must not take
// one target's function for another's.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#define TAFE_INLINE inline __attribute__((always_inline))

namespace tafe {
namespace {

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float UnalignedVector __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

TAFE_INLINE Vector broadcast(float x) { return Vector{} + x; }

// One instruction, whose result is b where either is NaN.
TAFE_INLINE Vector maximum(Vector a, Vector b) { return a > b ? a : b; }
TAFE_INLINE Vector minimum(Vector a, Vector b) { return a < b ? a : b; }

// NaN stays NaN.
TAFE_INLINE Vector clip(Vector x, float low, float high) {
  return minimum(broadcast(high), maximum(broadcast(low), x));
}

TAFE_INLINE Vector reciprocal_root(Vector x) {
  Vector y;
  for (int lane = 0; lane < LANES; ++lane) y[lane] = 1.0f / std::sqrt(x[lane]);
  return y;
}

// log2(e): e^x = 2^(kLogTwo x).
constexpr float kLogTwo = 1.44269504f;

// 2^x to 1e-7 of itself, for x <= 127; from -126 down it is 2^-126. NaN stays NaN.
//
// x = n + r with whole n and |r| <= 1/2: 2^r by Cephes's polynomial, 2^n by adding n to the bits of
// the exponent. Adding 1.5 * 2^23 rounds to a whole number, which then is in the low bits.
TAFE_INLINE Vector power_of_two(Vector x) {
  const float rounder = 12582912.0f;
  x = maximum(broadcast(-126.0f), x);
  const Vector rounded = x + rounder;
  const Vector r = x - (rounded - rounder);
  Vector p = r * 1.535336188319500e-4f + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  p = p * r + 1.0f;
  const Integers exponent = (Integers)rounded << 23;
  return (Vector)((Integers)p + exponent);
}

// Takes a lane of a and one of b in turn, from lane FIRST of both on.
template <int FIRST, int... LANE>
TAFE_INLINE Vector interleave(Vector a, Vector b, std::integer_sequence<int, LANE...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, (LANE % 2 ? LANES : 0) + FIRST + LANE / 2 ...);
#else
  return __builtin_shuffle(a, b, Integers{(LANE % 2 ? LANES : 0) + FIRST + LANE / 2 ...});
#endif
}

// Transposes a square of LANES vectors, by log2(LANES) rounds of interleaving.
TAFE_INLINE void transpose(Vector* square) {
  constexpr int half = LANES / 2;
  constexpr std::make_integer_sequence<int, LANES> lanes;
#pragma GCC unroll 4
  for (int done = 1; done < LANES; done *= 2) {
    Vector next[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) {
      next[2 * i] = interleave<0>(square[i], square[i + half], lanes);
      next[2 * i + 1] = interleave<half>(square[i], square[i + half], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i) square[i] = next[i];
  }
}

// Reads rows of `size` numbers, [rows, size] -> [size] vectors. Where there are fewer than LANES
// rows, the last one fills the other lanes.
void load_rows(const float* from, int64_t size, int rows, Vector* to) {
  int64_t i = 0;
  if (rows == LANES) {
    for (; i + LANES <= size; i += LANES) {
      Vector square[LANES];
#pragma GCC unroll 16
      for (int row = 0; row < LANES; ++row) square[row] = *(const UnalignedVector*)(from + row * size + i);
      transpose(square);
#pragma GCC unroll 16
      for (int k = 0; k < LANES; ++k) to[i + k] = square[k];
    }
  }
  for (; i < size; ++i) {
    for (int lane = 0; lane < LANES; ++lane) {
      const int row = lane < rows ? lane : rows - 1;
      to[i][lane] = from[row * size + i];
    }
  }
}

// Writes rows of `size` numbers, [size] vectors -> [rows, size].
void store_rows(const Vector* from, int64_t size, int rows, float* to) {
  int64_t i = 0;
  if (rows == LANES) {
    for (; i + LANES <= size; i += LANES) {
      Vector square[LANES];
#pragma GCC unroll 16
      for (int k = 0; k < LANES; ++k) square[k] = from[i + k];
      transpose(square);
#pragma GCC unroll 16
      for (int row = 0; row < LANES; ++row) *(UnalignedVector*)(to + row * size + i) = square[row];
    }
  }
  for (; i < size; ++i) {
    for (int row = 0; row < rows; ++row) to[row * size + i] = from[i][row];
  }
}

// Sums each of `count` vectors over its lanes.
void sum_lanes(const Vector* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    Vector square[LANES];
#pragma GCC unroll 16
    for (int k = 0; k < LANES; ++k) square[k] = from[i + k];
    transpose(square);
    Vector sum = square[0];
#pragma GCC unroll 16
    for (int lane = 1; lane < LANES; ++lane) sum += square[lane];
    *(UnalignedVector*)(to + i) = sum;
  }
  for (; i < count; ++i) {
    float sum = from[i][0];
    for (int lane = 1; lane < LANES; ++lane) sum += from[i][lane];
    to[i] = sum;
  }
}

void fill(Vector* to, int64_t count, float value) {
  for (int64_t i = 0; i < count; ++i) to[i] = broadcast(value);
}

}  // namespace
}  // namespace tafe
