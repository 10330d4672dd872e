"""What a single machine offers: its clock, its randomness, secrets from its environment."""
