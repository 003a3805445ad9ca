"""How fast batches of 4096 x 40 float32 come to a script that reads every value, in one way of many, for the bench.

Usage: batches.py WAY ROUNDS BATCHES

Prints for each round the gigabytes in a second, as JSON. In the way `forebay` this is the script of a node, and between its rounds it reads
as many batches from one array in memory: `{"forebay": [...], "memory": [...]}`. WAY else is one of the peers with one of its own tunings, such as
`data-loader/deep`; there another process makes copies of the batches (`tf-data` has no other), as the host does.
"""

import itertools
import json
import os
import pathlib
import socket
import sys
import tempfile
import time

import numpy

SHAPE = (4096, 40)
BYTES = 4 * SHAPE[0] * SHAPE[1]
SOURCES = 4
"""Whoever makes batches copies these, one after the other."""
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
"""Of Linux, where the socket module does not have them: root may go beyond the limit."""
IN_MEMORY = 400
"""More than any cache has."""


def values(batches):
    """Whole numbers that the bench knows too."""
    return (numpy.arange(batches * SHAPE[0] * SHAPE[1]) % 251).astype("float32").reshape(batches, *SHAPE)


EXPECTED = [float(batch.sum(dtype="float64")) for batch in values(SOURCES)]


def rates(batches, total, rounds, count, between=lambda: None):
    """Reads `count` batches in each round, and checks what it has read. `total` is the framework's sum of all values."""
    iterator = iter(batches)
    wanted = sum(EXPECTED) / SOURCES * count
    found = []
    for _ in range(rounds):
        # What waits in rings and queues at the beginning was made while nobody looked at the clock.
        begun = time.perf_counter()
        read = sum(total(batch) for batch in itertools.islice(iterator, count))
        found.append(count * BYTES / (time.perf_counter() - begun) / 1e9)
        assert abs(read / wanted - 1) < 1e-3, (read, wanted)
        between()
    return found


def torch_of_one_thread():
    import torch

    torch.set_num_threads(1)
    return torch


def total_of(tensor):
    return float(tensor.sum())


