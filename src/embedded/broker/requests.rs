//! Parses the small requests into the structures of `nisshi_sans_io`, in their versions without tagged fields.
//!
//! The parser of `nisshi_sans_io` allocates whatever a length field says and takes three minutes to compile; this one does neither.

use nisshi_sans_io::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use nisshi_sans_io::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use nisshi_sans_io::describe_configs_request::DescribeConfigsResource;
use nisshi_sans_io::join_group_request::JoinGroupRequestProtocol;
use nisshi_sans_io::leave_group_request::MemberIdentity;
use nisshi_sans_io::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use nisshi_sans_io::metadata_request::MetadataRequestTopic;
use nisshi_sans_io::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use nisshi_sans_io::offset_fetch_request::OffsetFetchRequestTopic;
use nisshi_sans_io::sync_group_request::SyncGroupRequestAssignment;
use nisshi_sans_io::{
    CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};

use super::wire::{Malformed, Reader};

type Parsed<T> = Result<T, Malformed>;

/// Parses an array of topics, each with an array of partitions, as several requests have it.
fn by_topic<T>(
    reader: &mut Reader,
    mut partition: impl FnMut(&mut Reader) -> Parsed<T>,
) -> Parsed<Vec<(String, Vec<T>)>> {
    reader.array(|topic| Ok((topic.text()?, topic.array(&mut partition)?)))
}

/// Versions 1 to 8. Never creates a topic, because a mistyped name would create one.
pub(super) fn metadata(version: i16, reader: &mut Reader) -> Parsed<MetadataRequest> {
    let topics =
        reader.nullable_array(|topic| Ok(MetadataRequestTopic::default().name(Some(topic.text()?))))?;
    if version >= 4 {
        let _may_create = reader.i8()?;
    }
    Ok(MetadataRequest::default().topics(topics).allow_auto_topic_creation(Some(false)))
}

/// Versions 1 to 5.
pub(super) fn list_offsets(version: i16, reader: &mut Reader) -> Parsed<ListOffsetsRequest> {
    let _replica = reader.i32()?;
    if version >= 2 {
        let _isolation = reader.i8()?;
    }
    let topics = by_topic(reader, |partition| {
        let number = partition.i32()?;
        if version >= 4 {
            let _leader_epoch = partition.i32()?;
        }
        Ok(ListOffsetsPartition::default().partition_index(number).timestamp(partition.i64()?))
    })?;
    let topic = |(name, partitions)| ListOffsetsTopic::default().name(name).partitions(Some(partitions));
    Ok(ListOffsetsRequest::default().topics(Some(topics.into_iter().map(topic).collect())))
}

/// Versions 2 to 7.
pub(super) fn offset_commit(version: i16, reader: &mut Reader) -> Parsed<OffsetCommitRequest> {
    let request = OffsetCommitRequest::default()
        .group_id(reader.text()?)
        .generation_id_or_member_epoch(Some(reader.i32()?))
        .member_id(Some(reader.text()?));
    let request = if version >= 7 { request.group_instance_id(reader.string()?) } else { request };
    if version <= 4 {
        let _retention = reader.i64()?;
    }
    let topics = by_topic(reader, |partition| {
        let (number, offset) = (partition.i32()?, partition.i64()?);
        let epoch = if version >= 6 { Some(partition.i32()?) } else { None };
        Ok(OffsetCommitRequestPartition::default()
            .partition_index(number)
            .committed_offset(offset)
            .committed_leader_epoch(epoch)
            .committed_metadata(partition.string()?))
    })?;
    let topic =
        |(name, partitions)| OffsetCommitRequestTopic::default().name(name).partitions(Some(partitions));
    Ok(request.topics(Some(topics.into_iter().map(topic).collect())))
}

/// Versions 1 to 5. A null array means all topics.
pub(super) fn offset_fetch(reader: &mut Reader) -> Parsed<OffsetFetchRequest> {
    let request = OffsetFetchRequest::default().group_id(Some(reader.text()?));
    let topics = reader.nullable_array(|topic| {
        let name = topic.text()?;
        Ok(OffsetFetchRequestTopic::default().name(name).partition_indexes(Some(topic.array(Reader::i32)?)))
    })?;
    Ok(request.topics(topics))
}

/// Versions 0 to 2.
pub(super) fn find_coordinator(version: i16, reader: &mut Reader) -> Parsed<FindCoordinatorRequest> {
    let key = reader.text()?;
    let kind = if version >= 1 { Some(reader.i8()?) } else { None };
    Ok(FindCoordinatorRequest::default().key(Some(key)).key_type(kind))
}

/// Versions 0 to 5.
pub(super) fn join_group(version: i16, reader: &mut Reader) -> Parsed<JoinGroupRequest> {
    let request = JoinGroupRequest::default().group_id(reader.text()?).session_timeout_ms(reader.i32()?);
    let request = if version >= 1 { request.rebalance_timeout_ms(Some(reader.i32()?)) } else { request };
    let request = request.member_id(reader.text()?);
    let request = if version >= 5 { request.group_instance_id(reader.string()?) } else { request };
    let request = request.protocol_type(reader.text()?);
    let protocols = reader.array(|protocol| {
        let name = protocol.text()?;
        Ok(JoinGroupRequestProtocol::default().name(name).metadata(protocol.bytes()?.unwrap_or_default()))
    })?;
    Ok(request.protocols(Some(protocols)))
}

