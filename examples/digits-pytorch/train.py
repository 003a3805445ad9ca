"""DistributedDataParallel over gloo: each worker trains on its own shard, gradients are averaged at each step."""

import forebay
import torch
import torch.distributed

import data
import model


def main():
    node = forebay.node()
    # Address, rank and number of workers come from the environment, where Forebay's plugin has put them.
    torch.distributed.init_process_group("gloo")
    rank, workers = torch.distributed.get_rank(), torch.distributed.get_world_size()
    images, labels, test_images, test_labels = data.load()
    network = model.build()
    parallel = torch.nn.parallel.DistributedDataParallel(network)
    shard = data.shard(images, rank, workers), data.shard(labels, rank, workers)
    model.train(parallel, *shard, int(node.parameters["passes"]), lambda step, loss: node.report(step=step, loss=loss))
    accuracy, weights = model.accuracy(network, test_images, test_labels), model.checksum(network)
    node.report(test_accuracy=accuracy, weights=weights)
    print(f"test accuracy {accuracy:.4f}, weights {weights}")
    if rank == 0:
        torch.save(network.state_dict(), node.output / "model.pt")
    torch.distributed.destroy_process_group()


main()
