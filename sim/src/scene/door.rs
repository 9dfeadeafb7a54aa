//! What a script pushes through a replica's network door: bytes, whatever they are.

use std::rc::Rc;

use quorate_smr::{ClusterId, GroupId, ReplicaId, wire};

use crate::event::{Content, Parcel};
use crate::inspect::{Inspect, Sealed};
use crate::scene::{Rule, Scene, Step};

/// A frame that was seen on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFrame {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// The kind of its message ([`Scene::kind`]).
    pub kind: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl<P: Inspect> Scene<P> {
    /// Hands `bytes` to `replica` as though they had come through the connection of `connected`.
    /// Gives the name under which they were refused, or nothing when a protocol's message was
    /// taken out of them.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn inject(
        &mut self,
        replica: usize,
        connected: usize,
        bytes: Vec<u8>,
    ) -> Step<Option<&'static str>> {
        let before = self.world.counters.refusals.clone();
        let sent_ns = self.world.now_ns;
        let content = Content::Frame(Rc::new(bytes));
        let from = ReplicaId(connected as u8);
        let parcel = Parcel { from, content, snapshot: None, damage: None, sent_ns, twin: None };
        self.act(|world| world.deliver(replica, parcel))?;
        Ok(self.world.counters.refusals.since(&before))
    }

    /// A whole and intact frame of this group with `sealed`, from `from`.
    ///
    /// # Panics
    /// If the message does not fit into a frame.
    #[must_use]
    pub fn frame(&self, from: usize, sealed: &Sealed<P>) -> Vec<u8> {
        let setup = &self.world.nodes[from].setup;
        self.frame_of(setup.cluster, setup.group, from, sealed)
    }

    /// As [`Scene::frame`], with any header.
    ///
    /// # Panics
    /// If the message does not fit into a frame.
    #[must_use]
    pub fn frame_of(
        &self,
        cluster: ClusterId,
        group: GroupId,
        from: usize,
        sealed: &Sealed<P>,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let fits = wire::encode(cluster, group, ReplicaId(from as u8), sealed, &mut bytes);
        fits.expect("the message fits into a frame");
        bytes
    }

    /// The authenticator with which a replica seals what it says.
    #[must_use]
    pub fn authenticator(&self, replica: usize) -> P::Auth {
        self.world.nodes[replica].auth.clone()
    }

    /// Takes the frames that a rule kept, in order. Needs a plan with frames.
    pub fn take_frames(&mut self, rule: Rule) -> Vec<SeenFrame> {
        let mut seen = Vec::new();
        while let Some((to, parcel)) = self.script().take(rule) {
            let kind = self.world.peek(to, &parcel).map(|message| Self::kind(&message));
            if let (Some(kind), Content::Frame(bytes)) = (kind, &parcel.content) {
                let (from, bytes) = (usize::from(parcel.from.0), bytes.to_vec());
                seen.push(SeenFrame { from, to, kind, bytes });
            }
        }
        seen
    }

    /// Bytes that the replica says it holds, and the limit that it names; zeros while it is down.
    #[must_use]
    pub fn held_bytes(&self, replica: usize) -> (usize, usize) {
        self.status(replica).map_or((0, 0), |status| (status.held_bytes, status.held_bytes_max))
    }
}
