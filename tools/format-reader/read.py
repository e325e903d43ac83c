#!/usr/bin/env python3
"""Prints every live row of a Drift database, one JSON object a line: {collection, id, vector, payload}. Written from docs/FORMAT.md alone,
with the standard library alone: slow, complete for reading, and it checks every checksum that it passes. `id` is {"number"|"bigint"|
"string": text}, `vector` the hex of its float32 values."""
import json, os, re, struct, sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")


class Container:
    """A segment, tombstone or checkpoint file."""

    def __init__(self, path, entry):
        data, name = open(path, "rb").read(), entry["name"]
        foot = data[-64:]
        toc_at, toc_bytes, toc_crc, size, self.rows = struct.unpack("<QIIQQ", foot[:32])
        self.data, self.uuid, self.name, (crc, magic) = data, foot[32:48], name, struct.unpack("<II", foot[56:])
        check(f"{name} footer", (magic, crc), (0x31465244, crc32c(foot[60:], crc32c(foot[:56]))))
        check(f"{name} identity", (size, self.uuid.hex(), crc), (len(data), entry["uuid"], entry["footerCrc"]))
        check(f"{name} version", foot[48:50] + foot[52:56], b"\1\0" + bytes(4))
        check(f"{name} header", struct.unpack("<I", data[60:64])[0], crc32c(data[:60]))
        toc = data[toc_at:toc_at + toc_bytes]
        check(f"{name} TOC", crc32c(toc, self.seed(0xFFFF, 0)), toc_crc)
        self.toc = {e[0]: e for e in struct.iter_unpack("<HHHHQQQIIQ", toc)}
        self.dim, _, self.metric = struct.unpack("<IBB", data[40:46])

    def seed(self, kind, page):
        return crc32c(self.uuid + struct.pack("<HI", kind, page))

    def pages(self, kind):
        """(content, items) of each page of a section."""
        if kind not in self.toc:
            return
        _, _, _, _, at, size, _, crc, _, _ = self.toc[kind | 0x8000]
        index = self.data[at:at + size]
        check(f"{self.name} page index {kind}", crc32c(index, self.seed(kind | 0x8000, 0)), crc)
        pages = list(struct.iter_unpack("<III", index))
        _, _, _, _, at, size, _, _, _, _ = self.toc[kind]
        ends = [start * 64 for start, _, _ in pages[1:]] + [size]
        for number, ((start, crc, items), end) in enumerate(zip(pages, ends)):
            page = self.data[at + start * 64:at + end]
            check(f"{self.name} section {kind} page {number}", crc32c(page, self.seed(kind, number)), crc)
            yield page, items

    def strings(self, kind):
        """The byte strings of a section, None where absent."""
        for page, items in self.pages(kind):
            offsets = struct.unpack_from(f"<{items + 1}I", page, 4)
            base = 8 + 4 * items
            for start, end in zip(offsets, offsets[1:]):
                yield None if start >> 31 else page[base + start:base + (end & 0x7FFFFFFF)]

    def vectors(self):
        for page, items in self.pages(1):
            values = decode_floats(page)
            for row in range(items):
                yield values[row * self.dim * 4:(row + 1) * self.dim * 4]


