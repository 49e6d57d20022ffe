#!/usr/bin/env python3
"""Times netwright beside ONNX Runtime, OpenVINO and MNN, taking turns, and writes the table of docs/performance.md.

    pip install torch timm onnx onnxslim onnxruntime openvino MNN safetensors numpy
    cargo build --release
    python tools/compare_with_peers.py --threads 1 2 --write docs/performance.md
    python tools/compare_with_peers.py --only mobilenet_v2 --threads 1 --rounds 5

Each network is built by timm with random weights, and exported once: as ONNX for the peers (converted for
MNN), as safetensors under timm's names for netwright. All programs of a network are alive together, each in a process of its own. They are timed
in turns, a burst of runs each, for many rounds, so that a machine that slows down slows all of them down.
The first run of a burst is dropped. A program whose output differs from PyTorch's is not timed.

With one thread, every process is pinned to one CPU, so that no helper thread gets another. Bursts during which somebody
else used the machine are dropped where enough others are left. A ratio is that of two medians of the same round; its
spread is that of the rounds.
"""

import argparse
import datetime
import json
import os
import select
import statistics
import subprocess
import sys
import time
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

# name -> netwright's arguments, timm's name, resolution
NETWORKS = {
    "mobilenet_v1": (["mobilenet_v1"], "mobilenetv1_100", 224),
    "mobilenet_v2": (["mobilenet_v2"], "mobilenetv2_100", 224),
    "mobilenet_v3:large": (["mobilenet_v3:large"], "mobilenetv3_large_100", 224),
    "mobilenet_v3:small": (["mobilenet_v3:small"], "mobilenetv3_small_100", 224),
    "efficientnet:b0": (["efficientnet:b0"], "efficientnet_b0", 224),
    "efficientnet:b4": (["efficientnet:b4", "--set", "resolution=380"], "efficientnet_b4", 380),
    "efficientnet_v2:s": (["efficientnet_v2:s", "--set", "resolution=384"], "efficientnetv2_s", 384),
    "mobilevit:xxs": (["mobilevit:xxs"], "mobilevit_xxs", 256),
    "mobilevit:s": (["mobilevit:s"], "mobilevit_s", 256),
    "convnext:tiny": (["convnext:tiny"], "convnext_tiny", 224),
    "vit:tiny_patch16": (["vit:tiny_patch16"], "vit_tiny_patch16_224", 224),
    "vit:base_patch16": (["vit:base_patch16"], "vit_base_patch16_224", 224),
    "swin:tiny": (["swin:tiny"], "swin_tiny_patch4_window7_224", 224),
    "resnet:50": (["resnet:50"], "resnet50", 224),
}
PEERS = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "mnn": "MNN"}
# Largest difference from PyTorch's output over its largest magnitude.
TOLERANCE = 2e-3
# Where the table stands in a Markdown file.
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
# Rounds without others on the machine that are enough to leave all other rounds out.
LEAST_QUIET = 3
# Seconds until a program has compiled a network and run once.
START_LIMIT = 300
# Seconds for one burst.
BURST_LIMIT = 120


def files(folder, name):
    stem = os.path.join(folder, name.replace(":", "_"))
    return {kind: f"{stem}.{kind}" for kind in ("onnx", "mnn", "safetensors", "x.npy", "y.npy", "err")}


def export(name, folder):
    """Builds a network, and writes what all programs need; what is there already stays."""
    import numpy
    import onnx
    import onnxslim
    import timm
    import timm.layers
    import torch
    from safetensors.torch import save_file

    _, timm_name, size = NETWORKS[name]
    at = files(folder, name)
    if all(os.path.exists(at[kind]) for kind in ("onnx", "safetensors", "x.npy", "y.npy")):
        return
    print(f"{name}: export", flush=True)
    # The old exporter says what is new at every call.
    warnings.simplefilter("ignore")
    timm.layers.set_fused_attn(False)
    torch.manual_seed(0)
    model = timm.create_model(timm_name, pretrained=False).eval()
    with torch.no_grad():
        settle_statistics(model, torch.randn(4, 3, size, size))
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        y = model(x)
    assert torch.isfinite(y).all() and y.std() > 1e-3, f"{name}: the random network is degenerate"
    torch.onnx.export(model, (x,), at["onnx"], opset_version=17, dynamo=False, input_names=["x"],
                      output_names=["y"], do_constant_folding=True)
    onnx.save(onnxslim.slim(at["onnx"]), at["onnx"])
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, at["safetensors"])
    numpy.save(at["x.npy"], x.numpy())
    # Last: who has it has all.
    numpy.save(at["y.npy"], y.numpy())


