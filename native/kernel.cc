// Chooses the target, and shares the rows out among threads.
#include "kernel.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "target.h"

namespace tafe {

#if defined(__x86_64__)
extern const Target x86_64_v2, x86_64_v3, x86_64_v4;
#else
extern const Target aarch64;
#endif

namespace {

// The targets that this machine can run, the best one first.
std::vector<const Target*> supported() {
  std::vector<const Target*> targets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (has_v4) targets.push_back(&x86_64_v4);
  if (has_v3) targets.push_back(&x86_64_v3);
  if (__builtin_cpu_supports("sse4.2")) targets.push_back(&x86_64_v2);
#else
  targets.push_back(&aarch64);
#endif
  return targets;
}

std::atomic<const Target*>& chosen() {
  static std::atomic<const Target*> target{supported().empty() ? nullptr : supported().front()};
  return target;
}

// Memory at an address that any vector may lie at.
class Floats {
 public:
  explicit Floats(int64_t count) : data_((float*)std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64)) {}
  float* data() const { return data_.get(); }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float, Free> data_;
};

int64_t rounded(int64_t floats) { return (floats + 15) / 16 * 16; }

// Calls function(task, worker) for every task below `count`, on up to `threads` threads.
//
// The threads end with the call: that costs some ten microseconds, and no thread of ours is lost
// when a process forks.
template <class Function>
void share(int64_t count, int threads, const Function& function) {
  std::atomic<int64_t> next{0};
  const auto work = [&](int worker) {
    for (int64_t task = next++; task < count; task = next++) function(task, worker);
  };
  std::vector<std::thread> others;
  for (int worker = 1; worker < threads && worker < count; ++worker) others.emplace_back(work, worker);
  work(0);
  for (std::thread& other : others) other.join();
}

int64_t divided(int64_t count, int64_t by) { return (count + by - 1) / by; }

// alpha_m W^K_m^T / sqrt(e) of all layers, tasks and heads, [L, N M, d].
std::vector<float> task_queries(const Sizes& s, const float* weights) {
  const int64_t d = s.dim, e = d / s.heads;
  const float by = 1.0f / std::sqrt((float)e);
  std::vector<float> queries((int64_t)s.layers * s.tasks * s.heads * d, 0.0f);
  float* query = queries.data();
  for (int layer = 0; layer < s.layers; ++layer) {
    const WeightOffsets at = weights_of_layer(s, layer);
    for (int task = 0; task < s.tasks; ++task) {
      const float* indicator = weights + at.indicators + task * d;
      const float* key = weights + at.task_key + task * d * d;
      for (int head = 0; head < s.heads; ++head, query += d) {
        for (int64_t c = 0; c < d; ++c) {
          for (int64_t a = head * e; a < (head + 1) * e; ++a) query[c] += indicator[a] * key[c * d + a] * by;
        }
      }
    }
  }
  return queries;
}

// The gradients of alpha and W^K from that of their product.
void task_queries_back(const Sizes& s, const float* weights, int layer, const float* d_query, float* d_weights) {
  const int64_t d = s.dim, e = d / s.heads;
  const float by = 1.0f / std::sqrt((float)e);
  const WeightOffsets at = weights_of_layer(s, layer);
  std::memset(d_weights + at.indicators, 0, sizeof(float) * s.tasks * d);
  for (int task = 0; task < s.tasks; ++task) {
    const float* indicator = weights + at.indicators + task * d;
    const float* key = weights + at.task_key + task * d * d;
    float* d_indicator = d_weights + at.indicators + task * d;
    float* d_key = d_weights + at.task_key + task * d * d;
    for (int head = 0; head < s.heads; ++head, d_query += d) {
      for (int64_t c = 0; c < d; ++c) {
        for (int64_t a = head * e; a < (head + 1) * e; ++a) {
          d_indicator[a] += d_query[c] * key[c * d + a] * by;
          d_key[c * d + a] = d_query[c] * indicator[a] * by;
        }
      }
    }
  }
}

// What forward and backward are both told.
Call call_of(const Sizes& s, float gamma, const float* weights, const std::vector<float>& queries, int64_t rows,
             float* const* saved) {
  Call call{};
  call.sizes = s;
  call.gamma = gamma;
  call.weights = weights;
  call.task_queries = queries.data();
  call.rows = rows;
  call.saved = saved;
  return call;
}

// Adds the chunks' sums, in their order, to the gradients of a layer's weights.
void add_chunks(const Call& c, int layer, int64_t chunks) {
  const Sizes& s = c.sizes;
  const SumOffsets from(s);
  const WeightOffsets to = weights_of_layer(s, layer);
  const int64_t d = s.dim, n = s.tasks, k = s.inducing;
  std::vector<float> total(from.end, 0.0f);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const float* sums = c.sums + (chunk * s.layers + layer) * from.end;
    for (int64_t i = 0; i < from.end; ++i) total[i] += sums[i];
  }
  const auto copy = [&](int64_t source, int64_t target, int64_t count) {
    std::memcpy(c.d_weights + target, total.data() + source, sizeof(float) * count);
  };
  copy(from.bias, to.bias, k);
  copy(from.inducing, to.inducing, k * d);
  copy(from.key, to.key, d * d);
  copy(from.value, to.value, d * d);
  copy(from.output, to.output, d * d);
  copy(from.scale, to.scale, d);
  copy(from.shift, to.shift, d);
  copy(from.task_value, to.task_value, n * d * d);
  copy(from.task_output, to.task_output, n * d * d);
  copy(from.task_scale, to.task_scale, n * d);
  copy(from.task_shift, to.task_shift, n * d);
  task_queries_back(s, c.weights, layer, total.data() + from.task_queries, c.d_weights);
}

}  // namespace
}  // namespace tafe

