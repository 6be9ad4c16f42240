package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"roundhouse.test/checks"
)

const records = 200

var (
	address = checks.Address()
	codecs  = []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD}
)

// clients makes clients that speak the protocol of one version of Kafka.
type clients struct {
	name    string
	version sarama.KafkaVersion
	codecs  []sarama.CompressionCodec
}

// runBasic runs what every version of the protocol has.
func (clients clients) runBasic(all *checks.Checks) {
	prefix := clients.version.String() + ": "
	for _, codec := range clients.codecs {
		all.Run(prefix+"produce and read, "+codec.String(), func(ctx context.Context) error { return clients.produceAndRead(ctx, codec) })
	}
	all.Run(prefix+"group with two members", clients.rebalance)
	all.Run(prefix+"commit and resume", clients.commitAndResume)
	all.Run(prefix+"commit without a group member", clients.commitAlone)
	all.Run(prefix+"list offsets", clients.listOffsets)
	all.Run(prefix+"delete topic", clients.deleteTopic)
}

// runAll adds what newer versions have.
func (clients clients) runAll(all *checks.Checks) {
	clients.runBasic(all)
	prefix := clients.version.String() + ": "
	all.Run(prefix+"admin calls", clients.adminCalls)
	all.Run(prefix+"list, describe, delete group and its offsets", clients.groups)
	all.Run(prefix+"transactions: commit and abort", clients.commitAndAbort)
	all.Run(prefix+"transactions: fencing", clients.fencing)
	all.Run(prefix+"transactions: offsets of a group", clients.offsetsInTransaction)
}

func (clients clients) topic(what string) string { return checks.Name(clients.name + "-" + what) }

func (clients clients) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = clients.version
	config.Net.DialTimeout, config.Net.ReadTimeout, config.Net.WriteTimeout = 10*time.Second, 15*time.Second, 10*time.Second
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout, config.Consumer.Group.Heartbeat.Interval = 10*time.Second, 500*time.Millisecond
	if clients.version.IsAtLeast(sarama.V0_11_0_0) {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	return config
}

func (clients clients) withAdmin(call func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin([]string{address}, clients.config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return call(admin)
}

func (clients clients) create(topic string, partitions int32) error {
	return clients.withAdmin(func(admin sarama.ClusterAdmin) error {
		if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
			return err
		}
		return clients.waitForLeaders(topic, partitions)
	})
}

