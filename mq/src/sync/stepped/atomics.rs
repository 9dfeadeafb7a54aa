//! Atomics that take a step before each access.

use std::sync::atomic;

use super::{Ordering, step};

/// As [`atomic::fence`].
#[inline]
#[track_caller]
pub fn fence(ordering: Ordering) {
    step("fence");
    atomic::fence(ordering);
}

macro_rules! methods {
    ($value:ty: $($method:ident)+) => {$(
        #[inline]
        #[track_caller]
        pub fn $method(&self, value: $value, ordering: Ordering) -> $value {
            step(stringify!($method));
            self.0.$method(value, ordering)
        }
    )+};
}

macro_rules! atomic {
    ($name:ident $(<$type:ident>)?, $value:ty: $($method:ident)*) => {
        #[doc = concat!("As [`atomic::", stringify!($name), "`], with a step before each access.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name $(<$type>)? (atomic::$name $(<$type>)?);

        #[allow(missing_docs, reason = "as the standard ones")]
        impl $(<$type>)? $name $(<$type>)? {
            pub const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            #[inline]
            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $value {
                step("load");
                self.0.load(ordering)
            }

            #[inline]
            #[track_caller]
            pub fn store(&self, value: $value, ordering: Ordering) {
                step("store");
                self.0.store(value, ordering);
            }

            methods! { $value: swap $($method)* }

            #[inline]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step("compare_exchange");
                self.0.compare_exchange(current, new, success, failure)
            }

            #[inline]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step("compare_exchange_weak");
                self.0.compare_exchange_weak(current, new, success, failure)
            }

            #[track_caller]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut current = self.load(failure);
                while let Some(new) = update(current) {
                    match self.compare_exchange_weak(current, new, success, failure) {
                        Ok(before) => return Ok(before),
                        Err(now) => current = now,
                    }
                }
                Err(current)
            }

            #[inline]
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            #[inline]
            pub fn into_inner(self) -> $value {
                self.0.into_inner()
            }
        }
    };
}

atomic! { AtomicBool, bool: fetch_and fetch_or fetch_xor fetch_nand }
atomic! { AtomicPtr<T>, *mut T: }
atomic! { AtomicU32, u32: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min }
atomic! { AtomicU64, u64: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min }
atomic! { AtomicUsize, usize: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min }
