//! Counting what is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// Allocated and not freed; below 0 where another thread has allocated.
    static KEPT: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread. A test binary makes it its own:
/// `#[global_allocator] static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;`
#[derive(Debug)]
pub struct CountingAllocator;

fn count(size: usize) {
    // A thread that is being torn down is not a test.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    keep(size);
}

fn keep(size: usize) {
    let _ = KEPT.try_with(|kept| kept.set(kept.get().saturating_add_unsigned(size as u64)));
}

fn free(size: usize) {
    let _ = KEPT.try_with(|kept| kept.set(kept.get().saturating_sub_unsigned(size as u64)));
}

// SAFETY: every call is passed to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        free(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        free(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How many allocations `run` makes on this thread, moves to a larger place included.
pub fn allocations<T>(run: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.with(Cell::get);
    let result = run();
    (COUNT.with(Cell::get) - before, result)
}

/// The bytes of the largest allocation that `run` makes on this thread; 0 where the allocator is
/// another.
pub fn largest_allocation<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = LARGEST.replace(0);
    let result = run();
    let largest = LARGEST.get();
    LARGEST.set(before.max(largest));
    (largest, result)
}

/// How many bytes more are allocated on this thread after `run` than before. What one thread
/// allocates and another frees counts for both.
pub fn kept_bytes<T>(run: impl FnOnce() -> T) -> (i64, T) {
    let before = KEPT.get();
    let result = run();
    (KEPT.get() - before, result)
}
