//! KMIP's encodings: vectors, messages from one encoding to the next, random trees and hostile input.

mod chain;
mod hostile;
mod random;
mod vectors;
