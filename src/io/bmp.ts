/**
 * BMP files as RGB: 1, 4, 8, 16, 24 and 32 bits, run lengths, bit fields. The rules are Pillow's: an index beyond the palette is
 * black, five and six bits are stretched by v * 255 / 31 or / 63, alpha is dropped.
 * @see https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
 */
import { GrowingBytes } from './growing-bytes.ts';
import type { RgbImage } from './image.ts';
import { brokenImage, checkPixels, type Reading } from './picture-file.ts';

/** Ways of storing. */
const [PLAIN, RUNS_8, RUNS_4, FIELDS, ALPHA_FIELDS] = [0, 1, 2, 3, 6];
/** Pixels that a pair of bytes can stand for. */
const LONGEST_RUN = 255;

interface BmpHeader {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly storage: number;
  /** Whether the first row is the top one. */
  readonly fromTop: boolean;
  /** Colours, B G R and, but in the oldest files, a byte of nothing. */
  readonly palette: Uint8Array;
  readonly paletteStep: number;
  /** Where red, green and blue stand in a pixel of 16 or 32 bits. */
  readonly masks: readonly number[];
  /** Where the pixels begin. */
  readonly start: number;
}

/**
 * The pixels of a BMP.
 * @param bytes the file
 * @param reading name for messages, limit
 * @throws InputError for a file that is cut short or damaged, has too many pixels, or is of a kind that nobody writes
 */
export function decodeBmp(bytes: Uint8Array, reading: Reading = {}): RgbImage {
  const header = readHeader(bytes, reading);
  const { width, height, bits, storage } = header;
  const runs = storage === RUNS_8 || storage === RUNS_4;
  const pitch = 4 * Math.ceil((width * bits) / 32);
  const there = bytes.length - header.start;
  // What fills up the last row may be missing.
  const needed = pitch * (height - 1) + Math.ceil((width * bits) / 8);
  const held = runs ? Math.floor(there / 2) * LONGEST_RUN >= width * height : there >= needed;
  if (!held) throw brokenImage('BMP', 'the pixels are cut short', reading.path);
  if (runs) return fromRuns(bytes.subarray(header.start), header, reading.path);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = header.start + (header.fromTop ? y : height - 1 - y) * pitch;
    readRow(bytes.subarray(from, from + pitch), header, data, 3 * y * width);
  }
  return { width, height, data };
}

function readHeader(bytes: Uint8Array, reading: Reading): BmpHeader {
  const { path } = reading;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 26) throw brokenImage('BMP', 'the file is cut short', path);
  const size = view.getUint32(14, true);
  const oldest = size === 12;
  if (!oldest && (size < 40 || size > 1024 || bytes.length < 54)) {
    const what = bytes.length < 54 ? 'the file is cut short' : `a header of ${size} bytes`;
    throw brokenImage('BMP', what, path);
  }
  const width = oldest ? view.getUint16(18, true) : view.getInt32(18, true);
  const tall = oldest ? view.getInt16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(oldest ? 24 : 28, true);
  const storage = oldest ? PLAIN : view.getUint32(30, true);
  const height = Math.abs(tall);
  const allowed: Readonly<Record<number, readonly number[]>> = {
    [PLAIN]: [1, 4, 8, 16, 24, 32],
    [RUNS_8]: [8],
    [RUNS_4]: [4],
    [FIELDS]: [16, 32],
    [ALPHA_FIELDS]: [16, 32],
  };
  if (width < 1 || height < 1 || !allowed[storage]?.includes(bits))
    throw brokenImage('BMP', `a header of ${[width, tall, bits, storage].join(', ')}`, path);
  checkPixels(width, height, reading);
  const fields = storage === FIELDS || storage === ALPHA_FIELDS;
  const masks = fields
    ? [54, 58, 62].map(at => (at + 4 <= bytes.length ? view.getUint32(at, true) : 0))
    : plainMasks(bits);
  // Masks stand behind the shortest header, and inside the others.
  const colours = 14 + size + (fields && size === 40 ? 12 : 0);
  const paletteStep = oldest ? 3 : 4;
  const count = bits > 8 ? 0 : (oldest ? 0 : view.getUint32(46, true)) || 2 ** bits;
  const palette = bytes.subarray(colours, colours + paletteStep * Math.min(256, count));
  const start = view.getUint32(10, true);
  return { width, height, bits, storage, fromTop: tall < 0, palette, paletteStep, masks, start };
}

