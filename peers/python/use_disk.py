"""Uses, with PyPI's usbip, the disk of this workspace's server: use_disk.py PORT."""

import sys

import usbip
from usbip.classes.host.msc import MSCDriver

disk = MSCDriver.open(transport=usbip.USBIP("127.0.0.1", int(sys.argv[1])))
assert disk.max_lun() == 0
assert len(disk.inquiry()) == 36
assert disk.read_capacity() == (2048, 512)
for lba, count in [(0, 1), (1, 8), (2047, 1), (100, 240)]:
    expected = bytes((at // 512 + at) & 0xFF for at in range(lba * 512, (lba + count) * 512))
    assert disk.read_blocks(lba, count, 512) == expected, lba
data = bytes(at % 253 for at in range(64 * 512))
assert disk.write_blocks(1000, data, 512) == 64
assert disk.read_blocks(1000, 64, 512) == data
try:
    disk.read_blocks(2048, 1, 512)
    raise SystemExit("a block behind the end")
except OSError:
    pass
disk.close()
