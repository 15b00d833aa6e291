/**
 * PNG files as RGB, the same pixels in every runtime. Inflating is the caller's part: a page has streams for it, Node its
 * own zlib; everything else is here: chunks, checksums, filters, interlacing, palettes, depths.
 * Depths of 16 bits keep their high byte, as Pillow does for colour (its grey clips at 255, which is not copied).
 * @see https://www.w3.org/TR/png-3/
 */
import { tiffOrientation } from './exif.ts';
import { applyOrientation, type RgbImage } from './image.ts';
import { inflatePrefix } from './inflate.ts';
import { brokenImage, checkPixels, type Reading } from './picture-file.ts';

/** What stands in a PNG: its header, and the pixels as they were deflated. */
export interface PngFile {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** Bits a sample: 1, 2, 4, 8 or 16. */
  readonly depth: number;
  /** Samples a pixel: 1 (grey, or an index of the palette), 2 (with alpha), 3 (RGB), 4 (RGBA). */
  readonly samples: number;
  /** R, G, B of each colour, where pixels are indices. */
  readonly palette: Uint8Array | undefined;
  /** Whether the rows come in the seven passes of Adam7. */
  readonly interlaced: boolean;
  /** EXIF value, 1 to 8. */
  readonly orientation: number;
  /** What is wrong with the file besides its pixels; undefined where nothing is. */
  readonly damage: string | undefined;
  /** The zlib stream. */
  readonly deflated: Uint8Array<ArrayBuffer>;
  /** Bytes of that stream when it is inflated: a filter byte and the samples of each row. */
  readonly inflatedBytes: number;
}

/** Samples a pixel and allowed depths by colour type. */
const COLOURS: Readonly<Record<number, { readonly samples: number; readonly depths: readonly number[] }>> = {
  0: { samples: 1, depths: [1, 2, 4, 8, 16] },
  2: { samples: 3, depths: [8, 16] },
  3: { samples: 1, depths: [1, 2, 4, 8] },
  4: { samples: 2, depths: [8, 16] },
  6: { samples: 4, depths: [8, 16] },
};
const INDEXED = 3;
/** Bytes that one byte of a deflated stream can become: at best two bits stand for 258 bytes. @see RFC 1951, section 3.2.5 */
const MOST_INFLATED = 1032;

/** First column and row of each pass of Adam7, and the steps between its columns and rows. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/**
 * Reads the chunks that make the pixels, and the orientation. What does not matter for the pixels is not held against a file:
 * a missing end, whatever follows the pixels, a wrong checksum of pixels that are all there. Transparency is ignored: the
 * colour under it counts.
 * @param bytes the file
 * @param reading name for messages, limit, warnings
 * @throws InputError for a file that ends before its pixels or is damaged, claims more pixels than its bytes can hold, or has
 * more than a picture may have
 */
export function readPng(bytes: Uint8Array, reading: Reading = {}): PngFile {
  const chunks = readChunks(bytes, reading);
  const read = readHeader(chunks.header, chunks.palette, reading);
  const deflated = new Uint8Array(chunks.deflated.reduce((sum, part) => sum + part.length, 0));
  // Before anybody takes memory for them.
  if (read.inflatedBytes > MOST_INFLATED * deflated.length)
    throw brokenImage('PNG', 'the pixels are cut short', reading.path);
  let at = 0;
  for (const part of chunks.deflated) {
    deflated.set(part, at);
    at += part.length;
  }
  return { ...read, orientation: chunks.orientation, damage: chunks.damage, deflated };
}

interface Chunks {
  header: Uint8Array;
  palette: Uint8Array | undefined;
  orientation: number;
  damage: string | undefined;
  readonly deflated: Uint8Array[];
}

