//! The engine: threads that run timely workers, and the main thread's handle to them.

pub mod api;
