//! What became of the batches of one call.
//!
//! The outputs of all of them are one list, allocated once a call. A list for each batch would be a large block each time, and
//! glibc tidies up whatever small blocks were freed before it hands out a large one: a token that shares the allocator
//! then pays for its next objects (one part in forty on kryoptic).

use super::{TokenError, Usage};
use crate::group::operations::{Batch, Output};

/// What became of some batches, in order.
#[derive(Debug, Default)]
pub struct Executed {
    outputs: Vec<Output>,
    /// How many outputs each batch has, or why it has none.
    results: Vec<Result<usize, TokenError>>,
    /// What all of them together cost the token.
    pub usage: Usage,
}

impl Executed {
    /// Nothing yet, with room for all that these batches may be answered with.
    pub(super) fn for_batches(batches: &[Batch]) -> Self {
        let operations = batches.iter().map(|batch| batch.operations.len());
        Executed {
            outputs: Vec::with_capacity(operations.sum()),
            results: Vec::with_capacity(batches.len()),
            usage: Usage::default(),
        }
    }

    /// The next batch is executed: its outputs are put after those that are there, or it fails and has none.
    pub(super) fn next(
        &mut self,
        execute: impl FnOnce(&mut Vec<Output>) -> Result<(), TokenError>,
    ) {
        let before = self.outputs.len();
        let result = execute(&mut self.outputs);
        if result.is_err() {
            self.outputs.truncate(before);
        }
        let count = self.outputs.len() - before;
        self.results.push(result.map(|()| count));
    }

    /// The next batch ended so.
    pub(super) fn push(&mut self, result: Result<Vec<Output>, TokenError>) {
        self.next(|outputs| {
            outputs.extend(result?);
            Ok(())
        });
    }

    /// Why batches failed.
    pub(super) fn errors(&self) -> impl Iterator<Item = &TokenError> {
        self.results
            .iter()
            .filter_map(|result| result.as_ref().err())
    }

    /// The outputs of all batches, and how many each has or why it has none.
    pub(super) fn into_parts(self) -> (Vec<Output>, Vec<Result<usize, TokenError>>) {
        (self.outputs, self.results)
    }

    /// A list of outputs for each batch.
    pub fn into_results(self) -> Vec<Result<Vec<Output>, TokenError>> {
        let mut outputs = self.outputs.into_iter();
        let mut list = |count| outputs.by_ref().take(count).collect();
        let results = self.results.into_iter();
        results.map(|result| result.map(&mut list)).collect()
    }
}