function readChunks(bytes: Uint8Array, reading: Reading): Chunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const damaged = (what: string): never => {
    throw brokenImage('PNG', what, reading.path);
  };
  const header = new Uint8Array();
  const found: Chunks = { header, palette: undefined, orientation: 1, damage: undefined, deflated: [] };
  for (let at = 8; ; ) {
    const length = at + 8 <= bytes.length ? view.getUint32(at) : 0;
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    const whole = at + 12 + length <= bytes.length;
    const known = /^[A-Za-z]{4}$/.test(type);
    if (type === 'CgBI') damaged("Apple's own form of it (CgBI), which other programs do not read");
    if (!(whole && known) && type !== 'IDAT') {
      // Once there are pixels, only they decide whether the file is whole.
      if (found.deflated.length === 0) damaged(whole ? `no chunk at byte ${at}` : 'the file is cut short');
      found.damage ??= 'the file ends without IEND';
      break;
    }
    if (type === 'IEND') break;
    if (type === 'IHDR' && length < 13) damaged(`an IHDR of ${length} bytes`);
    if (type === 'IHDR') checkPixels(view.getUint32(at + 8), view.getUint32(at + 12), reading);
    if (/^[A-Z]/.test(type)) {
      if (found.header.length === 0 && type !== 'IHDR') damaged('no IHDR at the start');
      const sound = whole && crc32(bytes.subarray(at + 4, at + 8 + length)) === view.getUint32(at + 8 + length);
      if (!sound && found.deflated.length === 0 && type !== 'IDAT') damaged(`a wrong checksum of ${type}`);
      if (!sound) found.damage ??= `a wrong checksum of ${type}`;
      if (!['IHDR', 'PLTE', 'IDAT'].includes(type)) found.damage ??= `an unknown chunk ${type}`;
    }
    keep(type, data, found);
    at += 12 + length;
  }
  if (found.deflated.length === 0) damaged('no pixels');
  return found;
}

function keep(type: string, data: Uint8Array, found: Chunks): void {
  if (type === 'IHDR' && found.header.length === 0) found.header = data;
  else if (type === 'PLTE') found.palette ??= data;
  else if (type === 'IDAT') found.deflated.push(data);
  else if (type === 'eXIf') found.orientation = tiffOrientation(data) ?? 1;
}

function readHeader(
  header: Uint8Array,
  colours: Uint8Array | undefined,
  { path }: Reading,
): Omit<PngFile, 'orientation' | 'damage' | 'deflated'> {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth = 0, type = 0, , filter = 0, interlace = 0] = header.subarray(8);
  const kind = COLOURS[type];
  if (width === 0 || height === 0 || !kind?.depths.includes(depth) || filter !== 0 || interlace > 1)
    throw brokenImage('PNG', `a header of ${[width, height, ...header.subarray(8, 13)].join(', ')}`, path);
  const palette = type === INDEXED ? colours?.subarray(0, colours.length - (colours.length % 3)) : undefined;
  if (type === INDEXED && !palette) throw brokenImage('PNG', 'no palette', path);
  const [samples, interlaced] = [kind.samples, interlace === 1];
  const inflatedBytes = passes({ width, height, interlaced }).reduce(
    (sum, pass) => sum + pass.height * (1 + rowBytes(pass.width, samples, depth)),
    0,
  );
  return { width, height, depth, samples, palette, interlaced, inflatedBytes };
}

/**
 * The pixels of a PNG, upright. An index beyond the palette is black, as in Pillow.
 * @param png what {@link readPng} read
 * @param inflated its stream, inflated; what is beyond `inflatedBytes` is ignored. Its rows are unfiltered in place
 * @param reading name for messages, warnings
 * @throws InputError where the stream is short or holds what no PNG has
 */
export function pngPixels(png: PngFile, inflated: Uint8Array, reading: Reading = {}): RgbImage {
  const { path } = reading;
  if (inflated.length < png.inflatedBytes) throw brokenImage('PNG', 'the pixels are cut short', path);
  const { width, height, depth, samples } = png;
  const data = new Uint8Array(width * height * 3);
  let at = 0;
  for (const pass of passes(png)) {
    const pitch = rowBytes(pass.width, samples, depth);
    let above: Uint8Array = new Uint8Array(pitch);
    for (let y = 0; y < pass.height; y++, at += 1 + pitch) {
      const row = inflated.subarray(at + 1, at + 1 + pitch);
      if (!unfilter(inflated[at] ?? 0, row, above, Math.max(1, (samples * depth) >> 3)))
        throw brokenImage('PNG', `an unknown filter ${inflated[at]}`, path);
      const to = (pass.top + y * pass.stepY) * width + pass.left;
      spread(png, row, pass.width, data, to, pass.stepX);
      above = row;
    }
  }
  if (png.damage !== undefined) reading.warn?.(`the PNG is damaged: ${png.damage}; its pixels are all there`);
  return applyOrientation({ width, height, data }, png.orientation);
}

