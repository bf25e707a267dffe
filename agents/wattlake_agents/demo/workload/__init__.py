"""What the demo accounts for: a tiny language model in plain Python, prepared, trained, fine-tuned and served."""
