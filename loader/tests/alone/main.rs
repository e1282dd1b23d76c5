//! The loader without a compiler: artifacts written by hand, and what derives make of types.

mod artifact;
mod derive;
