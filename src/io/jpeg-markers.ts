/** What a JPEG says about itself before its pixels: size, colour model, orientation; and whether its bytes can hold that. */
import { InputError } from '../core/errors.ts';
import { tiffOrientation, xmpOrientation } from './exif.ts';
import { brokenImage } from './picture-file.ts';

/** One component of a frame. */
export interface JpegComponent {
  readonly id: number;
  /** Samples of one unit from left to right, 1 to 4. */
  readonly h: number;
  /** Samples of one unit from top to bottom, 1 to 4. */
  readonly v: number;
  /** Number of its table of quantisers, 0 to 3. */
  readonly quantisers: number;
}

/** How large a picture is, and how it is stored. */
export interface JpegFrame {
  readonly width: number;
  readonly height: number;
  readonly progressive: boolean;
  /** One, three or four. */
  readonly components: readonly JpegComponent[];
}

/** All that stands before the first scan and matters. */
export interface JpegInfo extends JpegFrame {
  /** How the components are meant, by the rules of libjpeg. */
  readonly color: 'grey' | 'ycc' | 'rgb' | 'cmyk' | 'ycck';
  /** EXIF value, 1 to 8. */
  readonly orientation: number;
}

/** Markers by what the standard calls them. */
export const MARKER = { DHT: 0xc4, SOI: 0xd8, EOI: 0xd9, SOS: 0xda, DQT: 0xdb, DRI: 0xdd, RST0: 0xd0 } as const;

/** A marker with what belongs to it. */
export interface Segment {
  readonly marker: number;
  /** What follows the length; empty for markers without one. */
  readonly data: Uint8Array;
  /** Where what follows the segment begins. */
  readonly end: number;
}

/**
 * The next marker; bytes that belong to none are skipped, as libjpeg does.
 * @param from where to begin
 * @returns the marker and where it ends; undefined where there is none
 */
export function nextMarker(
  bytes: Uint8Array,
  from: number,
): { readonly marker: number; readonly end: number } | undefined {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at)) {
    while (bytes[at] === 0xff) at++; // any number of fill bytes
    const marker = bytes[at++];
    if (marker === undefined) return undefined;
    if (marker !== 0) return { marker, end: at };
  }
  return undefined;
}

/**
 * The next segment.
 * @returns undefined where no marker is left, or nothing behind it
 * @throws InputError where it is cut short
 */
export function nextSegment(bytes: Uint8Array, from: number, path: string | undefined): Segment | undefined {
  const found = nextMarker(bytes, from);
  if (!found) return undefined;
  const { marker, end } = found;
  const alone = marker === 0x01 || (marker >= MARKER.RST0 && marker <= MARKER.EOI);
  if (alone) return { marker, data: bytes.subarray(end, end), end };
  if (end + 2 > bytes.length) return undefined;
  const length = (bytes[end] ?? 0) * 256 + (bytes[end + 1] ?? 0);
  if (end + Math.max(2, length) > bytes.length) throw unreadable('the file is cut short', undefined, path);
  return { marker, data: bytes.subarray(end + 2, end + Math.max(2, length)), end: end + Math.max(2, length) };
}

/**
 * Walks the marker segments up to the first scan.
 * @param bytes the file
 * @param path name for messages
 * @throws InputError for damaged files, for kinds of JPEG that cannot be decoded (12 bit, lossless, arithmetic), each by
 * name, and for a claim of more pixels than the bytes can hold
 * @see libjpeg, jdapimin.c default_decompress_parms
 */
export function readJpegInfo(bytes: Uint8Array, path?: string): JpegInfo {
  const found: Found = { jfif: false, exif: undefined, xmp: undefined, adobe: undefined };
  let at = 2;
  for (;;) {
    const segment = nextSegment(bytes, at, path);
    if (!segment || segment.marker === MARKER.EOI) break;
    at = segment.end;
    if (segment.marker === MARKER.SOS) break;
    if (isFrame(segment.marker)) found.frame ??= segment;
    else readApplication(segment.marker, segment.data, found);
  }
  if (!found.frame) throw unreadable('the file is cut short', 'no frame header', path);
  const frame = readFrame(found.frame, path);
  const color = colorModel(frame.components, found);
  weigh(frame, bytes.length - at, path);
  return { ...frame, color, orientation: found.exif ?? found.xmp ?? 1 };
}

interface Found {
  jfif: boolean;
  exif: number | undefined;
  xmp: number | undefined;
  /** Colour transform of the Adobe segment: 0 none, 1 YCbCr, 2 YCCK. */
  adobe: number | undefined;
  frame?: Segment;
}

/** Whether a marker is the header of a frame. */
export function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== MARKER.DHT && marker !== 0xc8 && marker !== 0xcc;
}

