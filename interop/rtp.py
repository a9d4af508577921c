"""Counts RTP packets on the loopback interface. Needs root (a packet socket)."""

import collections
import ctypes
import socket
import struct
import threading

from phone import wait

SO_ATTACH_FILTER = 26
ETH_P_ALL = 3
OUTGOING_COPY = 4
RTCP_TYPES = range(200, 208)

IPV4, IPV6 = 0x0800, 0x86DD
# Where the UDP header begins.
UDP_AT = {IPV4: 34, IPV6: 54}
FRAME_BYTES = 96

# UDP with a first payload byte of 10xxxxxx: RTP and RTCP. The kernel drops the rest.
FILTER = [
    (0x28, 0, 0, 12),
    (0x15, 0, 4, IPV4),
    (0x30, 0, 0, 23),
    (0x15, 0, 9, socket.IPPROTO_UDP),
    (0x30, 0, 0, 42),
    (0x05, 0, 0, 4),
    (0x15, 0, 6, IPV6),
    (0x30, 0, 0, 20),
    (0x15, 0, 4, socket.IPPROTO_UDP),
    (0x30, 0, 0, 62),
    (0x54, 0, 0, 0xC0),
    (0x15, 0, 1, 0x80),
    (0x06, 0, 0, FRAME_BYTES),
    (0x06, 0, 0, 0),
]


class Counter:
    """Counts from its making until `close`."""

    def __init__(self):
        """Raises `PermissionError` without root."""
        self.packets = collections.Counter()
        # Without a protocol nothing arrives before the filter is there.
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        code = b"".join(struct.pack("HBBI", *step) for step in FILTER)
        buffer = ctypes.create_string_buffer(code)
        program = struct.pack("HL", len(FILTER), ctypes.addressof(buffer))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self.socket.bind(("lo", ETH_P_ALL))
        self.socket.settimeout(0.2)
        self.open = True
        self.thread = threading.Thread(target=self._count, daemon=True)
        self.thread.start()

    def _count(self):
        while self.open:
            try:
                frame, address = self.socket.recvfrom(FRAME_BYTES)
            except TimeoutError:
                continue
            udp = UDP_AT[struct.unpack_from(">H", frame, 12)[0]]
            if address[2] == OUTGOING_COPY or frame[udp + 9] in RTCP_TYPES:
                continue
            self.packets[struct.unpack_from(">HH", frame, udp)] += 1

    def close(self):
        self.open = False
        self.thread.join()
        self.socket.close()

    def between(self, sender, receiver):
        """Packets so far from one phone to the other."""
        return sum(
            count
            for (source, target), count in self.packets.copy().items()
            if source in sender.rtp_ports and target in receiver.rtp_ports
        )

    def flows(self, pairs, packets):
        """Waits for so many more packets from each sender to its receiver."""
        goals = [(pair, self.between(*pair) + packets) for pair in pairs]
        for (sender, receiver), goal in goals:
            what = f"{packets} more RTP packets from {sender} to {receiver}"
            wait(what, lambda: self.between(sender, receiver) >= goal)

    def stops(self, sender, receiver, silence_s=0.6, seconds=20):
        """Waits until nothing flows any more."""
        last = -1

        def quiet():
            nonlocal last
            before, last = last, self.between(sender, receiver)
            if before == last:
                return True
            threading.Event().wait(silence_s)
            return False

        wait(f"RTP from {sender} to {receiver} stops", quiet, seconds)


def counter():
    """A counter, or `None` where the system allows none."""
    try:
        return Counter()
    except PermissionError:
        return None
