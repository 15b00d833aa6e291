/** Sizes of memory as people type them: `--max-binding 128MiB`. */
import { InvalidArgumentError } from 'commander';

/** Bytes of a unit, by its name in small letters. */
const UNITS: Readonly<Record<string, number>> = {
  ...{ '': 1, b: 1 },
  ...{ kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
};

/**
 * Reads a number of bytes: plain, in kB, MB, GB, TB (powers of 1000) or in KiB, MiB, GiB, TiB (powers of 1024), in capitals or not, with
 * or without a space before the unit. Fractions of a byte are cut off: '1.5GiB' are 1610612736 bytes.
 * @throws InvalidArgumentError of commander for anything else, and for less than one byte
 */
export function parseBytes(text: string): number {
  const [, digits, unit = ''] = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = Object.hasOwn(UNITS, unit.toLowerCase()) ? UNITS[unit.toLowerCase()] : undefined;
  const bytes = Math.floor(Number(digits) * (factor ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new InvalidArgumentError(
    'Give a number of bytes, such as 2GB (10^9 bytes each), 1.5GiB (2^30) or 512MiB (2^20).',
  );
}
