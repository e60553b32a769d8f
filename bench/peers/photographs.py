"""Makes a folder of smooth pictures of 1280 × 960: usage: photographs.py FOLDER COUNT"""

import os
import sys

import numpy as np
from PIL import Image

folder, count = sys.argv[1], int(sys.argv[2])
os.mkdir(folder)
for number in range(count):
    coarse = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((1280, 960), Image.BICUBIC)
    image.save(os.path.join(folder, f"{number:04}.jpg"), quality=90)
