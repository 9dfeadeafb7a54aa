//! Messages between replicas: sealed, sent, lost, delayed, corrupted, opened. What Byzantine senders
//! make of them is in `byzantine::speech`.

use std::hash::Hash;
use std::rc::Rc;

use quorate_smr::auth::Authenticator;
use quorate_smr::executor::describe_snapshot;
use quorate_smr::protocol::{Input, To};
use quorate_smr::{ReplicaId, wire};

use crate::damage::Damage;
use crate::door::{check_peer, open_frame};
use crate::event::{Content, Event, Parcel};
use crate::fault::FaultKind;
use crate::inspect::{Inspect, Sealed};
use crate::invariants;
use crate::trace::{Happening, Mark};
use crate::violation::{Check, Violation, broken};
use crate::world::{Phase, World};

impl<P: Inspect> World<P> {
    /// Sends a message of node `index`, with snapshot bytes if `image` is given.
    pub(crate) fn transmit(
        &mut self,
        index: usize,
        to: To,
        message: P::Message,
        image: Option<Rc<Vec<u8>>>,
    ) -> Check {
        if self.trace.is_some() {
            self.label = P::label(&message);
            let text = shorten(&format!("{message:?}"));
            self.tell(|| Happening::Says { node: index, to, text });
        }
        if self.nodes[index].byzantine.is_some() {
            self.misspeak(index, to, &message, image.as_ref());
            return Ok(());
        }
        let sealed = self.nodes[index].auth.seal(to, message);
        self.send_sealed(index, to, sealed, image);
        Ok(())
    }

    /// Puts a sealed message on its way to all of its receivers.
    pub(crate) fn send_sealed(
        &mut self,
        index: usize,
        to: To,
        sealed: Sealed<P>,
        image: Option<Rc<Vec<u8>>>,
    ) {
        let node = &self.nodes[index];
        let (from, twin, setup) = (node.id, node.twin, &node.setup);
        let receivers = to.receivers(from, setup.members);
        let mut bytes = image.as_ref().map_or(0, |image| image.len());
        let content = if self.network.frames() || self.count_bytes || self.network.has_bandwidth() {
            self.bytes.clear();
            let fits = wire::encode(setup.cluster, setup.group, from, &sealed, &mut self.bytes);
            fits.expect("a message of this small configuration fits into a frame");
            bytes += self.bytes.len();
            if self.network.frames() {
                Content::Frame(Rc::new(self.bytes.clone()))
            } else {
                Content::Sealed(sealed)
            }
        } else {
            Content::Sealed(sealed)
        };
        let sent_ns = self.now_ns;
        let parcel = Parcel { from, twin, content, snapshot: image, damage: None, sent_ns };
        for receiver in receivers.iter() {
            self.counters.message_bytes += bytes as u64;
            if self.nodes[index].is_honest() {
                self.dispatch(receiver, parcel.clone(), bytes, 0);
            } else {
                self.missend(index, receiver, parcel.clone(), bytes);
            }
        }
    }

    /// Puts a parcel on the wire, `later` nanoseconds from now.
    pub(crate) fn dispatch(&mut self, to: ReplicaId, parcel: Parcel<P>, bytes: usize, later: u64) {
        self.counters.messages += 1;
        let (now, from) = (self.now_ns, parcel.from);
        let fate = self.network.fate(now, from, to, bytes, &mut self.faults);
        if self.trace.is_some() {
            let node = usize::from(from.0);
            let arrivals_ns = fate.iter().flatten().map(|delay| now + later + delay).collect();
            let label = self.label.clone();
            self.tell(|| Happening::Leaves { node, to, label, arrivals_ns });
        }
        let mut copy = Some(parcel);
        for (place, delay) in fate.iter().enumerate() {
            let Some(delay) = delay else { continue };
            let more = fate[place + 1..].iter().any(Option::is_some);
            let Some(mut parcel) = (if more { copy.clone() } else { copy.take() }) else {
                continue;
            };
            if let Content::Frame(frame) = &mut parcel.content {
                let mut changed = frame.as_ref().clone();
                parcel.damage = self.network.damage(&mut changed, &mut self.faults);
                if parcel.damage.is_some() {
                    *frame = Rc::new(changed);
                }
            }
            let at = now + later + delay;
            for node in self.homes(to, parcel.from, parcel.twin) {
                let parcel = Box::new(parcel.clone());
                self.queue.push(at, Event::Deliver { node, parcel });
            }
        }
    }

    /// A message arrives at a node.
    pub(crate) fn deliver(&mut self, index: usize, parcel: Parcel<P>) -> Check {
        let node = &self.nodes[index];
        if node.running.is_none() {
            return Ok(());
        }
        let Some(message) =
            self.open_at_the_door(index, parcel.from, parcel.content, parcel.damage)?
        else {
            return Ok(());
        };
        if self.hash_messages {
            let mut fold = self.trace_hash;
            message.hash(&mut fold);
            self.trace_hash = fold;
        }
        if self.trace.is_some() {
            let (from, sent_ns) = (parcel.from, parcel.sent_ns);
            let (label, text) = (P::label(&message), shorten(&format!("{message:?}")));
            self.tell(|| Happening::Arrives { node: index, from, sent_ns, label, text });
        }
        let from = parcel.from;
        let Some(image) = parcel.snapshot else {
            return self.handle(index, Input::Message { from, message });
        };
        let Ok(snapshot) = describe_snapshot(&image) else { return Ok(()) };
        self.keep_arrived(index, snapshot, image);
        self.handle(index, Input::SnapshotArrived { from, message, snapshot })
    }

    /// Checks what arrives; `None` when it is refused, which is counted.
    fn open_at_the_door(
        &mut self,
        index: usize,
        from: ReplicaId,
        content: Content<P>,
        damage: Option<Damage>,
    ) -> Result<Option<P::Message>, Box<Violation>> {
        let node = &self.nodes[index];
        let (id, setup) = (node.id, &node.setup);
        let opened = check_peer(setup, from).and_then(|()| match content {
            Content::Sealed(sealed) => Ok(sealed),
            Content::Frame(frame) => open_frame::<P>(&frame, from, setup),
        });
        if opened.is_ok() && damage.is_some() {
            let detail = format!("{id} took a damaged frame for a message: {damage:?}");
            return Err(broken(invariants::CORRUPTION_REFUSED, detail));
        }
        match opened.and_then(|sealed| Ok(node.auth.open(from, sealed)?)) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                self.counters.refused_at_the_edge += 1;
                self.counters.refusals.count(&error);
                self.note_at(index, Mark::Noted, || format!("refuses what {from} sent: {error}"));
                Ok(None)
            }
        }
    }

    /// The delay of a message between a client and a replica; `None` when it is lost.
    pub(crate) fn client_delay(&mut self) -> Option<u64> {
        let (min, extra) = self.plan.client_delay_ns;
        if self.phase == Phase::Faults
            && self.host_dice.chance(self.plan.network.loss_ppm)
            && self.faults.strikes(FaultKind::Loss)
        {
            return None;
        }
        Some(min + if extra > 0 { self.host_dice.long_tail(extra) } else { 0 })
    }
}

/// The longest line of a message in a trace, in characters.
const TRACE_CHARS_MAX: usize = 220;

fn shorten(text: &str) -> String {
    match text.char_indices().nth(TRACE_CHARS_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_string(),
    }
}
