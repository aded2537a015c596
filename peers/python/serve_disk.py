"""Serves, with PyPI's usbip, a disk of 1 MiB whose bytes say where they are. Prints its port."""

import socket
import sys

import usbip
from usbip.classes.device.msc import MSC
from usbip.core import SPEED_HIGH


class Store:
    block_size = 512
    num_blocks = 2048

    def __init__(self):
        self.bytes = bytearray(
            (at // self.block_size + at) & 0xFF for at in range(self.num_blocks * self.block_size)
        )

    def read(self, lba, count):
        return bytes(self.bytes[lba * self.block_size : (lba + count) * self.block_size])

    def write(self, lba, count, data):
        self.bytes[lba * self.block_size : (lba + count) * self.block_size] = data


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
device = usbip.USBDevice(0x1209, 2, product="disk")
device.set_speed(SPEED_HIGH)
device.add(MSC(Store()))
with device.plug(via=usbip.USBIP("127.0.0.1", port)):
    print(port, flush=True)
    sys.stdin.read()
