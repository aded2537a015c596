"""Serves, with PyPI's usbip, what is written to bulk OUT back to bulk IN; isochronous packets that
say which they are; and an interrupt endpoint that has its say once. Prints its port."""

import socket
import sys
import threading

import usbip
from usbip.core import SPEED_HIGH


class Echo(usbip.Interface):
    bulk_in = usbip.In(0x81, "bulk", mps=512)
    bulk_out = usbip.Out(0x02, "bulk", mps=512)
    interrupt_in = usbip.In(0x83, "interrupt", mps=8, interval=4)
    iso_in = usbip.In(0x84, "iso", mps=512, interval=1)
    iso_out = usbip.Out(0x05, "iso", mps=512, interval=1)

    def on_out(self, ep, data):
        self.bulk_in.write(data)

    def on_iso(self, ep, packets):
        if ep.dir == usbip.IN:
            return [bytes([n]) * min(length, 3 * n) for n, length in enumerate(packets)]
        self.interrupt_in.write(len(packets).to_bytes(4, "big") + sum(map(len, packets)).to_bytes(4, "big"))
        return []


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
device = usbip.USBDevice(0x1209, 1, product="echo")
device.set_speed(SPEED_HIGH)
device.add(Echo())
with device.plug(via=usbip.USBIP("127.0.0.1", port)):
    print(port, flush=True)
    sys.stdin.read()
