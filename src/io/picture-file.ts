/**
 * Picture files before they are decoded: which kind it is, how many pixels it claims, how many are taken, and what is said
 * about those that are not read.
 */
import { InputError } from '../core/errors.ts';
import { checkUint8 } from '../core/kinds.ts';
import { namesOf } from '../core/known-names.ts';

/** How picture files are taken. */
export interface PictureLimits {
  /**
   * Pixels that a file may claim; checked before memory is taken for them. Default 178956970, at which Pillow takes a file
   * for an attack: 512 MiB of R, G, B. What a file claims is weighed against its bytes besides.
   */
  readonly maxPixels?: number | undefined;
  /** Told, in a sentence, of damage that a picture was read in spite of. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Names of {@link PictureLimits}. */
export const PICTURE_LIMITS: readonly string[] = namesOf<PictureLimits>({ maxPixels: 1, onWarning: 1 });

/** What a reader of files is told besides the bytes. */
export interface Reading {
  /** Name for messages. */
  readonly path?: string | undefined;
  /** As in {@link PictureLimits}. */
  readonly maxPixels?: number | undefined;
  /** Told what is wrong with a picture that is read all the same. */
  readonly warn?: (what: string) => void;
}

/**
 * Limits as a reader takes them.
 * @throws InputError for a limit that is no whole number from 1 on
 */
export function readingOf(op: string, limits: PictureLimits, path: string | undefined): Reading {
  const { maxPixels, onWarning } = limits;
  if (maxPixels !== undefined && !(maxPixels >= 1 && (Number.isInteger(maxPixels) || maxPixels === Infinity))) {
    const expected = 'a whole number from 1 on';
    throw new InputError({ op, problem: 'no limit', expected, received: maxPixels, path: 'maxPixels' });
  }
  const where = path === undefined ? '' : ` (${path})`;
  const warn = (what: string): void => onWarning?.(`loadImage: ${what}${where}`);
  return { path, maxPixels, warn };
}

/** A file that claims more pixels than this is taken for an attack: Pillow's limit. */
const MAX_PIXELS = 178_956_970;

/** Throws an InputError for more pixels than may be. */
export function checkPixels(width: number, height: number, { path, maxPixels = MAX_PIXELS }: Reading): void {
  if (width * height <= maxPixels) return;
  const sizes = { expected: `at most ${maxPixels} pixels`, received: `${width} x ${height}` };
  const fix = 'Make it smaller first, or raise maxPixels.';
  throw refusal({ problem: 'the picture is too large', ...sizes, fix }, path);
}

/** First bytes of the kinds of files that people take for pictures; '.' matches any byte. */
const SIGNATURES: readonly (readonly [string, string])[] = [
  ['PNG', '\x89PNG\r\n\x1a\n'],
  ['JPEG', '\xff\xd8\xff'],
  ['GIF', 'GIF8'],
  ['WebP', 'RIFF....WEBP'],
  ['BMP', 'BM'],
  ['TIFF', 'II*\0'],
  ['TIFF', 'MM\0*'],
  ['JPEG XL', '\xff\x0a'],
  ['JPEG XL', '\0\0\0\x0cJXL '],
  ['JPEG 2000', '\0\0\0\x0cjP  '],
  ['ICO', '\0\0\x01\0'],
  ['Photoshop', '8BPS'],
  ['PDF', '%PDF'],
  ['ZIP', 'PK\x03\x04'],
  ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/'],
];

/** Brands of the boxes that hold AVIF, and HEIC. */
const AVIF = ['avif', 'avis'];
const HEIC = ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'mif1', 'msf1'];

/**
 * Names the kind of a file by its first bytes, whatever it is called.
 * @returns 'PNG', 'JPEG', 'WebP' and so on, 'HTML', 'a Git LFS pointer', 'text', or undefined
 * @throws InputError for what is no Uint8Array
 */
