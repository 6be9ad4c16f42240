//! The error codes of the Kafka protocol that this broker answers with.
//!
//! Source: <https://kafka.apache.org/protocol.html#protocol_error_codes>

use thiserror::Error;

/// An error in an answer. The discriminant is the number of the protocol. Code 0, no error, is `Ok` or `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[repr(i16)]
pub(crate) enum ErrorCode {
    #[error("the broker had an unexpected error")]
    UnknownServerError = -1,
    #[error("the offset is not in the partition")]
    OffsetOutOfRange = 1,
    #[error("the batch is damaged")]
    CorruptMessage = 2,
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition = 3,
    #[error("the batch is too large")]
    MessageTooLarge = 10,
    #[error("the metadata of the offset is too large")]
    OffsetMetadataTooLarge = 12,
    #[error("the coordinator is not available")]
    CoordinatorNotAvailable = 15,
    #[error("the topic name is invalid")]
    InvalidTopicException = 17,
    #[error("the value of acks is invalid")]
    InvalidRequiredAcks = 21,
    #[error("the generation of the group is another one")]
    IllegalGeneration = 22,
    #[error("the members of the group have no protocol in common")]
    InconsistentGroupProtocol = 23,
    #[error("the group id is invalid")]
    InvalidGroupId = 24,
    #[error("the member is unknown")]
    UnknownMemberId = 25,
    #[error("the session timeout is out of range")]
    InvalidSessionTimeout = 26,
    #[error("the group is rebalancing")]
    RebalanceInProgress = 27,
    #[error("the offsets of the group take too much space")]
    InvalidCommitOffsetSize = 28,
    #[error("the timestamp is out of range")]
    InvalidTimestamp = 32,
    #[error("the version of the request is not supported")]
    UnsupportedVersion = 35,
    #[error("the topic already exists")]
    TopicAlreadyExists = 36,
    #[error("the number of partitions is invalid")]
    InvalidPartitions = 37,
    #[error("the replication factor is invalid")]
    InvalidReplicationFactor = 38,
    #[error("the assignment of replicas is invalid")]
    InvalidReplicaAssignment = 39,
    #[error("the configuration is invalid")]
    InvalidConfig = 40,
    #[error("the request is invalid")]
    InvalidRequest = 42,
    #[error("the request exceeds a limit of this broker")]
    PolicyViolation = 44,
    #[error("the message format does not support this")]
    UnsupportedForMessageFormat = 43,
    #[error("a batch of the producer is missing")]
    OutOfOrderSequenceNumber = 45,
    #[error("the batch was already stored")]
    DuplicateSequenceNumber = 46,
    #[error("the epoch of the producer is old")]
    InvalidProducerEpoch = 47,
    #[error("the transaction is in a state that does not allow this")]
    InvalidTxnState = 48,
    #[error("the producer id does not belong to the transactional id")]
    InvalidProducerIdMapping = 49,
    #[error("the timeout of the transaction is out of range")]
    InvalidTransactionTimeout = 50,
    #[error("another request changes the transaction")]
    ConcurrentTransactions = 51,
    #[error("not attempted, because another part of the request is wrong")]
    OperationNotAttempted = 55,
    #[error("the disk failed")]
    KafkaStorageError = 56,
    #[error("there are no access control lists")]
    SecurityDisabled = 54,
    #[error("the fetch session does not exist")]
    FetchSessionIdNotFound = 70,
    #[error("the group has members")]
    NonEmptyGroup = 68,
    #[error("the group does not exist")]
    GroupIdNotFound = 69,
    #[error("the compression is not supported")]
    UnsupportedCompressionType = 76,
    #[error("join again with the member id of this answer")]
    MemberIdRequired = 79,
    #[error("the group has the maximum number of members")]
    GroupMaxSizeReached = 81,
    #[error("another member has the same group instance id")]
    FencedInstanceId = 82,
    #[error("a member of the group consumes the topic")]
    GroupSubscribedToTopic = 86,
    #[error("a record is invalid")]
    InvalidRecord = 87,
    #[error("a transaction has not decided yet about the offset")]
    UnstableOffsetCommit = 88,
    #[error("the endpoints of this listener are those of brokers")]
    MismatchedEndpointType = 114,
    #[error("another producer with the same transactional id has taken over")]
    ProducerFenced = 90,
}

impl ErrorCode {
    /// The number in the protocol.
    pub fn number(self) -> i16 {
        self as i16
    }
}
