"""Trains one model with all ranks and the same one alone on this rank's shard; reports both."""

import hashlib

import forebay

node = forebay.node()

import torch  # noqa: E402
import torch.distributed as distributed  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

torch.set_num_threads(1)
distributed.init_process_group("gloo")
rank, world = distributed.get_rank(), distributed.get_world_size()
images, labels = load_digits(return_X_y=True)
images = torch.tensor(images[rank::world][:256], dtype=torch.float32) / 16
labels = torch.tensor(labels[rank::world][:256])


def new_model():
    torch.manual_seed(7)
    return torch.nn.Linear(64, 10)


def train(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def digest(model):
    weights = torch.cat([part.detach().flatten() for part in model.parameters()])
    return hashlib.sha256(weights.numpy().tobytes()).hexdigest()


together, alone = new_model(), new_model()
train(DistributedDataParallel(together))
train(alone)
node.report(step=20, rank=rank, together=digest(together), alone=digest(alone))
distributed.destroy_process_group()
