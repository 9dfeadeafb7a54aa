//! A fixed row of places for values that are handed over between threads.
//!
//! What always holds: nothing here decides who may touch a place; the queue that owns the row
//! does, and says why in its own `SAFETY:` comments. Dropping the row drops no value.
//! Left to others: synchronisation, and dropping what is still inside.
//!
//! # Invariants
//! * **INV-1** The length never changes, and an index below it is always a valid place.

use std::{collections::TryReserveError, mem::MaybeUninit, ptr};

use crate::sync::UnsafeCell;

type Place<T> = UnsafeCell<MaybeUninit<T>>;

/// Places for values, used as a circle by the run forms.
pub(crate) struct Cells<T>(Box<[Place<T>]>);

// SAFETY: values enter on one thread and leave on another, which needs `T: Send`; the owner makes
// sure that no two threads touch a place at once, so that no `&T` is ever shared.
unsafe impl<T: Send> Send for Cells<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Cells<T> {}

impl<T> Cells<T> {
    /// A row of `length` empty places.
    pub(crate) fn new(length: usize) -> Result<Self, TryReserveError> {
        let mut places = Vec::new();
        places.try_reserve_exact(length)?;
        places.extend((0..length).map(|_| UnsafeCell::new(MaybeUninit::uninit())));
        Ok(Self(places.into_boxed_slice()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first place, for looking at values where they are.
    #[cfg(not(loom))]
    pub(crate) fn as_ptr(&self) -> *const T {
        self.0.as_ptr().cast()
    }

    /// Begins to fetch the line of a place, in the row or not; a hint and nothing more.
    #[inline(always)]
    pub(crate) fn prefetch(&self, index: usize) {
        prefetch(self.0.as_ptr().wrapping_add(index));
    }

    #[inline(always)]
    fn place(&self, index: usize) -> &Place<T> {
        debug_assert!(index < self.0.len());
        // SAFETY: callers pass an index below the length (their contract, INV-1).
        unsafe { self.0.get_unchecked(index) }
    }

    /// Moves a value in.
    ///
    /// # Safety
    /// `index` is below the length, and the caller alone may touch the place, which is empty.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, index: usize, value: T) {
        // SAFETY: the caller's contract.
        self.place(index).with_mut(|place| unsafe { place.write(MaybeUninit::new(value)) });
    }

    /// Moves a value out.
    ///
    /// # Safety
    /// `index` is below the length, and the caller alone may touch the place, which holds a value.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, index: usize) -> T {
        // SAFETY: the caller's contract.
        self.place(index).with(|place| unsafe { ptr::read(place).assume_init() })
    }

    /// Moves `count` values in from `source`, from place `first` on and around the end.
    ///
    /// # Safety
    /// As [`Cells::write`] for each place; `count` is at most the length; `source` holds `count`
    /// values that the caller gives away.
    #[inline]
    pub(crate) unsafe fn write_run(&self, first: usize, source: *const T, count: usize) {
        let until_end = count.min(self.len() - first);
        // SAFETY: both pieces lie inside the row, and are the caller's.
        unsafe {
            self.write_straight(first, source, until_end);
            self.write_straight(0, source.add(until_end), count - until_end);
        }
    }

    /// Moves `count` values out to `target`, from place `first` on and around the end.
    ///
    /// # Safety
    /// As [`Cells::read`] for each place; `count` is at most the length; `target` has room.
    #[inline]
    pub(crate) unsafe fn read_run(&self, first: usize, target: *mut T, count: usize) {
        let until_end = count.min(self.len() - first);
        // SAFETY: both pieces lie inside the row, and are the caller's.
        unsafe {
            self.read_straight(first, target, until_end);
            self.read_straight(0, target.add(until_end), count - until_end);
        }
    }

    #[cfg(not(loom))]
    #[inline(always)]
    unsafe fn write_straight(&self, first: usize, source: *const T, count: usize) {
        // A place is as large as its value (`repr(transparent)`), and the interior is mutable.
        let target = self.0.as_ptr().wrapping_add(first).cast::<T>().cast_mut();
        // SAFETY: the caller's contract; the places are not the source.
        unsafe { ptr::copy_nonoverlapping(source, target, count) };
    }

    #[cfg(not(loom))]
    #[inline(always)]
    unsafe fn read_straight(&self, first: usize, target: *mut T, count: usize) {
        let source = self.0.as_ptr().wrapping_add(first).cast::<T>();
        // SAFETY: the caller's contract; the places are not the target.
        unsafe { ptr::copy_nonoverlapping(source, target, count) };
    }

    // Place by place, so that loom sees each access.
    #[cfg(loom)]
    unsafe fn write_straight(&self, first: usize, source: *const T, count: usize) {
        for offset in 0..count {
            // SAFETY: the caller's contract.
            unsafe { self.write(first + offset, ptr::read(source.add(offset))) };
        }
    }

    #[cfg(loom)]
    unsafe fn read_straight(&self, first: usize, target: *mut T, count: usize) {
        for offset in 0..count {
            // SAFETY: the caller's contract.
            unsafe { target.add(offset).write(self.read(first + offset)) };
        }
    }
}

/// Begins to fetch a line for reading, wherever it points; a hint and nothing more.
#[inline(always)]
pub(crate) fn prefetch<P>(at: *const P) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: a prefetch never faults and changes no memory.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    let _ = at;
}
