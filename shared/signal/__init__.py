"""The signal library: every number that reaches the model is computed here, both live and in training."""
