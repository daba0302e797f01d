// Work over the threads of XLA's pool. Who does an item never changes its result.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace native {

// Runs work(item) for every item below `items`, on the caller's thread and at most `threads` - 1
// others (0: as many as the pool has).
//
// The caller takes items like everyone else and waits only for those that a running thread has
// taken, so that it comes to an end even when every thread of the pool is itself such a caller
// (several devices on one CPU). A helper that starts too late finds nothing and touches only `shared`.
template <typename Work>
void parallel(xla::ffi::ThreadPool pool, int64_t threads, int64_t items, const Work& work) {
  struct Shared {
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::mutex mutex;
    std::condition_variable finished;
  };
  auto shared = std::make_shared<Shared>();
  auto take = [shared, items, &work] {
    int64_t mine = 0;
    for (int64_t item; (item = shared->next.fetch_add(1)) < items; ++mine) work(item);
    if (mine == 0) return;
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->done += mine;
    if (shared->done == items) shared->finished.notify_all();
  };
  if (threads <= 0) threads = std::max<int64_t>(pool.num_threads(), 1);
  for (int64_t helper = 1; helper < std::min(threads, items); ++helper) pool.Schedule(decltype(take)(take));
  take();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->done == items; });
}

}  // namespace native
