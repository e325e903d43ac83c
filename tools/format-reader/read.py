#!/usr/bin/env python3
"""Prints every live row of a Drift database, one JSON object a line: {collection, id, vector, payload}. Written from docs/FORMAT.md alone,
with the standard library alone: slow, complete for reading, and it checks the checksum of every page and frame that it uses. `id` is
{"number"|"bigint"|"string": text}, `vector` the hex of its float32 values."""
import json, os, re, struct, sys
from itertools import accumulate, pairwise

TABLE = list(range(256))
for _ in range(8):
    TABLE = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in TABLE]

def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF

def content(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()

def check(what, found, expected):
    found == expected or sys.exit(f"{what}: found {found}, expected {expected}")

class Container:
    """A segment or tombstone file."""

    def __init__(self, folder, entry):
        self.name, self.data = entry["name"], content(folder, entry["name"])
        foot = self.data[-64:]
        at, size, toc_crc, length, self.rows = struct.unpack("<QIIQQ", foot[:32])
        self.uuid, (crc, magic) = foot[32:48], struct.unpack("<II", foot[56:])
        check(f"{self.name} footer", (magic, crc, foot[48:50]), (0x31465244, crc32c(foot[60:], crc32c(foot[:56])), b"\1\0"))
        check(f"{self.name} identity", (length, self.uuid.hex(), crc), (len(self.data), entry["uuid"], entry["footerCrc"]))
        self.toc = {entry[0]: entry for entry in struct.iter_unpack("<HHHHQQQIIQ", self.block(0xFFFF, 0, at, at + size, toc_crc))}

    def block(self, kind, page, start, end, crc):
        check(f"{self.name} section {kind} page {page}", crc32c(self.data[start:end], crc32c(self.uuid + struct.pack("<HI", kind, page))), crc)
        return self.data[start:end]

    def pages(self, kind):
        """(content, items) of each page of a section."""
        if kind in self.toc:
            _, _, _, _, at, size, _, crc, _, _ = self.toc[kind | 0x8000]
            entries = list(struct.iter_unpack("<III", self.block(kind | 0x8000, 0, at, at + size, crc)))
            at, size = self.toc[kind][4:6]
            bounds = pairwise([at + start * 64 for start, _, _ in entries] + [at + size])
            for number, ((start, end), (_, crc, items)) in enumerate(zip(bounds, entries)):
                yield self.block(kind, number, start, end, crc), items

    def strings(self, kind):
        """The byte strings of a section, None where absent."""
        for page, items in self.pages(kind):
            for start, end in pairwise(struct.unpack_from(f"<{items + 1}I", page, 4)):
                yield None if start >> 31 else page[8 + 4 * items + start:8 + 4 * items + (end & 0x7FFFFFFF)]

    def vectors(self):
        for page, items in self.pages(1):
            values = decode_floats(page)
            yield from slices(values, 0, [len(values) // items] * items)[0]

def decode_floats(page):
    """A float page as float32 bytes."""
    codec, _, width, right, flags, trim, _, code_bits, count, _, base, divisor, exceptions, at = struct.unpack_from("<8BIIqdII", page)
    if codec < 2:
        return page[64:64 + 4 * count] if codec == 0 else struct.pack("<I", base & 0xFFFFFFFF) * count
    words, start, dictionary = [], 64, struct.unpack_from("<8H", page, 40)
    for first in range(0, count, 1024):
        fill = min(1024, count - first)
        lines = (-(-fill // 32) * width + 31) // 32
        line = struct.unpack_from(f"<{lines * 32}I", page, start) + (0,) * 32
        start += lines * 128
        for lane, (word, shift) in ((i % 32, divmod(i // 32 * width, 32)) for i in range(fill)):
            pair = line[word * 32 + lane] | (line[word * 32 + 32 + lane] << 32 if shift + width > 32 else 0)
            words.append(pair >> shift & (1 << width) - 1)
    join = lambda left, word: left << trim + right | (word & (1 << right) - 1) << trim | (word >> width - 1 if flags & 1 else 0) << 31
    quotient = lambda word: struct.unpack("<I", struct.pack("<f", (word + base) / divisor))[0]
    out = [quotient(word) if codec == 2 else join(dictionary[word >> right & (1 << code_bits) - 1], word) for word in words]
    size = 4 if codec == 2 else 1 if 32 - trim - right - (flags & 1) <= 8 else 2
    gap, place = at + exceptions * size, -1
    for number in range(exceptions):
        value = int.from_bytes(page[at + number * size:at + (number + 1) * size], "little")
        while page[gap] == 255:
            place, gap = place + 255, gap + 1
        place, gap = place + 1 + page[gap], gap + 1
        out[place] = value if codec == 2 else join(value, words[place])
    return struct.pack(f"<{count}I", *out)

def read_log(folder, database, floor):
    """(lsn, record) from the floor on, up to the first frame that does not hold."""
    names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"wal-\d{16}\.drw", name))
    files = [data for data in (content(folder, name) for name in names) if data[:8] == b"DRFTWAL1"]
    first, records = lambda data: struct.unpack_from("<Q", data, 56)[0], []
    while len(files) > 1 and first(files[1]) <= floor:
        files.pop(0)
    for data in files:
        number, nonce, _, lsn = struct.unpack_from("<QQQQ", data, 32)
        check(f"log file {number}", (crc32c(data[:4092]), data[16:32].hex()), (struct.unpack_from("<I", data, 4092)[0], database))
        records, at, kind = [record for record in records if record[0] < lsn], 4096, 0
        while at < len(data) and kind not in (3, 4):
            crc, magic, size, kind = struct.unpack_from("<IIIB", data, at)
            payload, head = data[at + 56:at + 56 + size], crc32c(data[at + 4:at + 56], crc32c(struct.pack("<QQQ", nonce, number, at)))
            if (magic, crc, data[at + 52:at + 56]) != (0x31524644, head, struct.pack("<I", crc32c(payload, nonce & 0xFFFFFFFF))):
                break
            here, at = 0 if kind < 128 else size, at + -(-(56 + size) // 4096) * 4096
            while here < size:
                length = struct.unpack_from("<I", payload, here)[0]
                records.append((lsn, payload[here + 8:here + 8 + length]))
                here, lsn = here + 8 + -(-length // 8) * 8, lsn + 1
    return [record for record in records if record[0] >= floor]

def slices(data, at, sizes):
    ends = list(accumulate(sizes, initial=at))
    return [data[start:end] for start, end in pairwise(ends)], ends[-1]

def apply(record, lsn, collections):
    kind, flags, _, number, count, dim = struct.unpack_from("<BBHIII", record)
    if kind == 3:
        collections.setdefault(number, {**json.loads(record[16:16 + count]), "rows": {}, "flushed": 0})
    collection = collections.get(number)
    if kind == 4 and collection and lsn > collection["flushed"]:
        del collections[number]
    if kind in (1, 2) and collection and lsn > collection["flushed"]:
        vectors, at = slices(record, 16, [dim * 4] * count if kind == 1 else [])
        ids, at = slices(record, at + 2 * count, struct.unpack_from(f"<{count}H", record, at))
        [collection["rows"].pop(key, None) for key in ids]
        sizes = struct.unpack_from(f"<{count}I", record, at) if kind == 1 and flags & 1 else [0xFFFFFFFF] * count
        payloads, _ = slices(record, at + 4 * count, [0 if size == 0xFFFFFFFF else size for size in sizes])
        divided = collection["metric"] == "cosine" and not flags & 2
        rows = [(unit(vector) if divided else vector, payload) for vector, payload in zip(vectors, payloads)]
        collection["rows"].update(zip(ids, rows))

def unit(vector):
    values = struct.unpack(f"<{len(vector) // 4}f", vector)
    length = sum(value * value for value in values) ** 0.5
    return struct.pack(f"<{len(values)}f", *(value / length for value in values))

def id_text(data):
    text = data[1:].decode() if data[0] == 4 else str(int.from_bytes(data[1:], "little", signed=data[0] != 2))
    return {("", "number", "bigint", "bigint", "string")[data[0]]: text}

def main(folder):
    newest = max(name for name in os.listdir(folder) if re.fullmatch(r"manifest-\d{20}\.drm", name))
    data, collections = content(folder, newest), {}
    check(newest, struct.unpack_from("<I", data, len(data) - 12)[0], crc32c(data[:-12]))
    manifest = json.loads(data[32:-16])
    check("FORMAT", content(folder, "FORMAT")[8:24].hex(), manifest["database"])
    for collection in manifest["collections"]:
        rows, files = {}, [(f["lsnHigh"], 1, f) for f in collection["segments"]] + [(f["lsnHigh"], 0, f) for f in collection["tombstones"]]
        for _, is_segment, entry in sorted(files, key=lambda file: file[:2]):
            file = Container(folder, entry)
            if is_segment:
                rows.update(zip(file.strings(4), zip(file.vectors(), list(file.strings(2)) or [None] * file.rows)))
            [rows.pop(key, None) for key in (() if is_segment else file.strings(4))]
        flushed = max((entry["lsnHigh"] for _, _, entry in files), default=0)
        collections[collection["number"]] = {**collection, "rows": rows, "flushed": flushed}
    for lsn, record in read_log(folder, manifest["database"], manifest["floorLsn"]):
        apply(record, lsn, collections)
    for collection in collections.values():
        for key, (vector, payload) in collection["rows"].items():
            payload = json.loads(payload) if payload else None
            print(json.dumps({"collection": collection["name"], "id": id_text(key), "vector": vector.hex(), "payload": payload}))

if __name__ == "__main__":
    main(sys.argv[1])
