//! Conformance of kernels: one list of cases, and what runs them.
//!
//! Each file makes cases for one kind of kernel. They run in this process on every back end that the machine
//! has (the tests `in_process`), and from objects in a program of C ([`objects`]), for other machines under
//! emulation.

mod attention;
mod cases;
mod chain;
mod conv;
mod functions;
mod kernels;
mod objects;
#[path = "../support/mod.rs"]
mod support;
mod winograd;
