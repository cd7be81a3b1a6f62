import torch

# Small networks on a machine that runs other tests beside: more threads only wait for one another.
torch.set_num_threads(1)
