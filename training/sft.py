"""Supervised fine-tuning under `accelerate launch`; the same as `vlmf train sft`.

    accelerate launch --config_file training/accelerate/ddp.yaml training/sft.py \\
        --config gpu-qlora-sft --out runs/sft data.train=[DIR] data.val=[DIR]
"""

from __future__ import annotations

import sys

from vlm_forensics.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train", "sft"]
    main()