def by_forebay(_way, rounds, count):
    import forebay

    torch = torch_of_one_thread()
    feed = forebay.node().feed
    array = torch.from_numpy(values(SOURCES)).repeat(IN_MEMORY // SOURCES, 1, 1).reshape(-1, SHAPE[1])
    slices = (array[at % IN_MEMORY * SHAPE[0] :][: SHAPE[0]] for at in itertools.count())
    memory = []
    fed = rates(
        (batch.torch("features") for batch in feed), total_of, rounds, count,
        between=lambda: memory.extend(rates(slices, total_of, 1, count)),
    )
    feed.close()
    return {"forebay": fed, "memory": memory}


def by_data_loader(way, rounds, count):
    torch = torch_of_one_thread()
    source = torch.from_numpy(values(SOURCES))

    class Copies(torch.utils.data.IterableDataset):
        def __iter__(self):
            return (source[number % SOURCES].clone() for number in itertools.count())

    options = {
        "default": {"num_workers": 1},
        "deep": {"num_workers": 1, "prefetch_factor": 16},
        "two-workers": {"num_workers": 2, "prefetch_factor": 4},
    }[way]
    return rates(torch.utils.data.DataLoader(Copies(), batch_size=None, **options), total_of, rounds, count)


def by_tf_data(way, rounds, count):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    source = values(SOURCES)
    if way == "generator":
        copies = lambda: (source[number % SOURCES] for number in itertools.count())
        batches = tf.data.Dataset.from_generator(copies, output_signature=tf.TensorSpec(SHAPE, tf.float32))
    else:
        batches = tf.data.Dataset.from_tensor_slices(source.reshape(-1, SHAPE[1])).repeat().batch(SHAPE[0])
    if way != "slices":
        batches = batches.prefetch(tf.data.AUTOTUNE)
    return rates(batches, lambda batch: float(tf.reduce_sum(batch)), rounds, count)


def by_arrow_socket(way, rounds, count):
    import pyarrow as pa

    ends = socket.socketpair()
    if way != "default":
        for end, name in itertools.product(ends, (SO_SNDBUFFORCE, SO_RCVBUFFORCE)):
            end.setsockopt(socket.SOL_SOCKET, name, 4 << 20)
    buffering = BYTES if way == "wide-buffered" else -1

    def write():
        columns = [pa.FixedSizeListArray.from_arrays(batch.reshape(-1), SHAPE[1]) for batch in values(SOURCES)]
        batches = [pa.record_batch([column], ["features"]) for column in columns]
        with ends[1].makefile("wb", buffering) as file, pa.ipc.new_stream(file, batches[0].schema) as stream:
            for number in itertools.count():
                stream.write_batch(batches[number % SOURCES])

    other = made_by(write, ends[0], ends[1])
    torch = torch_of_one_thread()
    with ends[0].makefile("rb", buffering) as file:
        arrays = (batch.column(0).flatten().to_numpy() for batch in pa.ipc.open_stream(file))
        found = rates((torch.from_numpy(array) for array in arrays), total_of, rounds, count)
    ends[0].close()
    os.waitpid(other, 0)
    return found


def by_iceoryx2(way, rounds, count):
    # It leaves a file or two in shared memory, and a folder.
    prefix = f"forebay-bench-{os.getpid()}-"
    try:
        with tempfile.TemporaryDirectory() as folder:
            return through_iceoryx2(way, rounds, count, folder, prefix)
    finally:
        for left in pathlib.Path("/dev/shm").glob(f"{prefix}*"):
            left.unlink()


def through_iceoryx2(way, rounds, count, folder, prefix):
    import ctypes

    import iceoryx2

    depth = {"two": 2, "eight": 8, "thirty-two": 32}[way]
    name = iceoryx2.ServiceName.new("batches")
    config = iceoryx2.config.default()
    config.global_cfg.root_path = iceoryx2.Path.new(folder)
    config.global_cfg.prefix = iceoryx2.FileName.new(prefix)

    def service():
        node = iceoryx2.NodeBuilder.new().config(config).create(iceoryx2.ServiceType.Ipc)
        builder = node.service_builder(name).publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        builder = builder.subscriber_max_buffer_size(depth).enable_safe_overflow(False)
        return node, builder.open_or_create()

    ends = socket.socketpair()

    def write():
        _node, opened = service()
        builder = opened.publisher_builder().initial_max_slice_len(BYTES)
        publisher = builder.backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered).create()
        source = values(SOURCES)
        places = [batch.ctypes.data for batch in source]
        ends[1].sendall(b"!")
        # Exactly those that are read: whoever publishes to nobody waits for nobody.
        ends[1].recv(1)
        for number in range(rounds * count):
            sample = publisher.loan_slice_uninit(BYTES)
            ctypes.memmove(sample.payload_ptr, places[number % SOURCES], BYTES)
            sample.assume_init().send()
        ends[1].recv(1)

    other = made_by(write, ends[0], ends[1])
    torch = torch_of_one_thread()
    _node, opened = service()
    ends[0].recv(1)
    subscriber = opened.subscriber_builder().buffer_size(depth).create()
    ends[0].sendall(b"!")

    def batches():
        while True:
            sample = subscriber.receive()
            if sample is not None:
                view = (ctypes.c_uint8 * BYTES).from_address(sample.payload_ptr)
                yield torch.frombuffer(view, dtype=torch.float32)
                sample.delete()

    found = rates(batches(), total_of, rounds, count)
    ends[0].sendall(b"!")
    os.waitpid(other, 0)
    return found


def made_by(write, own, other):
    """Runs it in another process, until nobody reads any more."""
    child = os.fork()
    if child:
        other.close()
        return child
    own.close()
    try:
        write()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        os._exit(0)


WAYS = {
    "forebay": by_forebay, "data-loader": by_data_loader, "tf-data": by_tf_data, "arrow-socket": by_arrow_socket,
    "iceoryx2": by_iceoryx2,
}

if __name__ == "__main__":
    way, _, tuning = sys.argv[1].partition("/")
    print(json.dumps(WAYS[way](tuning, int(sys.argv[2]), int(sys.argv[3]))))
