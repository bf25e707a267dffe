"""What is amiss between this machine's sensors and the log, each cause told apart from the others."""
