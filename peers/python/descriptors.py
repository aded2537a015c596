"""Configurations that other people's programs make, for `descriptors` of the peers' tests:

    NAME SPEED HEX                  a device descriptor, or none, and a configuration
    field HEX FIELD VALUE           what usb-protocol reads in a descriptor of the line before
"""

from facedancer.devices.ftdi import FTDIDevice
from facedancer.devices.keyboard import USBKeyboardDevice
from facedancer.devices.umass.umass import USBMassStorageDevice
from usb_protocol.types.descriptors import uac2


def facedancer():
    devices = {
        "ftdi": FTDIDevice(),
        "keyboard": USBKeyboardDevice(),
        "umass": USBMassStorageDevice(disk_image=None),
    }
    for name, device in devices.items():
        configurations = [each.get_descriptor() for each in device.configurations.values()]
        run = bytes(device.get_descriptor()) + b"".join(map(bytes, configurations))
        print(f"facedancer-{name} full {run.hex()}")


def speaker():
    """A speaker of USB Audio Class 2: two interfaces with a clock, terminals and a volume."""
    control = [
        (uac2.ClockSourceDescriptor, {"bClockID": 1, "bmAttributes": 3, "bmControls": 7}),
        (
            uac2.InputTerminalDescriptor,
            {
                "bTerminalID": 2,
                "wTerminalType": 0x0101,
                "bCSourceID": 1,
                "bNrChannels": 2,
                "bmChannelConfig": 3,
                "bmControls": 0,
            },
        ),
        (
            uac2.FeatureUnitDescriptor,
            {"bLength": 18, "bUnitID": 4, "bSourceID": 2, "bmaControls": [15, 15, 15]},
        ),
        (
            uac2.OutputTerminalDescriptor,
            {
                "bTerminalID": 3,
                "wTerminalType": 0x0301,
                "bSourceID": 4,
                "bCSourceID": 1,
                "bmControls": 0,
            },
        ),
    ]
    total = 9 + sum(len(form.build(values)) for form, values in control)
    header = uac2.ClassSpecificAudioControlInterfaceDescriptor
    streaming = {"bInterfaceNumber": 1}
    return [
        (uac2.InterfaceAssociationDescriptor, {"bInterfaceCount": 2}),
        (
            uac2.StandardAudioControlInterfaceDescriptor,
            {"bInterfaceNumber": 0, "bNumEndpoints": 0},
        ),
        (header, {"wTotalLength": total, "bCategory": 1}),
        *control,
        (uac2.AudioStreamingInterfaceDescriptor, {**streaming, "bNumEndpoints": 0}),
        (
            uac2.AudioStreamingInterfaceDescriptor,
            {**streaming, "bAlternateSetting": 1, "bNumEndpoints": 2},
        ),
        (
            uac2.ClassSpecificAudioStreamingInterfaceDescriptor,
            {
                "bTerminalLink": 2,
                "bmControls": 0,
                "bFormatType": 1,
                "bmFormats": 1,
                "bNrChannels": 2,
                "bmChannelConfig": 3,
            },
        ),
        (uac2.TypeIFormatTypeDescriptor, {"bSubslotSize": 4, "bBitResolution": 24}),
        (
            uac2.AudioStreamingIsochronousEndpointDescriptor,
            {"bEndpointAddress": 1, "bmAttributes": 5, "wMaxPacketSize": 392, "bInterval": 1},
        ),
        (
            uac2.ClassSpecificAudioStreamingIsochronousAudioDataEndpointDescriptor,
            {"bLockDelayUnits": 1, "wLockDelay": 2},
        ),
        (
            uac2.AudioStreamingIsochronousFeedbackEndpointDescriptor,
            {"bEndpointAddress": 0x81, "bmAttributes": 17, "wMaxPacketSize": 4, "bInterval": 4},
        ),
    ]


def usb_protocol():
    pieces = [(form, form.build(values)) for form, values in speaker()]
    body = b"".join(piece for _, piece in pieces)
    total = (9 + len(body)).to_bytes(2, "little")
    run = bytes([9, 2]) + total + bytes([2, 1, 0, 0xC0, 0]) + body
    print(f"usb-protocol-speaker high {run.hex()}")
    for form, piece in pieces:
        for name, value in form.parse(piece).items():
            if isinstance(value, float):  # a release
                value = int(value) << 8
            if isinstance(value, int):
                print(f"field {piece.hex()} {name} {value}")


facedancer()
usb_protocol()
