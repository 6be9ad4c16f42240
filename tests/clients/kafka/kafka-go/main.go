// Checks the broker with kafka-go: its Writer and Reader, which use old versions of the protocol, and the requests of its Client.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"roundhouse.test/checks"
)

const records = 200

var (
	address = checks.Address()
	client  = &kafka.Client{Addr: kafka.TCP(address), Timeout: 20 * time.Second}
)

func create(ctx context.Context, topic string, partitions int) error {
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func produce(ctx context.Context, topic string, values []string, codec kafka.Compression) error {
	writer := &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, RequiredAcks: kafka.RequireAll, Compression: codec, BatchTimeout: 10 * time.Millisecond, Balancer: &kafka.RoundRobin{}}
	messages := make([]kafka.Message, len(values))
	for number, value := range values {
		messages[number] = kafka.Message{Key: []byte(value), Value: []byte(value), Headers: []kafka.Header{{Key: "kind", Value: []byte("test")}}}
	}
	return errors.Join(writer.WriteMessages(ctx, messages...), writer.Close())
}

func reader(group, topic string) *kafka.Reader {
	config := kafka.ReaderConfig{Brokers: []string{address}, Topic: topic, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 200 * time.Millisecond, StartOffset: kafka.FirstOffset}
	if group != "" {
		config.GroupID, config.SessionTimeout, config.HeartbeatInterval, config.RebalanceTimeout = group, 10*time.Second, 500*time.Millisecond, 10*time.Second
	}
	return kafka.NewReader(config)
}

// fetch reads messages, and commits each if the reader is in a group.
func fetch(ctx context.Context, from *kafka.Reader, count int, commit bool) ([]string, error) {
	var values []string
	for len(values) < count {
		message, err := from.FetchMessage(ctx)
		if err != nil {
			return values, fmt.Errorf("%d of %d records read: %w", len(values), count, err)
		}
		values = append(values, string(message.Value))
		if commit {
			if err := from.CommitMessages(ctx, message); err != nil {
				return values, err
			}
		}
	}
	return values, nil
}

func produceWith(codec kafka.Compression, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, values := checks.Name("kafka-go-"+name), checks.Values(name, records)
		if err := create(ctx, topic, 1); err != nil {
			return err
		}
		if err := produce(ctx, topic, values, codec); err != nil {
			return err
		}
		from := reader("", topic)
		defer from.Close()
		found, err := fetch(ctx, from, records, false)
		if err != nil {
			return err
		}
		return checks.SameValues(found, values)
	}
}

// rebalance lets a second member join, and take over when the first leaves.
func rebalance(ctx context.Context) error {
	topic := checks.Name("kafka-go-shared")
	if err := create(ctx, topic, 4); err != nil {
		return err
	}
	first := reader(topic, topic)
	if err := waitForMembers(ctx, topic, 1); err != nil {
		return err
	}
	second := reader(topic, topic)
	if err := waitForMembers(ctx, topic, 2); err != nil {
		return err
	}
	values := checks.Values("shared", records)
	if err := produce(ctx, topic, values, 0); err != nil {
		return err
	}
	one, err := fetch(ctx, first, records/2, true)
	if err != nil {
		return fmt.Errorf("first member: %w", err)
	}
	two, err := fetch(ctx, second, records/2, true)
	if err != nil {
		return fmt.Errorf("second member: %w", err)
	}
	if err := checks.SameValues(append(one, two...), values); err != nil {
		return err
	}
	if err := first.Close(); err != nil {
		return err
	}
	if err := waitForMembers(ctx, topic, 1); err != nil {
		return err
	}
	again := checks.Values("after", records)
	if err := produce(ctx, topic, again, 0); err != nil {
		return err
	}
	found, err := fetch(ctx, second, records, true)
	if err != nil {
		return fmt.Errorf("after the first member left: %w", err)
	}
	return errors.Join(checks.SameValues(found, again), second.Close())
}

