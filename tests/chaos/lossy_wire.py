"""A wire of IP packets between this machine and a network of its own, which is late and loses packets.

``python -m tests.chaos.lossy_wire`` makes two network devices (TUN), one of them in a network namespace that
lasts as long as this process, and carries packets from one to the other. It does in a program what netem does
in the kernel, where the kernel has no netem: what is lost is lost for TCP, which has to notice and send it
again. It needs root, and carries without delay or loss until it gets SIGUSR1.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

NEAR, FAR = "10.77.0.1", "10.77.0.2"
"""Addresses of this machine and of the network at the other end."""
DELAY_S, LOSS = 0.2, 0.05
READY, LOST = "the wire is there", "five packets are lost"

_NEW_NETWORK = 0x40000000
_SET_DEVICE, _NO_HEADER_TUN = 0x400454CA, 0x1001
_LONGEST = 1 << 16
_QUEUE = 4000
"""Packets that the wire holds; what comes besides is lost, as in a router."""


@dataclass
class Wire:
    """Packets on their way between two ends.

    Attributes
    ----------
    delay_s : float
        By which every packet is late, in each direction, seconds.
    loss : float
        Share of packets that are lost.
    carried, lost : int
        Packets.
    """

    delay_s: float = 0.0
    loss: float = 0.0
    carried: int = 0
    lost: int = 0
    _late: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))

    def take(self, packet: bytes, end: int, now: float) -> None:
        """Put a packet on the wire to an end, or lose it."""
        if self._chance.random() < self.loss or len(self._late) >= _QUEUE:
            self.lost += 1
            return
        self.carried += 1
        heapq.heappush(self._late, (now + self.delay_s, self.carried, end, packet))

    def deliver(self, now: float, write: Callable[[int, bytes], object]) -> float | None:
        """Write what has arrived; seconds until the next packet does, None if there is none."""
        while self._late and self._late[0][0] <= now:
            _, _, end, packet = heapq.heappop(self._late)
            write(end, packet)
        return self._late[0][0] - now if self._late else None


def main() -> None:
    """Carry packets until the parent ends."""
    wire = Wire()

    def spoil(*_: object) -> None:
        wire.delay_s, wire.loss = DELAY_S, LOSS

    def tell(*_: object) -> None:
        print(f"carried {wire.carried} packets, lost {wire.lost}", flush=True)
        raise SystemExit

    signal.signal(signal.SIGUSR1, spoil)
    signal.signal(signal.SIGTERM, tell)
    near = _open_device("rhe-near", NEAR, FAR)
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare")
    _ip("link", "set", "lo", "up")
    far = _open_device("rhe-far", FAR, NEAR)
    print(READY, flush=True)
    other = {near: far, far: near}
    pause_s: float | None = None
    has_told = False
    while True:
        for end in select.select([near, far], [], [], pause_s)[0]:
            wire.take(os.read(end, _LONGEST), other[end], time.monotonic())
        pause_s = wire.deliver(time.monotonic(), os.write)
        if wire.lost >= 5 and not has_told:
            has_told = True
            print(LOST, flush=True)


def _open_device(name: str, own: str, peer: str) -> int:
    """A device of IP packets that lasts as long as its handle."""
    handle = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(handle, _SET_DEVICE, struct.pack("16sH22x", name.encode(), _NO_HEADER_TUN))
    _ip("address", "add", own, "peer", peer, "dev", name)
    _ip("link", "set", name, "up")
    return handle


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    main()
