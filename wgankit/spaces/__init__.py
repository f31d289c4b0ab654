"""The spaces that come with the core; each also stands in `wgankit` itself."""

from wgankit.spaces.hamming import Hamming
from wgankit.spaces.hyperboloid import Hyperboloid
from wgankit.spaces.labels import OneHot
from wgankit.spaces.normed import Normed
from wgankit.spaces.product import Product
from wgankit.spaces.pullback import Pullback
from wgankit.spaces.quadratic import Quadratic
from wgankit.spaces.sobolev import Sobolev
from wgankit.spaces.sphere import Sphere
from wgankit.spaces.strings import Strings

__all__ = [
    "Hamming",
    "Hyperboloid",
    "Normed",
    "OneHot",
    "Product",
    "Pullback",
    "Quadratic",
    "Sobolev",
    "Sphere",
    "Strings",
]
