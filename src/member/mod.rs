//! The client library: connect, subscribe, export.
