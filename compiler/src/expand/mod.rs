//! Expansion: from a spec's syntax trees to the graph of one variant, with the tree of instances
//! from which the names of its tensors follow.
//!
//! [`expand`] gives the network or *all* independent mistakes; [`check_spec`] goes through all
//! variants and dialects. What goes wrong leaves a poisoned value behind, which is silent, so that
//! one mistake gives one error. The codes of the errors are in [`codes`].
//!
//! | file | what |
//! |---|---|
//! | `eval`, `arithmetic`, `grid` | expressions |
//! | `signature`, `bind`, `call`, `block` | what is called, and how its arguments bind |
//! | `primitives/` | the operators that are not written in the language |
//! | `table/` | rows, columns, operator cells, checked shapes and their cures |
//! | `parameters`, `sets`, `scope` | variants, `--set`, what a name means |
//! | `expect`, `preprocess`, `outputs`, `layers` | what stands around the tables |
//! | `lint` | what can be found without expanding |
//!
//! ```
//! use netwright_compiler::expand::{Request, expand};
//! use netwright_compiler::spec::Spec;
//!
//! let spec = Spec::from_text(
//!     "tiny.arch",
//!     "network tiny(classes = 10) {\n  stem = x -> conv(8, 3x3, stride = 2) -> relu\n  \
//!      head = stem -> global_avgpool -> flatten -> linear(classes)\n}\n",
//! );
//! let tiny = expand(&spec, &Request::default()).unwrap();
//! assert_eq!(tiny.graph.params.len(), 3);
//! assert_eq!(tiny.graph.node(tiny.graph.outputs[0].1).shape, [1, 10]);
//! ```

mod arithmetic;
mod bind;
mod block;
mod call;
pub mod codes;
mod eval;
mod expander;
mod expect;
mod findings;
mod grid;
mod layers;
mod limits;
mod lint;
mod network;
mod outputs;
mod parameters;
mod preprocess;
pub mod primitives;
mod scope;
mod sets;
mod signature;
mod table;
#[cfg(test)]
mod tests;
mod unused;

pub use layers::Layer;
pub use network::{Expanded, Request, check_spec, expand};
pub use preprocess::{Filter, Preprocess, Resize};
pub use signature::{Default as ArgumentDefault, Parameter, Primitive, Rest};
pub use table::headings;
