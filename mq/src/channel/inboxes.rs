//! Waiting for several channels at once: [`Inboxes`].
//!
//! What always holds:
//! * Every event carries what was received; nothing is received and not handed out.
//! * A waiter stands in the list of each open inbox. It takes one event at a time; signals of
//!   other inboxes are passed on, so that nobody else's wake-up is lost.
//! * Inboxes are looked at in turn, beginning behind the last that gave something: a busy one
//!   does not starve the others.
//! * An idle wait costs no processor time, and waiting allocates nothing.
//!
//! Left to others: priorities (use a [`Doorbell`](crate::Doorbell) and look in the wanted order).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
    vec,
};

use super::{
    Receiver, RecvError, RecvTimeoutError, TryRecvError, receiver::Received, sender::BUSY_LOOKS_MAX,
};
use crate::{
    queue::Consume,
    sync::{planted, spin_loop},
    wait::{
        Awaited, Look, Place, Rhythm, SPIN_DEFAULT, Waiter, Waker, poll_for, spin_limit, wait_for,
    },
};

/// What [`Inboxes::add`] takes: a [`Receiver`] or a reference to one.
pub trait Inbox {
    /// The type of its values.
    type Value;
    /// The handle of its queue.
    type Queue: Consume<Self::Value>;
    /// The receiver.
    fn receiver(&self) -> &Receiver<Self::Value, Self::Queue>;
}

impl<T, C: Consume<T>> Inbox for Receiver<T, C> {
    type Value = T;
    type Queue = C;

    fn receiver(&self) -> &Receiver<T, C> {
        self
    }
}

impl<I: Inbox> Inbox for &I {
    type Value = I::Value;
    type Queue = I::Queue;

    fn receiver(&self) -> &Receiver<I::Value, I::Queue> {
        (*self).receiver()
    }
}

/// Several receivers, of different types and over different queues, that one thread or task
/// serves. Each comes with a function that turns what it receives into an event.
///
/// ```
/// use std::time::Duration;
/// use quorate_mq::{bounded, Inboxes};
///
/// enum Event {
///     Order(String),
///     Ticks(Vec<u64>),
/// }
///
/// let (orders, order_inbox) = bounded(8)?;
/// let (ticks, tick_inbox) = bounded(8)?;
/// let mut inboxes = Inboxes::new();
/// inboxes.add(order_inbox, Event::Order);
/// inboxes.add_batch(&tick_inbox, 64, |batch| Event::Ticks(batch.collect()));
///
/// orders.send("one".to_string()).unwrap();
/// ticks.send_batch(&mut vec![1, 2]).unwrap();
/// drop((orders, ticks));
/// let (mut order_count, mut tick_count) = (0, 0);
/// while let Ok(event) = inboxes.recv() {
///     match event {
///         Event::Order(_) => order_count += 1,
///         Event::Ticks(ticks) => tick_count += ticks.len(),
///     }
/// }
/// assert_eq!((order_count, tick_count), (1, 2));
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
pub struct Inboxes<'a, E> {
    inboxes: Vec<Watched<'a, E>>,
    /// Where the next round of looks begins.
    next: usize,
    /// The inbox that gave the last event.
    served: Option<usize>,
    rhythm: Rhythm,
}

struct Watched<'a, E> {
    source: Box<dyn Source<E> + Send + 'a>,
    place: Option<Place>,
    signalled: bool,
    /// False once it was found closed and drained.
    open: bool,
}

/// An inbox whose type of values is forgotten.
trait Source<E> {
    fn look(&mut self) -> Look<Received<E>>;
    fn awaited(&self) -> &dyn Awaited;
}

struct One<I, F> {
    inbox: I,
    event: F,
}

struct Batch<I: Inbox, F> {
    inbox: I,
    count_max: usize,
    buffer: Vec<I::Value>,
    event: F,
}

impl<I: Inbox, E, F: FnMut(I::Value) -> E> Source<E> for One<I, F> {
    fn look(&mut self) -> Look<Received<E>> {
        self.inbox.receiver().look_recv().map(|received| received.map(&mut self.event))
    }

    fn awaited(&self) -> &dyn Awaited {
        self.inbox.receiver()
    }
}

