"""The laws that spaces, penalties, critics, generators and plugins keep, as functions to call.

Call them from the tests of your own package; they need no test framework:

    from wgankit.testing import check_metric_space

    def test_hamming_is_a_metric():
        check_metric_space(Hamming(), torch.randint(0, 4, (12, 6)))

Each raises `AssertionError` with the law that fails, the points where it fails most, and by how
much.  The points should be distinct points of the kind one trains on; up to `limit` of them are
used, so that all pairs and triples can be.  Random draws are seeded, and the state of the random
number generator is put back.
"""

from wgankit.testing.funnels import check_funnels
from wgankit.testing.networks import check_critic, check_generator
from wgankit.testing.penalties import check_penalty_laws
from wgankit.testing.plugins import HEAVY, check_plugin, fake_plugin
from wgankit.testing.spaces import check_metric_space, check_smooth_space
from wgankit.testing.steps import check_steps

__all__ = [
    "HEAVY",
    "check_critic",
    "check_funnels",
    "check_generator",
    "check_metric_space",
    "check_penalty_laws",
    "check_plugin",
    "check_smooth_space",
    "check_steps",
    "fake_plugin",
]
