"""DistributedDataParallel over gloo: each worker is fed every other batch of the stream, gradients are averaged at each step."""

import forebay
import numpy as np
import torch
import torch.distributed

import model


def main():
    node = forebay.node()
    # Address, rank and number of workers come from the environment, where Forebay's plugin has put them.
    torch.distributed.init_process_group("gloo")
    network = model.Network()
    train(node, torch.nn.parallel.DistributedDataParallel(network))
    if torch.distributed.get_rank() == 0:
        torch.save(network.state_dict(), node.output / "model.pt")
    torch.distributed.destroy_process_group()


def train(node, network):
    improve = model.optimizer(network)
    samples, ids = 0, []
    for step, batch in enumerate(node.feed, start=1):
        loss = model.step(network, improve, batch.torch("numbers"), batch.torch("codes"), batch.torch("late"))
        samples += len(batch)
        node.report(step=step, loss=loss, samples=samples)
        if node.parameters["check_ids"] == "true":
            ids.append(batch.numpy("id").copy())
    if ids:
        np.save(node.output / f"ids-{node.index}.npy", np.concatenate(ids))


main()
