// Checks the broker with Sarama. go.mod has a recent version; old.mod has 1.38, whose module had another name.
package main

import (
	"github.com/IBM/sarama"
	"roundhouse.test/checks"
)

func main() {
	all := checks.New("github.com/IBM/sarama")
	// The protocol of Kafka 0.10.2: no idempotent producer, no zstd, the oldest requests of groups.
	old := clients{name: "sarama-0.10.2", version: sarama.V0_10_2_0, codecs: codecs[:4]}
	old.runBasic(all)
	recent := clients{name: "sarama-max", version: sarama.MaxVersion, codecs: codecs}
	recent.runAll(all)
	all.Exit()
}
