/**
 * PNG files as RGB, the same pixels in every runtime. Inflating is the caller's part: a page has streams for it, Node its
 * own zlib; everything else is here: chunks, checksums, filters, interlacing, palettes, depths.
 * Depths of 16 bits keep their high byte, as Pillow does for colour (its grey clips at 255, which is not copied).
 * @see https://www.w3.org/TR/png-3/
 */
import { tiffOrientation } from './exif.ts';
import { applyOrientation, brokenImage, checkPixels, type RgbImage } from './image.ts';

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
  /** The zlib stream, cut as the file has it. */
  readonly deflated: readonly Uint8Array<ArrayBuffer>[];
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
 * Reads the chunks that make the pixels, and the orientation. Whatever follows IEND is ignored, and so is transparency:
 * the colour under it counts.
 * @param bytes the file
 * @param path name for messages
 * @throws InputError for a file that is cut short or damaged, claims more pixels than its bytes can hold, or has more than a
 * picture may have
 */
export function readPng(bytes: Uint8Array, path?: string): PngFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const damaged = (what: string): never => {
    throw brokenImage('PNG', what, path);
  };
  let header: Uint8Array | undefined;
  let palette: Uint8Array | undefined;
  let orientation = 1;
  const deflated: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 8, type = ''; type !== 'IEND'; ) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (at + 12 + length > bytes.length) damaged('the file is cut short');
    type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (at === 8 && (type !== 'IHDR' || length !== 13)) damaged('no IHDR at the start');
    if (type === 'IHDR') checkPixels(view.getUint32(at + 8), view.getUint32(at + 12), path);
    const critical = /^[A-Z]/.test(type);
    if (critical && crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length))
      damaged(`a wrong checksum of ${type}`);
    if (type === 'IHDR') header ??= data;
    else if (type === 'PLTE') palette = data;
    else if (type === 'IDAT') deflated.push(Uint8Array.from(data));
    else if (type === 'eXIf') orientation = tiffOrientation(data) ?? 1;
    else if (critical && type !== 'IEND') damaged(`an unknown chunk ${type}`);
    at += 12 + length;
  }
  const read = readHeader(header ?? bytes.subarray(0, 0), palette, path);
  const stored = deflated.reduce((sum, part) => sum + part.length, 0);
  // Before anybody takes memory for them.
  if (read.inflatedBytes > MOST_INFLATED * stored) damaged('the pixels are cut short');
  return { ...read, orientation, deflated };
}

function readHeader(
  header: Uint8Array,
  colours: Uint8Array | undefined,
  path: string | undefined,
): Omit<PngFile, 'orientation' | 'deflated'> {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth = 0, type = 0, compression = 0, filter = 0, interlace = 0] = header.subarray(8);
  const kind = COLOURS[type];
  if (width === 0 || height === 0 || !kind?.depths.includes(depth) || compression + filter !== 0 || interlace > 1)
    throw brokenImage('PNG', `a header of ${[width, height, ...header.subarray(8)].join(', ')}`, path);
  const palette = type === INDEXED ? colours : undefined;
  if (type === INDEXED && !palette) throw brokenImage('PNG', 'no palette', path);
  const [samples, interlaced] = [kind.samples, interlace === 1];
  const inflatedBytes = passes({ width, height, interlaced }).reduce(
    (sum, pass) => sum + pass.height * (1 + rowBytes(pass.width, samples, depth)),
    0,
  );
  return { width, height, depth, samples, palette, interlaced, inflatedBytes };
}

/**
 * The pixels of a PNG, upright.
 * @param png what {@link readPng} read
 * @param inflated its stream, inflated; what is beyond `inflatedBytes` is ignored. Its rows are unfiltered in place
 * @param path name for messages
 * @throws InputError where the stream is short or holds what no PNG has
 */
export function pngPixels(png: PngFile, inflated: Uint8Array, path?: string): RgbImage {
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
      if (!spread(png, row, pass.width, data, to, pass.stepX))
        throw brokenImage('PNG', 'a colour beyond its palette', path);
      above = row;
    }
  }
  return applyOrientation({ width, height, data }, png.orientation);
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

/** Writes a row's pixels as RGB, `step` pixels apart from pixel `to` on; false where an index is beyond the palette. */
function spread(png: PngFile, row: Uint8Array, width: number, data: Uint8Array, to: number, step: number): boolean {
  const { depth, samples, palette } = png;
  const bytes = depth === 16 ? 2 : 1; // the first of two is the high one
  const grey = samples < 3;
  const scale = palette || depth > 8 ? 1 : 255 / (2 ** depth - 1); // whole for 1, 2, 4 and 8 bits
  const perByte = Math.max(1, 8 / depth);
  for (let x = 0, at = 3 * to; x < width; x++, at += 3 * step) {
    if (grey) {
      const packed = row[Math.floor(x / perByte) * samples * bytes] ?? 0;
      const value = depth < 8 ? (packed >> (8 - depth * (1 + (x % perByte)))) & (2 ** depth - 1) : packed;
      if (palette && 3 * value + 2 >= palette.length) return false;
      for (let c = 0; c < 3; c++) data[at + c] = palette ? (palette[3 * value + c] ?? 0) : value * scale;
    } else {
      for (let c = 0; c < 3; c++) data[at + c] = row[(x * samples + c) * bytes] ?? 0;
    }
  }
  return true;
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
