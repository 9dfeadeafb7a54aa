//! The network between nodes: calls. Appends are pipelined: the follower takes the whole stream of
//! requests and answers as it stores them, in order, because nothing here reorders or loses.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use ::openraft::base::{BoxFuture, BoxStream};
use ::openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use ::openraft::network::{RPCOption, RaftNetworkV2};
use ::openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest,
    VoteResponse,
};
use ::openraft::type_config::alias::{SnapshotOf, VoteOf};
use ::openraft::{AnyError, OptionalSend, RaftNetworkFactory};
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;

use super::Node;
use super::store::TypeConfig;

/// Finds nodes by number.
#[derive(Clone, Default)]
pub(super) struct Network {
    nodes: Arc<Mutex<BTreeMap<u64, Node>>>,
}

impl Network {
    /// Makes a node reachable.
    pub(super) fn join(&self, id: u64, node: Node) {
        self.nodes.lock().insert(id, node);
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, (): &()) -> Link {
        Link { network: self.clone(), target }
    }
}

/// The way to one node.
pub(super) struct Link {
    network: Network,
    target: u64,
}

impl Link {
    fn node(&self) -> Result<Node, Unreachable<TypeConfig>> {
        let node = self.network.nodes.lock().get(&self.target).cloned();
        node.ok_or_else(|| Unreachable::new(&AnyError::error("the node has not started")))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answered = self.node()?.append_entries(request).await;
        answered.map_err(|error| Unreachable::new(&error).into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>,
            RPCError<TypeConfig>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let answers = self.node()?.stream_append(input);
            let answers =
                answers.map(|answer| answer.map_err(|error| Unreachable::new(&error).into()));
            let answers: BoxStream<'s, _> = Box::pin(answers);
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answered = self.node()?.vote(request).await;
        answered.map_err(|error| Unreachable::new(&error).into())
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Vec<u8>>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let installed = self.node()?.install_full_snapshot(vote, snapshot).await;
        installed.map_err(|error| Unreachable::new(&error).into())
    }
}
