#!/usr/bin/env python3
"""Compares netwright's photos with Pillow's: decoded, resized and cropped, in 8-bit levels.

    pip install pillow numpy
    cargo build --release && python tools/compare_with_pillow.py assets/photos/*.png

A network of one operation that changes nothing (a ReLU of levels from 0 to 1) shows what netwright
feeds into networks; Pillow does the same as torchvision's evaluation pipeline. Prints, for each filter,
the largest and the mean difference of all photos and sizes, and the worst mean of a single one.
"""

import os
import subprocess
import sys
import tempfile

import numpy
from PIL import Image, ImageOps

PROGRAM = os.path.join(os.path.dirname(__file__), "..", "target", "release", "netwright")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Length of the shorter side, and of the crop's sides.
SIZES = [
    (96, 96), (128, 112), (160, 160), (182, 160), (224, 224), (256, 224), (288, 288), (320, 300),
    (439, 384), (600, 528), (200, 224),
]
SPEC = """network eye(resolution = %d, classes = 0) {
  seen = x -> relu
  weights plain {
    preprocess { resize = %d %s  crop = resolution  mean = 0 0 0  std = 1 1 1 }
  }
}
"""


def by_netwright(path, side, crop, name):
    with tempfile.TemporaryDirectory() as folder:
        spec, output = os.path.join(folder, "eye.arch"), os.path.join(folder, "y.npy")
        with open(spec, "w") as file:
            file.write(SPEC % (crop, side, name))
        command = [PROGRAM, "run", spec, "--weights", "generated:0", "--output", output, path]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return numpy.round(numpy.load(output)[0].transpose(1, 2, 0) * 255)


def by_pillow(path, side, crop, name):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    width, height = image.size
    if width <= height:
        size = side, int(side * height / width)
    else:
        size = int(side * width / height), side
    image = image.resize(size, FILTERS[name])
    missing = [max(crop - length, 0) for length in size]
    if any(missing):
        framed = Image.new("RGB", [max(crop, length) for length in size])
        framed.paste(image, [length // 2 for length in missing])
        image = framed
    left, top = (int(round((length - crop) / 2)) for length in image.size)
    return numpy.asarray(image.crop((left, top, left + crop, top + crop)), float)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print("filter      largest     mean  worst mean")
    for name in FILTERS:
        largest, means, worst = 0, [], ""
        for path in sys.argv[1:]:
            for side, crop in SIZES:
                apart = abs(by_netwright(path, side, crop, name) - by_pillow(path, side, crop, name))
                largest = max(largest, apart.max())
                means.append(apart.mean())
                if apart.mean() == max(means):
                    worst = f"{os.path.basename(path)}, {side} cut to {crop}"
        print(f"{name:<10} {largest:8.0f} {numpy.mean(means):8.4f} {max(means):11.4f} ({worst})")


if __name__ == "__main__":
    main()
