"""Shows how still every network in checkpoints/ holds its answer when the picture moves: `python app.py`."""

import sys
from pathlib import Path

from unetlift.demo import launch
from unetlift.errors import UnetliftError

if __name__ == "__main__":
    try:
        launch(Path(__file__).with_name("checkpoints"))
    except UnetliftError as error:
        sys.exit(f"unetlift: {error}")
