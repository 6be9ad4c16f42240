// Checks the broker with franz-go: producer, groups, transactions and the admin client.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"roundhouse.test/checks"
)

const records = 200

var address = checks.Address()

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.RequestTimeoutOverhead(10 * time.Second), kgo.RetryTimeout(20 * time.Second)}, options...)...)
}

// withAdmin calls a function with an admin client.
func withAdmin(call func(*kadm.Client) error) error {
	raw, err := client()
	if err != nil {
		return err
	}
	defer raw.Close()
	return call(kadm.NewClient(raw))
}

func create(ctx context.Context, topic string, partitions int32) error {
	return withAdmin(func(admin *kadm.Client) error {
		_, err := admin.CreateTopic(ctx, partitions, 1, nil, topic)
		return err
	})
}

func produce(ctx context.Context, topic string, values []string, options ...kgo.Opt) error {
	producer, err := client(append(options, kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		return err
	}
	defer producer.Close()
	return send(ctx, producer, topic, values)
}

func send(ctx context.Context, producer *kgo.Client, topic string, values []string) error {
	batch := make([]*kgo.Record, len(values))
	for number, value := range values {
		batch[number] = &kgo.Record{Topic: topic, Key: []byte(value), Value: []byte(value)}
	}
	return producer.ProduceSync(ctx, batch...).FirstErr()
}

// poll returns the values that arrive in a short time.
func poll(ctx context.Context, consumer *kgo.Client) ([]string, error) {
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	var values []string
	fetches := consumer.PollFetches(short)
	for _, failure := range fetches.Errors() {
		if !errors.Is(failure.Err, context.DeadlineExceeded) {
			return nil, failure.Err
		}
	}
	fetches.EachRecord(func(record *kgo.Record) { values = append(values, string(record.Value)) })
	return values, nil
}

func read(ctx context.Context, consumer *kgo.Client, count int) ([]string, error) {
	var values []string
	err := checks.Until(ctx, fmt.Sprintf("%d records", count), func() (bool, error) {
		more, err := poll(ctx, consumer)
		values = append(values, more...)
		return len(values) >= count, err
	})
	return values, err
}

// reads checks that a topic shows exactly these values.
func reads(ctx context.Context, topic string, isolation kgo.IsolationLevel, expected []string) error {
	consumer, err := client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer consumer.Close()
	values, err := read(ctx, consumer, len(expected))
	if err != nil {
		return err
	}
	for range 3 {
		more, err := poll(ctx, consumer)
		if err != nil {
			return err
		}
		values = append(values, more...)
	}
	return checks.SameValues(values, expected)
}

func member(group, topic string, options ...kgo.Opt) (*kgo.Client, error) {
	return client(append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, options...)...)
}

func produceWith(codec kgo.CompressionCodec, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, values := checks.Name("franz-"+name), checks.Values(name, records)
		if err := create(ctx, topic, 3); err != nil {
			return err
		}
		if err := produce(ctx, topic, values, kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(kgo.AllISRAcks())); err != nil {
			return err
		}
		return reads(ctx, topic, kgo.ReadCommitted(), values)
	}
}

func rebalance(balancer kgo.GroupBalancer, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, group, values := checks.Name("franz-shared-"+name), checks.Name("franz-shared-"+name), checks.Values("shared", records)
		if err := create(ctx, topic, 4); err != nil {
			return err
		}
		if err := produce(ctx, topic, values); err != nil {
			return err
		}
		first, err := member(group, topic, kgo.Balancers(balancer))
		if err != nil {
			return err
		}
		defer first.Close()
		if _, err := read(ctx, first, records); err != nil {
			return err
		}
		if err := first.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
		second, err := member(group, topic, kgo.Balancers(balancer))
		if err != nil {
			return err
		}
		if err := waitForMembers(ctx, group, 2, func() error {
			_, left := poll(ctx, first)
			_, right := poll(ctx, second)
			return errors.Join(left, right)
		}); err != nil {
			return err
		}
		again := checks.Values("after", records)
		if err := produce(ctx, topic, again); err != nil {
			return err
		}
		var one, two []string
		err = checks.Until(ctx, "all records read", func() (bool, error) {
			more, err := poll(ctx, first)
			one = append(one, more...)
			if err != nil {
				return false, err
			}
			more, err = poll(ctx, second)
			two = append(two, more...)
			return len(one)+len(two) >= records, err
		})
		if err != nil {
			return err
		}
		if len(one) == 0 || len(two) == 0 {
			return fmt.Errorf("one member read nothing: %d and %d records", len(one), len(two))
		}
		if err := checks.SameValues(append(one, two...), again); err != nil {
			return err
		}
		second.Close()
		return waitForMembers(ctx, group, 1, func() error {
			_, err := poll(ctx, first)
			return err
		})
	}
}

