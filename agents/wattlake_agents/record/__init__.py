"""What is recorded by hand or by a script: a transfer, the counters of a service."""