function plainMasks(bits: number): number[] {
  return bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
}

function readRow(row: Uint8Array, header: BmpHeader, data: Uint8Array, to: number): void {
  const { width, bits } = header;
  const perByte = 8 / bits;
  const step = bits / 8;
  const fields = header.masks.map(fieldOf);
  for (let x = 0, o = to; x < width; x++, o += 3) {
    if (bits <= 8) {
      const packed = row[Math.floor(x / perByte)] ?? 0;
      paint((packed >> (8 - bits * (1 + (x % perByte)))) & (2 ** bits - 1), header, data, o);
    } else if (bits === 24) {
      for (let c = 0; c < 3; c++) data[o + c] = row[3 * x + 2 - c] ?? 0;
    } else {
      let pixel = 0;
      for (let i = step - 1; i >= 0; i--) pixel = pixel * 256 + (row[x * step + i] ?? 0);
      for (const [c, field] of fields.entries()) data[o + c] = field(pixel);
    }
  }
}

/** What a field of a pixel is, stretched to 255. */
function fieldOf(mask: number): (pixel: number) => number {
  if (mask === 0) return () => 0;
  let low = 1;
  while (Math.floor(mask / low) % 2 === 0) low *= 2;
  const most = Math.floor(mask / low);
  return pixel => Math.floor(((Math.floor(pixel / low) & most) * 255) / most);
}

function paint(index: number, { palette, paletteStep }: BmpHeader, data: Uint8Array, at: number): void {
  for (let c = 0; c < 3; c++) data[at + c] = palette[index * paletteStep + 2 - c] ?? 0;
}

/** Rows of runs; what they step over has the first colour. */
function fromRuns(bytes: Uint8Array, header: BmpHeader, path: string | undefined): RgbImage {
  const { width, height, storage } = header;
  const wide = storage === RUNS_8;
  const indices = new GrowingBytes(width * height, 4 * bytes.length);
  let [x, y] = [0, 0];
  const stepTo = (column: number, row: number): void => {
    const to = row * width + Math.min(column, width);
    while (indices.length < to && !indices.full) indices.push(0);
    [x, y] = [column, row];
  };
  const put = (byte: number, i: number): void => {
    if (x < width) indices.push(wide ? byte : i % 2 === 0 ? byte >> 4 : byte & 15);
    x++;
  };
  for (let at = 0; at + 1 < bytes.length && !indices.full; ) {
    const [count = 0, value = 0] = [bytes[at], bytes[at + 1]];
    at += 2;
    if (count > 0) for (let i = 0; i < count; i++) put(value, i);
    else if (value === 0) stepTo(0, y + 1);
    else if (value === 1) break;
    else if (value === 2) {
      stepTo(x + (bytes[at] ?? 0), y + (bytes[at + 1] ?? 0));
      at += 2;
    } else {
      for (let i = 0; i < value; i++) put(bytes[at + (wide ? i : i >> 1)] ?? 0, i);
      at += 2 * Math.ceil((wide ? value : value / 2) / 2); // whole pairs of bytes
    }
  }
  if (!indices.full) throw brokenImage('BMP', 'the pixels are cut short', path);
  const data = new Uint8Array(width * height * 3);
  for (const [i, index] of indices.bytes().entries()) {
    const [column, row] = [i % width, Math.floor(i / width)];
    paint(index, header, data, 3 * ((header.fromTop ? row : height - 1 - row) * width + column));
  }
  return { width, height, data };
}
