//! Marking (Li, Yang, Gouda, Lam 2001): the nodes above changed leaves, a level at a time, each visited once.

use crate::group::limits::DEGREE;

/// How membership below a node changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) struct Mark {
    /// Which node of its level.
    pub(in crate::group) index: u32,
    /// How many members below it leave.
    pub(in crate::group) left: u32,
    /// How many join below it.
    pub(in crate::group) joined: u32,
}

/// Groups the marks of a level, sorted from the left, by parent: the parent's mark and its marked children.
pub(in crate::group) fn climb<T>(
    marks: &[T],
    mark: impl Fn(&T) -> Mark + Copy,
) -> impl Iterator<Item = (Mark, &[T])> {
    marks
        .chunk_by(move |a, b| mark(a).index / DEGREE == mark(b).index / DEGREE)
        .map(move |siblings| {
            let mut sum = Mark {
                index: mark(&siblings[0]).index / DEGREE,
                left: 0,
                joined: 0,
            };
            for sibling in siblings {
                sum.left += mark(sibling).left;
                sum.joined += mark(sibling).joined;
            }
            (sum, siblings)
        })
}
