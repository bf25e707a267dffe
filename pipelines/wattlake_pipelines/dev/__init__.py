"""Throw-away servers for trying out and for tests: a Kafka of one or three brokers, and a Flink that runs Beam's pipelines."""
