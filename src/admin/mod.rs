//! The HTTPS admin interface: groups and members, over mutual TLS.