impl<I, E, F> Source<E> for Batch<I, F>
where
    I: Inbox,
    F: FnMut(vec::Drain<'_, I::Value>) -> E,
{
    fn look(&mut self) -> Look<Received<E>> {
        let Self { inbox, count_max, buffer, event } = self;
        inbox
            .receiver()
            .look_recv_batch(buffer, *count_max)
            .map(|received| received.map(|_count| event(buffer.drain(..))))
    }

    fn awaited(&self) -> &dyn Awaited {
        self.inbox.receiver()
    }
}

impl<'a, E> Inboxes<'a, E> {
    /// None yet; waiting polls for up to [`SPIN_DEFAULT`] before it parks.
    pub fn new() -> Self {
        Self::with_spin(SPIN_DEFAULT)
    }

    /// None yet; waiting polls for up to `spin` before it parks, never on a single core.
    pub fn with_spin(spin: Duration) -> Self {
        let rhythm = Rhythm::new(spin_limit(spin));
        Self { inboxes: Vec::new(), next: 0, served: None, rhythm }
    }

    /// Adds an inbox (a receiver or a reference to one) whose values become events one by one.
    pub fn add<I>(&mut self, inbox: I, event: impl FnMut(I::Value) -> E + Send + 'a)
    where
        I: Inbox + Send + 'a,
    {
        self.add_source(Box::new(One { inbox, event }));
    }

    /// Adds an inbox whose values become events in batches: each of what is there, at least one
    /// and up to `count_max` values. What `event` leaves in the drain is dropped. The buffer is
    /// reused.
    ///
    /// # Panics
    /// When `count_max` is zero: such an inbox would always give an empty batch.
    pub fn add_batch<I>(
        &mut self,
        inbox: I,
        count_max: usize,
        event: impl FnMut(vec::Drain<'_, I::Value>) -> E + Send + 'a,
    ) where
        I: Inbox + Send + 'a,
        I::Value: Send + 'a,
    {
        assert!(count_max > 0, "a batch must have room for at least one value");
        self.add_source(Box::new(Batch { inbox, count_max, buffer: Vec::new(), event }));
    }

    fn add_source(&mut self, source: Box<dyn Source<E> + Send + 'a>) {
        self.inboxes.push(Watched { source, place: None, signalled: false, open: true });
    }

    /// How many inboxes may still give something: those that were not yet found closed and
    /// drained.
    pub fn open_count(&self) -> usize {
        self.inboxes.iter().filter(|inbox| inbox.open).count()
    }

    /// Takes the next event without waiting.
    ///
    /// # Errors
    /// `Empty`, or `Closed` once all inboxes are closed and drained.
    pub fn try_recv(&mut self) -> Result<E, TryRecvError> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.look() {
                Look::Done(Received::Some(event)) => return Ok(event),
                Look::Done(Received::Closed) => return Err(TryRecvError::Closed),
                Look::Nothing => return Err(TryRecvError::Empty),
                Look::Busy | Look::Progress => spin_loop(),
            }
        }
        Err(TryRecvError::Empty)
    }

    /// Takes the next event, waiting for it.
    ///
    /// # Errors
    /// [`RecvError`] once all inboxes are closed and drained; at once if there are none.
    pub fn recv(&mut self) -> Result<E, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Takes the next event, waiting up to `timeout`; a timeout too long for the clock is none.
    ///
    /// # Errors
    /// When none came in time, or all inboxes are closed and drained.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<E, RecvTimeoutError> {
        self.recv_until(Instant::now().checked_add(timeout))
    }

    /// Takes the next event, waiting up to `deadline`.
    ///
    /// # Errors
    /// As [`Inboxes::recv_timeout`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<E, RecvTimeoutError> {
        self.recv_until(Some(deadline))
    }

    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<E, RecvTimeoutError> {
        match self.try_recv() {
            Ok(event) => Ok(event),
            Err(TryRecvError::Closed) => Err(RecvTimeoutError::Closed),
            Err(TryRecvError::Empty) => match wait_for(self, deadline) {
                Some(Received::Some(event)) => Ok(event),
                Some(Received::Closed) => Err(RecvTimeoutError::Closed),
                None => Err(RecvTimeoutError::Timeout),
            },
        }
    }

    /// Takes the next event, waiting for it without blocking the thread. Cancel-safe as
    /// [`Receiver::recv_async`].
    ///
    /// The future answers [`RecvError`] once all inboxes are closed and drained.
    pub fn recv_async(&mut self) -> InboxesFuture<'_, 'a, E> {
        InboxesFuture(self)
    }

    fn awaited(&self) -> impl Iterator<Item = &dyn Awaited> {
        self.inboxes.iter().filter(|inbox| inbox.open).map(|inbox| inbox.source.awaited())
    }
}