export function sniffImage(bytes: Uint8Array): string | undefined {
  checkUint8('sniffImage', bytes);
  const head = String.fromCharCode(...bytes.subarray(0, 512));
  const matches = (pattern: string): boolean => [...pattern].every((c, i) => (c === '.' && i < 8) || head[i] === c);
  const known = SIGNATURES.find(([, pattern]) => head.length >= pattern.length && matches(pattern));
  if (known) return known[0];
  const brands = head.slice(4, 8) === 'ftyp' ? brandsOf(head) : [];
  if (brands.some(brand => AVIF.includes(brand))) return 'AVIF';
  if (brands.some(brand => HEIC.includes(brand))) return 'HEIC';
  const text = head.replace(/^\xef\xbb\xbf/, '').trimStart();
  if (/^(<\?xml[^>]*>\s*)?<svg/.test(text)) return 'SVG';
  if (/^(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b/is.test(text)) return 'HTML';
  return head.length > 0 && /^[\t\n\r\x20-\x7e]*$/.test(head) ? 'text' : undefined;
}

/** The brand of a file of boxes, and those that it goes with. */
function brandsOf(head: string): string[] {
  const length = head.charCodeAt(2) * 256 + head.charCodeAt(3);
  const list = head.slice(8, Math.max(12, length)).match(/.{4}/gs) ?? [];
  return list.filter((_, i) => i !== 1); // the second is a version
}

/**
 * Sides as they stand in the head of a file that is handed to a decoder of others, so that it is not asked for what is too large.
 * @returns undefined where they stand somewhere else
 */
export function statedSize(bytes: Uint8Array, kind: string | undefined): readonly [number, number] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (kind === 'WebP' && bytes.length >= 30) return webpSize(view);
  if (kind !== 'AVIF') return undefined;
  // The box that says how large each of its pictures is; the largest is the whole.
  let largest: readonly [number, number] | undefined;
  for (let at = 0; at + 20 <= Math.min(bytes.length, 65536); at++) {
    if (view.getUint32(at) !== 0x69737065) continue; // "ispe"
    const size = [view.getUint32(at + 8), view.getUint32(at + 12)] as const;
    if (!largest || size[0] * size[1] > largest[0] * largest[1]) largest = size;
  }
  return largest;
}

/** @see RFC 9649, sections 2.5 to 2.7 */
function webpSize(view: DataView): readonly [number, number] | undefined {
  const chunk = String.fromCharCode(...[12, 13, 14, 15].map(at => view.getUint8(at)));
  const three = (at: number): number => view.getUint16(at, true) + view.getUint8(at + 2) * 65536;
  if (chunk === 'VP8X') return [three(24) + 1, three(27) + 1];
  if (chunk === 'VP8 ') return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  const bits = view.getUint32(21, true);
  return chunk === 'VP8L' ? [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1] : undefined;
}

interface Refusal {
  readonly problem: string;
  readonly expected?: string;
  readonly received?: string;
  readonly fix: string;
  readonly cause?: unknown;
}

function refusal(details: Refusal, path: string | undefined): InputError {
  const whole = { op: 'loadImage', ...details };
  return new InputError(path === undefined ? whole : { ...whole, path });
}

/** The error of a picture file that is damaged. `what` is a word for messages or the decoder's error. */
export function brokenImage(kind: string, what: unknown, path: string | undefined): InputError {
  const said = what instanceof Error ? what.message : String(what);
  const why = said.trim().split('\n').at(-1) ?? said; // decoders end with what they ended at
  const details = { problem: `the ${kind} is damaged: ${why}`, fix: 'Download or save it again.' };
  return refusal({ ...details, cause: what }, path);
}

/** What to do about files of other kinds. */
const REMEDIES: Readonly<Record<string, string>> = {
  'a Git LFS pointer': 'It stands in place of the picture: fetch that with git lfs pull.',
  HTML: 'This is a page, not the picture that it shows: download the picture itself (on the Hub /resolve/ in place of /blob/).',
  HEIC: 'Save it as JPEG: in the Photos app by exporting it, on the command line with heif-convert or sips; the camera of an iPhone writes JPEG when its format is set to Most Compatible.',
};

/**
 * The error of a file that is no readable picture; names what it is instead.
 * @param readable what would be read
 * @param fix what to do about a kind that somebody else reads
 */
export function notAnImage(
  bytes: Uint8Array,
  path: string | undefined,
  readable = 'PNG, JPEG, GIF or BMP',
  fix = 'Convert it to PNG or JPEG first.',
): InputError {
  const kind = bytes.length === 0 ? 'an empty file' : (sniffImage(bytes) ?? 'an unknown kind of file');
  const details = { problem: 'not a picture that can be read', expected: readable, received: kind };
  return refusal({ ...details, fix: REMEDIES[kind] ?? fix }, path);
}
