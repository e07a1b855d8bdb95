"""What is asked of a disk: files that are whole or absent, made once or not at all, under names that outlast a power
cut. Rests on no locks and on no clock, so that it holds on NFS and Lustre as well.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place, replacing what is there, only when it is whole and on disk. Raises OSError."""
    temporary = _beside(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """`whole_file` for what is in memory already."""
    with whole_file(path) as file:
        file.write(data)


def write_once(path: Path, data: bytes) -> bool:
    """Makes a whole file and returns True, or leaves the one that is there and returns False. Raises OSError."""
    if path.exists():
        return False
    temporary = _beside(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
                raise
            # No hard links here. Of two that begin at the same moment, the later one's bytes stay.
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Puts a folder's names on disk; where the file system does not offer that, does nothing."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def probe_writing(folder: Path) -> None:
    """Writes an empty file where the folder is, or where it is to be made, and takes it away again. Raises OSError.

    Asked of the disk, since rights do not tell: root may write anywhere but on a read-only or a foreign file system.
    """
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    temporary = _beside(place / "probe")
    try:
        temporary.open("xb").close()
    finally:
        with suppress(OSError):
            temporary.unlink()


def is_temporary(name: str) -> bool:
    """Whether a file of this name is what a killed process left of an unfinished one."""
    return name.startswith(".") and name.endswith(".unfinished")


def _beside(path: Path) -> Path:
    # Random, not the process id: two hosts that share the folder may have the same one.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.unfinished")
