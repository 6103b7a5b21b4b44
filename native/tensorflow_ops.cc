// The kernel as TensorFlow operations on a CPU, by TensorFlow's stable C interface:
//
// TafeScore(h, gamma, weights) -> t
// TafeForward(h, gamma, weights) -> t, saved of each layer
// TafeBackward(gamma, weights, saved of each layer, d_t) -> d_h, d_weights
//
// Loading the library registers them.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "kernel.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace {

const char* const kAttributes[] = {
    "fields: int >= 1", "inducing: int >= 1", "heads: int >= 1",   "dim: int >= 1",
    "tasks: int >= 1",  "layers: int >= 1",   "threads: int >= 1", "epsilon: float",
};

// What an operation is made with.
struct Settings {
  tafe_sizes sizes;
  int threads;
};

struct DeleteStatus {
  void operator()(TF_Status* status) const { TF_DeleteStatus(status); }
};
struct DeleteTensor {
  void operator()(TF_Tensor* tensor) const { TF_DeleteTensor(tensor); }
};
using Status = std::unique_ptr<TF_Status, DeleteStatus>;
using Tensor = std::unique_ptr<TF_Tensor, DeleteTensor>;

bool is_ok(const Status& status) { return TF_GetCode(status.get()) == TF_OK; }

void* create(TF_OpKernelConstruction* context) {
  const Status status(TF_NewStatus());
  auto settings = std::make_unique<Settings>();
  const auto read = [&](const char* name) {
    int64_t value = 1;
    if (is_ok(status)) TF_OpKernelConstruction_GetAttrInt64(context, name, &value, status.get());
    return (int32_t)value;
  };
  tafe_sizes& sizes = settings->sizes;
  sizes.fields = read("fields");
  sizes.inducing = read("inducing");
  sizes.heads = read("heads");
  sizes.dim = read("dim");
  sizes.tasks = read("tasks");
  sizes.layers = read("layers");
  settings->threads = read("threads");
  if (is_ok(status)) {
    TF_OpKernelConstruction_GetAttrFloat(context, "epsilon", &sizes.epsilon, status.get());
  }
  if (is_ok(status) && sizes.dim % sizes.heads != 0) {
    TF_SetStatus(status.get(), TF_INVALID_ARGUMENT, "heads must divide dim");
  }
  if (!is_ok(status)) TF_OpKernelConstruction_Failure(context, status.get());
  return settings.release();
}

void destroy(void* settings) { delete (Settings*)settings; }

// One run of an operation: its inputs and outputs, and the first thing that went wrong.
class Run {
 public:
  explicit Run(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}

  ~Run() {
    if (!ok()) TF_OpKernelContext_Failure(context_, status_.get());
  }

  bool ok() const { return is_ok(status_); }

  void fail(TF_Code code, const std::string& message) { TF_SetStatus(status_.get(), code, message.c_str()); }

  // The numbers of input i; -1 in `shape` stands for any size, which then is in `rows`.
  float* input(int i, const std::vector<int64_t>& shape, int64_t* rows = nullptr) {
    if (!ok()) return nullptr;
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context_, i, &tensor, status_.get());
    if (!ok()) return nullptr;
    tensors_.emplace_back(tensor);
    bool fits = TF_NumDims(tensor) == (int)shape.size();
    for (int axis = 0; fits && axis < (int)shape.size(); ++axis) {
      const int64_t size = TF_Dim(tensor, axis);
      fits = shape[axis] == -1 || shape[axis] == size;
      if (shape[axis] == -1) *rows = size;
    }
    if (!fits) {
      fail(TF_INVALID_ARGUMENT, "input " + std::to_string(i) + " has another shape than the operation's attributes say");
      return nullptr;
    }
    return (float*)TF_TensorData(tensor);
  }

  float* output(int i, const std::vector<int64_t>& shape) {
    if (!ok()) return nullptr;
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    TF_Tensor* tensor = TF_AllocateOutput(context_, i, TF_FLOAT, shape.data(), (int)shape.size(),
                                          (size_t)count * sizeof(float), status_.get());
    if (!ok()) return nullptr;
    tensors_.emplace_back(tensor);
    return (float*)TF_TensorData(tensor);
  }

  // Output i, or an input, that vectors are kept in.
  float* aligned(float* data) {
    if (ok() && (uintptr_t)data % 64 != 0) fail(TF_INTERNAL, "a tensor does not lie at a multiple of 64 bytes");
    return data;
  }

  void finish(int result) {
    if (result != 0) fail(TF_RESOURCE_EXHAUSTED, "not enough memory");
  }

 private:
  TF_OpKernelContext* context_;
  Status status_;
  std::vector<Tensor> tensors_;
};

