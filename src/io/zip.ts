/** The table of contents of a zip file whose entries are stored uncompressed, zip64 included. */
import { WeightsError } from '../core/errors.ts';
import type { ByteSource } from '../core/tensor-source.ts';

/** Where an entry's bytes lie in the file. */
export interface ZipEntry {
  readonly name: string;
  readonly byteLength: number;
  /** CRC-32 of the data; 0 where the writer left it out. */
  readonly checksum: number;
  /** Offset of the local header; `dataOffset` resolves it to the data. */
  readonly headerOffset: number;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const MAX_DIRECTORY_BYTES = 256 * 2 ** 20;

/**
 * Reads a zip file's central directory.
 * @param bytes the file
 * @returns entries by name
 * @throws WeightsError when it is no zip file, damaged, or holds compressed or encrypted entries
 * @see APPNOTE.TXT 6.3, sections 4.3 and 4.5.3
 */
export async function readZipDirectory(bytes: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const { start, length, count, tail } = await findDirectory(bytes);
  if (length > MAX_DIRECTORY_BYTES) throw broken(bytes, 'the directory is too long');
  const within = start - (bytes.byteLength - tail.byteLength);
  const view =
    within >= 0 ? new DataView(tail.buffer, tail.byteOffset + within, length) : await readView(bytes, start, length);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > length || view.getUint32(at, true) !== CENTRAL) throw broken(bytes, 'the directory is damaged');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map(field => view.getUint16(at + field, true));
    const extra = at + 46 + (nameBytes ?? 0);
    const next = extra + (extraBytes ?? 0) + (commentBytes ?? 0);
    if (next > length) throw broken(bytes, 'the directory is damaged');
    const entry = readEntry(view, at, extra, extraBytes ?? 0);
    if (entries.has(entry.name)) throw broken(bytes, `the entry "${entry.name}" stands twice`);
    if (view.getUint16(at + 8, true) & 1) throw broken(bytes, `the entry "${entry.name}" is encrypted`);
    if (view.getUint16(at + 10, true) !== 0) {
      throw broken(
        bytes,
        `the entry "${entry.name}" is compressed`,
        'Save it with torch.save, which stores its entries.',
      );
    }
    entries.set(entry.name, entry);
    at = next;
  }
  return entries;
}

/**
 * Where an entry's data starts: behind its local header, whose own lengths differ from the directory's.
 * @throws WeightsError when the local header is damaged or the data would reach beyond the file
 */
export async function dataOffset(bytes: ByteSource, entry: ZipEntry): Promise<number> {
  const view = await readView(bytes, entry.headerOffset, LOCAL_BYTES);
  return dataBehind(bytes, entry, view);
}

/** Bytes of a local header before the name. */
export const LOCAL_BYTES = 30;

/**
 * The same from the local header's first LOCAL_BYTES bytes.
 * @throws WeightsError as `dataOffset` does
 */
export function dataBehind(bytes: ByteSource, entry: ZipEntry, view: DataView): number {
  if (view.getUint32(0, true) !== LOCAL) throw broken(bytes, `the header of "${entry.name}" is damaged`);
  const start = entry.headerOffset + LOCAL_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + entry.byteLength > bytes.byteLength) throw broken(bytes, `the entry "${entry.name}" is cut short`);
  return start;
}

/**
 * Reads a small entry whole and compares its checksum.
 * @throws WeightsError as `dataOffset` does, and when the data is damaged
 */
export async function readZipEntry(bytes: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const start = await dataOffset(bytes, entry);
  const data = new Uint8Array(entry.byteLength);
  await bytes.read(start, data);
  if (entry.checksum !== 0 && crc32(data) !== entry.checksum) {
    throw broken(bytes, `the entry "${entry.name.slice(0, 80)}" is damaged: its checksum is another`);
  }
  return data;
}

/** CRC-32 of ISO 3309, as zip files use it. */
function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  return value >>> 0;
});

function readEntry(view: DataView, at: number, extra: number, extraBytes: number): ZipEntry {
  const nameBytes = view.getUint16(at + 28, true);
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameBytes));
  // A field of all ones stands in the zip64 extra block instead; that block keeps this order and holds only those.
  const fields = [
    view.getUint32(at + 24, true), // size
    view.getUint32(at + 20, true), // stored size
    view.getUint32(at + 42, true), // offset
  ];
  for (let p = extra; p + 4 <= extra + extraBytes; p += 4 + view.getUint16(p + 2, true)) {
    if (view.getUint16(p, true) !== 1) continue;
    let wide = p + 4;
    for (let f = 0; f < fields.length; f++) {
      if (fields[f] !== 0xffffffff || wide + 8 > extra + extraBytes) continue;
      fields[f] = Number(view.getBigUint64(wide, true));
      wide += 8;
    }
  }
  const checksum = view.getUint32(at + 16, true);
  return { name, byteLength: fields[0] ?? 0, checksum, headerOffset: fields[2] ?? 0 };
}

interface Directory {
  readonly start: number;
  readonly length: number;
  readonly count: number;
  /** The end of the file, as far as it was read. */
  readonly tail: DataView<ArrayBuffer>;
}

async function findDirectory(bytes: ByteSource): Promise<Directory> {
  const tailStart = Math.max(0, bytes.byteLength - 22 - 0xffff - 20);
  const tail = await readView(bytes, tailStart, bytes.byteLength - tailStart);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END) end--;
  if (end < 0) throw broken(bytes, 'the end of the zip file is missing');
  const found = {
    count: tail.getUint16(end + 10, true),
    length: tail.getUint32(end + 12, true),
    start: tail.getUint32(end + 16, true),
    tail,
  };
  const wide = end >= 20 && tail.getUint32(end - 20, true) === LOCATOR64;
  if (!wide) return checked(bytes, found);
  const record = await readView(bytes, Number(tail.getBigUint64(end - 12, true)), 56);
  if (record.getUint32(0, true) !== END64) throw broken(bytes, 'the zip64 end record is damaged');
  const [count, length, start] = [32, 40, 48].map(field => Number(record.getBigUint64(field, true)));
  return checked(bytes, { count: count ?? 0, length: length ?? 0, start: start ?? 0, tail });
}

function checked<T extends { start: number; length: number }>(bytes: ByteSource, found: T): T {
  if (found.start + found.length > bytes.byteLength) throw broken(bytes, 'the directory lies beyond the end');
  return found;
}

async function readView(bytes: ByteSource, offset: number, length: number): Promise<DataView<ArrayBuffer>> {
  const part = new Uint8Array(length);
  await bytes.read(offset, part);
  return new DataView(part.buffer);
}

function broken(bytes: ByteSource, problem: string, fix = 'Download or save the file again.'): WeightsError {
  return new WeightsError({ op: 'zip', problem, path: bytes.label, fix });
}
