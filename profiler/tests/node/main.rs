//! A real Node process that nobody prepared, looked at from outside. In: programs as text, started
//! by the tests. Out: what the source and the reader of its profiles make of them.
//! Whole runs under load are left to the tests of `cli`.

mod attaching;
mod leaving;
mod profiles;
mod program;
