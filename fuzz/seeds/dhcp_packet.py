#!/usr/bin/env python3
"""Makes the seeds in dhcp_packet/: what firmware, iPXE and systems send (RFC 2131, 2132, 4578, 3004)."""

import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent / "dhcp_packet"
COOKIE = bytes([99, 130, 83, 99])
ID = bytes([0, *range(16)])


def fixed(giaddr=bytes(4), sname=b"", file=b""):
    head = bytes([1, 1, 6, 0]) + b"\x12\x34\x56\x78" + struct.pack(">HH", 4, 0x8000)
    head += bytes(12) + giaddr + bytes.fromhex("525400aa0001") + bytes(10)
    return head + sname.ljust(64, b"\0") + file.ljust(128, b"\0")


def options(*pairs):
    return b"".join(bytes([code, len(value)]) + value for code, value in pairs)


def dhcp(*pairs, **fields):
    return fixed(**fields) + COOKIE + options(*pairs) + b"\xff"


def ip(payload):
    udp = struct.pack(">HHHH", 68, 67, len(payload) + 8, 0) + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, len(udp) + 20, 1, 0, 64, 17, 0)
    return head + bytes(4) + b"\xff" * 4 + udp


PXE = b"PXEClient:Arch:00007:UNDI:003016"
SEEDS = {
    "bios": dhcp((53, b"\1"), (57, b"\5\xc0"), (93, b"\0\0"), (94, b"\1\2\1"), (97, ID), (60, PXE)),
    "uefi-request": dhcp((53, b"\3"), (50, b"\x0a\1\0\x69"), (54, b"\x0a\1\0\1"), (93, b"\0\7"), (97, ID), (60, PXE)),
    "ipxe": dhcp((53, b"\1"), (93, b"\0\7"), (77, b"iPXE"), (97, ID), (175, b"\xb1\5\1\x1a\xf4\x10\0")),
    "classes": dhcp((53, b"\1"), (77, b"\4iPXE\3abc"), (12, b"old\0")),
    "http": dhcp((53, b"\1"), (60, b"HTTPClient:Arch:00016"), (93, b"\0\x10")),
    "renewal": dhcp((53, b"\3"), (12, b"nas1"), (60, b"udhcp 1.37.0"), (61, b"\1RT\0\xaa\0\1")),
    "release": dhcp((53, b"\7"), (54, b"\x0a\1\0\1")),
    "relayed": dhcp((53, b"\1"), (93, b"\0\7"), giaddr=b"\x0a\2\0\xfe"),
    "overload": dhcp((52, b"\3"), file=options((53, b"\1")) + b"\xff", sname=options((12, b"n1"), (93, b"\0\7"))),
    "pieces": dhcp((53, b"\1"), (60, PXE[:9]), (60, PXE[9:])),
    "bootp": fixed() + bytes(64),
    "cut-off": dhcp((53, b"\1"))[:-1] + b"\x3c\xff",
}
SEEDS["in-ip"] = ip(SEEDS["bios"])

FOLDER.mkdir(exist_ok=True)
for name, packet in SEEDS.items():
    (FOLDER / name).write_bytes(packet)
