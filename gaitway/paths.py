"""Files of the project that commands use by default; an image has them at the same place beside the code."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
RECORDINGS = PROJECT / "examples" / "recordings"
DEFAULT_MODEL = PROJECT / "models" / "default"