// waitForMembers waits until the group is stable, and each of so many members has partitions.
func waitForMembers(ctx context.Context, group string, count int, between func() error) error {
	return withAdmin(func(admin *kadm.Client) error {
		return checks.Until(ctx, fmt.Sprintf("%d members with partitions", count), func() (bool, error) {
			if err := between(); err != nil {
				return false, err
			}
			described, err := admin.DescribeGroups(ctx, group)
			if err != nil {
				return false, err
			}
			having, total := 0, 0
			for _, member := range described[group].Members {
				if assigned, ok := member.Assigned.AsConsumer(); ok {
					partitions := 0
					for _, topic := range assigned.Topics {
						partitions += len(topic.Partitions)
					}
					total += partitions
					if partitions > 0 {
						having++
					}
				}
			}
			return described[group].State == "Stable" && having == count && total == 4, nil
		})
	})
}

func commitAndResume(ctx context.Context) error {
	topic, group, values := checks.Name("franz-resume"), checks.Name("franz-resume"), checks.Values("resume", records)
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	if err := produce(ctx, topic, values); err != nil {
		return err
	}
	consumer, err := member(group, topic)
	if err != nil {
		return err
	}
	short := consumer.PollRecords(ctx, 50)
	if err := short.Err(); err != nil {
		return err
	}
	taken := short.Records()
	if err := consumer.CommitRecords(ctx, taken...); err != nil {
		return err
	}
	consumer.Close()
	again, err := member(group, topic)
	if err != nil {
		return err
	}
	defer again.Close()
	rest, err := read(ctx, again, records-len(taken))
	if err != nil {
		return err
	}
	return checks.SameValues(rest, values[len(taken):])
}

func groups(ctx context.Context) error {
	topic, group := checks.Name("franz-grouped"), checks.Name("franz-grouped")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	return withAdmin(func(admin *kadm.Client) error {
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "seven"})
		if err := admin.CommitAllOffsets(ctx, group, offsets); err != nil {
			return err
		}
		fetched, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		found, _ := fetched.Lookup(topic, 0)
		if err := errors.Join(checks.Same("offset", found.At, 7), checks.Same("metadata", found.Metadata, "seven")); err != nil {
			return err
		}
		listed, err := admin.ListGroups(ctx)
		if err != nil {
			return err
		}
		if _, ok := listed[group]; !ok {
			return errors.New("group is not listed")
		}
		described, err := admin.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		if err := checks.Same("state", described[group].State, "Empty"); err != nil {
			return err
		}
		other := kadm.Offsets{}
		other.Add(kadm.Offset{Topic: checks.Name("franz-shared-range"), Partition: 0, At: 1, LeaderEpoch: -1})
		if err := admin.CommitAllOffsets(ctx, group, other); err != nil {
			return err
		}
		deleted, err := admin.DeleteOffsets(ctx, group, kadm.TopicsSet{topic: {0: {}}})
		if err != nil {
			return err
		}
		if err := deleted.Error(); err != nil {
			return err
		}
		gone, err := admin.DeleteGroups(ctx, group)
		if err != nil {
			return err
		}
		return gone.Error()
	})
}

func adminCalls(ctx context.Context) error {
	topic := checks.Name("franz-admin")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	if err := create(ctx, topic, 1); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating a topic again: %v", err)
	}
	if err := produce(ctx, topic, checks.Values("value", 3)); err != nil {
		return err
	}
	return withAdmin(func(admin *kadm.Client) error {
		metadata, err := admin.BrokerMetadata(ctx)
		if err != nil {
			return err
		}
		if err := checks.Same("brokers", len(metadata.Brokers), 1); err != nil {
			return err
		}
		directories, err := admin.DescribeAllLogDirs(ctx, kadm.TopicsSet{topic: {0: {}}})
		if err != nil {
			return err
		}
		found := false
		for _, broker := range directories {
			broker.EachPartition(func(kadm.DescribedLogDirPartition) { found = true })
		}
		if !found {
			return errors.New("no log directory has the partition")
		}
		value := "7200000"
		altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, topic)
		if err != nil {
			return err
		}
		for _, answer := range altered {
			if answer.Err != nil {
				return answer.Err
			}
		}
		removed := kadm.Offsets{}
		removed.Add(kadm.Offset{Topic: topic, Partition: 0, At: 2})
		if _, err := admin.DeleteRecords(ctx, removed); err != nil {
			return err
		}
		starts, err := admin.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		start, _ := starts.Lookup(topic, 0)
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		end, _ := ends.Lookup(topic, 0)
		if err := errors.Join(checks.Same("first offset", start.Offset, 2), checks.Same("end offset", end.Offset, 3)); err != nil {
			return err
		}
		grown, err := admin.UpdatePartitions(ctx, 3, topic)
		if err != nil {
			return err
		}
		if err := grown.Error(); err != nil {
			return err
		}
		results, err := admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().Allow().Deny().AllowHosts().DenyHosts().Operations().ResourcePatternType(kadm.ACLPatternAny))
		if err != nil {
			return err
		}
		for _, result := range results {
			if !errors.Is(result.Err, kerr.SecurityDisabled) {
				return fmt.Errorf("DescribeAcls: expected SECURITY_DISABLED, found %v", result.Err)
			}
		}
		return checks.Same("answers to DescribeAcls", len(results) > 0, true)
	})
}

