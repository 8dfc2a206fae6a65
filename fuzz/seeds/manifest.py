#!/usr/bin/env python3
"""Makes the seeds in manifest/: a head, an empty line, and the first page of its chunk table (docs/image.md)."""

import json
import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent / "manifest"


def page(lengths):
    records, offset = b"", 0
    for stored, plain in lengths:
        records += bytes(32) + b"\1" * 32 + struct.pack("<QII", offset, stored, plain)
        offset += stored
    return records


def seed(lengths, **changed):
    head = {
        "version": 1, "name": "compute", "payload": "tar.zst", "arch": "x86_64",
        "os": {"id": "debian", "id_like": [], "version_id": "12", "pretty_name": "Debian 12"},
        "kernels": [{"version": "6.1", "modules": True, "vmlinuz": "boot/vmlinuz-6.1"}],
        "stored_size": sum(stored for stored, _ in lengths), "plain_size": sum(plain for _, plain in lengths),
        "inodes": 10, "ram_bytes": 40960, "xattr_namespaces": ["security"], "window": 1 << 20,
        # The check puts the page's own digest here.
        "chunks": len(lengths), "pages": ["0" * 64] if lengths else [],
    }
    return json.dumps(head | changed).encode() + b"\n\n" + page(lengths)


FOLDER.mkdir(exist_ok=True)
(FOLDER / "two-chunks").write_bytes(seed([(7, 100), (100, 9)]))
(FOLDER / "empty").write_bytes(seed([]))
(FOLDER / "newer").write_bytes(seed([], version=2))
(FOLDER / "wrong-size").write_bytes(seed([(7, 100)], plain_size=99))
