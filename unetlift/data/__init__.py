"""A data set is a folder of pairs: listed, checked, and turned into samples."""

from unetlift.data.cache import Cache
from unetlift.data.folder import SPLITS, Pair, list_pairs
from unetlift.data.kinds import KINDS, Crop, Kind
from unetlift.data.labels import describe, from_yaml, read_labels
from unetlift.data.samples import Crops, Sample, Share, Steps, Wholes

__all__ = ["KINDS", "SPLITS", "Cache", "Crop", "Crops", "Kind", "Pair", "Sample", "Share", "Steps", "Wholes"]
__all__ += ["describe", "from_yaml", "list_pairs", "read_labels"]
