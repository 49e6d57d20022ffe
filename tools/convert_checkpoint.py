#!/usr/bin/env python3
"""Converts a checkpoint to safetensors, the format that netwright reads.

    python tools/convert_checkpoint.py model.pth model.safetensors
    python tools/convert_checkpoint.py model.pth model.safetensors --half --metadata architecture=mobilenet_v2

Input, told apart by its content:
  PyTorch   a state dict, or a training checkpoint that holds one (`--key` says under which name,
            if it is not one of the usual ones); needs `pip install torch numpy`
  .npz      one array for each tensor, PyTorch's axis order; needs `pip install numpy`
  .safetensors   to store it as f16; needs `pip install numpy`

Names are kept as they are: netwright knows the names of timm, torchvision and Hugging Face, and
sees through `module.`. Integer counters of training (`num_batches_tracked`) are left out, and what
is not a tensor is reported. `--half` stores kernels and matrices as f16 and leaves vectors (biases,
normalisation, its statistics) in f32: they are small, and their range is more than f16 has.

The same input gives the same bytes. PyTorch files are read with `weights_only=True`, so that a
hostile file cannot run code.
"""

import argparse
import json
import os
import struct
import sys
import tempfile

# Where training checkpoints keep the state dict, the first that is there.
USUAL_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
ITEM = {"F32": 4, "F16": 2, "I64": 8, "I32": 4, "U8": 1}


class Failure(Exception):
    """Something to tell the user, without a traceback."""


def import_or_explain(module):
    try:
        return __import__(module)
    except ImportError:
        raise Failure(f"this input needs {module}: pip install torch numpy") from None


def read_pytorch(path, key):
    torch = import_or_explain("torch")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Failure(f"{path}: PyTorch cannot read it without running code from it: {error}") from None
    if key is not None:
        if not isinstance(loaded, dict) or key not in loaded:
            names = ", ".join(map(str, loaded)) if isinstance(loaded, dict) else "nothing by name"
            raise Failure(f"{path}: no entry `{key}`; it holds {names}"[:2000])
        loaded = loaded[key]
    else:
        for usual in USUAL_KEYS:
            if isinstance(loaded, dict) and isinstance(loaded.get(usual), dict):
                print(f"{path}: taking `{usual}` (choose another with --key)", file=sys.stderr)
                loaded = loaded[usual]
                break
    if not isinstance(loaded, dict):
        raise Failure(f"{path}: not a state dict but a {type(loaded).__name__}; save model.state_dict()")
    arrays = {}
    for name, value in loaded.items():
        if not torch.is_tensor(value):
            print(f"{path}: `{name}` is a {type(value).__name__}, not a tensor: left out", file=sys.stderr)
            continue
        value = value.detach()
        if value.is_floating_point():
            value = value.float()
        arrays[name] = value.contiguous().numpy()
    return arrays


def read_npz(path):
    numpy = import_or_explain("numpy")
    with numpy.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def read_safetensors(path):
    numpy = import_or_explain("numpy")
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    arrays = {}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        body = file.read()
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            wide = numpy.frombuffer(body[start:end], "<u2").astype("<u4") << 16
            array = wide.view("<f4")
        elif entry["dtype"] in kinds:
            array = numpy.frombuffer(body[start:end], kinds[entry["dtype"]])
        else:
            raise Failure(f"{path}: `{name}` is {entry['dtype']}, which this script does not read")
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def read(path, key):
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":
        return read_safetensors(path)
    if path.endswith(".npz"):
        return read_npz(path)
    return read_pytorch(path, key)


def encode(name, array, half):
    """dtype of safetensors, shape, bytes, and the largest relative rounding error."""
    numpy = import_or_explain("numpy")
    if array.dtype.kind == "f":
        exact = array.astype("<f4")
        if not half or array.ndim < 2:
            return "F32", array.shape, exact.tobytes(), 0.0
        if not numpy.all(numpy.isfinite(exact)) or numpy.abs(exact).max(initial=0.0) > 65504:
            raise Failure(f"`{name}` holds values that f16 has not: convert it without --half")
        rounded = exact.astype("<f2")
        largest = float(numpy.abs(exact).max(initial=0.0))
        error = float(numpy.abs(rounded.astype("<f4") - exact).max(initial=0.0))
        return "F16", array.shape, rounded.tobytes(), error / largest if largest else 0.0
    for kind, dtype in (("I64", "<i8"), ("I32", "<i4"), ("U8", "u1")):
        if array.dtype == numpy.dtype(dtype):
            return kind, array.shape, array.astype(dtype).tobytes(), 0.0
    raise Failure(f"`{name}` is {array.dtype}, which this script does not write")


def write_safetensors(path, tensors, metadata):
    """A JSON header of names, types, shapes and offsets, then the data; wider types first, so that
    each tensor is aligned to its own type."""
    order = sorted(tensors, key=lambda name: (-ITEM[tensors[name][0]], name))
    header, offset = {"__metadata__": dict(sorted(metadata.items()))}, 0
    for name in order:
        dtype, shape, data, _ = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    # A new file under another name first: a full disk leaves no half of a checkpoint.
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)))
            file.write(text)
            for name in order:
                file.write(tensors[name][2])
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", help="checkpoint to read")
    parser.add_argument("output", help="safetensors file to write")
    parser.add_argument("--half", action="store_true", help="store kernels and matrices as f16")
    parser.add_argument("--key", help="name under which a training checkpoint holds the weights")
    parser.add_argument(
        "--metadata", action="append", default=[], metavar="KEY=VALUE",
        help="text to store in the header: source, license, architecture (repeatable)",
    )
    options = parser.parse_args()
    try:
        metadata = {"format": "pt"}
        for item in options.metadata:
            name, equals, value = item.partition("=")
            if not equals:
                raise Failure(f"--metadata {item}: expected KEY=VALUE")
            metadata[name] = value
        arrays = read(options.input, options.key)
        arrays = {n: a for n, a in arrays.items() if not n.endswith("num_batches_tracked")}
        if not arrays:
            raise Failure(f"{options.input}: no tensors in it")
        tensors = {name: encode(name, array, options.half) for name, array in arrays.items()}
        write_safetensors(options.output, tensors, metadata)
    except (Failure, OSError) as error:
        sys.exit(f"error: {error}")
    values = sum(array.size for array in arrays.values())
    size = os.path.getsize(options.output)
    print(f"{options.output}: {len(tensors)} tensors, {values:,} values, {size:,} bytes", file=sys.stderr)
    if options.half:
        name = max(tensors, key=lambda name: tensors[name][3])
        print(f"largest rounding: {tensors[name][3]:.1e} of the tensor's largest value, in `{name}`", file=sys.stderr)


if __name__ == "__main__":
    main()
