/** JSON files of a model's folder, and what may stand in their place. */

import { InputError } from '../core/errors.ts';
import { loadPart } from '../core/load-part.ts';

/**
 * What a JSON file holds; a byte order mark in front, which some editors leave, is passed over.
 * @param text the whole file
 * @param op names the reader in the message
 * @param path of the file, for the message
 * @throws InputError where a pointer, a page or a server's answer stands in the file's place; SyntaxError for what is no JSON
 */
export async function parseJsonFile(text: string, op: string, path: string): Promise<unknown> {
  const json = text.replace(/^\uFEFF/, '');
  // What begins as JSON does is damaged JSON, but for the answers of servers that speak it.
  const answer = /^\s*\{\s*"error"\s*:/.test(json);
  if (answer || !/^\s*([[{"]|$)/.test(json)) {
    const { STAND_IN_BYTES, standInOf } = await loadPart(
      'what recognises files that stand for others',
      () => import('./stand-in.ts'),
    );
    const found = standInOf(new TextEncoder().encode(json.slice(0, STAND_IN_BYTES)));
    if (found) throw new InputError({ op, ...found, path });
  }
  // Python writes infinities by name, as diffusers does in the configs of some schedulers; JSON.parse takes a number that large for one.
  const named = /:\s*-?Infinity\b/.test(json);
  return JSON.parse(named ? json.replace(/"(?:[^"\\]|\\.)*"|Infinity/g, m => (m === 'Infinity' ? '1e999' : m)) : json);
}
