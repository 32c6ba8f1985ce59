//! Tests of the tree alone.
