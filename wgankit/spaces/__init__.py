"""The spaces that come with the core; each also stands in `wgankit` itself."""

from wgankit.spaces.labels import OneHot
from wgankit.spaces.normed import Normed
from wgankit.spaces.product import Product

__all__ = ["Normed", "OneHot", "Product"]
