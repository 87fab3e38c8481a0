//! Atomics of loom, for [`sync`](super::sync).
//!
//! loom treats a `SeqCst` access as `AcqRel`, and would report executions that `SeqCst` excludes. It models `SeqCst` fences
//! fully, so a `SeqCst` access is an access between two fences here.

pub use loom::sync::atomic::Ordering;

use loom::sync::atomic::{self, fence};

/// Runs an access, between two fences if it is `SeqCst`.
fn fenced<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
    let value = access();
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
    value
}

macro_rules! atomics {
    ($($name:ident of $value:ty,)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[derive(Debug, Default)]
        pub struct $name(atomic::$name);

        impl $name {
            /// Same as in `std`.
            pub fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            /// Same as in `std`.
            pub fn load(&self, order: Ordering) -> $value {
                fenced(order, || self.0.load(order))
            }

            /// Same as in `std`.
            pub fn store(&self, value: $value, order: Ordering) {
                fenced(order, || self.0.store(value, order));
            }

            /// Same as in `std`.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.swap(value, order))
            }
        }
    )*};
}

macro_rules! counters {
    ($($name:ident of $value:ty,)*) => {$(
        impl $name {
            /// Same as in `std`.
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_add(value, order))
            }

            /// Same as in `std`.
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                fenced(order, || self.0.fetch_sub(value, order))
            }

            /// Same as in `std`.
            ///
            /// # Errors
            /// Same as in `std`.
            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                fenced(set, || self.0.fetch_update(set, fetch, update))
            }
        }
    )*};
}

atomics! {
    AtomicBool of bool,
    AtomicIsize of isize,
    AtomicU32 of u32,
    AtomicU64 of u64,
    AtomicUsize of usize,
}

counters! {
    AtomicIsize of isize,
    AtomicU32 of u32,
    AtomicU64 of u64,
    AtomicUsize of usize,
}
