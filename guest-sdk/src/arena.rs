//! The allocator of a handler: a bump over a static arena, then the system's.
//!
//! A handler lives for one request, so what it frees is rarely needed again,
//! and its host pays for every page that it asks for: a `memory.grow` costs
//! more than most handlers. As long as an invocation fits into the arena it
//! needs none.

#![allow(unsafe_code, reason = "an allocator implements an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Room for a request of the usual size, in bytes. The host zeroes what was
/// used of it, so a larger one would cost nothing but address space.
#[cfg(target_family = "wasm")]
const ARENA_BYTES: usize = 128 * 1024;

#[cfg(target_family = "wasm")]
#[global_allocator]
static ARENA: Arena<ARENA_BYTES> = Arena::new();

/// `N` bytes, handed out from the start on.
#[repr(align(16))]
pub struct Arena<const N: usize> {
    bytes: UnsafeCell<[u8; N]>,
    used: Cell<usize>,
}

// SAFETY: a guest of this contract has one thread. `Sync` is claimed on that
// target alone; the tests on the host use arenas of their own.
#[cfg(target_family = "wasm")]
unsafe impl<const N: usize> Sync for Arena<N> {}

impl<const N: usize> Arena<N> {
    pub const fn new() -> Self {
        Self { bytes: UnsafeCell::new([0; N]), used: Cell::new(0) }
    }

    fn base(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// The next bytes of this layout, or null when they do not fit.
    fn bump(&self, layout: Layout) -> *mut u8 {
        let free = self.base().addr() + self.used.get();
        let padding = free.next_multiple_of(layout.align()) - free;
        let Some(start) = self.used.get().checked_add(padding) else { return ptr::null_mut() };
        match start.checked_add(layout.size()) {
            Some(end) if end <= N => {
                self.used.set(end);
                self.base().wrapping_add(start)
            }
            _ => ptr::null_mut(),
        }
    }

    /// Where `pointer` lies in the arena, if it does.
    fn offset(&self, pointer: *mut u8) -> Option<usize> {
        pointer.addr().checked_sub(self.base().addr()).filter(|&offset| offset < N)
    }

    /// Whether the allocation is the latest, behind which all is free.
    fn is_last(&self, offset: usize, layout: Layout) -> bool {
        offset + layout.size() == self.used.get()
    }
}

// SAFETY: `bump` hands out each byte once until it is given back, aligned and
// within the arena. Pointers from outside the arena came from `System` and go
// back there. An arena may give memory that was used before, so nothing is
// claimed about its contents: `alloc_zeroed` is the trait's own.
unsafe impl<const N: usize> GlobalAlloc for Arena<N> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let pointer = self.bump(layout);
        if pointer.is_null() {
            // SAFETY: the caller's promise about the layout is passed on.
            return unsafe { System.alloc(layout) };
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset(pointer) {
            Some(offset) if self.is_last(offset, layout) => self.used.set(offset),
            Some(_) => {}
            // SAFETY: it is not of the arena, so `System` gave it.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(pointer) else {
            // SAFETY: it is not of the arena, so `System` gave it.
            return unsafe { System.realloc(pointer, layout, size) };
        };
        // Strings and vectors grow at the end far more often than elsewhere.
        if self.is_last(offset, layout) && size <= N - offset {
            self.used.set(offset + size);
            return pointer;
        }
        // SAFETY: the caller promises that `size` and this alignment are valid.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are valid for the shorter length, and `new` is
            // memory that nobody else holds.
            unsafe { ptr::copy_nonoverlapping(pointer, new, layout.size().min(size)) };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a valid layout")
    }

    #[test]
    fn allocations_are_aligned_and_apart() {
        let arena = Arena::<1024>::new();
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for (size, align) in [(1, 1), (8, 8), (3, 1), (16, 16), (5, 4), (64, 32)] {
            // SAFETY: no layout is empty, and nothing is written.
            let start = unsafe { arena.alloc(layout(size, align)) }.addr();
            assert_eq!(start % align, 0);
            assert!(taken.iter().all(|&(from, to)| start >= to || start + size <= from));
            taken.push((start, start + size));
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_the_system() {
        let arena = Arena::<64>::new();
        let large = layout(65, 1);
        // SAFETY: every pointer is used with the layout it was made with.
        unsafe {
            let pointer = arena.alloc(large);
            assert_eq!(arena.offset(pointer), None);
            pointer.write_bytes(7, 65);
            let pointer = arena.realloc(pointer, large, 130);
            assert_eq!(pointer.add(64).read(), 7);
            arena.dealloc(pointer, layout(130, 1));
        }
        assert_eq!(arena.used.get(), 0);
    }

    #[test]
    fn growing_keeps_the_contents() {
        let arena = Arena::<256>::new();
        let small = layout(4, 1);
        // SAFETY: every pointer is used with the layout it was made with.
        unsafe {
            let first = arena.alloc(small);
            first.write_bytes(1, 4);
            assert_eq!(arena.realloc(first, small, 8), first, "the last one grows in place");
            let second = arena.alloc(small);
            let moved = arena.realloc(first, layout(8, 1), 16);
            assert_ne!(moved, first, "another lies behind it");
            assert_eq!(moved.read(), 1);
            let outside = arena.realloc(second, small, 1024);
            assert_eq!(arena.offset(outside), None, "the arena is too small");
            arena.dealloc(outside, layout(1024, 1));
        }
    }

    #[test]
    fn the_last_allocation_is_given_back() {
        let arena = Arena::<64>::new();
        for _ in 0..100 {
            // SAFETY: the pointer is given back with its own layout.
            unsafe {
                let pointer = arena.alloc(layout(48, 8));
                assert!(arena.offset(pointer).is_some());
                arena.dealloc(pointer, layout(48, 8));
            }
        }
    }
}
