//! What the conformance tests share.
#![allow(dead_code, reason = "each test binary uses its own part of it")]

pub mod case;
pub mod guard;
pub mod harness;
pub mod reference;
