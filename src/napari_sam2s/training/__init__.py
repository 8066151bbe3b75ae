"""Training SAM2S: clips, losses, and a loop that can be resumed."""
