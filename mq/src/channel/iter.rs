//! Iterators that receive.
//!
//! What always holds: an iterator that is dropped has received what it yielded and nothing more.
//! Left to others: receiving (`receiver`).

use std::iter::FusedIterator;

use super::Receiver;
use crate::{queue::Consume, ring};

/// Receives until the channel is closed and drained, waiting for each value; see
/// [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T, C: Consume<T> = ring::Consumer<T>>(&'a Receiver<T, C>);

/// Receives what is there, without waiting; see [`Receiver::try_iter`] and [`Receiver::drain`].
#[derive(Debug)]
pub struct TryIter<'a, T, C: Consume<T> = ring::Consumer<T>> {
    receiver: &'a Receiver<T, C>,
    left: usize,
}

/// As [`Iter`], with the handle inside.
#[derive(Debug)]
pub struct IntoIter<T, C: Consume<T> = ring::Consumer<T>>(Receiver<T, C>);

impl<T, C: Consume<T>> Receiver<T, C> {
    /// Receives until the channel is closed and drained, waiting for each value.
    pub fn iter(&self) -> Iter<'_, T, C> {
        Iter(self)
    }

    /// Receives until nothing is there, without waiting; with busy senders that may never come.
    pub fn try_iter(&self) -> TryIter<'_, T, C> {
        self.drain(usize::MAX)
    }

    /// Receives up to `count_max` values that are there, without waiting.
    pub fn drain(&self, count_max: usize) -> TryIter<'_, T, C> {
        TryIter { receiver: self, left: count_max }
    }
}

impl<T, C: Consume<T>> Iterator for Iter<'_, T, C> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T, C: Consume<T>> FusedIterator for Iter<'_, T, C> {}

impl<T, C: Consume<T>> Iterator for TryIter<'_, T, C> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.receiver.try_recv().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<T, C: Consume<T>> Iterator for IntoIter<T, C> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T, C: Consume<T>> FusedIterator for IntoIter<T, C> {}

impl<T, C: Consume<T>> IntoIterator for Receiver<T, C> {
    type Item = T;
    type IntoIter = IntoIter<T, C>;

    fn into_iter(self) -> IntoIter<T, C> {
        IntoIter(self)
    }
}

impl<'a, T, C: Consume<T>> IntoIterator for &'a Receiver<T, C> {
    type Item = T;
    type IntoIter = Iter<'a, T, C>;

    fn into_iter(self) -> Iter<'a, T, C> {
        self.iter()
    }
}
