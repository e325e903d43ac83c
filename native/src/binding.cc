/* The only C++ and the only file that knows Node. It unpacks arguments, calls C and returns: types, lengths and row
 * numbers were checked by lib/checked.ts. No state but each thread's scratch, so any number of workers may load it. */
#include <nan.h>

#include "kernels.h"
#include "system.h"

namespace {

using Info = Nan::FunctionCallbackInfo<v8::Value>;

/* The kernels hold no JavaScript, so their working memory may belong to the thread: it is freed when a worker ends,
 * also by terminate(). */
struct Scratch : drift_scratch {
  Scratch() : drift_scratch{} {}
  ~Scratch() { drift_scratch_free(this); }
};
thread_local Scratch scratch;

/* The elements of a typed array, on a shared buffer too, and valid while the call lasts. */
template <typename T>
T *view(const Info &info, int i) {
  v8::Local<v8::ArrayBufferView> view = info[i].As<v8::ArrayBufferView>();
  return reinterpret_cast<T *>(static_cast<char *>(view->Buffer()->Data()) + view->ByteOffset());
}

size_t length(const Info &info, int i) { return info[i].As<v8::TypedArray>()->Length(); }

size_t size(const Info &info, int i) { return static_cast<size_t>(info[i].As<v8::Number>()->Value()); }

drift_metric metric(const Info &info, int i) { return size(info, i) == DRIFT_IP ? DRIFT_IP : DRIFT_L2; }

/* The variant that the function was made for. */
const drift_kernels *kernels(const Info &info) { return drift_variant(info.Data().As<v8::Int32>()->Value()); }

void number(const Info &info, double value) { info.GetReturnValue().Set(value); }

NAN_METHOD(distances) {
  kernels(info)->distances(metric(info, 0), view<float>(info, 1), view<float>(info, 2), size(info, 3), size(info, 4),
                           size(info, 5), view<float>(info, 6));
}

NAN_METHOD(distancesGather) {
  kernels(info)->distances_gather(metric(info, 0), view<float>(info, 1), view<float>(info, 2), size(info, 3),
                                  view<uint32_t>(info, 4), size(info, 5), view<float>(info, 6));
}

NAN_METHOD(nearest) {
  kernels(info)->nearest(view<float>(info, 0), size(info, 1), view<uint32_t>(info, 2), size(info, 3),
                         view<float>(info, 4), size(info, 5), view<uint32_t>(info, 6), view<float>(info, 7));
}

NAN_METHOD(sq8Encode) {
  kernels(info)->sq8_encode(view<float>(info, 0), size(info, 1), size(info, 2), size(info, 3), view<uint8_t>(info, 4),
                            view<float>(info, 5));
}

NAN_METHOD(sq8Query) {
  kernels(info)->sq8_query(view<float>(info, 0), length(info, 0), view<int8_t>(info, 1), view<float>(info, 2));
}

NAN_METHOD(sq8Distances) {
  kernels(info)->sq8_distances(metric(info, 0), view<int8_t>(info, 1), view<float>(info, 2), view<uint8_t>(info, 3),
                               view<float>(info, 4), size(info, 5), size(info, 6), size(info, 7),
                               view<float>(info, 8));
}

NAN_METHOD(sq8DistancesGather) {
  kernels(info)->sq8_distances_gather(metric(info, 0), view<int8_t>(info, 1), view<float>(info, 2),
                                      view<uint8_t>(info, 3), view<float>(info, 4), size(info, 5),
                                      view<uint32_t>(info, 6), size(info, 7), view<float>(info, 8));
}

NAN_METHOD(topK) {
  number(info, static_cast<double>(kernels(info)->top_k(view<float>(info, 0), size(info, 1), size(info, 2),
                                                        view<uint32_t>(info, 3), view<float>(info, 4))));
}

NAN_METHOD(hnswInsert) {
  size_t dim = size(info, 3);
  number(info, static_cast<double>(kernels(info)->hnsw_insert(view<uint32_t>(info, 0), metric(info, 1),
                                                              view<float>(info, 2), length(info, 2) / dim, dim,
                                                              size(info, 4), &scratch)));
}

NAN_METHOD(hnswSearch) {
  size_t dim = size(info, 3);
  number(info, static_cast<double>(kernels(info)->hnsw_search(
                   view<uint32_t>(info, 0), metric(info, 1), view<float>(info, 2), length(info, 2) / dim, dim,
                   view<float>(info, 4), size(info, 5), view<uint32_t>(info, 6), length(info, 6),
                   view<uint32_t>(info, 7), view<float>(info, 8), length(info, 7), &scratch)));
}

NAN_METHOD(collectRows) {
  number(info, static_cast<double>(drift_collect_rows(
                   view<uint32_t>(info, 0), view<uint32_t>(info, 1), length(info, 1), view<uint32_t>(info, 2),
                   view<uint32_t>(info, 3), size(info, 4), view<uint32_t>(info, 5), view<uint32_t>(info, 6),
                   view<uint32_t>(info, 7), length(info, 7), static_cast<uint32_t>(size(info, 8)),
                   static_cast<uint32_t>(size(info, 9)), view<uint32_t>(info, 10), length(info, 10))));
}

NAN_METHOD(crc32c) {
  number(info, drift_crc32c(view<uint8_t>(info, 0), length(info, 0), static_cast<uint32_t>(size(info, 1))));
}

NAN_METHOD(hash64) {
  uint64_t seed = info[1].As<v8::BigInt>()->Uint64Value();
  uint64_t hash = drift_hash64(view<uint8_t>(info, 0), length(info, 0), seed);
  info.GetReturnValue().Set(v8::BigInt::NewFromUnsigned(info.GetIsolate(), hash));
}

size_t element_bytes(const Info &info, int i) { return info[i]->IsFloat64Array() ? 8 : 4; }

NAN_METHOD(floatPageEncode) {
  number(info, static_cast<double>(kernels(info)->float_page_encode(element_bytes(info, 0), view<char>(info, 0),
                                                                    length(info, 0), view<uint8_t>(info, 1))));
}

NAN_METHOD(floatPageDecode) {
  number(info, kernels(info)->float_page_decode(element_bytes(info, 3), view<uint8_t>(info, 0), length(info, 0),
                                                size(info, 1), size(info, 2), length(info, 3), view<char>(info, 3)));
}

NAN_METHOD(bitsPack) {
  kernels(info)->bits_pack(view<uint64_t>(info, 0), length(info, 0), size(info, 1), view<uint8_t>(info, 2));
}

NAN_METHOD(bitsUnpack) {
  kernels(info)->bits_unpack(view<uint8_t>(info, 0), length(info, 2), size(info, 1), view<uint64_t>(info, 2));
}

NAN_METHOD(lockFile) {
  number(info, drift_flock(static_cast<int>(size(info, 0)), info[1]->IsTrue(), info[2]->IsTrue()));
}

NAN_METHOD(adviseHugePages) { drift_advise_huge_pages(view<char>(info, 0), length(info, 0)); }

/* Memory of dropped slabs is address space that the collector does not feel: it has to be told that it has run out. */
NAN_METHOD(collectGarbage) { info.GetIsolate()->LowMemoryNotification(); }

void add(v8::Local<v8::Object> to, const char *name, Nan::FunctionCallback function, int variant = 0) {
  v8::Local<v8::FunctionTemplate> made = Nan::New<v8::FunctionTemplate>(function, Nan::New(variant));
  Nan::Set(to, Nan::New(name).ToLocalChecked(), Nan::GetFunction(made).ToLocalChecked());
}

/* exports = { flock, adviseHugePages, collectGarbage, variants: { name: { kernels } } }, slowest first. */
NAN_MODULE_INIT(init) {
  add(target, "flock", lockFile);
  add(target, "adviseHugePages", adviseHugePages);
  add(target, "collectGarbage", collectGarbage);
  v8::Local<v8::Object> variants = Nan::New<v8::Object>();
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    if (!drift_variant(i)) continue;
    v8::Local<v8::Object> set = Nan::New<v8::Object>();
    add(set, "distances", distances, i);
    add(set, "distancesGather", distancesGather, i);
    add(set, "nearest", nearest, i);
    add(set, "sq8Encode", sq8Encode, i);
    add(set, "sq8Query", sq8Query, i);
    add(set, "sq8Distances", sq8Distances, i);
    add(set, "sq8DistancesGather", sq8DistancesGather, i);
    add(set, "topK", topK, i);
    add(set, "hnswInsert", hnswInsert, i);
    add(set, "hnswSearch", hnswSearch, i);
    add(set, "collectRows", collectRows);
    add(set, "crc32c", crc32c);
    add(set, "hash64", hash64);
    add(set, "floatPageEncode", floatPageEncode, i);
    add(set, "floatPageDecode", floatPageDecode, i);
    add(set, "bitsPack", bitsPack, i);
    add(set, "bitsUnpack", bitsUnpack, i);
    Nan::Set(variants, Nan::New(drift_variant_name(i)).ToLocalChecked(), set);
  }
  Nan::Set(target, Nan::New("variants").ToLocalChecked(), variants);
}

}  // namespace

NAN_MODULE_WORKER_ENABLED(drift, init)
