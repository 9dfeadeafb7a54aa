//! Waiting of a task: what `poll` and `drop` of every future of the channels do.
//!
//! What always holds: while a poll has answered `Pending` the task's current waker stands in the
//! list, or was woken; a future that goes away leaves the list and passes an unused signal on.
//! Left to others: what a look does (`channel`).

use std::task::{Context, Poll};

use super::{Awaited, Look, Place, Waker};
use crate::sync::{planted, spin_loop};

/// How often one poll looks again when a peer stands between claim and publication, before the
/// task lets others run.
const BUSY_LOOKS_MAX: u32 = 16;

/// Looks until there is a result, or registers the task; `place` is where it stands.
pub(crate) fn poll_for<R>(
    queue: &impl Awaited,
    place: &mut Option<Place>,
    context: &mut Context<'_>,
    mut look: impl FnMut() -> Look<R>,
) -> Poll<R> {
    let list = queue.list();
    let mut busy_looks = 0;
    loop {
        match look() {
            Look::Done(result) => {
                // A signal that came was for us to look, which we did.
                if let Some(place) = place.take() {
                    list.leave(place);
                }
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
            Look::Nothing => {
                // Standing in the list while we looked: whoever has news since then wakes us, or
                // one before us.
                if place.as_ref().is_some_and(|place| list.stay(place, context.waker())) {
                    return Poll::Pending;
                }
                if let Some(signalled) = place.take() {
                    list.leave(signalled);
                    continue;
                }
                let new = list.enter(Waker::Task(context.waker().clone()));
                if queue.nothing_yet() {
                    *place = Some(new);
                    return Poll::Pending;
                }
                list.leave(new);
            }
        }
    }
}

/// Leaves the list without having taken anything.
pub(crate) fn abandon(queue: &impl Awaited, place: &mut Option<Place>) {
    let signalled = place.take().is_some_and(|place| queue.list().leave(place));
    if signalled && !planted("wait.abandon") && !queue.nothing_yet() {
        queue.list().wake(1);
    }
}
