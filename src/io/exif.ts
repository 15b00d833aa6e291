/** The orientation that a camera left in a file. */
import { checkUint8 } from '../core/kinds.ts';

/**
 * Reads tag 0x0112 of a TIFF block's first directory.
 * @param tiff an EXIF block, without or with "Exif\0\0" before it
 * @returns 1 to 8; undefined where there is none or the block is damaged
 */
export function tiffOrientation(tiff: Uint8Array): number | undefined {
  checkUint8('tiffOrientation', tiff);
  const prefixed = String.fromCharCode(...tiff.subarray(0, 6)) === 'Exif\0\0';
  const block = prefixed ? tiff.subarray(6) : tiff;
  if (block.length < 14) return undefined;
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const little = view.getUint16(0) === 0x4949;
  if (!little && view.getUint16(0) !== 0x4d4d) return undefined;
  const directory = view.getUint32(4, little);
  if (directory + 2 > block.length) return undefined;
  const count = view.getUint16(directory, little);
  for (let i = 0, at = directory + 2; i < count && at + 12 <= block.length; i++, at += 12) {
    if (view.getUint16(at, little) === 0x0112) return valid(view.getUint16(at + 8, little));
  }
  return undefined;
}

/**
 * The orientation in an XMP packet, which some programs write in place of EXIF.
 * @param xmp the packet's text
 * @returns 1 to 8; undefined where there is none
 */
export function xmpOrientation(xmp: string): number | undefined {
  const digit = /tiff:Orientation(?:="|>)([0-9])/.exec(xmp)?.[1];
  return digit === undefined ? undefined : valid(Number(digit));
}

function valid(orientation: number): number {
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}