// waitForMembers waits until the group is stable, and its members share all four partitions.
func waitForMembers(ctx context.Context, group string, count int) error {
	return checks.Until(ctx, fmt.Sprintf("%d members", count), func() (bool, error) {
		answer, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil || len(answer.Groups) != 1 || answer.Groups[0].GroupState != "Stable" {
			return false, err
		}
		partitions := 0
		for _, member := range answer.Groups[0].Members {
			for _, topic := range member.MemberAssignments.Topics {
				partitions += len(topic.Partitions)
			}
		}
		return len(answer.Groups[0].Members) == count && partitions == 4, nil
	})
}

func commitAndResume(ctx context.Context) error {
	topic, values := checks.Name("kafka-go-resume"), checks.Values("resume", records)
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	if err := produce(ctx, topic, values, 0); err != nil {
		return err
	}
	var found []string
	for _, count := range []int{50, records - 50} {
		from := reader(topic, topic)
		part, err := fetch(ctx, from, count, true)
		if err := errors.Join(err, from.Close()); err != nil {
			return err
		}
		found = append(found, part...)
	}
	return checks.SameValues(found, values)
}

func listOffsets(ctx context.Context) error {
	topic := checks.Name("kafka-go-offsets")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	if err := produce(ctx, topic, checks.Values("value", 3), 0); err != nil {
		return err
	}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil {
		return err
	}
	found := answer.Topics[topic][0]
	if err := errors.Join(found.Error, checks.Same("first offset", found.FirstOffset, 0), checks.Same("end offset", found.LastOffset, 3)); err != nil {
		return err
	}
	connection, err := kafka.DialLeader(ctx, "tcp", address, topic, 0)
	if err != nil {
		return err
	}
	defer connection.Close()
	first, last, err := connection.ReadOffsets()
	return errors.Join(err, checks.Same("first offset of the connection", first, 0), checks.Same("end offset of the connection", last, 3))
}

func groups(ctx context.Context) error {
	topic := checks.Name("kafka-go-grouped")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	if err := produce(ctx, topic, checks.Values("value", 3), 0); err != nil {
		return err
	}
	from := reader(topic, topic)
	_, err := fetch(ctx, from, 3, true)
	if err := errors.Join(err, from.Close()); err != nil {
		return err
	}
	listed, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return err
	}
	found := false
	for _, group := range listed.Groups {
		found = found || group.GroupID == topic
	}
	if !found {
		return errors.New("group is not listed")
	}
	offsets, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: topic, Topics: map[string][]int{topic: {0}}})
	if err != nil {
		return err
	}
	if err := checks.Same("offset", offsets.Topics[topic][0].CommittedOffset, 3); err != nil {
		return err
	}
	every, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: topic})
	if err != nil {
		return err
	}
	if err := checks.Same("topics with offsets", len(every.Topics), 1); err != nil {
		return err
	}
	removed, err := client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: topic, Topics: map[string][]int{topic: {0}}})
	if err != nil {
		return err
	}
	if err := errors.Join(removed.Error, removed.Topics[topic][0].Error); err != nil {
		return err
	}
	deleted, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{topic}})
	if err != nil {
		return err
	}
	if failure := deleted.Errors[topic]; failure != nil && !errors.Is(failure, kafka.GroupIdNotFound) {
		return failure
	}
	return nil
}

