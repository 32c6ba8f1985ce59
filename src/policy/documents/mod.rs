//! Policies as documents, by name: of one group, of all groups that have none of their own, and the rules of all.
//!
//! A document is what somebody wrote: checked as it comes, and in force until a better one comes. One that is bad is refused with
//! its reason, and the last good one stays; both can be seen ([`Book::list`]). Where documents come from, is not known here.

mod book;
mod document;
#[cfg(test)]
mod tests;

pub use book::{Book, Entry, Kept, Refusal, Source, Subject};
pub use document::{Document, DocumentError, MAX_DOCUMENT, merged};