/// Versions 0 to 3.
pub(super) fn sync_group(version: i16, reader: &mut Reader) -> Parsed<SyncGroupRequest> {
    let request = SyncGroupRequest::default()
        .group_id(reader.text()?)
        .generation_id(reader.i32()?)
        .member_id(reader.text()?);
    let request = if version >= 3 { request.group_instance_id(reader.string()?) } else { request };
    let assignments = reader.array(|assignment| {
        let member = assignment.text()?;
        let bytes = assignment.bytes()?.unwrap_or_default();
        Ok(SyncGroupRequestAssignment::default().member_id(member).assignment(bytes))
    })?;
    Ok(request.assignments(Some(assignments)))
}

/// Versions 0 to 3.
pub(super) fn heartbeat(version: i16, reader: &mut Reader) -> Parsed<HeartbeatRequest> {
    let request = HeartbeatRequest::default()
        .group_id(reader.text()?)
        .generation_id(reader.i32()?)
        .member_id(reader.text()?);
    Ok(if version >= 3 { request.group_instance_id(reader.string()?) } else { request })
}

/// Versions 0 to 3.
pub(super) fn leave_group(version: i16, reader: &mut Reader) -> Parsed<LeaveGroupRequest> {
    let request = LeaveGroupRequest::default().group_id(reader.text()?);
    if version < 3 {
        return Ok(request.member_id(Some(reader.text()?)));
    }
    let members = reader.array(|member| {
        let id = member.text()?;
        Ok(MemberIdentity::default().member_id(id).group_instance_id(member.string()?))
    })?;
    Ok(request.members(Some(members)))
}

/// Versions 0 to 4.
pub(super) fn describe_groups(reader: &mut Reader) -> Parsed<DescribeGroupsRequest> {
    Ok(DescribeGroupsRequest::default().groups(Some(reader.array(Reader::text)?)))
}

/// Versions 0 and 1.
pub(super) fn delete_groups(reader: &mut Reader) -> Parsed<DeleteGroupsRequest> {
    Ok(DeleteGroupsRequest::default().groups_names(Some(reader.array(Reader::text)?)))
}

/// Versions 2 to 4.
pub(super) fn create_topics(reader: &mut Reader) -> Parsed<CreateTopicsRequest> {
    let topics = reader.array(|topic| {
        let created = CreatableTopic::default()
            .name(topic.text()?)
            .num_partitions(topic.i32()?)
            .replication_factor(topic.i16()?);
        let assignments = topic.array(|assignment| {
            let partition = assignment.i32()?;
            let brokers = assignment.array(Reader::i32)?;
            Ok(CreatableReplicaAssignment::default().partition_index(partition).broker_ids(Some(brokers)))
        })?;
        let configs = topic.array(|config| {
            let name = config.text()?;
            Ok(CreatableTopicConfig::default().name(name).value(config.string()?))
        })?;
        Ok(created.assignments(Some(assignments)).configs(Some(configs)))
    })?;
    let _timeout = reader.i32()?;
    Ok(CreateTopicsRequest::default().topics(Some(topics)).validate_only(Some(reader.i8()? != 0)))
}

/// Versions 1 to 3.
pub(super) fn delete_topics(reader: &mut Reader) -> Parsed<DeleteTopicsRequest> {
    Ok(DeleteTopicsRequest::default().topic_names(Some(reader.array(Reader::text)?)))
}

/// Versions 0 and 1.
pub(super) fn delete_records(reader: &mut Reader) -> Parsed<DeleteRecordsRequest> {
    let topics = by_topic(reader, |partition| {
        let number = partition.i32()?;
        Ok(DeleteRecordsPartition::default().partition_index(number).offset(partition.i64()?))
    })?;
    let topic = |(name, partitions)| DeleteRecordsTopic::default().name(name).partitions(Some(partitions));
    Ok(DeleteRecordsRequest::default().topics(Some(topics.into_iter().map(topic).collect())))
}

/// Versions 0 and 1.
pub(super) fn init_producer_id(reader: &mut Reader) -> Parsed<InitProducerIdRequest> {
    Ok(InitProducerIdRequest::default().transactional_id(reader.string()?))
}

/// Versions 1 to 3.
pub(super) fn describe_configs(reader: &mut Reader) -> Parsed<DescribeConfigsRequest> {
    let resources = reader.array(|resource| {
        let described =
            DescribeConfigsResource::default().resource_type(resource.i8()?).resource_name(resource.text()?);
        Ok(described.configuration_keys(resource.nullable_array(Reader::text)?))
    })?;
    Ok(DescribeConfigsRequest::default().resources(Some(resources)))
}