func adminCalls(ctx context.Context) error {
	topic := checks.Name("kafka-go-admin")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	if err := errors.Join(checks.Same("brokers", len(metadata.Brokers), 1), checks.Same("partitions", len(metadata.Topics[0].Partitions), 1)); err != nil {
		return err
	}
	altered, err := client.AlterConfigs(ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "7200000"}}}}})
	if err != nil {
		return err
	}
	for _, failure := range altered.Errors {
		if failure != nil {
			return failure
		}
	}
	changed, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic,
		ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy", Value: "compact", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	if err := changed.Resources[0].Error; err != nil {
		return err
	}
	if err := checks.Until(ctx, "the settings", func() (bool, error) {
		described, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}}})
		if err != nil {
			return false, err
		}
		found := map[string]string{}
		for _, entry := range described.Resources[0].ConfigEntries {
			found[entry.ConfigName] = entry.ConfigValue
		}
		return found["retention.ms"] == "7200000" && found["cleanup.policy"] == "compact", nil
	}); err != nil {
		return err
	}
	grown, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}})
	if err != nil {
		return err
	}
	if err := grown.Errors[topic]; err != nil {
		return err
	}
	acls, err := client.DescribeACLs(ctx, &kafka.DescribeACLsRequest{Filter: kafka.ACLFilter{ResourceTypeFilter: kafka.ResourceTypeAny, ResourcePatternTypeFilter: kafka.PatternTypeAny,
		Operation: kafka.ACLOperationTypeAny, PermissionType: kafka.ACLPermissionTypeAny}})
	if err != nil {
		return err
	}
	if !errors.Is(acls.Error, kafka.SecurityDisabled) {
		return fmt.Errorf("DescribeAcls: expected SECURITY_DISABLED, found %v", acls.Error)
	}
	return nil
}

// transactionRequests sends the requests of transactions: the Writer of kafka-go has no transactions.
func transactionRequests(ctx context.Context) error {
	topic := checks.Name("kafka-go-tx")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	started, err := client.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: topic, TransactionTimeoutMs: 20_000, ProducerID: -1, ProducerEpoch: -1})
	if err != nil {
		return err
	}
	if started.Error != nil {
		return started.Error
	}
	producer := started.Producer
	added, err := client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{TransactionalID: topic, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch,
		Topics: map[string][]kafka.AddPartitionToTxn{topic: {{Partition: 0}}}})
	if err != nil {
		return err
	}
	if failure := added.Topics[topic][0].Error; failure != nil {
		return failure
	}
	offsets, err := client.AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{TransactionalID: topic, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, GroupID: topic})
	if err != nil {
		return err
	}
	if offsets.Error != nil {
		return offsets.Error
	}
	committed, err := client.TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{TransactionalID: topic, GroupID: topic, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch,
		GenerationID: -1, Topics: map[string][]kafka.TxnOffsetCommit{topic: {{Partition: 0, Offset: 9}}}})
	if err != nil {
		return err
	}
	if failure := committed.Topics[topic][0].Error; failure != nil {
		return failure
	}
	ended, err := client.EndTxn(ctx, &kafka.EndTxnRequest{TransactionalID: topic, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, Committed: true})
	if err != nil {
		return err
	}
	if ended.Error != nil {
		return ended.Error
	}
	return checks.Until(ctx, "committed offset", func() (bool, error) {
		found, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: topic, Topics: map[string][]int{topic: {0}}})
		if err != nil {
			return false, err
		}
		return found.Topics[topic][0].CommittedOffset == 9, nil
	})
}

func deleteTopic(ctx context.Context) error {
	topic := checks.Name("kafka-go-deleted")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	answer, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func main() {
	all := checks.New("github.com/segmentio/kafka-go")
	for _, codec := range []struct {
		name  string
		codec kafka.Compression
	}{{"none", compress.None}, {"gzip", compress.Gzip}, {"snappy", compress.Snappy}, {"lz4", compress.Lz4}, {"zstd", compress.Zstd}} {
		all.Run("produce and read, "+codec.name, produceWith(codec.codec, codec.name))
	}
	all.Run("group with two members", rebalance)
	all.Run("commit and resume", commitAndResume)
	all.Run("list offsets", listOffsets)
	all.Run("list, describe, delete group and its offsets", groups)
	all.Run("admin calls", adminCalls)
	all.Run("transactions: requests", transactionRequests)
	all.Run("delete topic", deleteTopic)
	all.Exit()
}
