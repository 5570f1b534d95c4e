"""A folder of pictures in, a folder of answers out: nothing that was done is lost, and one bad file stops nothing but itself."""

from unetlift.batch.run import Result, Show, merge_shards, run

__all__ = ["Result", "Show", "merge_shards", "run"]
