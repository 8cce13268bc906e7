"""One site's process: answers one message, unless it is killed at its n-th write.

``python -m secagg.process FOLDER SITE MESSAGE ANSWER KILL`` with KILL -1 for never.
"""

import os
import signal
import sys
from pathlib import Path

from secagg.faults import counted
from secagg.world import World


def main() -> None:
    folder, site, message, answer, kill = sys.argv[1:]
    with counted(int(kill), lambda: os.kill(os.getpid(), signal.SIGKILL)):
        world = World(Path(folder), 3, approve=False)
        Path(answer).write_bytes(world.machine(int(site)).handle(Path(message).read_bytes()))


if __name__ == "__main__":
    main()
