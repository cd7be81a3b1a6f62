"""The networks here are small: a second thread only waits."""

import torch

torch.set_num_threads(1)
