"""Under what circumstances something was measured."""

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version

from unetlift import __version__
from unetlift.report import About


def about(command: str, seed: int) -> About:
    """The circumstances, now."""
    import torch

    packages = {name: version(name) for name in ("torch", "numpy", "scipy")}
    machine = {"Python": platform.python_version(), "system": platform.platform(), "processors": str(os.cpu_count())}
    versions = {"unetlift": __version__} | machine | packages | {"threads": str(torch.get_num_threads())}
    return About(command, seed, versions, datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))
