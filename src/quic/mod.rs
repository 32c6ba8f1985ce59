//! The QUIC front end: mutual TLS, identity, requests and deliveries.
