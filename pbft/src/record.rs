//! What a replica remembers over a crash.
//!
//! Each record is written before the message that it backs leaves: a pre-prepare before the
//! PRE-PREPARE or PREPARE, a prepared certificate before the COMMIT, a view change before the
//! VIEW-CHANGE. From them P and Q, the view and the bodies are rebuilt, so that a replica that
//! restarts never contradicts what it said.

use std::sync::Arc;

use quorate_smr::{Batch, Digest, Slot};
use serde::{Deserialize, Serialize};

use crate::certificate::{CheckpointCertificate, SignedNewView, SignedViewChange};
use crate::group::View;

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// The first record after a compaction: the stable checkpoint that the snapshot stands at.
    Base {
        /// Its proof.
        certificate: Arc<CheckpointCertificate>,
    },
    /// A batch pre-prepared here (an element of Q).
    PrePrepared {
        /// In this view.
        view: View,
        /// In this slot.
        slot: Slot,
        /// This digest.
        digest: Digest,
        /// The batch; `None` when an earlier record of this slot holds it, or it is the null
        /// request.
        batch: Option<Batch>,
    },
    /// A batch prepared here (an element of P).
    Prepared {
        /// In this view.
        view: View,
        /// In this slot.
        slot: Slot,
        /// This digest.
        digest: Digest,
    },
    /// This replica left its view.
    ViewChange(Arc<SignedViewChange>),
    /// This replica entered a view.
    NewView(Arc<SignedNewView>),
}
