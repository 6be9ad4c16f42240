//! The requests of consumer groups. The [`coordinator`](crate::coordinator) decides.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::broker::{Broker, Call};
use crate::cluster::{GROUP_OPERATIONS, NOT_REQUESTED};
use crate::coordinator::{Description, Identity, JoinAnswer, JoinRequest, Leaving, Protocol, SyncRequest};
use crate::error_code::ErrorCode;
use crate::store::Change;
use crate::wire::{Parsed, Reader, Writer};

/// JoinGroup, versions 0 to 5.
pub(crate) fn join(
    broker: &Broker,
    call: Call,
    mut reader: Reader,
) -> Parsed<impl Future<Output = Bytes> + Send + '_> {
    let version = call.version;
    let group_id = reader.text()?;
    let session_timeout_ms = reader.i32()?;
    let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
    let member_id = reader.text()?;
    let instance_id = if version >= 5 { reader.string()? } else { None };
    let protocol_type = reader.text()?;
    let protocols = reader.structs(|protocol| {
        Ok(Protocol { name: protocol.text()?, metadata: protocol.bytes()?.unwrap_or_default() })
    })?;
    let request = JoinRequest {
        group_id,
        member_id,
        requires_known_member: version >= 4 && instance_id.is_none(),
        instance_id,
        client_id: call.client_id.clone(),
        client_host: format!("/{}", call.ends.client.ip().to_canonical()),
        session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type,
        protocols,
    };
    Ok(async move { write_joined(&call, &broker.groups.join(request).await) })
}

fn write_joined(call: &Call, joined: &JoinAnswer) -> Bytes {
    let mut answer = call.answer_since(2);
    answer.error(joined.error).i32(joined.generation).string(&joined.protocol);
    answer.string(&joined.leader).string(&joined.member_id).structs(&joined.members, |answer, member| {
        answer.string(&member.member_id);
        if call.version >= 5 {
            answer.nullable_string(member.instance_id.as_deref());
        }
        answer.bytes(&member.metadata);
    });
    answer.finish()
}

/// SyncGroup, versions 0 to 3.
pub(crate) fn sync(
    broker: &Broker,
    call: Call,
    mut reader: Reader,
) -> Parsed<impl Future<Output = Bytes> + Send + '_> {
    let (group_id, generation, member_id) = (reader.text()?, reader.i32()?, reader.text()?);
    let instance_id = if call.version >= 3 { reader.string()? } else { None };
    let assignments = reader.structs(|member| Ok((member.text()?, member.bytes()?.unwrap_or_default())))?;
    let request = SyncRequest { group_id, generation, member_id, instance_id, assignments };
    Ok(async move {
        let synced = broker.groups.sync(request).await;
        let mut answer = call.answer_since(1);
        answer.outcome(&synced).bytes(synced.as_deref().unwrap_or_default());
        answer.finish()
    })
}

/// Heartbeat, versions 0 to 3.
pub(crate) fn heartbeat(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let (group, generation, member) = (reader.text()?, reader.i32()?, reader.text()?);
    let instance = if call.version >= 3 { reader.string()? } else { None };
    let identity = Identity { generation, member_id: &member, instance_id: instance.as_deref() };
    let mut answer = call.answer_since(1);
    answer.outcome(&broker.groups.heartbeat(&group, identity));
    Ok(answer.finish())
}

/// LeaveGroup, versions 0 to 3.
pub(crate) fn leave(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let group = reader.text()?;
    let leaving = if version >= 3 {
        reader.structs(|member| Ok(Leaving { member_id: member.text()?, instance_id: member.string()? }))?
    } else {
        vec![Leaving { member_id: reader.text()?, instance_id: None }]
    };
    let left = broker.groups.leave(&group, &leaving);
    let mut answer = call.answer_since(1);
    if version < 3 {
        let only = left.and_then(|results| results.into_iter().next().unwrap_or(Ok(())));
        answer.outcome(&only);
        return Ok(answer.finish());
    }
    answer.outcome(&left);
    let results: Vec<_> = leaving.into_iter().zip(left.unwrap_or_default()).collect();
    answer.structs(&results, |answer, (member, result)| {
        answer.string(&member.member_id).nullable_string(member.instance_id.as_deref()).outcome(result);
    });
    Ok(answer.finish())
}

/// DescribeGroups, versions 0 to 4.
pub(crate) fn describe(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    // Each group once: a request that repeats a name would get an answer many times its size.
    let names: Vec<_> = BTreeSet::from_iter(reader.array(Reader::text)?).into_iter().collect();
    let operations = if version >= 3 && reader.bool()? { GROUP_OPERATIONS } else { NOT_REQUESTED };
    let mut answer = call.answer_since(1);
    answer.structs(&names, |answer, name| {
        answer.error(None).string(name);
        write_description(answer, version, &broker.groups.describe(name));
        if version >= 3 {
            answer.i32(operations);
        }
    });
    Ok(answer.finish())
}

fn write_description(answer: &mut Writer, version: i16, group: &Description) {
    answer.string(group.state.name()).string(&group.protocol_type).string(&group.protocol);
    answer.structs(&group.members, |answer, member| {
        answer.string(&member.member_id);
        if version >= 4 {
            answer.nullable_string(member.instance_id.as_deref());
        }
        answer.string(&member.client_id).string(&member.client_host);
        answer.bytes(&member.metadata).bytes(&member.assignment);
    });
}

/// ListGroups, versions 0 to 2.
pub(crate) fn list(broker: &Broker, call: &Call) -> Bytes {
    let groups = broker.groups.list(broker.store.groups());
    let mut answer = call.answer_since(1);
    answer.error(None).structs(&groups, |answer, group| {
        answer.string(&group.group_id).string(&group.protocol_type);
    });
    answer.finish()
}

/// DeleteGroups, versions 0 and 1.
pub(crate) async fn delete(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let mut results = Vec::new();
    for group in reader.array(Reader::text)? {
        let deleted = delete_one(broker, &group).await;
        results.push((group, deleted));
    }
    let mut answer = call.answer_since(0);
    answer.structs(&results, |answer, (group, deleted)| {
        answer.string(group).outcome(deleted);
    });
    Ok(answer.finish())
}

async fn delete_one(broker: &Broker, group: &str) -> Result<(), ErrorCode> {
    let slot = broker.store.reserve().await?;
    let change = Change::ForgetGroup { group: group.to_owned() };
    broker.groups.delete(group, || slot.send(change))?.wait().await
}