func transactional(identity string, options ...kgo.Opt) (*kgo.Client, error) {
	return client(append([]kgo.Opt{kgo.TransactionalID(identity), kgo.TransactionTimeout(20 * time.Second)}, options...)...)
}

func inTransaction(ctx context.Context, producer *kgo.Client, topic, value string, end kgo.TransactionEndTry) error {
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	if err := send(ctx, producer, topic, []string{value}); err != nil {
		return err
	}
	return producer.EndTransaction(ctx, end)
}

func commitAndAbort(ctx context.Context) error {
	topic := checks.Name("franz-tx")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	producer, err := transactional(topic)
	if err != nil {
		return err
	}
	defer producer.Close()
	for _, step := range []struct {
		value string
		end   kgo.TransactionEndTry
	}{{"first", kgo.TryCommit}, {"aborted", kgo.TryAbort}, {"last", kgo.TryCommit}} {
		if err := inTransaction(ctx, producer, topic, step.value, step.end); err != nil {
			return fmt.Errorf("%s: %w", step.value, err)
		}
	}
	if err := reads(ctx, topic, kgo.ReadCommitted(), []string{"first", "last"}); err != nil {
		return fmt.Errorf("committed values: %w", err)
	}
	return reads(ctx, topic, kgo.ReadUncommitted(), []string{"first", "aborted", "last"})
}

func fencing(ctx context.Context) error {
	topic := checks.Name("franz-fenced")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	older, err := transactional(topic)
	if err != nil {
		return err
	}
	defer older.Close()
	if err := older.BeginTransaction(); err != nil {
		return err
	}
	if err := send(ctx, older, topic, []string{"older"}); err != nil {
		return err
	}
	newer, err := transactional(topic)
	if err != nil {
		return err
	}
	defer newer.Close()
	if err := inTransaction(ctx, newer, topic, "newer", kgo.TryCommit); err != nil {
		return err
	}
	if err := older.EndTransaction(ctx, kgo.TryCommit); err == nil {
		return errors.New("the older producer could commit")
	}
	return reads(ctx, topic, kgo.ReadCommitted(), []string{"newer"})
}

func consumeTransformProduce(ctx context.Context) error {
	source, target, values := checks.Name("franz-from"), checks.Name("franz-to"), checks.Values("value", records)
	for _, topic := range []string{source, target} {
		if err := create(ctx, topic, 2); err != nil {
			return err
		}
	}
	if err := produce(ctx, source, values); err != nil {
		return err
	}
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(address), kgo.TransactionalID(source), kgo.TransactionTimeout(20*time.Second),
		kgo.ConsumerGroup(source), kgo.ConsumeTopics(source), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer session.Close()
	moved, expected, tries := 0, []string{}, 0
	for moved < records {
		fetches := session.PollRecords(ctx, 30)
		if err := fetches.Err(); err != nil {
			return err
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Topic: target, Value: append(record.Value, '!')}, nil)
		})
		// The first transaction is aborted: its records come again.
		tries++
		committed, err := session.End(ctx, kgo.TransactionEndTry(tries > 1))
		if err != nil {
			return err
		}
		if committed {
			moved += fetches.NumRecords()
		}
	}
	for _, value := range values {
		expected = append(expected, value+"!")
	}
	return reads(ctx, target, kgo.ReadCommitted(), expected)
}

func deleteTopic(ctx context.Context) error {
	topic := checks.Name("franz-deleted")
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	return withAdmin(func(admin *kadm.Client) error {
		deleted, err := admin.DeleteTopics(ctx, topic)
		if err != nil {
			return err
		}
		return deleted.Error()
	})
}

func main() {
	all := checks.New("github.com/twmb/franz-go")
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()}, {"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}} {
		all.Run("produce and read, "+codec.name, produceWith(codec.codec, codec.name))
	}
	all.Run("group with two members, range", rebalance(kgo.RangeBalancer(), "range"))
	all.Run("group with two members, cooperative-sticky", rebalance(kgo.CooperativeStickyBalancer(), "sticky"))
	all.Run("commit and resume", commitAndResume)
	all.Run("list, describe, delete group and its offsets", groups)
	all.Run("admin calls", adminCalls)
	all.Run("transactions: commit and abort", commitAndAbort)
	all.Run("transactions: fencing", fencing)
	all.Run("transactions: consume, transform, produce", consumeTransformProduce)
	all.Run("delete topic", deleteTopic)
	all.Exit()
}
