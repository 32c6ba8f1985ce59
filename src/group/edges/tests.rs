//! Tests of edges, their cache and chunks.