impl<E> Watched<'_, E> {
    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.signalled |= self.source.awaited().list().leave(place);
        }
    }

    /// Looks; whoever looks has used up a signal that came before.
    fn look(&mut self) -> Look<Received<E>> {
        let look = self.source.look();
        match look {
            Look::Done(_) | Look::Nothing => self.signalled = false,
            Look::Busy | Look::Progress => {}
        }
        look
    }

    fn pass_on(&mut self) {
        if std::mem::take(&mut self.signalled) && !planted("inboxes.pass-on") {
            self.source.awaited().pass_on();
        }
    }
}

impl<E> Waiter for Inboxes<'_, E> {
    type Result = Received<E>;

    fn look(&mut self) -> Look<Received<E>> {
        let count = self.inboxes.len();
        let first = self.next;
        let mut any_open = false;
        let mut busy = false;
        for index in (first..count).chain(0..first) {
            if !self.inboxes[index].open {
                continue;
            }
            match self.inboxes[index].look() {
                Look::Done(Received::Some(event)) => {
                    self.rhythm.succeeded();
                    self.served = Some(index);
                    self.next = if index + 1 == count { 0 } else { index + 1 };
                    return Look::Done(Received::Some(event));
                }
                Look::Done(Received::Closed) => {
                    self.inboxes[index].leave();
                    self.inboxes[index].open = false;
                    continue;
                }
                Look::Nothing => {}
                Look::Busy | Look::Progress => busy = true,
            }
            any_open = true;
        }
        match (any_open, busy) {
            (false, _) => Look::Done(Received::Closed),
            (true, true) => Look::Busy,
            (true, false) => Look::Nothing,
        }
    }

    fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    fn ready(&self) -> bool {
        self.awaited().any(|inbox| inbox.ready())
    }

    fn nothing_yet(&self) -> bool {
        self.awaited().all(|inbox| inbox.nothing_yet())
    }

    fn enter(&mut self, waker: &Waker) {
        for inbox in self.inboxes.iter_mut().filter(|inbox| inbox.open) {
            // A future that was forgotten may have left one.
            inbox.leave();
            inbox.place = Some(inbox.source.awaited().list().enter(waker.clone()));
        }
    }

    fn has_entered(&self) -> bool {
        self.inboxes.iter().any(|inbox| inbox.place.is_some())
    }

    fn is_signalled(&self) -> bool {
        self.inboxes.iter().any(|inbox| {
            let place = inbox.place.as_ref();
            place.is_some_and(|place| inbox.source.awaited().list().is_signalled(place))
        })
    }

    fn stay(&mut self, waker: &std::task::Waker) -> bool {
        self.inboxes.iter().all(|inbox| {
            let place = inbox.place.as_ref();
            place.is_none_or(|place| inbox.source.awaited().list().stay(place, waker))
        })
    }

    fn leave(&mut self) {
        self.inboxes.iter_mut().for_each(Watched::leave);
    }

    fn finish(&mut self) {
        self.leave();
        if let Some(served) = self.served.take() {
            // That signal was for us to look, which we did.
            self.inboxes[served].signalled = false;
        }
        self.inboxes.iter_mut().for_each(Watched::pass_on);
    }

    fn give_up(&mut self) {
        self.leave();
        self.inboxes.iter_mut().for_each(Watched::pass_on);
    }
}

/// Takes the next event; made by [`Inboxes::recv_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct InboxesFuture<'i, 'a, E>(&'i mut Inboxes<'a, E>);

impl<E> Future for InboxesFuture<'_, '_, E> {
    type Output = Result<E, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        poll_for(self.0, context).map(|received| match received {
            Received::Some(event) => Ok(event),
            Received::Closed => Err(RecvError),
        })
    }
}

impl<E> Drop for InboxesFuture<'_, '_, E> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl<E> Default for Inboxes<'_, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for Inboxes<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inboxes")
            .field("inboxes", &self.inboxes.len())
            .field("open", &self.open_count())
            .finish()
    }
}
