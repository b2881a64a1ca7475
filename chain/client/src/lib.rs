//! HTTP client of a node.
#![forbid(unsafe_code)]
