"""Counts in step with the other ranks, and goes on from what rank 0 saved."""

import time

import forebay

node = forebay.node()

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

STEPS = 60

dist.init_process_group("gloo")
saved = node.output / "step"
begin = torch.tensor([int(saved.read_text()) if saved.exists() else 0])
dist.broadcast(begin, 0)
step = int(begin)
node.report(resumed=step)
while step < STEPS:
    ranks = torch.ones(1)
    dist.all_reduce(ranks)
    assert int(ranks) == dist.get_world_size()
    step += 1
    if node.index == 0:
        beside = saved.with_suffix(".new")
        beside.write_text(str(step))
        beside.rename(saved)
    node.report(step=step)
    time.sleep(0.02)
dist.destroy_process_group()
