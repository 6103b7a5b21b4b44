// Products of matrices whose elements are vectors of rows, in tiles that stay in registers.
#pragma once

#include <type_traits>

#include "lanes.h"

namespace tafe {
namespace {

// A matrix to multiply: element (line, term) lies at data[line * line_stride + term * term_stride].
template <class Element>
struct Operand {
  const Element* data;
  int64_t line_stride;
  int64_t term_stride;

  Operand from_line(int line) const { return {data + line * line_stride, line_stride, term_stride}; }
};

struct Result {
  Vector* data;
  int64_t row_stride;
  int64_t column_stride;

  Vector& at(int row, int column) const { return data[row * row_stride + column * column_stride]; }
  Result from(int row, int column) const { return {&at(row, column), row_stride, column_stride}; }
};

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

// The most rows that a tile can have; arrays that `End` indexes by row have as many.
constexpr int kMostRows = 16;

// Of a tile of this many rows, the columns whose sums fit in the registers, beside one vector for
// each column and one for a row.
constexpr int columns_of_tile(int rows) {
  const int columns = (kRegisters - 1) / (rows + 1);
  return columns < 1 ? 1 : columns;
}

// What a product does with a finished sum: by default it stores it.
struct Store {
  TAFE_INLINE Vector operator()(Vector sum, int, int) const { return sum; }
};

template <int ROWS, int COLUMNS, bool ADD, class X, class End>
TAFE_INLINE void tile(int terms, Operand<X> x, Operand<Vector> y, Result out, int row, int column,
                             const End& end) {
  Vector sums[ROWS][COLUMNS];
#pragma GCC unroll 32
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 32
    for (int j = 0; j < COLUMNS; ++j) sums[i][j] = ADD ? out.at(i, j) : Vector{};
  }
  for (int term = 0; term < terms; ++term) {
    Vector right[COLUMNS];
#pragma GCC unroll 32
    for (int j = 0; j < COLUMNS; ++j) right[j] = y.data[j * y.line_stride + term * y.term_stride];
#pragma GCC unroll 32
    for (int i = 0; i < ROWS; ++i) {
      const Vector left = Vector{} + x.data[i * x.line_stride + term * x.term_stride];
#pragma GCC unroll 32
      for (int j = 0; j < COLUMNS; ++j) sums[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 32
    for (int j = 0; j < COLUMNS; ++j) out.at(i, j) = end(sums[i][j], row + i, column + j);
  }
}

template <int ROWS, bool ADD, class X, class End>
void strip(int columns, int terms, Operand<X> x, Operand<Vector> y, Result out, int row, const End& end) {
  constexpr int wide = columns_of_tile(ROWS);
  int j = 0;
  for (; j + wide <= columns; j += wide) {
    tile<ROWS, wide, ADD>(terms, x, y.from_line(j), out.from(0, j), row, j, end);
  }
  if constexpr (wide > 2) {
    for (; j + 2 <= columns; j += 2) tile<ROWS, 2, ADD>(terms, x, y.from_line(j), out.from(0, j), row, j, end);
  }
  for (; j < columns; ++j) tile<ROWS, 1, ADD>(terms, x, y.from_line(j), out.from(0, j), row, j, end);
}

template <int COUNT>
using Rows = std::integral_constant<int, COUNT>;

// out[i, j] = end(sum over r of x[i, r] * y[j, r], i, j), added to what out holds if ADD.
//
// x holds weights (float) or numbers of the rows (Vector).
template <bool ADD = false, class X, class End = Store>
void product(int rows, int columns, int terms, Operand<X> x, Operand<Vector> y, Result out,
                    const End& end = End()) {
  int i = 0;
  const auto strips = [&](auto size) {
    constexpr int ROWS = decltype(size)::value;
    for (; i + ROWS <= rows; i += ROWS) {
      strip<ROWS, ADD>(columns, terms, x.from_line(i), y, out.from(i, 0), i, end);
    }
  };
  if (columns == 1) strips(Rows<kRegisters / 2>());  // one sum for each row: many rows hide the latency
  if constexpr (kRegisters == 32) {
    if (rows % 9 == 0) strips(Rows<9>());
    strips(Rows<8>());
  } else if (rows % 3 == 0) {
    strips(Rows<3>());
  }
  strips(Rows<4>());
  strips(Rows<1>());
}

}  // namespace
}  // namespace tafe
