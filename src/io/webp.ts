/** The parts of a WebP that say how it stands; its pixels are others' work. */
import { tiffOrientation } from './exif.ts';

/**
 * Takes the EXIF block out of a WebP: some browsers turn the picture by it, some do not.
 * @param bytes the file
 * @returns a file of the same length without it, and the orientation that it names, 1 to 8
 * @see RFC 9649, section 2.7.1.5
 */
export function withoutOrientation(bytes: Uint8Array): {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly orientation: number;
} {
  const plain = Uint8Array.from(bytes);
  const view = new DataView(plain.buffer);
  let orientation = 1;
  for (let at = 12; at + 8 <= plain.length; ) {
    const length = view.getUint32(at + 4, true);
    const type = String.fromCharCode(...plain.subarray(at, at + 4));
    if (type === 'VP8X') view.setUint8(at + 8, view.getUint8(at + 8) & ~8); // says whether there is EXIF
    if (type === 'EXIF') {
      orientation = tiffOrientation(plain.subarray(at + 8, at + 8 + length)) ?? 1;
      plain.fill(0x78, at, at + 4); // a chunk that nobody knows
    }
    at += 8 + length + (length % 2);
  }
  return { bytes: plain, orientation };
}