/**
 * The stream of a PNG whose runtime could not inflate it: of what is damaged behind the pixels, runtimes give nothing.
 * @returns its first `inflatedBytes`, fewer where there are no more
 * @throws InputError where a checksum says that they are not what was saved
 */
export function inflateDamaged(png: PngFile, { path }: Reading = {}): Uint8Array {
  const { bytes, verdict } = inflatePrefix(png.deflated, png.inflatedBytes);
  if (bytes.length < png.inflatedBytes) return bytes;
  // One wrong checksum may be the checksum's own fault, two are not.
  if (verdict === 'wrong' || (verdict === 'open' && png.damage !== undefined))
    throw brokenImage('PNG', 'a wrong checksum of its pixels', path);
  return bytes;
}

interface Pass {
  readonly left: number;
  readonly top: number;
  readonly stepX: number;
  readonly stepY: number;
  readonly width: number;
  readonly height: number;
}

function passes({ width, height, interlaced }: Pick<PngFile, 'width' | 'height' | 'interlaced'>): Pass[] {
  if (!interlaced) return [{ left: 0, top: 0, stepX: 1, stepY: 1, width, height }];
  return ADAM7.map(([left, top, stepX, stepY]) => {
    const size = { width: Math.ceil((width - left) / stepX), height: Math.ceil((height - top) / stepY) };
    return { left, top, stepX, stepY, ...size };
  }).filter(pass => pass.width > 0 && pass.height > 0); // a pass without pixels has no rows either
}

function rowBytes(width: number, samples: number, depth: number): number {
  return Math.ceil((width * samples * depth) / 8);
}

/** Adds to each byte what its filter predicts from the bytes to the left, above, and above to the left. */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array, step: number): boolean {
  for (let i = 0; i < row.length && filter > 0; i++) {
    const left = i < step ? 0 : (row[i - step] ?? 0);
    const up = above[i] ?? 0;
    const predicted =
      filter === 1
        ? left
        : filter === 2
          ? up
          : filter === 3
            ? (left + up) >> 1
            : paeth(left, up, i < step ? 0 : (above[i - step] ?? 0));
    row[i] = (row[i] ?? 0) + predicted;
  }
  return filter <= 4;
}

/** Of three neighbours the one that is nearest to left + up - corner. @see PNG 3, section 9.4 */
function paeth(left: number, up: number, corner: number): number {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/** Writes a row's pixels as RGB, `step` pixels apart from pixel `to` on. */
function spread(png: PngFile, row: Uint8Array, width: number, data: Uint8Array, to: number, step: number): void {
  const { depth, samples, palette } = png;
  const bytes = depth === 16 ? 2 : 1; // the first of two is the high one
  const grey = samples < 3;
  const scale = palette || depth > 8 ? 1 : 255 / (2 ** depth - 1); // whole for 1, 2, 4 and 8 bits
  const perByte = Math.max(1, 8 / depth);
  for (let x = 0, at = 3 * to; x < width; x++, at += 3 * step) {
    if (grey) {
      const packed = row[Math.floor(x / perByte) * samples * bytes] ?? 0;
      const value = depth < 8 ? (packed >> (8 - depth * (1 + (x % perByte)))) & (2 ** depth - 1) : packed;
      for (let c = 0; c < 3; c++) data[at + c] = palette ? (palette[3 * value + c] ?? 0) : value * scale;
    } else {
      for (let c = 0; c < 3; c++) data[at + c] = row[(x * samples + c) * bytes] ?? 0;
    }
  }
}

let crcTable: Uint32Array | undefined;

/** The checksum of chunks. @see PNG 3, annex D */
function crc32(bytes: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crcTable[(crc ^ byte) & 255] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
