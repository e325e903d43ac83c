/* The only C++ and the only file that knows Node. It unpacks arguments, calls C and returns: types, lengths and row
 * numbers were checked by lib/checked.ts. No state but each thread's scratch and the thread that touches memory ahead, so any number of workers may load it. */
#include <nan.h>

#include <uv.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>

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
float real(const Info &info, int i) { return static_cast<float>(info[i].As<v8::Number>()->Value()); }

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

NAN_METHOD(nearestByHeads) {
  number(info, static_cast<double>(kernels(info)->nearest_by_heads(
                   view<float>(info, 0), size(info, 1), view<uint32_t>(info, 2), size(info, 3), view<float>(info, 4),
                   size(info, 5), view<float>(info, 6), size(info, 7), view<float>(info, 8),
                   real(info, 9), view<uint32_t>(info, 10),
                   view<float>(info, 11))));
}

NAN_METHOD(project) {
  number(info, kernels(info)->project(view<float>(info, 0), size(info, 1), view<uint32_t>(info, 2), size(info, 3),
                                      view<float>(info, 4), view<float>(info, 5), size(info, 6),
                                      view<float>(info, 7)));
}

NAN_METHOD(sumRows) {
  kernels(info)->sum_rows(view<float>(info, 0), size(info, 1), view<uint32_t>(info, 2), view<uint32_t>(info, 3),
                          size(info, 4), view<double>(info, 5));
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

/* The rows of a graph: values and dim at 2, from `codes` on perhaps codes and factors. */
drift_rows rows(const Info &info, int codes, size_t code_dim) {
  drift_rows rows = {view<float>(info, 2), nullptr, nullptr, 0, size(info, 3), code_dim};
  rows.count = length(info, 2) / rows.dim;
  if (info[codes]->IsUndefined()) return rows;
  rows.codes = view<uint8_t>(info, codes);
  rows.factors = view<float>(info, codes + 1);
  rows.count = std::min({rows.count, length(info, codes) / code_dim, length(info, codes + 1) / 2});
  return rows;
}

NAN_METHOD(hnswInsert) {
  drift_rows all = rows(info, 5, size(info, 7));
  number(info, static_cast<double>(kernels(info)->hnsw_insert(view<uint32_t>(info, 0), metric(info, 1), &all,
                                                              size(info, 4), &scratch)));
}

NAN_METHOD(hnswSearch) {
  drift_rows all = rows(info, 11, info[9]->IsUndefined() ? 0 : length(info, 9));
  number(info, static_cast<double>(kernels(info)->hnsw_search(
                   view<uint32_t>(info, 0), metric(info, 1), &all, view<float>(info, 4),
                   all.codes ? view<int8_t>(info, 9) : nullptr, all.codes ? view<float>(info, 10) : nullptr,
                   size(info, 5), view<uint32_t>(info, 6), length(info, 6), view<uint32_t>(info, 7),
                   view<float>(info, 8), length(info, 7), &scratch)));
}

NAN_METHOD(rotate) {
  size_t padded = size(info, 2);
  kernels(info)->rotate(view<float>(info, 0), size(info, 1), padded, size(info, 3), size(info, 4),
                        view<uint32_t>(info, 5), length(info, 5) / padded, view<float>(info, 6));
}

NAN_METHOD(squaredLengths) {
  kernels(info)->squared_lengths(view<float>(info, 0), size(info, 1), size(info, 2), view<double>(info, 3));
}

NAN_METHOD(normalise) { kernels(info)->normalise(view<float>(info, 0), size(info, 1), size(info, 2), view<float>(info, 3)); }

NAN_METHOD(encodeRows) {
  size_t padded = size(info, 6);
  number(info, static_cast<double>(kernels(info)->encode_rows(
                   view<float>(info, 0), size(info, 1), view<uint32_t>(info, 2), length(info, 2), info[3]->IsTrue(),
                   view<float>(info, 4), view<uint32_t>(info, 5), padded, view<uint32_t>(info, 7),
                   length(info, 7) / padded, view<uint32_t>(info, 8), view<uint8_t>(info, 9), view<float>(info, 10),
                   &scratch)));
}

/* A drift_index lies in a Uint8Array that lib/native-kernels.ts keeps: only it makes and passes one. */
NAN_METHOD(describeIndex) {
  drift_index index = {};
  index.metric = metric(info, 1);
  index.routing = metric(info, 2);
  index.dim = size(info, 3);
  index.padded = size(info, 4);
  index.flips = view<uint32_t>(info, 5);
  index.rounds = length(info, 5) / index.padded;
  index.vectors = info[6]->IsUndefined() ? nullptr : view<float>(info, 6);
  index.codes = view<uint8_t>(info, 7);
  index.factors = view<float>(info, 8);
  index.live = view<uint32_t>(info, 9);
  index.centroids = view<float>(info, 10);
  index.centroid_codes = view<uint8_t>(info, 11);
  index.centroid_factors = view<float>(info, 12);
  index.router = view<uint8_t>(info, 13);
  index.center = view<float>(info, 14);
  index.heads = view<uint32_t>(info, 15);
  index.sizes = view<uint32_t>(info, 16);
  index.lives = view<uint32_t>(info, 17);
  index.next = view<uint32_t>(info, 18);
  index.block_count = length(info, 18);
  index.blocks = view<uint8_t>(info, 19);
  index.groups = info[20]->IsUndefined() ? nullptr : view<drift_index>(info, 20);
  index.bucket_count = size(info, 21);
  index.reads_all = info[22]->IsTrue();
  index.codebooks = info[23]->IsUndefined() ? nullptr : view<float>(info, 23);
  memcpy(view<uint8_t>(info, 0), &index, sizeof index);
}

drift_index indexOf(const Info &info) {
  drift_index index;
  memcpy(&index, view<uint8_t>(info, 0), sizeof index);
  return index;
}

/* The numbers of a search, in the order in which lib/native-kernels.ts writes them. An argument each would cost every call a microsecond. */
struct Numbers {
  double row_limit, bucket_count, k, probes, floor, by_rank, by_ratio, by_size, mean_lives, rerank, part, parts, extra_count,
      least, near, flat, flat_times, far, far_times;
  double at; /* first result of indexSearch, results of a query of indexSearchMany */
  double first, count;
  double tail_words;
};

/* What is asked for, in argument 1 and from 6 on. */
drift_query askOf(const Info &info, drift_index *index) {
  const Numbers &numbers = *view<Numbers>(info, 1);
  index->row_limit = static_cast<size_t>(numbers.row_limit);
  index->bucket_count = static_cast<size_t>(numbers.bucket_count);
  drift_query ask = {};
  ask.k = static_cast<size_t>(numbers.k);
  ask.probes = static_cast<size_t>(numbers.probes);
  ask.floor = static_cast<float>(numbers.floor);
  ask.by_rank = static_cast<float>(numbers.by_rank);
  ask.by_ratio = static_cast<float>(numbers.by_ratio);
  ask.by_size = static_cast<float>(numbers.by_size);
  ask.mean_lives = static_cast<float>(numbers.mean_lives);
  ask.rerank = static_cast<size_t>(numbers.rerank);
  ask.part = static_cast<size_t>(numbers.part);
  ask.parts = static_cast<size_t>(numbers.parts);
  ask.extra = view<uint32_t>(info, 6);
  ask.extra_count = static_cast<size_t>(numbers.extra_count);
  ask.least = static_cast<size_t>(numbers.least);
  ask.near = static_cast<float>(numbers.near);
  ask.flat = static_cast<float>(numbers.flat);
  ask.flat_times = static_cast<float>(numbers.flat_times);
  ask.far = static_cast<float>(numbers.far);
  ask.far_times = static_cast<float>(numbers.far_times);
  if (!info[7]->IsUndefined()) {
    ask.allow = view<uint32_t>(info, 7);
    ask.allow_words = length(info, 7);
    ask.counts = view<uint32_t>(info, 8);
    ask.masks = view<uint32_t>(info, 9);
  }
  ask.tail_words = static_cast<size_t>(numbers.tail_words);
  if (ask.tail_words > 0) ask.tails = view<uint32_t>(info, 10);
  return ask;
}

NAN_METHOD(indexSearch) {
  drift_index index = indexOf(info);
  drift_query ask = askOf(info, &index);
  if (!info[11]->IsUndefined()) {
    ask.trace = reinterpret_cast<drift_probe *>(view<uint32_t>(info, 11));
    ask.trace_room = length(info, 11) / (sizeof(drift_probe) / 4);
  }
  drift_effort effort = {};
  size_t at = static_cast<size_t>(view<Numbers>(info, 1)->at);
  int64_t found = kernels(info)->index_search(&index, &ask, view<float>(info, 2), &scratch, view<uint32_t>(info, 3) + at,
                                              view<float>(info, 4) + at, &effort);
  uint32_t *out = view<uint32_t>(info, 5);
  out[0] = effort.buckets;
  out[1] = effort.entries;
  out[2] = effort.rows;
  number(info, static_cast<double>(found));
}

NAN_METHOD(indexSearchMany) {
  drift_index index = indexOf(info);
  drift_query ask = askOf(info, &index);
  const Numbers &numbers = *view<Numbers>(info, 1);
  const float *queries = view<float>(info, 2);
  uint32_t *rows = view<uint32_t>(info, 3), *counts = view<uint32_t>(info, 5);
  float *distances = view<float>(info, 4);
  size_t stride = static_cast<size_t>(numbers.at), first = static_cast<size_t>(numbers.first);
  size_t end = first + static_cast<size_t>(numbers.count);
  for (size_t q = first; q < end; q++) {
    drift_effort effort;
    int64_t found = kernels(info)->index_search(&index, &ask, queries + q * index.dim, &scratch, rows + q * stride,
                                                distances + q * stride, &effort);
    if (found < 0) return number(info, static_cast<double>(found));
    counts[q] = static_cast<uint32_t>(found);
  }
  number(info, 0);
}

NAN_METHOD(indexAppend) {
  drift_index index = indexOf(info);
  number(info, static_cast<double>(kernels(info)->index_append(&index, view<uint32_t>(info, 1), view<uint32_t>(info, 2),
                                                               view<uint32_t>(info, 3), size(info, 4), &scratch)));
}

NAN_METHOD(indexAppendTail) {
  drift_index index = indexOf(info);
  number(info, static_cast<double>(kernels(info)->index_append_tail(&index, view<float>(info, 1), view<uint32_t>(info, 2),
                                                                    view<uint32_t>(info, 3), size(info, 4), &scratch)));
}

NAN_METHOD(indexCopy) {
  drift_index index = indexOf(info);
  kernels(info)->index_copy(&index, view<uint32_t>(info, 1), view<uint32_t>(info, 2), size(info, 3));
}

NAN_METHOD(indexCompact) {
  drift_index index = indexOf(info);
  const uint32_t *home = view<uint32_t>(info, 1), *second = view<uint32_t>(info, 2);
  number(info, static_cast<double>(kernels(info)->index_compact(
                   &index, home, second, length(info, 1), static_cast<uint32_t>(size(info, 3)),
                   static_cast<uint32_t>(size(info, 4)), size(info, 5), static_cast<uint32_t>(size(info, 6)), size(info, 7),
                   &scratch)));
}

NAN_METHOD(indexRouteEntries) {
  drift_index index = indexOf(info);
  kernels(info)->index_route_entries(&index, size(info, 1), size(info, 2));
}

NAN_METHOD(indexAssign) {
  drift_index index = indexOf(info);
  index.bucket_count = size(info, 1);
  size_t first = size(info, 3), width = size(info, 8);
  const uint32_t *near = info[7]->IsUndefined() ? nullptr : view<uint32_t>(info, 7) + first * width;
  uint32_t *second = info[6]->IsUndefined() ? nullptr : view<uint32_t>(info, 6) + first;
  const float *weights = info[9]->IsUndefined() ? nullptr : view<float>(info, 9);
  number(info, static_cast<double>(kernels(info)->index_assign(&index, view<uint32_t>(info, 2) + first, size(info, 4), near,
                                                               width, weights, view<uint32_t>(info, 5) + first, second,
                                                               &scratch)));
}

NAN_METHOD(indexNear) {
  drift_index index = indexOf(info);
  index.bucket_count = size(info, 1);
  size_t first = size(info, 3), width = size(info, 5);
  number(info, static_cast<double>(kernels(info)->index_near(&index, view<uint32_t>(info, 2) + first, size(info, 4), width,
                                                             view<uint32_t>(info, 6) + first * width, &scratch)));
}

NAN_METHOD(indexHalve) {
  drift_index index = indexOf(info);
  number(info, static_cast<double>(kernels(info)->index_halve(&index, view<uint32_t>(info, 1), size(info, 2), size(info, 3),
                                                              real(info, 4), real(info, 5), view<uint32_t>(info, 6),
                                                              view<float>(info, 7), view<uint8_t>(info, 8), &scratch)));
}

NAN_METHOD(indexNeighbours) {
  drift_index index = indexOf(info);
  index.bucket_count = size(info, 1);
  number(info, static_cast<double>(kernels(info)->index_neighbours(&index, size(info, 2), size(info, 3), size(info, 4),
                                                                   view<uint32_t>(info, 5), &scratch)));
}

NAN_METHOD(crc32c) {
  number(info, kernels(info)->crc32c(view<uint8_t>(info, 0), length(info, 0), static_cast<uint32_t>(size(info, 1))));
}

NAN_METHOD(bitsAnd) {
  number(info, static_cast<double>(drift_bits_and(view<uint32_t>(info, 0), view<uint32_t>(info, 1), size(info, 2),
                                                  view<uint32_t>(info, 3))));
}

NAN_METHOD(hash64) {
  uint64_t seed = info[1].As<v8::BigInt>()->Uint64Value();
  uint64_t hash = drift_hash64(view<uint8_t>(info, 0), length(info, 0), seed);
  info.GetReturnValue().Set(v8::BigInt::NewFromUnsigned(info.GetIsolate(), hash));
}

NAN_METHOD(lutDistances) {
  kernels(info)->lut_distances(view<float>(info, 0), size(info, 1), view<uint8_t>(info, 2), size(info, 3),
                               size(info, 4), view<float>(info, 5));
}

NAN_METHOD(fastScan) {
  kernels(info)->fast_scan(view<uint8_t>(info, 0), size(info, 1), view<uint8_t>(info, 2), size(info, 3), size(info, 4),
                           view<uint16_t>(info, 5));
}

NAN_METHOD(affineDistances) {
  kernels(info)->affine_distances(metric(info, 0), view<float>(info, 1), view<float>(info, 2), view<uint8_t>(info, 3),
                                  size(info, 4), size(info, 5), size(info, 6), view<float>(info, 7));
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

NAN_METHOD(giveWay) { drift_give_way(); }

/* Memory that a thread of its own touches, which keeps it until then. One such thread at a time in the process. */
struct Touching {
  std::shared_ptr<v8::BackingStore> memory;
  char *start;
  size_t bytes;
};

std::mutex touching_mutex;
uv_thread_t touching_thread;
bool has_touching_thread = false;
std::atomic<bool> is_touching{false};

void touch(void *touching) {
  Touching *one = static_cast<Touching *>(touching);
  drift_touch(one->start, one->bytes);
  delete one;
  is_touching = false;
}

void join_touching_thread() {
  if (has_touching_thread) uv_thread_join(&touching_thread);
  has_touching_thread = false;
}

/* Returns false when the thread is busy or there is none: nothing happens then. */
NAN_METHOD(touchAhead) {
  std::lock_guard<std::mutex> lock(touching_mutex);
  bool started = false;
  if (!is_touching) {
    join_touching_thread();
    v8::Local<v8::SharedArrayBuffer> buffer =
        info[0].As<v8::ArrayBufferView>()->Buffer().As<v8::Object>().As<v8::SharedArrayBuffer>();
    Touching *one = new Touching{buffer->GetBackingStore(), view<char>(info, 0), length(info, 0)};
    is_touching = true;
    started = has_touching_thread = uv_thread_create(&touching_thread, touch, one) == 0;
    if (!started) {
      is_touching = false;
      delete one;
    }
  }
  info.GetReturnValue().Set(started);
}

/* Before an environment takes its memory down. */
void end_touching(void *) {
  std::lock_guard<std::mutex> lock(touching_mutex);
  join_touching_thread();
}

/* Memory of dropped slabs is address space that the collector does not feel: it has to be told that it has run out. */
NAN_METHOD(collectGarbage) { info.GetIsolate()->LowMemoryNotification(); }

void add(v8::Local<v8::Object> to, const char *name, Nan::FunctionCallback function, int variant = 0) {
  v8::Local<v8::FunctionTemplate> made = Nan::New<v8::FunctionTemplate>(function, Nan::New(variant));
  Nan::Set(to, Nan::New(name).ToLocalChecked(), Nan::GetFunction(made).ToLocalChecked());
}

/* exports = { flock, adviseHugePages, giveWay, touchAhead, collectGarbage, variants: { name: { kernels } } }, slowest first. */
NAN_MODULE_INIT(init) {
  add(target, "flock", lockFile);
  add(target, "adviseHugePages", adviseHugePages);
  add(target, "giveWay", giveWay);
  add(target, "touchAhead", touchAhead);
  node::AddEnvironmentCleanupHook(v8::Isolate::GetCurrent(), end_touching, nullptr);
  add(target, "collectGarbage", collectGarbage);
  add(target, "describeIndex", describeIndex);
  Nan::Set(target, Nan::New("indexBytes").ToLocalChecked(), Nan::New(static_cast<uint32_t>(sizeof(drift_index))));
  v8::Local<v8::Object> variants = Nan::New<v8::Object>();
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    if (!drift_variant(i)) continue;
    v8::Local<v8::Object> set = Nan::New<v8::Object>();
    add(set, "distances", distances, i);
    add(set, "distancesGather", distancesGather, i);
    add(set, "nearest", nearest, i);
    add(set, "nearestByHeads", nearestByHeads, i);
    add(set, "project", project, i);
    add(set, "sumRows", sumRows, i);
    add(set, "sq8Encode", sq8Encode, i);
    add(set, "sq8Query", sq8Query, i);
    add(set, "sq8Distances", sq8Distances, i);
    add(set, "sq8DistancesGather", sq8DistancesGather, i);
    add(set, "topK", topK, i);
    add(set, "hnswInsert", hnswInsert, i);
    add(set, "hnswSearch", hnswSearch, i);
    add(set, "lutDistances", lutDistances, i);
    add(set, "fastScan", fastScan, i);
    add(set, "affineDistances", affineDistances, i);
    add(set, "rotate", rotate, i);
    add(set, "squaredLengths", squaredLengths, i);
    add(set, "normalise", normalise, i);
    add(set, "encodeRows", encodeRows, i);
    add(set, "indexSearch", indexSearch, i);
    add(set, "indexSearchMany", indexSearchMany, i);
    add(set, "indexAppend", indexAppend, i);
    add(set, "indexAppendTail", indexAppendTail, i);
    add(set, "indexCopy", indexCopy, i);
    add(set, "indexCompact", indexCompact, i);
    add(set, "indexRouteEntries", indexRouteEntries, i);
    add(set, "indexAssign", indexAssign, i);
    add(set, "indexNear", indexNear, i);
    add(set, "indexHalve", indexHalve, i);
    add(set, "indexNeighbours", indexNeighbours, i);
    add(set, "crc32c", crc32c, i);
    add(set, "hash64", hash64);
    add(set, "bitsAnd", bitsAnd);
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
