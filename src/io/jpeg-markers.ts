/** What a JPEG says about itself before its pixels: size, colour model, orientation. */
import { InputError } from '../core/errors.ts';
import { tiffOrientation, xmpOrientation } from './exif.ts';

export interface JpegInfo {
  readonly width: number;
  readonly height: number;
  /** How the components are meant, by the rules of libjpeg. */
  readonly color: 'grey' | 'ycc' | 'rgb' | 'cmyk' | 'ycck';
  readonly orientation: number;
  /** Samples of each component in one unit: horizontal, vertical. */
  readonly sampling: readonly (readonly [number, number])[];
  /** Where the file says which colour transform it went through (the Adobe segment's last byte). */
  readonly transformAt: number | undefined;
}

/**
 * Walks the marker segments up to the first scan.
 * @param bytes the file
 * @param path name for messages
 * @throws InputError for damaged files and for kinds of JPEG that cannot be decoded (12 bit, lossless, arithmetic,
 * CMYK of unknown polarity), each by name
 * @see libjpeg, jdapimin.c default_decompress_parms
 */
export function readJpegInfo(bytes: Uint8Array, path?: string): JpegInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Found = { jfif: false, exif: undefined, xmp: undefined, adobe: undefined, transformAt: undefined };
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw unreadable('the file is damaged', `no marker at byte ${at}`, path);
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at++; // fill byte
      continue;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2; // markers without a length
      continue;
    }
    const length = view.getUint16(at + 2);
    const segment = bytes.subarray(at + 4, at + 2 + length);
    if (length < 2 || segment.length < length - 2) throw unreadable('the file is cut short', undefined, path);
    if (marker === 0xd9 || marker === 0xda) break;
    if (isFrame(marker)) found.frame = { marker, segment };
    else readApplication(marker, segment, found, at + 4);
    at += 2 + length;
  }
  if (!found.frame) throw unreadable('the file is cut short', 'no frame header', path);
  const { transformAt } = found;
  return { ...readFrame(found.frame, found, path), orientation: found.exif ?? found.xmp ?? 1, transformAt };
}

interface Found {
  jfif: boolean;
  exif: number | undefined;
  xmp: number | undefined;
  /** Colour transform of the Adobe segment: 0 none, 1 YCbCr, 2 YCCK. */
  adobe: number | undefined;
  transformAt: number | undefined;
  frame?: { marker: number; segment: Uint8Array };
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readApplication(marker: number, segment: Uint8Array, found: Found, at: number): void {
  const text = (from: number, to: number): string => String.fromCharCode(...segment.subarray(from, to));
  if (marker === 0xe0 && text(0, 5) === 'JFIF\0') found.jfif = true;
  if (marker === 0xe1 && text(0, 6) === 'Exif\0\0') found.exif ??= tiffOrientation(segment);
  if (marker === 0xe1 && text(0, 28) === 'http://ns.adobe.com/xap/1.0/') {
    found.xmp ??= xmpOrientation(new TextDecoder().decode(segment));
  }
  if (marker === 0xee && text(0, 5) === 'Adobe' && segment.length >= 12) {
    found.adobe = segment[11];
    found.transformAt = at + 11;
  }
}

function readFrame(
  { marker, segment }: { marker: number; segment: Uint8Array },
  found: Found,
  path: string | undefined,
): Omit<JpegInfo, 'orientation' | 'transformAt'> {
  if (marker > 0xc2) {
    const kind = marker >= 0xc9 ? 'arithmetic coding' : marker === 0xc3 ? 'lossless coding' : 'differential coding';
    throw unreadable('a kind of JPEG that is not read', kind, path);
  }
  const [precision, h1 = 0, h0 = 0, w1 = 0, w0 = 0, components = 0] = segment;
  if (precision !== 8) throw unreadable('a kind of JPEG that is not read', `${precision} bits a sample`, path);
  const [width, height] = [w1 * 256 + w0, h1 * 256 + h0];
  if (width === 0 || height === 0 || segment.length < 6 + 3 * components) {
    throw unreadable('the frame header is damaged', `${width} x ${height}`, path);
  }
  const each = <T>(pick: (id: number, factors: number) => T): T[] =>
    Array.from({ length: components }, (_, i) => pick(segment[6 + 3 * i] ?? 0, segment[7 + 3 * i] ?? 0));
  const sampling = each((_, factors): [number, number] => [factors >> 4, factors & 15]);
  return {
    width,
    height,
    sampling,
    color: colorModel(
      each(id => id),
      found,
      path,
    ),
  };
}

function colorModel(ids: readonly number[], { jfif, adobe }: Found, path: string | undefined): JpegInfo['color'] {
  if (ids.length === 1) return 'grey';
  if (ids.length === 3) {
    if (jfif) return 'ycc';
    if (adobe !== undefined) return adobe === 0 ? 'rgb' : 'ycc';
    return String.fromCharCode(...ids) === 'RGB' ? 'rgb' : 'ycc';
  }
  if (ids.length === 4 && adobe !== undefined) return adobe === 2 ? 'ycck' : 'cmyk';
  const what = ids.length === 4 ? 'CMYK that does not say whether it is inverted' : `${ids.length} components`;
  throw unreadable('a kind of JPEG that is not read', what, path);
}

function unreadable(problem: string, received: string | undefined, path: string | undefined): InputError {
  const fix = 'Save it again as an ordinary JPEG or PNG.';
  const details = { op: 'loadImage', problem, received, fix };
  return new InputError(path === undefined ? details : { ...details, path });
}
