"""Writes places365_layout.pth.tar as PyTorch 0.2 under Python 2.7 wrote CSAIL's Places365 files.

Run it with Python 2.7, which needs no torch: ``python2.7 write.py``. The layout is that of the
`torch.save` of that time: pickles of a magic number, a protocol version, the machine's type sizes,
the object (tensors by `torch._utils._rebuild_tensor`, storages by persistent id, on the GPU that
they were saved from) and the storages' keys; then each storage's length (int64) and values.
"""

import array
import struct
import sys
import types
from collections import OrderedDict

import cPickle


class FloatStorage(list):
    """Stands for torch.cuda.FloatStorage."""


def _rebuild_tensor(storage, offset, size, stride):
    """Stands for torch's; a pickle holds its name alone."""


class FloatTensor(object):  # noqa: UP004 (Python 2 reduces only new-style classes)
    """A matrix of eighths, counted on from `first`, with the axes of `size`."""

    def __init__(self, first, *size):
        strides = [1]
        for length in size[:0:-1]:
            strides.insert(0, strides[0] * length)
        count = strides[0] * size[0]
        self.storage = FloatStorage(number / 8.0 for number in range(first, first + count))
        self.size, self.strides = size, tuple(strides)

    def __reduce_ex__(self, protocol):
        return _rebuild_tensor, (self.storage, 0, self.size, self.strides)


def name(thing, module):
    """Let `thing` be pickled as a part of `module`."""
    thing.__module__ = module
    setattr(sys.modules.setdefault(module, types.ModuleType(module)), thing.__name__, thing)


def save(value, path):
    """Write `value` as torch.save of PyTorch 0.2 did."""
    storages = []

    def persistent_id(thing):
        if not isinstance(thing, FloatStorage):
            return None
        storages.append(thing)
        return ("storage", FloatStorage, str(len(storages) - 1), "cuda:0", len(thing), None)

    sizes = {"short": 2, "int": 4, "long": 4}
    with open(path, "wb") as file:  # noqa: PTH123 (Python 2 has no pathlib)
        cPickle.dump(0x1950A86A20F9469CFC6C, file, 2)
        cPickle.dump(1001, file, 2)
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
        cPickle.dump(system, file, 2)
        pickler = cPickle.Pickler(file, 2)
        pickler.persistent_id = persistent_id
        pickler.dump(value)
        cPickle.dump([str(key) for key in range(len(storages))], file, 2)
        for storage in storages:
            file.write(struct.pack("<q", len(storage)))
            array.array("f", storage).tofile(file)


def main():
    """Write the layout of resnet50_places365.pth.tar, with very few and very small tensors."""
    sys.modules["torch"] = types.ModuleType("torch")
    name(FloatStorage, "torch.cuda")
    name(_rebuild_tensor, "torch._utils")
    shapes = [
        ("conv1.weight", (2, 3, 1, 1)),
        ("bn1.weight", (2,)),
        ("bn1.bias", (2,)),
        ("bn1.running_mean", (2,)),
        ("bn1.running_var", (2,)),
        ("fc.weight", (365, 2)),
        ("fc.bias", (365,)),
    ]
    state, first = OrderedDict(), 0
    for key, shape in shapes:
        state["module." + key] = FloatTensor(first, *shape)
        first += len(state["module." + key].storage)
    content = {"epoch": 90, "arch": "resnet50", "state_dict": state, "best_prec1": 54.5}
    save(content, "places365_layout.pth.tar")


if __name__ == "__main__":
    main()
