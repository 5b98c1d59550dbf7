//! What the compiler accepts, refuses and makes of it.

mod models;
