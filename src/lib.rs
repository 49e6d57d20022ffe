//! Compiles vision networks, written as their papers' tables, to native code.
pub mod bundled;
pub mod cli;
pub mod error;
pub mod file;
pub mod labels;
pub mod network;
pub mod npy;
pub mod photo;
pub mod session;
