//! Leadership transfer (thesis §3.10).
//!
//! The leader stops taking proposals, brings the target up to date, and tells it to campaign at
//! once. The target's requests for votes say so: the voters hear a working leader, which otherwise
//! would be a reason to ignore them. A transfer that does not happen within an election timeout is
//! given up, and proposals are taken again.

use quorate_smr::{Admin, Reason, Refused, ReplicaId, Time, To};

use crate::leader::{Leader, Out, Transfer, View};
use crate::message::Message;
use crate::replica::Raft;

impl Raft {
    pub(crate) fn on_transfer(&mut self, to: ReplicaId, now: Time, out: &mut Out) {
        let request = Refused::Admin(Admin::TransferLeadership { to });
        let (hint, own, members) = (self.leader, self.setup.replica, self.setup.members);
        let Some((leader, view)) = self.leading(now) else {
            return out.refuse(request, Reason::NotLeader { leader: hint });
        };
        if !members.contains(to) {
            return out.refuse(request, Reason::Invalid);
        }
        if to == own {
            leader.transfer = None;
            return;
        }
        let until = now.after(view.config.election_timeout);
        leader.transfer = Some(Transfer { to, until, told: false });
        leader.replicate(to, view, out);
        leader.hand_over(view, out);
    }

    /// The leader asked this replica to take over: no pre-vote, no delay.
    pub(crate) fn on_timeout_now(&mut self, now: Time, out: &mut Out) {
        if self.has_room_for_noop() {
            self.start_election(true, now, out);
        }
    }
}

impl Leader {
    /// Tells the target of a transfer to campaign, once it holds the whole log.
    #[inline]
    pub(crate) fn hand_over(&mut self, view: View<'_>, out: &mut Out) {
        let Some(transfer) = self.transfer else { return };
        if !transfer.told && self.of(transfer.to).matched == view.log.last() {
            self.transfer = Some(Transfer { told: true, ..transfer });
            let message = Message::TimeoutNow { term: view.term };
            out.send_immediately(To::One(transfer.to), message);
        }
    }
}
