// Runs the kernel on arrays of exactly the size that it asks for, so that a sanitizer sees any access
// beyond them; finds whether threads change a bit of the results, and whether all are finite.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "kernel.h"

namespace {

struct Aligned {
  float* data;
  int64_t count;

  explicit Aligned(int64_t count) : count(count) {
    if (posix_memalign((void**)&data, 64, count * sizeof(float)) != 0) std::abort();
    std::memset(data, 0xff, count * sizeof(float));  // NaN: what is read before it is written shows
  }
  ~Aligned() { std::free(data); }
};

struct Results {
  std::vector<float> t, scored, d_h, d_weights;
};

Results run(const tafe_sizes& sizes, int64_t rows, int threads) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 0.4f);
  const auto drawn = [&](int64_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    values.shrink_to_fit();
    return values;
  };
  const std::vector<float> weights = drawn(tafe_count_weights(&sizes));
  const std::vector<float> h = drawn(rows * sizes.fields * sizes.dim);
  const std::vector<float> d_t = drawn(rows * sizes.tasks * sizes.dim);
  Results r;
  r.t.resize(d_t.size());
  r.scored.resize(d_t.size());
  r.d_h.resize(h.size());
  r.d_weights.resize(weights.size());
  std::vector<Aligned*> kept;
  std::vector<float*> saved;
  for (int layer = 0; layer < sizes.layers; ++layer) {
    kept.push_back(new Aligned(tafe_count_saved(&sizes, layer, rows)));
    saved.push_back(kept.back()->data);
  }
  int failed = tafe_forward(&sizes, 2.0f, weights.data(), h.data(), rows, threads, r.scored.data(), nullptr);
  failed |= tafe_forward(&sizes, 2.0f, weights.data(), h.data(), rows, threads, r.t.data(), saved.data());
  failed |= tafe_backward(&sizes, 2.0f, weights.data(), rows, threads, saved.data(), d_t.data(), r.d_h.data(),
                          r.d_weights.data());
  for (Aligned* memory : kept) delete memory;
  if (failed) std::abort();
  return r;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool finite(const std::vector<float>& values) {
  for (float value : values) {
    if (!(value - value == 0.0f)) return false;
  }
  return true;
}

}  // namespace

int main() {
  const tafe_sizes models[] = {
      {23, 64, 2, 18, 2, 2, 1e-3f}, {3, 4, 2, 4, 2, 1, 1e-3f}, {1, 9, 3, 9, 1, 3, 1e-3f},
      {30, 17, 5, 10, 4, 2, 1e-3f}, {2, 1, 1, 1, 1, 2, 1e-3f}, {5, 8, 1, 32, 2, 1, 1e-3f},
  };
  int runs = 0;
  for (const char* target : {"x86_64_v4", "x86_64_v3", "x86_64_v2", "aarch64"}) {
    if (tafe_use_target(target) != 0) continue;
    for (const tafe_sizes& sizes : models) {
      for (int64_t rows : {1, 17, 64, 130}) {
        const Results one = run(sizes, rows, 1);
        const Results three = run(sizes, rows, 3);
        const bool equal = same(one.t, three.t) && same(one.scored, one.t) && same(one.d_h, three.d_h) &&
                           same(one.d_weights, three.d_weights);
        if (!equal || !finite(one.t) || !finite(one.d_h) || !finite(one.d_weights)) {
          std::printf("%s: %s with %d fields, %d rows\n", target, equal ? "not finite" : "not equal", sizes.fields,
                      (int)rows);
          return 1;
        }
        ++runs;
      }
    }
  }
  std::printf("%d runs\n", runs);
  return 0;
}
