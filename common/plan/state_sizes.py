"""How many numbers each network's state has, known without building it."""

from __future__ import annotations

from common.models.spec import Family

STATE_SIZES: dict[tuple[Family, int], tuple[int, int]] = {
    ("resnet10-narrow", 2): (311_037, 1_440),
    ("resnet10-narrow", 3): (903_997, 1_440),
    ("resnet18", 2): (11_186_645, 9_600),
    ("resnet18", 3): (33_170_133, 9_600),
    ("resnet101", 2): (42_607_657, 105_344),
    ("resnet101", 3): (85_308_713, 105_344),
    ("resnet152", 2): (58_297_436, 151_424),
    ("resnet152", 3): (117_513_564, 151_424),
    ("densenet-small", 2): (29_734, 1_120),
    ("densenet-small", 3): (69_734, 1_120),
    ("densenet121", 2): (7_038_650, 83_648),
    ("densenet121", 3): (11_327_418, 83_648),
    ("densenet201", 2): (18_324_106, 229_056),
    ("densenet201", 3): (25_561_994, 229_056),
}
"""Elements of each network's state, and how many of them are running statistics, with three input channels in
2D and one in 3D: `common.models.zoo.build`, without importing torch."""
