"""How a config wants its lifts made."""

from unetlift.config import NetworkConfig, PoolsConfig
from unetlift.pools import LiftOptions


def lift_options(config: NetworkConfig | PoolsConfig) -> LiftOptions:
    """The options of `unetlift.lift_pair`."""
    groups = (0, config.lift_groups)
    return LiftOptions(config.lift_start, config.lift_bands, config.lift_kernel, config.lift_learned, config.lift_shared, groups)
