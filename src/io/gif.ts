/**
 * The first picture of a GIF, as Pillow shows it: on the whole screen, the colour of what is transparent as it stands in the
 * palette, an index beyond the palette black.
 * @see https://www.w3.org/Graphics/GIF/spec-gif89a.txt
 */
import { GrowingBytes } from './growing-bytes.ts';
import type { RgbImage } from './image.ts';
import { brokenImage, checkPixels, type Reading } from './picture-file.ts';

const [EXTENSION, IMAGE, END] = [0x21, 0x2c, 0x3b];
const GRAPHIC_CONTROL = 0xf9;
/** Codes that the table of LZW can hold. */
const MOST_CODES = 4096;
/** Pixels of a screen that may be as empty as it likes, and beyond them how many times its picture a screen may be. */
const [LARGE_SCREEN, AROUND] = [2 ** 22, 16];
/** First row and step of the four passes of an interlaced picture. */
const PASSES = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
] as const;

interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly interlaced: boolean;
  readonly palette: Uint8Array | undefined;
  /** Index of what is transparent; 0 where nothing is. */
  readonly around: number;
  /** Where its codes begin. */
  readonly start: number;
}

/**
 * The pixels of a GIF's first picture.
 * @param bytes the file
 * @param reading name for messages, limit
 * @throws InputError for a file that is cut short or damaged, or has too many pixels
 */
export function decodeGif(bytes: Uint8Array, reading: Reading = {}): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frame = firstFrame(bytes, view, reading);
  const width = Math.max(view.getUint16(6, true), frame.left + frame.width);
  const height = Math.max(view.getUint16(8, true), frame.top + frame.height);
  if (frame.width === 0 || frame.height === 0) throw brokenImage('GIF', 'a picture without sides', reading.path);
  checkPixels(width, height, reading);
  // Nothing but the header says how large the screen around the picture is.
  if (width * height > Math.max(LARGE_SCREEN, AROUND * frame.width * frame.height)) {
    const claim = `a screen of ${width} x ${height} for a picture of ${frame.width} x ${frame.height}`;
    throw brokenImage('GIF', claim, reading.path);
  }
  const indices = unpack(bytes, frame.start, frame.width * frame.height);
  if (indices.length < frame.width * frame.height) throw brokenImage('GIF', 'the pixels are cut short', reading.path);
  const data = new Uint8Array(width * height * 3);
  const filled = frame.width === width && frame.height === height;
  for (let at = 0; at < data.length && !filled; at += 3) paint(frame.around, frame.palette, data, at);
  for (const [n, y] of rowsOf(frame).entries()) {
    for (let x = 0; x < frame.width; x++) {
      const to = 3 * ((frame.top + y) * width + frame.left + x);
      paint(indices[n * frame.width + x] ?? 0, frame.palette, data, to);
    }
  }
  return { width, height, data };
}

/** Rows in the order in which they are stored. */
function rowsOf({ height, interlaced }: Frame): number[] {
  if (!interlaced) return Array.from({ length: height }, (_, y) => y);
  return PASSES.flatMap(([first, step]) =>
    Array.from({ length: Math.max(0, Math.ceil((height - first) / step)) }, (_, i) => first + i * step),
  );
}

function paint(index: number, palette: Uint8Array | undefined, data: Uint8Array, at: number): void {
  for (let c = 0; c < 3; c++) data[at + c] = palette ? (palette[3 * index + c] ?? 0) : index;
}

function firstFrame(bytes: Uint8Array, view: DataView, { path }: Reading): Frame {
  const cut = (): never => {
    throw brokenImage('GIF', 'the file is cut short', path);
  };
  if (bytes.length < 13) cut();
  const tableOf = (flags: number, at: number) =>
    flags & 128 ? bytes.subarray(at, at + (6 << (flags & 7))) : undefined;
  const shared = tableOf(bytes[10] ?? 0, 13);
  let around = 0;
  let at = 13 + (shared?.length ?? 0);
  for (;;) {
    const kind = bytes[at];
    if (kind === undefined || kind === END) cut();
    if (kind === IMAGE) break;
    if (kind !== EXTENSION) {
      at++; // bytes between blocks belong to nothing
      continue;
    }
    const flags = bytes[at + 3] ?? 0;
    if (bytes[at + 1] === GRAPHIC_CONTROL && flags & 1) around = bytes[at + 6] ?? 0;
    for (at += 2; (bytes[at] ?? 0) > 0; ) at += 1 + (bytes[at] ?? 0);
    at++;
  }
  if (at + 11 > bytes.length) cut();
  const [left, top, width, height] = [1, 3, 5, 7].map(i => view.getUint16(at + i, true)) as [
    number,
    number,
    number,
    number,
  ];
  const flags = bytes[at + 9] ?? 0;
  const own = tableOf(flags, at + 10);
  const start = at + 10 + (own?.length ?? 0);
  return { left, top, width, height, interlaced: (flags & 64) !== 0, palette: own ?? shared, around, start };
}

/** The bytes of the blocks from `at` on, joined. */
function joined(bytes: Uint8Array, from: number): Uint8Array {
  const out = new Uint8Array(Math.max(0, bytes.length - from));
  let length = 0;
  for (let at = from, size = bytes[at] ?? 0; size > 0; at += 1 + size, size = bytes[at] ?? 0) {
    const block = bytes.subarray(at + 1, at + 1 + size);
    out.set(block, length);
    length += block.length;
  }
  return out.subarray(0, length);
}

/**
 * LZW with codes that grow from `start`'s first byte to 12 bits.
 * @returns `size` indices, fewer where the codes end or are damaged before
 */
function unpack(bytes: Uint8Array, start: number, size: number): Uint8Array {
  const first = bytes[start] ?? 0;
  const codes = joined(bytes, start + 1);
  const out = new GrowingBytes(size, 4 * codes.length);
  if (first < 1 || first > 11) return out.bytes();
  const clear = 1 << first;
  // An entry is a piece of what was written: where it ends, and its length.
  const ends = new Uint32Array(MOST_CODES);
  const lengths = new Uint16Array(MOST_CODES);
  let [next, bits, before] = [clear + 2, first + 1, -1];
  for (let at = 0, held = 0, count = 0; !out.full; ) {
    for (; count < bits; count += 8) {
      const byte = codes[at++];
      if (byte === undefined) return out.bytes();
      held |= byte << count;
    }
    const code = held & ((1 << bits) - 1);
    held >>>= bits;
    count -= bits;
    if (code === clear) {
      [next, bits, before] = [clear + 2, first + 1, -1];
      continue;
    }
    if (code === clear + 1 || code > next || (code === next && before < 0)) return out.bytes();
    const from = out.length;
    if (before >= 0 && next < MOST_CODES) {
      // The new entry is the last one and the first index of this one, which is written next.
      ends[next] = from + 1;
      lengths[next] = (before < clear ? 1 : (lengths[before] ?? 0)) + 1;
      next++;
    } else if (code === next) return out.bytes();
    if (code < clear) out.push(code);
    else {
      const length = lengths[code] ?? 0;
      out.repeat(from - ((ends[code] ?? 0) - length), length);
    }
    if (next === 1 << bits && bits < 12) bits++;
    before = code;
  }
  return out.bytes();
}
