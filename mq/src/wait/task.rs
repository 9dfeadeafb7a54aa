//! Waiting of a task: what `poll` of every future of the channels does.
//!
//! What always holds: while a poll has answered `Pending` the task's current waker stands in the
//! lists, or was woken.
//! Left to others: giving up when the future is dropped ([`Waiter::give_up`]).

use std::task::{Context, Poll};

use super::{Look, Waiter, Waker};
use crate::sync::spin_loop;

/// How often one poll looks again when a peer stands between claim and publication, before the
/// task lets others run.
const BUSY_LOOKS_MAX: u32 = 16;

/// Looks until there is a result, or leaves the task registered.
pub(crate) fn poll_for<W: Waiter>(waiter: &mut W, context: &mut Context<'_>) -> Poll<W::Result> {
    let mut busy_looks = 0;
    loop {
        match waiter.look() {
            Look::Done(result) => {
                waiter.finish();
                return Poll::Ready(result);
            }
            Look::Busy if busy_looks < BUSY_LOOKS_MAX => {
                busy_looks += 1;
                spin_loop();
            }
            Look::Busy => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Look::Progress => busy_looks = 0,
            Look::Nothing if waiter.has_entered() => {
                // It stood in the lists while it looked: whoever has news since then signals it,
                // or one before it.
                if waiter.stay(context.waker()) {
                    return Poll::Pending;
                }
                waiter.leave();
            }
            Look::Nothing => {
                waiter.enter(&Waker::Task(context.waker().clone()));
                if waiter.nothing_yet() {
                    return Poll::Pending;
                }
                waiter.leave();
            }
        }
    }
}
