/** Dawn's switches, which it takes by any name and passes over in silence where it has none so called. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { LabError } from './cards.ts';

/** Of several words, in lower case. */
const SHAPE = /^[a-z0-9]+(_[a-z0-9]+)+$/;

/**
 * The words, each of which stands as a text of its own in Dawn's binary, as the names of its switches do.
 * @throws LabError naming the first that does not
 */
export function knownToggles(words: readonly string[], dawn: () => Buffer = dawnBinary): readonly string[] {
  if (words.length === 0) return words;
  const binary = dawn();
  const strange = words.find(word => !SHAPE.test(word) || !binary.includes(`\0${word}\0`, 'latin1'));
  if (strange === undefined) return words;
  throw new LabError(`--toggles names switches of Dawn, such as disable_robustness; it has none called '${strange}'`);
}

function dawnBinary(): Buffer {
  const folder = dirname(createRequire(import.meta.url).resolve('webgpu'));
  return readFileSync(join(folder, 'dist', `${process.platform}-${process.arch}`, 'dawn.node'));
}