function readApplication(marker: number, data: Uint8Array, found: Found): void {
  const text = (from: number, to: number): string => String.fromCharCode(...data.subarray(from, to));
  if (marker === 0xe0 && text(0, 5) === 'JFIF\0') found.jfif = true;
  if (marker === 0xe1 && text(0, 6) === 'Exif\0\0') found.exif ??= tiffOrientation(data);
  if (marker === 0xe1 && text(0, 28) === 'http://ns.adobe.com/xap/1.0/') {
    found.xmp ??= xmpOrientation(new TextDecoder().decode(data));
  }
  if (marker === 0xee && text(0, 5) === 'Adobe' && data.length >= 12) found.adobe = data[11];
}

function readFrame({ marker, data }: Segment, path: string | undefined): JpegFrame {
  if (marker > 0xc2) {
    const kind = marker >= 0xc9 ? 'arithmetic coding' : marker === 0xc3 ? 'lossless coding' : 'differential coding';
    throw unreadable('a kind of JPEG that is not read', kind, path);
  }
  const [precision, h1 = 0, h0 = 0, w1 = 0, w0 = 0, count = 0] = data;
  if (precision !== 8) throw unreadable('a kind of JPEG that is not read', `${precision} bits a sample`, path);
  const [width, height] = [w1 * 256 + w0, h1 * 256 + h0];
  if (width === 0 || height === 0 || data.length < 6 + 3 * count) {
    throw unreadable('the frame header is damaged', `${width} x ${height}`, path);
  }
  if (![1, 3, 4].includes(count)) throw unreadable('a kind of JPEG that is not read', `${count} components`, path);
  const components = Array.from({ length: count }, (_, i): JpegComponent => {
    const [id = 0, factors = 0, quantisers = 0] = data.subarray(6 + 3 * i);
    return { id, h: factors >> 4, v: factors & 15, quantisers };
  });
  checkFactors(components, path);
  return { width, height, progressive: marker === 0xc2, components };
}

/** Refuses sampling that no JPEG may have, and the kinds that libjpeg does not upsample either. */
function checkFactors(components: readonly JpegComponent[], path: string | undefined): void {
  const shown = components.map(({ h, v }) => `${h}x${v}`).join(', ');
  const ids = new Set(components.map(({ id }) => id));
  if (ids.size < components.length || components.some(({ h, v }) => h < 1 || h > 4 || v < 1 || v > 4))
    throw unreadable('the frame header is damaged', `components of ${shown}`, path);
  const [most, tall] = [Math.max(...components.map(c => c.h)), Math.max(...components.map(c => c.v))];
  if (components.some(({ h, v }) => most % h !== 0 || tall % v !== 0))
    throw unreadable('a kind of JPEG that is not read', `samples of ${shown}`, path);
}

function colorModel(components: readonly JpegComponent[], { jfif, adobe }: Found): JpegInfo['color'] {
  if (components.length === 1) return 'grey';
  if (components.length === 3) {
    if (jfif) return 'ycc';
    if (adobe !== undefined) return adobe === 0 ? 'rgb' : 'ycc';
    return String.fromCharCode(...components.map(({ id }) => id)) === 'RGB' ? 'rgb' : 'ycc';
  }
  return adobe === undefined || adobe === 0 ? 'cmyk' : 'ycck';
}

/** Blocks of 8 x 8 samples of each component, without those that only fill up units. */
export function blocksOf({ width, height, components }: JpegFrame): { readonly wide: number; readonly high: number }[] {
  const [most, tall] = [Math.max(...components.map(c => c.h)), Math.max(...components.map(c => c.v))];
  return components.map(({ h, v }) => ({
    wide: Math.ceil((width * h) / most / 8),
    high: Math.ceil((height * v) / tall / 8),
  }));
}

/**
 * Refuses what cannot be there: a block takes at least two bits, or one where its waves come in scans of their own. Half of
 * the picture may be missing.
 */
function weigh(frame: JpegFrame, bytes: number, path: string | undefined): void {
  const blocks = blocksOf(frame).reduce((sum, { wide, high }) => sum + wide * high, 0);
  if ((blocks * (frame.progressive ? 1 : 2)) / 2 <= 8 * bytes) return;
  const claim = `${frame.width} x ${frame.height} pixels in ${bytes} bytes`;
  throw brokenImage('JPEG', `the pixels are cut short: ${claim}`, path);
}

/** The error of a JPEG that is none, or of a kind that is not read. */
function unreadable(problem: string, received: string | undefined, path: string | undefined): InputError {
  const fix = 'Save it again as an ordinary JPEG or PNG.';
  const details = { op: 'loadImage', problem, received, fix };
  return new InputError(path === undefined ? details : { ...details, path });
}
