"""Trains the model of the example in step with the other ranks, and goes on from what rank 0 saved."""

import time

import forebay

node = forebay.node()

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

import data  # noqa: E402
import model  # noqa: E402

STEPS = 60

dist.init_process_group("gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
images, labels, test_images, test_labels = data.load()
images = torch.from_numpy(data.shard(images, rank, ranks))
labels = torch.from_numpy(data.shard(labels, rank, ranks)).long()
network = model.build()
optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
step = 0
saved = node.output / "checkpoint.pt"
if saved.exists():
    step, weights, moments = torch.load(saved)
    network.load_state_dict(weights)
    optimizer.load_state_dict(moments)
node.report(resumed=step)
parallel = torch.nn.parallel.DistributedDataParallel(network)
while step < STEPS:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(parallel(images), labels).backward()
    optimizer.step()
    step += 1
    if rank == 0:
        beside = saved.with_suffix(".new")
        torch.save((step, network.state_dict(), optimizer.state_dict()), beside)
        beside.rename(saved)
    node.report(step=step)
    time.sleep(0.02)
node.report(test_accuracy=model.accuracy(network, test_images, test_labels))
dist.destroy_process_group()
