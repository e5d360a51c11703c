"""Group relative policy optimisation under `accelerate launch`; the same as `vlmf train grpo`.

    accelerate launch --config_file training/accelerate/ddp.yaml training/grpo.py \\
        --config gpu-qlora-grpo --out runs/grpo data.train=[DIR] data.val=[DIR]
"""

from __future__ import annotations

import sys

from vlm_forensics.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train", "grpo"]
    main()
