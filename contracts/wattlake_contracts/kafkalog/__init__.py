"""The log on Kafka: the same records as on the file log, one topic for each kind of message or family of kinds.

A writer spools a record on its disk first; it goes from there to Kafka, and from the disk when Kafka has it.
"""
