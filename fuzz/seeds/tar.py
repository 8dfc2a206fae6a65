#!/usr/bin/env python3
"""Makes the seeds in tar/: small archives of each dialect, and a signature in minisign's form."""

import io
import pathlib
import tarfile

# Shorter archives: their end is not padded to ten KiB.
tarfile.RECORDSIZE = tarfile.BLOCKSIZE
FOLDER = pathlib.Path(__file__).parent / "tar"


def seed(name, form, members, **of_all):
    with tarfile.open(FOLDER / name, "w", format=form, **of_all) as archive:
        for path, changed in members:
            info = tarfile.TarInfo(path)
            for key, value in changed.items():
                setattr(info, key, value)
            data = b"data" if info.type == tarfile.REGTYPE else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


PLAIN = [
    ("./", {"type": tarfile.DIRTYPE, "mode": 0o755}),
    ("etc/passwd", {"mode": 0o644}),
    ("a", {"type": tarfile.SYMTYPE, "linkname": "../../etc"}),
    ("b", {"type": tarfile.LNKTYPE, "linkname": "etc/passwd"}),
    ("c", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
]
ACL = "user::rw-\nuser:a:r--\ngroup::r--\nmask::r--\nother::---\n"
EXTENDED = {"SCHILY.xattr.security.capability": "x", "SCHILY.acl.access": ACL, "mtime": "-1.5"}
SPARSE = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,2,4096,2", "GNU.sparse.size": "8192"}

FOLDER.mkdir(exist_ok=True)
seed("ustar", tarfile.USTAR_FORMAT, PLAIN)
seed("gnu", tarfile.GNU_FORMAT, [("x" * 120, {}), ("../out", {"uid": 1 << 40})])
seed("pax", tarfile.PAX_FORMAT, [("f", {"pax_headers": EXTENDED})], pax_headers={"comment": "all"})
seed("sparse", tarfile.PAX_FORMAT, [("s", {"pax_headers": SPARSE})])
(FOLDER / "signature").write_text("untrusted comment: x\n" + "RUQ" + "A" * 97 + "\ntrusted comment: y\n" + "A" * 86 + "==\n")