void forward(const Settings& settings, TF_OpKernelContext* context, bool saves) {
  const tafe_sizes& sizes = settings.sizes;
  Run run(context);
  int64_t rows = 0;
  const float* h = run.input(0, {-1, sizes.fields, sizes.dim}, &rows);
  const float* gamma = run.input(1, {});
  const float* weights = run.input(2, {tafe_count_weights(&sizes)});
  float* t = run.output(0, {rows, sizes.tasks, sizes.dim});
  std::vector<float*> saved;
  for (int layer = 0; saves && layer < sizes.layers; ++layer) {
    saved.push_back(run.aligned(run.output(1 + layer, {tafe_count_saved(&sizes, layer, rows)})));
  }
  if (!run.ok() || rows == 0) return;
  run.finish(tafe_forward(&sizes, *gamma, weights, h, rows, settings.threads, t, saves ? saved.data() : nullptr));
}

void score(void* settings, TF_OpKernelContext* context) { forward(*(Settings*)settings, context, false); }

void train(void* settings, TF_OpKernelContext* context) { forward(*(Settings*)settings, context, true); }

void backward(void* settings_, TF_OpKernelContext* context) {
  const Settings& settings = *(Settings*)settings_;
  const tafe_sizes& sizes = settings.sizes;
  Run run(context);
  const float* gamma = run.input(0, {});
  const float* weights = run.input(1, {tafe_count_weights(&sizes)});
  int64_t rows = 0;
  const float* d_t = run.input(2 + sizes.layers, {-1, sizes.tasks, sizes.dim}, &rows);
  std::vector<float*> saved;
  for (int layer = 0; layer < sizes.layers; ++layer) {
    saved.push_back(run.aligned(run.input(2 + layer, {tafe_count_saved(&sizes, layer, rows)})));
  }
  float* d_h = run.output(0, {rows, sizes.fields, sizes.dim});
  float* d_weights = run.output(1, {tafe_count_weights(&sizes)});
  if (!run.ok()) return;
  run.finish(tafe_backward(&sizes, *gamma, weights, rows, settings.threads, saved.data(), d_t, d_h, d_weights));
}

void unknown_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

void define(const char* name, std::vector<const char*> inputs, std::vector<const char*> outputs,
            void (*compute)(void*, TF_OpKernelContext*)) {
  TF_OpDefinitionBuilder* operation = TF_NewOpDefinitionBuilder(name);
  for (const char* attribute : kAttributes) TF_OpDefinitionBuilderAddAttr(operation, attribute);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(operation, input);
  for (const char* output : outputs) TF_OpDefinitionBuilderAddOutput(operation, output);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(operation, unknown_shapes);
  const Status status(TF_NewStatus());
  TF_RegisterOpDefinition(operation, status.get());
  if (is_ok(status)) {
    TF_KernelBuilder* kernel = TF_NewKernelBuilder(name, "CPU", create, compute, destroy);
    TF_RegisterKernelBuilder(name, kernel, status.get());
  }
  if (!is_ok(status)) std::fprintf(stderr, "tafe_tf: %s: %s\n", name, TF_Message(status.get()));
}

const bool defined = [] {
  define("TafeScore", {"h: float", "gamma: float", "weights: float"}, {"t: float"}, score);
  define("TafeForward", {"h: float", "gamma: float", "weights: float"}, {"t: float", "saved: layers * float"}, train);
  define("TafeBackward", {"gamma: float", "weights: float", "saved: layers * float", "d_t: float"},
         {"d_h: float", "d_weights: float"}, backward);
  return true;
}();

}  // namespace
