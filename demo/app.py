"""The demo page, the same as `vlmf demo`: python demo/app.py --port 8080."""

import sys

from vlm_forensics.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "demo")
    main()