def decode_floats(page):
    """A float page as float32 bytes."""
    codec, _, width, right, flags, trim, _, code_bits, count, _, base, divisor, exceptions, at = struct.unpack_from("<8BIIqdII", page)
    if codec == 0:
        return page[64:64 + 4 * count]
    if codec == 1:
        return struct.pack("<I", base & 0xFFFFFFFF) * count
    words, start = [], 64
    for first in range(0, count, 1024):
        fill = min(1024, count - first)
        lines = (-(-fill // 32) * width + 31) // 32
        line = struct.unpack_from(f"<{lines * 32}I", page, start) + (0,) * 32
        start += lines * 128
        for i in range(fill):
            lane, (word, shift) = i % 32, divmod(i // 32 * width, 32)
            pair = line[word * 32 + lane] | (line[word * 32 + 32 + lane] << 32 if shift + width > 32 else 0)
            words.append(pair >> shift & (1 << width) - 1)
    if codec == 2:
        out = [struct.unpack("<I", struct.pack("<f", (word + base) / divisor))[0] for word in words]
    else:
        dictionary = struct.unpack_from("<8H", page, 40)
        join = lambda left, low, sign: left << trim + right | low << trim | sign << 31
        signs = [word >> width - 1 if flags & 1 else 0 for word in words]
        lows = [word & (1 << right) - 1 for word in words]
        out = [join(dictionary[word >> right & (1 << code_bits) - 1], low, sign) for word, low, sign in zip(words, lows, signs)]
    size = 4 if codec == 2 else 1 if 32 - trim - right - (flags & 1) <= 8 else 2
    gap, place = at + exceptions * size, -1
    for number in range(exceptions):
        value = int.from_bytes(page[at + number * size:at + (number + 1) * size], "little")
        place += 1
        while page[gap] == 255:
            place, gap = place + 255, gap + 1
        place, gap = place + page[gap], gap + 1
        out[place] = value if codec == 2 else join(value, lows[place], signs[place])
    return struct.pack(f"<{count}I", *out)


def read_log(folder, database, floor):
    """(lsn, record) from the floor on, up to the first frame that does not hold."""
    files = []
    for name in sorted(os.listdir(folder)):
        data = re.fullmatch(r"wal-\d{16}\.drw", name) and open(os.path.join(folder, name), "rb").read()
        if data and data[:8] == b"DRFTWAL1":
            check(f"{name} header", struct.unpack_from("<I", data, 4092)[0], crc32c(data[:4092]))
            check(f"{name} database", data[16:32].hex(), database)
            files.append((data, *struct.unpack_from("<QQQQ", data, 32)))
    while len(files) > 1 and files[1][4] <= floor:
        files.pop(0)
    records = []
    for data, number, nonce, _, lsn in files:
        records = [record for record in records if record[0] < lsn]
        at, low, kind = 4096, nonce & 0xFFFFFFFF, 0
        while at < len(data) and kind not in (3, 4):
            crc, magic, size, kind = struct.unpack_from("<IIIB", data, at)
            seed = crc32c(struct.pack("<QQQ", nonce, number, at))
            payload = data[at + 56:at + 56 + size]
            if magic != 0x31524644 or crc != crc32c(data[at + 4:at + 56], seed):
                break
            if struct.unpack_from("<I", data, at + 52)[0] != crc32c(payload, low):
                break
            here = 0
            while here < size and kind < 128:
                length = struct.unpack_from("<I", payload, here)[0]
                records.append((lsn, payload[here + 8:here + 8 + length]))
                here, lsn = here + 8 + -(-length // 8) * 8, lsn + 1
            at += -(-(56 + size) // 4096) * 4096
    return [record for record in records if record[0] >= floor]


def apply(record, lsn, collections):
    kind, flags, _, number, count, dim = struct.unpack_from("<BBHIII", record)
    if kind == 3:
        collections.setdefault(number, {**json.loads(record[16:16 + count]), "rows": {}, "flushed": 0})
    collection = collections.get(number)
    if collection is None or lsn <= collection["flushed"]:
        return
    if kind == 4:
        del collections[number]
    at = 16 + (count * dim * 4 if kind == 1 else 0)
    if kind in (1, 2):
        ends, lengths = at + 2 * count, struct.unpack_from(f"<{count}H", record, at)
        ids = [record[ends + sum(lengths[:i]):ends + sum(lengths[:i + 1])] for i in range(count)]
        at = ends + sum(lengths)
    sizes = struct.unpack_from(f"<{count}I", record, at) if kind == 1 and flags & 1 else [0xFFFFFFFF] * count
    at += 4 * count
    for i in range(count if kind in (1, 2) else 0):
        collection["rows"].pop(ids[i], None)
        if kind == 1:
            payload = None if sizes[i] == 0xFFFFFFFF else record[at:at + sizes[i]]
            at += len(payload or b"")
            vector = record[16 + i * dim * 4:16 + (i + 1) * dim * 4]
            collection["rows"][ids[i]] = unit(vector) if collection["metric"] == "cosine" else vector, payload


def unit(vector):
    values = struct.unpack(f"<{len(vector) // 4}f", vector)
    length = sum(value * value for value in values) ** 0.5
    return struct.pack(f"<{len(values)}f", *(value / length for value in values))


def id_text(data):
    if data[0] == 4:
        return {"string": data[1:].decode()}
    return {("", "number", "bigint", "bigint")[data[0]]: str(int.from_bytes(data[1:], "little", signed=data[0] != 2))}


def main(folder):
    head = open(os.path.join(folder, "FORMAT"), "rb").read()
    check("FORMAT", (head[:4], struct.unpack_from("<I", head, 60)[0]), (b"DRFT", crc32c(head[:60])))
    newest = max(name for name in os.listdir(folder) if re.fullmatch(r"manifest-\d{20}\.drm", name))
    data = open(os.path.join(folder, newest), "rb").read()
    check(newest, struct.unpack_from("<I", data, len(data) - 12)[0], crc32c(data[:-12]))
    manifest = json.loads(data[32:-16])
    check("database", manifest["database"], head[8:24].hex())
    collections = {}
    for collection in manifest["collections"]:
        rows, files = {}, [(f["lsnLow"], 1, f) for f in collection["segments"]] + [(f["lsnLow"], 0, f) for f in collection["tombstones"]]
        for _, is_segment, entry in sorted(files, key=lambda file: file[:2]):
            file = Container(os.path.join(folder, entry["name"]), entry)
            if is_segment:
                payloads = list(file.strings(2)) or [None] * file.rows
                rows.update(zip(file.strings(4), zip(file.vectors(), payloads)))
            for key in () if is_segment else file.strings(4):
                rows.pop(key, None)
        flushed = max((entry["lsnHigh"] for _, _, entry in files), default=0)
        collections[collection["number"]] = {**collection, "rows": rows, "flushed": flushed}
    for lsn, record in read_log(folder, manifest["database"], manifest["floorLsn"]):
        apply(record, lsn, collections)
    for collection in collections.values():
        for key, (vector, payload) in collection["rows"].items():
            print(json.dumps({"collection": collection["name"], "id": id_text(key), "vector": vector.hex(), "payload": payload and json.loads(payload)}))


if __name__ == "__main__":
    main(sys.argv[1])
