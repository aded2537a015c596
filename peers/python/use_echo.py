"""Uses, with PyPI's usbip, the echoing device of this workspace's server: use_echo.py PORT."""

import sys

import usbip
from usbip.host import list_devices

transport = usbip.USBIP("127.0.0.1", int(sys.argv[1]))
listed = list_devices(transport)
assert [(each["busid"], each["idVendor"]) for each in listed] == [("1-1", 0x1209)], listed
with usbip.open(0x1209, 1, transport=transport) as device:
    assert device.device_descriptor.idProduct == 1
    for length in [0, 1, 31, 512, 4096, 65536, 1 << 20]:
        data = bytes(at % 251 for at in range(length))
        assert device.bulk_out(0x02, data) == length
        assert device.bulk_in(0x81, 1 << 20) == data, length
    packets = device.iso_in(0x84, 64, 8, interval=1)
    assert packets == [bytes([n]) * (3 * n) for n in range(8)], packets
    sent = device.iso_out(0x05, [bytes(n) for n in (10, 20, 0, 7)], interval=1)
    assert [(actual, status) for _, _, actual, status in sent] == [(10, 0), (20, 0), (0, 0), (7, 0)], sent
    assert device.interrupt_in(0x83, 8) == bytes([0, 0, 0, 4, 0, 0, 0, 37])
    try:
        device.bulk_in(0x8A, 10)
        raise SystemExit("an endpoint that is not there")
    except usbip.Stall:
        pass
    assert device.control(0x80, 0x06, 0x0200, 0, 9)[1] == 2