// waitForLeaders waits until each partition of a new topic answers: Apache Kafka names a leader before it has the partition.
func (clients clients) waitForLeaders(topic string, partitions int32) error {
	client, err := sarama.NewClient([]string{address}, clients.config())
	if err != nil {
		return err
	}
	defer client.Close()
	return checks.Until(context.Background(), "leaders of the new topic", func() (bool, error) {
		for partition := range partitions {
			_, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
			var refused sarama.KError
			if errors.As(err, &refused) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

func (clients clients) produce(topic string, values []string, change func(*sarama.Config)) error {
	config := clients.config()
	if change != nil {
		change(config)
	}
	producer, err := sarama.NewSyncProducer([]string{address}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	return producer.SendMessages(messages(topic, values))
}

func messages(topic string, values []string) []*sarama.ProducerMessage {
	batch := make([]*sarama.ProducerMessage, len(values))
	for number, value := range values {
		batch[number] = &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(value), Value: sarama.StringEncoder(value)}
	}
	return batch
}

// values returns what partition 0 shows in an isolation level, up to a last value.
func (clients clients) values(ctx context.Context, topic string, isolation sarama.IsolationLevel, last string) ([]string, error) {
	config := clients.config()
	if clients.version.IsAtLeast(sarama.V0_11_0_0) {
		config.Consumer.IsolationLevel = isolation
	}
	consumer, err := sarama.NewConsumer([]string{address}, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	var values []string
	for {
		select {
		case message := <-partition.Messages():
			values = append(values, string(message.Value))
			if string(message.Value) == last {
				return values, nil
			}
		case <-time.After(30 * time.Second):
			return nil, fmt.Errorf("%q was not read within 30 s; read %d values", last, len(values))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (clients clients) produceAndRead(ctx context.Context, codec sarama.CompressionCodec) error {
	topic, values := clients.topic(codec.String()), checks.Values(codec.String(), records)
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	if err := clients.produce(topic, values, func(config *sarama.Config) { config.Producer.Compression = codec }); err != nil {
		return err
	}
	found, err := clients.values(ctx, topic, sarama.ReadCommitted, values[records-1])
	if err != nil {
		return err
	}
	return checks.SameValues(found, values)
}

// member is one consumer of a group. It marks and commits what it reads.
type member struct {
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	done   chan error

	lock   sync.Mutex
	claims int
	values []string
	limit  int
}

func (clients clients) join(group, topic string, limit int) (*member, error) {
	joined, err := sarama.NewConsumerGroup([]string{address}, group, clients.config())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	member := &member{group: joined, cancel: cancel, done: make(chan error, 1), limit: limit}
	go func() {
		for ctx.Err() == nil {
			if err := joined.Consume(ctx, []string{topic}, member); err != nil {
				member.done <- err
				return
			}
		}
		member.done <- nil
	}()
	return member, nil
}

func (member *member) Setup(session sarama.ConsumerGroupSession) error {
	member.lock.Lock()
	defer member.lock.Unlock()
	member.claims = 0
	for _, partitions := range session.Claims() {
		member.claims += len(partitions)
	}
	return nil
}

func (member *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	member.lock.Lock()
	defer member.lock.Unlock()
	member.claims = 0
	return nil
}

func (member *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			member.take(session, message)
		case <-session.Context().Done():
			return nil
		}
	}
}

func (member *member) take(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
	member.lock.Lock()
	defer member.lock.Unlock()
	if len(member.values) < member.limit {
		member.values = append(member.values, string(message.Value))
		session.MarkMessage(message, "read")
	}
}

func (member *member) state() (int, []string) {
	member.lock.Lock()
	defer member.lock.Unlock()
	return member.claims, append([]string{}, member.values...)
}

func (member *member) leave() error {
	member.cancel()
	select {
	case <-member.done:
	case <-time.After(20 * time.Second):
		return errors.New("the member did not leave within 20 s")
	}
	return member.group.Close()
}

func (clients clients) rebalance(ctx context.Context) error {
	topic, values := clients.topic("shared"), checks.Values("shared", records)
	if err := clients.create(topic, 4); err != nil {
		return err
	}
	first, err := clients.join(topic, topic, records)
	if err != nil {
		return err
	}
	if err := claims(ctx, first, 4); err != nil {
		return err
	}
	second, err := clients.join(topic, topic, records)
	if err != nil {
		return err
	}
	if err := errors.Join(claims(ctx, first, 2), claims(ctx, second, 2)); err != nil {
		return err
	}
	if err := clients.produce(topic, values, nil); err != nil {
		return err
	}
	var found []string
	if err := checks.Until(ctx, "all records read", func() (bool, error) {
		_, one := first.state()
		_, two := second.state()
		found = append(one, two...)
		return len(found) >= records, nil
	}); err != nil {
		return err
	}
	if err := checks.SameValues(found, values); err != nil {
		return err
	}
	if err := second.leave(); err != nil {
		return err
	}
	if err := claims(ctx, first, 4); err != nil {
		return fmt.Errorf("after the other member left: %w", err)
	}
	return first.leave()
}

func claims(ctx context.Context, member *member, count int) error {
	return checks.Until(ctx, fmt.Sprintf("%d partitions", count), func() (bool, error) {
		found, _ := member.state()
		return found == count, nil
	})
}

func (clients clients) commitAndResume(ctx context.Context) error {
	topic, values := clients.topic("resume"), checks.Values("resume", records)
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	if err := clients.produce(topic, values, nil); err != nil {
		return err
	}
	var found []string
	for _, limit := range []int{50, records - 50} {
		member, err := clients.join(topic, topic, limit)
		if err != nil {
			return err
		}
		if err := checks.Until(ctx, "records read", func() (bool, error) {
			_, read := member.state()
			return len(read) == limit, nil
		}); err != nil {
			return err
		}
		if err := member.leave(); err != nil {
			return err
		}
		_, read := member.state()
		found = append(found, read...)
	}
	return checks.SameValues(found, values)
}

// commitAlone commits with the offset manager, which is in no generation of the group.
func (clients clients) commitAlone(context.Context) error {
	topic := clients.topic("alone")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	for _, expected := range []int64{sarama.OffsetOldest, 42} {
		client, err := sarama.NewClient([]string{address}, clients.config())
		if err != nil {
			return err
		}
		manager, err := sarama.NewOffsetManagerFromClient(topic, client)
		if err != nil {
			return err
		}
		partition, err := manager.ManagePartition(topic, 0)
		if err != nil {
			return err
		}
		next, _ := partition.NextOffset()
		if err := checks.Same("next offset", next, expected); err != nil {
			return err
		}
		partition.MarkOffset(42, "answer")
		manager.Commit()
		partition.AsyncClose()
		if err := errors.Join(manager.Close(), client.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (clients clients) listOffsets(context.Context) error {
	topic := clients.topic("offsets")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	if err := clients.produce(topic, checks.Values("value", 3), nil); err != nil {
		return err
	}
	client, err := sarama.NewClient([]string{address}, clients.config())
	if err != nil {
		return err
	}
	defer client.Close()
	oldest, first := client.GetOffset(topic, 0, sarama.OffsetOldest)
	newest, second := client.GetOffset(topic, 0, sarama.OffsetNewest)
	return errors.Join(first, second, checks.Same("first offset", oldest, 0), checks.Same("end offset", newest, 3))
}

func (clients clients) deleteTopic(ctx context.Context) error {
	topic := clients.topic("deleted")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	return clients.withAdmin(func(admin sarama.ClusterAdmin) error {
		if err := admin.DeleteTopic(topic); err != nil {
			return err
		}
		return checks.Until(ctx, "topic is gone", func() (bool, error) {
			described, err := admin.DescribeTopics([]string{topic})
			return err == nil && described[0].Err == sarama.ErrUnknownTopicOrPartition, err
		})
	})
}

func (clients clients) adminCalls(ctx context.Context) error {
	topic := clients.topic("admin")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	if err := clients.produce(topic, checks.Values("value", 3), nil); err != nil {
		return err
	}
	return clients.withAdmin(func(admin sarama.ClusterAdmin) error {
		brokers, controller, err := admin.DescribeCluster()
		if err != nil {
			return err
		}
		if err := errors.Join(checks.Same("brokers", len(brokers), 1), checks.Same("controller", controller, brokers[0].ID())); err != nil {
			return err
		}
		directories, err := admin.DescribeLogDirs([]int32{brokers[0].ID()})
		if err != nil {
			return err
		}
		if err := checks.Same("log directories", len(directories[brokers[0].ID()]) > 0, true); err != nil {
			return err
		}
		if err := admin.DeleteRecords(topic, map[int32]int64{0: 2}); err != nil {
			return fmt.Errorf("DeleteRecords: %w", err)
		}
		value := "7200000"
		if err := admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &value}, false); err != nil {
			return fmt.Errorf("AlterConfigs: %w", err)
		}
		policy := "compact"
		entry := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &policy}
		if err := admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{"cleanup.policy": entry}, false); err != nil {
			return fmt.Errorf("IncrementalAlterConfigs: %w", err)
		}
		if err := checks.Until(ctx, "the settings", func() (bool, error) {
			entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
			found := map[string]string{}
			for _, entry := range entries {
				found[entry.Name] = entry.Value
			}
			return found["retention.ms"] == value && found["cleanup.policy"] == policy, err
		}); err != nil {
			return err
		}
		if err := admin.CreatePartitions(topic, 3, nil, false); err != nil {
			return fmt.Errorf("CreatePartitions: %w", err)
		}
		// The broker answers SECURITY_DISABLED; this client turns that into an empty list.
		_, err = admin.ListAcls(sarama.AclFilter{ResourceType: sarama.AclResourceAny, ResourcePatternTypeFilter: sarama.AclPatternAny,
			PermissionType: sarama.AclPermissionAny, Operation: sarama.AclOperationAny, Version: 1})
		if err != nil && !errors.Is(err, sarama.ErrSecurityDisabled) {
			return fmt.Errorf("DescribeAcls: %w", err)
		}
		return nil
	})
}

func (clients clients) groups(ctx context.Context) error {
	topic := clients.topic("grouped")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	if err := clients.produce(topic, checks.Values("value", 3), nil); err != nil {
		return err
	}
	member, err := clients.join(topic, topic, 3)
	if err != nil {
		return err
	}
	if err := checks.Until(ctx, "records read", func() (bool, error) {
		_, values := member.state()
		return len(values) == 3, nil
	}); err != nil {
		return err
	}
	return clients.withAdmin(func(admin sarama.ClusterAdmin) error {
		described, err := admin.DescribeConsumerGroups([]string{topic})
		if err != nil {
			return err
		}
		if err := errors.Join(checks.Same("state", described[0].State, "Stable"), checks.Same("members", len(described[0].Members), 1)); err != nil {
			return err
		}
		if err := member.leave(); err != nil {
			return err
		}
		listed, err := admin.ListConsumerGroups()
		if err != nil {
			return err
		}
		if _, ok := listed[topic]; !ok {
			return errors.New("group is not listed")
		}
		offsets, err := admin.ListConsumerGroupOffsets(topic, nil)
		if err != nil {
			return err
		}
		block := offsets.GetBlock(topic, 0)
		if block == nil {
			return errors.New("the offsets of all partitions lack the topic")
		}
		if err := checks.Same("offset", block.Offset, 3); err != nil {
			return err
		}
		if err := admin.DeleteConsumerGroupOffset(topic, topic, 0); err != nil {
			return fmt.Errorf("OffsetDelete: %w", err)
		}
		if err := admin.DeleteConsumerGroup(topic); err != nil && !errors.Is(err, sarama.ErrGroupIDNotFound) {
			return fmt.Errorf("DeleteGroups: %w", err)
		}
		return nil
	})
}

// transactional starts a producer. The broker may need a moment to abort what an older producer with the same id has left open.
func (clients clients) transactional(identity string) (producer sarama.AsyncProducer, err error) {
	config := clients.config()
	config.Producer.Transaction.ID = identity
	config.Producer.Transaction.Timeout = 20 * time.Second
	waiting := checks.Until(context.Background(), "producer with transactions", func() (bool, error) {
		producer, err = sarama.NewAsyncProducer([]string{address}, config)
		if errors.Is(err, sarama.ErrConcurrentTransactions) {
			return false, nil
		}
		return err == nil, err
	})
	return producer, errors.Join(waiting, err)
}

// send produces in the open transaction, and waits until each record is acknowledged.
func send(producer sarama.AsyncProducer, topic string, values ...string) error {
	for _, message := range messages(topic, values) {
		producer.Input() <- message
	}
	for range values {
		select {
		case <-producer.Successes():
		case failure := <-producer.Errors():
			return failure
		case <-time.After(30 * time.Second):
			return errors.New("no acknowledgement within 30 s")
		}
	}
	return nil
}

func inTransaction(producer sarama.AsyncProducer, topic, value string, end func() error) error {
	if err := producer.BeginTxn(); err != nil {
		return err
	}
	if err := send(producer, topic, value); err != nil {
		return err
	}
	return end()
}

func (clients clients) commitAndAbort(ctx context.Context) error {
	topic := clients.topic("tx")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	producer, err := clients.transactional(topic)
	if err != nil {
		return err
	}
	defer producer.AsyncClose()
	for _, step := range []struct {
		value string
		end   func() error
	}{{"first", producer.CommitTxn}, {"aborted", producer.AbortTxn}, {"last", producer.CommitTxn}} {
		if err := inTransaction(producer, topic, step.value, step.end); err != nil {
			return fmt.Errorf("%s: %w", step.value, err)
		}
	}
	committed, err := clients.values(ctx, topic, sarama.ReadCommitted, "last")
	if err != nil {
		return err
	}
	if err := checks.SameValues(committed, []string{"first", "last"}); err != nil {
		return fmt.Errorf("committed values: %w", err)
	}
	every, err := clients.values(ctx, topic, sarama.ReadUncommitted, "last")
	if err != nil {
		return err
	}
	return checks.SameValues(every, []string{"first", "aborted", "last"})
}

func (clients clients) fencing(ctx context.Context) error {
	topic := clients.topic("fenced")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	older, err := clients.transactional(topic)
	if err != nil {
		return err
	}
	defer older.AsyncClose()
	if err := older.BeginTxn(); err != nil {
		return err
	}
	if err := send(older, topic, "older"); err != nil {
		return err
	}
	newer, err := clients.transactional(topic)
	if err != nil {
		return err
	}
	defer newer.AsyncClose()
	if err := inTransaction(newer, topic, "newer", newer.CommitTxn); err != nil {
		return err
	}
	if err := older.CommitTxn(); err == nil {
		return errors.New("the older producer could commit")
	}
	committed, err := clients.values(ctx, topic, sarama.ReadCommitted, "newer")
	if err != nil {
		return err
	}
	return checks.SameValues(committed, []string{"newer"})
}

func (clients clients) offsetsInTransaction(ctx context.Context) error {
	topic := clients.topic("moved")
	if err := clients.create(topic, 1); err != nil {
		return err
	}
	producer, err := clients.transactional(topic)
	if err != nil {
		return err
	}
	defer producer.AsyncClose()
	return clients.withAdmin(func(admin sarama.ClusterAdmin) error {
		for _, step := range []struct {
			offset, expected int64
			end              func() error
		}{{5, -1, producer.AbortTxn}, {7, 7, producer.CommitTxn}} {
			if err := producer.BeginTxn(); err != nil {
				return err
			}
			offsets := map[string][]*sarama.PartitionOffsetMetadata{topic: {{Partition: 0, Offset: step.offset}}}
			if err := producer.AddOffsetsToTxn(offsets, topic); err != nil {
				return err
			}
			if err := send(producer, topic, "value"); err != nil {
				return err
			}
			if err := step.end(); err != nil {
				return err
			}
			// The end of a transaction may take effect a little later.
			if err := checks.Until(ctx, fmt.Sprintf("offset %d", step.expected), func() (bool, error) {
				fetched, err := admin.ListConsumerGroupOffsets(topic, map[string][]int32{topic: {0}})
				return err == nil && fetched.GetBlock(topic, 0).Offset == step.expected, err
			}); err != nil {
				return err
			}
		}
		return nil
	})
}
