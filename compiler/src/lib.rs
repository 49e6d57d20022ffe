//! From a spec to a compiled network: expansion, weights, passes, planning, driving.
pub mod driver;
pub mod expand;
pub mod instance;
pub mod names;
pub mod passes;
pub mod plan;
pub mod pure;
pub mod spec;
pub mod value;
pub mod weights;
