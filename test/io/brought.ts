import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A file of test/golden/pictures, with what Pillow reads in it. */
export interface Brought {
  readonly file: string;
  readonly width?: number;
  readonly height?: number;
  /** Of Pillow's RGB bytes; absent where it refuses the file or they are too many. */
  readonly sha256?: string;
}

/** The folder that scripts/golden/pictures.py wrote. */
export const broughtPath = (name: string): string =>
  fileURLToPath(new URL(`../golden/pictures/${name}`, import.meta.url));

export const broughtBytes = (name: string): Uint8Array => new Uint8Array(readFileSync(broughtPath(name)));

export const brought: readonly Brought[] = JSON.parse(readFileSync(broughtPath('index.json'), 'utf8')).files;
