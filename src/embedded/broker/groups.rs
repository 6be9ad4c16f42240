//! Consumer groups: passes requests to the coordinator of `nisshi_broker`.

use nisshi_broker::Result;
use nisshi_broker::coordinator::group::administrator::Controller;
use nisshi_broker::coordinator::group::{Coordinator as _, OffsetCommit};
use nisshi_sans_io::{
    Body, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use nisshi_storage::slate::Engine;

type Groups = Controller<Engine>;

pub(super) async fn join(groups: &Groups, request: &JoinGroupRequest) -> Result<Body> {
    groups
        .join(
            None,
            &request.group_id,
            request.session_timeout_ms,
            request.rebalance_timeout_ms,
            &request.member_id,
            request.group_instance_id.as_deref(),
            &request.protocol_type,
            request.protocols.as_deref(),
            None,
        )
        .await
}

pub(super) async fn sync(groups: &Groups, request: &SyncGroupRequest) -> Result<Body> {
    groups
        .sync(
            &request.group_id,
            request.generation_id,
            &request.member_id,
            request.group_instance_id.as_deref(),
            None,
            None,
            request.assignments.as_deref(),
        )
        .await
}

pub(super) async fn heartbeat(groups: &Groups, request: &HeartbeatRequest) -> Result<Body> {
    let instance = request.group_instance_id.as_deref();
    groups.heartbeat(&request.group_id, request.generation_id, &request.member_id, instance).await
}

pub(super) async fn leave(groups: &Groups, request: &LeaveGroupRequest) -> Result<Body> {
    groups.leave(&request.group_id, request.member_id.as_deref(), request.members.as_deref()).await
}

pub(super) async fn commit(groups: &Groups, request: &OffsetCommitRequest) -> Result<Body> {
    groups
        .offset_commit(OffsetCommit {
            group_id: &request.group_id,
            generation_id_or_member_epoch: request.generation_id_or_member_epoch,
            member_id: request.member_id.as_deref(),
            group_instance_id: request.group_instance_id.as_deref(),
            retention_time_ms: None,
            topics: request.topics.as_deref(),
        })
        .await
}

pub(super) async fn committed(groups: &Groups, request: &OffsetFetchRequest) -> Result<Body> {
    groups.offset_fetch(request.group_id.as_deref(), request.topics.as_deref(), None, None).await
}
