"""The one signal library: every number that reaches the model is computed here, live and in training alike."""
