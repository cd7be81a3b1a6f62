"""Training of the default model: sampling, augmentation, the loop."""