using namespace tafe;

const char* tafe_target() { return chosen().load()->name; }

int tafe_use_target(const char* name) {
  for (const Target* target : supported()) {
    if (std::strcmp(target->name, name) == 0) {
      chosen() = target;
      return 0;
    }
  }
  return 1;
}

int64_t tafe_count_weights(const tafe_sizes* sizes) { return count_weights(*sizes); }

int64_t tafe_count_saved(const tafe_sizes* sizes, int layer, int64_t rows) {
  const int lanes = chosen().load()->lanes;
  return divided(rows, lanes) * lanes * SavedOffsets(*sizes, layer).end;
}

int tafe_forward(const tafe_sizes* sizes, float gamma, const float* weights, const float* h, int64_t rows, int threads,
                 float* t, float* const* saved) {
  const Target& target = *chosen().load();
  const std::vector<float> queries = task_queries(*sizes, weights);
  Call call = call_of(*sizes, gamma, weights, queries, rows, saved);
  call.h = h;
  call.t = t;
  const int64_t groups = divided(rows, target.lanes);
  call.groups_of_task = std::min(kChunkRows / target.lanes, divided(groups, threads));
  const int64_t size = rounded(target.scratch(*sizes));
  const Floats scratch(size * threads);
  if (!scratch) return 1;
  share(divided(groups, call.groups_of_task), threads, [&](int64_t task, int worker) {
    target.forward(call, task, scratch.data() + worker * size);
  });
  return 0;
}

int tafe_backward(const tafe_sizes* sizes, float gamma, const float* weights, int64_t rows, int threads,
                  float* const* saved, const float* d_t, float* d_h, float* d_weights) {
  const Target& target = *chosen().load();
  const std::vector<float> queries = task_queries(*sizes, weights);
  const int64_t chunks = divided(rows, kChunkRows);
  const int64_t groups = divided(rows, target.lanes);
  const int64_t size = rounded(target.scratch(*sizes));
  const Floats scratch(size * threads);
  const Floats d_step(rounded(sizes->layers * groups * target.lanes * sizes->inducing));
  const Floats sums(rounded(chunks * sizes->layers * SumOffsets(*sizes).end));
  if (!scratch || !d_step || !sums) return 1;
  Call call = call_of(*sizes, gamma, weights, queries, rows, saved);
  call.d_t = d_t;
  call.d_h = d_h;
  call.d_step = d_step.data();
  call.sums = sums.data();
  call.d_weights = d_weights;
  share(chunks, threads, [&](int64_t chunk, int worker) {
    target.backward(call, chunk, scratch.data() + worker * size);
  });
  constexpr int64_t inputs = 64;  // of a selector at a time
  std::vector<std::pair<int, int64_t>> tasks;
  for (int layer = 0; layer < sizes->layers; ++layer) {
    add_chunks(call, layer, chunks);
    const int64_t size_of_input = fields_of(*sizes, layer) * sizes->dim;
    for (int64_t from = 0; from < size_of_input; from += inputs) tasks.emplace_back(layer, from);
  }
  share((int64_t)tasks.size(), threads, [&](int64_t task, int) {
    const auto [layer, from] = tasks[task];
    const int64_t end = fields_of(*sizes, layer) * sizes->dim;
    target.selector_gradient(call, layer, from, from + inputs < end ? from + inputs : end);
  });
  return 0;
}
