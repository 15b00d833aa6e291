/** Values of options as they are typed: numbers, seeds and sizes. */
import { InvalidArgumentError } from 'commander';
import { LEAST_BINDING_BYTES } from '../gpu/caps.ts';
import { parseBytes } from './bytes.ts';

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Parser of seeds; those below 0, which torch and the pipeline take too, would look like options. */
export function parseSeed(text: string): number {
  return integer(0, 2 ** 53 - 1)(text);
}

/** A parser of whole numbers in [least, most]. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `Give a whole number ${range(least, most === Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : most)}.`,
    );
  };
}

/** A parser of numbers in [least, most]. */
export function number(
  least: number = Number.NEGATIVE_INFINITY,
  most: number = Number.POSITIVE_INFINITY,
): (text: string) => number {
  return text => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `Give a number${least === Number.NEGATIVE_INFINITY ? '' : ` ${range(least, most)}`}.`,
    );
  };
}

function range(least: number, most: number): string {
  if (least === Number.MIN_VALUE) return 'above 0';
  return most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
}

/** A size that the library takes for a binding. */
export function parseBinding(text: string): number {
  const bytes = parseBytes(text);
  if (bytes >= LEAST_BINDING_BYTES) return bytes;
  throw new InvalidArgumentError(`Give at least ${LEAST_BINDING_BYTES} bytes, such as 128MiB.`);
}

/** Of a picture: beyond this its numbers do not fit one array of the host. */
const MOST_PIXELS = 2 ** 26;

/** Width and height as typed. */
export function parseSize(text: string): Size {
  const [width = 0, height = 0] = (/^(\d+)x(\d+)$/i.exec(text) ?? []).slice(1).map(Number);
  if (width * height > MOST_PIXELS)
    throw new InvalidArgumentError(`Give at most ${MOST_PIXELS} pixels, such as 8192x8192.`);
  if (width > 0 && height > 0) return { width, height };
  throw new InvalidArgumentError('Give width and height in pixels, such as 768x512.');
}