def convert(name, folder):
    """Converts the exported network for MNN; what is there already stays."""
    at = files(folder, name)
    if os.path.exists(at["mnn"]) and os.path.getmtime(at["mnn"]) >= os.path.getmtime(at["onnx"]):
        return
    print(f"{name}: convert for MNN", flush=True)
    part = at["mnn"] + ".part"
    # It is talkative.
    os.dup2(os.open(at["mnn"] + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    # The extension, not the program `mnnconvert` around it, which installs packages and reports what it converts.
    import _tools

    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", at["onnx"], "--MNNModel", part, "--bizCode", "compare"])
    os.replace(part, at["mnn"])


def in_child(task, name, folder):
    """Runs a task in a process of its own, whose threads and memory are gone when the timing begins; whether it succeeded."""
    child = os.fork()
    if child == 0:
        try:
            task(name, folder)
            status = 0
        except BaseException as error:
            print(f"{name}: {task.__name__}: {error!r}", file=sys.stderr)
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def settle_statistics(model, batch):
    """Makes random weights compute something: values of about unit size in each layer, and residual branches that matter
    but do not multiply rounding errors from block to block."""
    import torch

    for name, parameter in model.named_parameters():
        if name.split(".")[-1] == "gamma":  # a layer scale, made as good as zero for training
            parameter.fill_(0.2)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        model(batch)
    for norm in norms:
        norm.eval()
        norm.weight.uniform_(0.8, 1.2)
        norm.bias.normal_(0, 0.1)
    for module in model.modules():
        if getattr(module, "has_skip", False) and hasattr(module, "bn3"):
            module.bn3.weight.mul_(0.2)


def serve(peer, name, folder, threads):
    """A peer as a process: says when it is ready, then answers each line N with the nanoseconds of N runs."""
    start = time.perf_counter()
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import numpy

    at = files(folder, name)
    x, expected = numpy.load(at["x.npy"]), numpy.load(at["y.npy"])
    if peer == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(at["onnx"], options, providers=["CPUExecutionProvider"])
        run = lambda: session.run(None, {"x": x})[0]
    elif peer == "mnn":
        import MNN

        manager = MNN.nn.create_runtime_manager(({
            "backend": "CPU", "precision": "high", "numThread": threads, "memory": "normal", "power": "normal"},))
        module = MNN.nn.load_module_from_file(at["mnn"], ["x"], ["y"], runtime_manager=manager)
        given = MNN.expr.reshape(MNN.numpy.array(x), list(x.shape))
        # What computes: a result is not computed before it is read.
        run = lambda: MNN.expr.convert(module.forward([given])[0], MNN.expr.NCHW).read()
    else:
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(at["onnx"], "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1})
        request = compiled.create_infer_request()
        run = lambda: request.infer([x], share_inputs=True, share_outputs=True)[0]
    error = float(numpy.abs(numpy.asarray(run()) - expected).max() / numpy.abs(expected).max())
    ready = {"ready": 1, "prepare_s": time.perf_counter() - start, "rel_err": error}
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - begin)
        print(*times, file=answers, flush=True)


class Program:
    """A running program that times itself on request."""

    def __init__(self, peer, name, threads, options):
        at = files(options.folder, name)
        if peer == "netwright":
            command = [options.netwright, "bench", *NETWORKS[name][0], "--dialect", "timm", "--weights", at["safetensors"],
                       "--input", at["x.npy"], "--expect", at["y.npy"], "--threads", str(threads), "--interactive"]
        else:
            command = [sys.executable, os.path.abspath(__file__), "--serve", peer, "--only", name,
                       "--folder", options.folder, "--threads", str(threads)]
        pin = (lambda: os.sched_setaffinity(0, {options.cpu})) if threads == 1 else None
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.errors = open(f"{at['err']}.{peer}", "w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=environment, preexec_fn=pin)
        try:
            ready = json.loads(self.line(START_LIMIT))
        except Exception:
            self.end()
            raise
        if not ready["rel_err"] < TOLERANCE:
            self.end()
            raise RuntimeError(f"its output is wrong by {ready['rel_err']:.1e}")
        self.rounds = []
        self.busy = []

    def line(self, limit):
        """The next line of output; a program that ends or hangs is an error."""
        readable, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline() if readable else None
        if line:
            return line
        if line is None:
            raise RuntimeError(f"no answer within {limit} s")
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        raise RuntimeError("it ended: " + (said[-1] if said else "without a word"))

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def burst(self, count):
        """Times of so many runs in milliseconds, and how many CPUs others used meanwhile."""
        machine, own, start = machine_seconds(), self.cpu_seconds(), time.perf_counter()
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        times = [int(nanoseconds) / 1e6 for nanoseconds in self.line(BURST_LIMIT).split()]
        wall = time.perf_counter() - start
        others = machine_seconds() - machine - (self.cpu_seconds() - own)
        return times, max(others, 0.0) / wall

    def settle(self):
        """Waits until its threads, which may spin for a while after a run, have gone to sleep."""
        time.sleep(0.015)
        for _ in range(40):
            before = self.cpu_seconds()
            time.sleep(0.03)
            if self.cpu_seconds() == before:
                return

    def end(self):
        self.process.kill()
        self.process.wait()
        self.errors.close()


def machine_seconds():
    """CPU seconds that the machine has spent on anything, what others took from a virtual one included."""
    fields = [int(value) for value in open("/proc/stat").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def compare(name, threads, options):
    """The medians of one network: program -> milliseconds of each round, or why there are none."""
    programs, result = {}, {}
    try:
        for peer in ["netwright", *options.peers]:
            try:
                programs[peer] = Program(peer, name, threads, options)
            except (RuntimeError, ValueError, OSError) as error:
                result[peer] = {"reason": str(error)}
                print(f"{name}: {peer}: {error}", flush=True)
        counts = dict.fromkeys(programs, 3)
        for turn in range(options.rounds + 1):
            for peer, program in list(programs.items()):
                try:
                    times, others = program.burst(counts[peer])
                    program.settle()
                except (RuntimeError, ValueError, OSError) as error:
                    programs.pop(peer).end()
                    result[peer] = {"reason": f"while it was timed: {error}"}
                    print(f"{name}: {peer}: {error}", flush=True)
                    continue
                if turn == 0:  # how many runs make a burst
                    counts[peer] = max(2, min(50, int(options.burst_ms / statistics.median(times)) + 1))
                else:
                    program.rounds.append(statistics.median(times[1:]))
                    program.busy.append(others)
    finally:
        for program in programs.values():
            program.end()
    # A round counts for all or for none of them.
    quiet = [i for i in range(options.rounds) if all(p.busy[i] < options.quiet for p in programs.values())]
    kept = quiet if len(quiet) >= LEAST_QUIET else range(options.rounds)
    for peer, program in programs.items():
        rounds = [round(program.rounds[i], 4) for i in kept]
        result[peer] = {"median_ms": round(statistics.median(rounds), 4), "rounds_ms": rounds}
    result["quiet_rounds"] = len(quiet)
    return result


def best_peer(result):
    timed = [peer for peer in PEERS if "median_ms" in result.get(peer, {})]
    return min(timed, key=lambda peer: result[peer]["median_ms"], default=None)


def ratios(result):
    """The best peer's time over netwright's: of the medians, and the least and largest of a round."""
    best = best_peer(result)
    if best is None or "median_ms" not in result.get("netwright", {}):
        return None
    peer, own = result[best], result["netwright"]
    rounds = [a / b for a, b in zip(peer["rounds_ms"], own["rounds_ms"])]
    return peer["median_ms"] / own["median_ms"], min(rounds), max(rounds)


def milliseconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(results):
    """All results as Markdown."""
    lines = [f"{results['cpu']}, {results['date']}; f32, batch 1, medians in ms; "
             + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + "."]
    busy = False
    for threads in sorted({int(t) for one in results["networks"].values() for t in one}):
        lines += ["", f"### {threads} thread{'s' if threads > 1 else ''}", "",
                  "| network | netwright | " + " | ".join(PEERS.values()) + " | best peer / netwright | of the rounds |",
                  "|---|" + "---|" * (len(PEERS) + 3)]
        factors = []
        for name in NETWORKS:
            result = results["networks"].get(name, {}).get(str(threads))
            if not result:
                continue
            cells = [milliseconds(result[p]["median_ms"]) if "median_ms" in result.get(p, {}) else "-"
                     for p in ["netwright", *PEERS]]
            ratio = ratios(result)
            if ratio:
                factors.append(ratio[0])
                cells += [f"{ratio[0]:.2f}", f"{ratio[1]:.2f} to {ratio[2]:.2f}"]
            else:
                cells += ["-", "-"]
            noisy = result["quiet_rounds"] < LEAST_QUIET
            busy |= noisy
            lines.append(f"| {name}{'*' if noisy else ''} | " + " | ".join(cells) + " |")
        if factors:
            lines += ["", f"Geometric mean of the ratios: {statistics.geometric_mean(factors):.2f}."]
    if busy:
        lines += ["", "\\* Others used the machine meanwhile: no more than an impression."]
    return "\n".join(lines) + "\n"


def write_whole(path, text):
    """Writes a file aside, and renames it."""
    with open(f"{path}.tmp", "w") as file:
        file.write(text)
    os.replace(f"{path}.tmp", path)


def write_table(path, results):
    text = open(path).read()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"error: {path}: it needs the lines {BEGIN} and {END} around the table")
    write_whole(path, f"{before}{BEGIN}\n{table(results)}{END}{after}")


def describe_machine():
    lines = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    name = lines[0].split(":", 1)[1].strip() if lines else "unknown CPU"
    return f"{name}, {len(lines)} CPUs"


def versions(peers):
    from importlib.metadata import version

    return {PEERS[peer]: version(peer) for peer in peers}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NETWORK")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--netwright", default=os.path.join(ROOT, "target", "release", "netwright"))
    parser.add_argument("--folder", default=os.path.join(ROOT, "target", "peers"), help="exported networks and results")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--burst-ms", type=float, default=120, help="length of a burst")
    parser.add_argument("--quiet", type=float, default=0.2, help="a round counts if others used fewer CPUs than this")
    parser.add_argument("--cpu", type=int, default=1, help="the CPU that everything runs on with one thread")
    parser.add_argument("--write", metavar="FILE", help="replace the table in this Markdown file")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.only[0], options.folder, options.threads[0])
    options.folder, options.netwright = os.path.abspath(options.folder), os.path.abspath(options.netwright)
    if not os.path.exists(options.netwright):
        sys.exit(f"error: there is no {options.netwright}: run `cargo build --release`, or give --netwright PATH")
    os.makedirs(options.folder, exist_ok=True)
    path = os.path.join(options.folder, "results.json")
    results = json.load(open(path)) if os.path.exists(path) else {"networks": {}}
    for name in options.only:
        if not in_child(export, name, options.folder):
            continue
        # Where the conversion fails, MNN says that it has no such file.
        if "mnn" in options.peers:
            in_child(convert, name, options.folder)
        for threads in options.threads:
            result = compare(name, threads, options)
            results["networks"].setdefault(name, {})[str(threads)] = result
            results["versions"] = {**results.get("versions", {}), **versions(options.peers)}
            results.update(cpu=describe_machine(), date=datetime.date.today().isoformat())
            write_whole(path, json.dumps(results, indent=1))
            shown = "  ".join(f"{peer} {result[peer]['median_ms']:.2f}"
                              for peer in ["netwright", *options.peers] if "median_ms" in result[peer])
            ratio = ratios(result)
            factor = f"  ratio {ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})" if ratio else ""
            print(f"{name}, threads {threads}: {shown}{factor}, {result['quiet_rounds']} quiet rounds", flush=True)
    if options.write:
        write_table(options.write, results)
    elif results["networks"]:
        print(table(results))


if __name__ == "__main__":
    main()
