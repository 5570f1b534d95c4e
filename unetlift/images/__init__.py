"""Reads and writes pictures, masks and videos; the only room with OpenCV, Pillow, tifffile and PyAV."""

from unetlift.errors import PictureError
from unetlift.images.animation import write_animation
from unetlift.images.damage import DAMAGED, MAX_PIXELS, read_bytes
from unetlift.images.folders import SUFFIXES, VIDEO_SUFFIXES, input_files, picture_files
from unetlift.images.masks import decode_mask, read_mask, write_mask
from unetlift.images.page import ArrayPage, Carried, Opened, Page, Picture
from unetlift.images.pixels import REFLECT, blur, caption, from_float, jpeg, overlay, to_float, with_channels
from unetlift.images.reading import decode_picture, open_pages, read_picture, size
from unetlift.images.video_writer import VIDEO_KINDS, VideoWriter
from unetlift.images.writing import fits_png, write_any, write_picture, write_tiff

__all__ = [
    "DAMAGED", "MAX_PIXELS", "REFLECT", "SUFFIXES", "VIDEO_KINDS", "VIDEO_SUFFIXES", "ArrayPage", "Carried", "Opened", "Page", "Picture",
    "PictureError", "VideoWriter", "blur", "caption", "decode_mask", "decode_picture", "fits_png", "from_float", "input_files", "jpeg",
    "open_pages", "overlay", "picture_files", "read_bytes", "read_mask", "read_picture", "size", "to_float", "with_channels",
    "write_animation", "write_any", "write_mask", "write_picture", "write_tiff",
]  # fmt: skip
