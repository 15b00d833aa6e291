/**
 * Writes src/tuning/built-from.ts: the version of package.json and the hash of all texts below wgsl/, by which measured choices are known
 * to be of this library. Run after a text or the version has changed: node scripts/built-from.mjs
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const ROOT = new URL('../', import.meta.url);
const FILE = new URL('src/tuning/built-from.ts', ROOT);

/** SHA-256 of every name and text, in the order of names. */
function kernelsHash() {
  const hash = createHash('sha256');
  const names = readdirSync(new URL('wgsl/', ROOT), { recursive: true, encoding: 'utf8' });
  for (const name of names.filter(n => n.endsWith('.wgsl')).sort()) {
    const text = readFileSync(new URL(`wgsl/${name}`, ROOT), 'utf8').replaceAll('\r\n', '\n');
    hash.update(`${name.replaceAll('\\', '/')}\0${text}\0`);
  }
  return hash.digest('hex');
}

/** What the file holds. */
export function builtFrom() {
  const { version } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  return `/** Of what this library is built; written by scripts/built-from.mjs. */

/** The library's version. */
export const LIBRARY_VERSION = '${version}';

/** SHA-256 of all texts of kernels, in hexadecimal digits. */
export const KERNELS_HASH = '${kernelsHash()}';
`;
}

if (import.meta.url === `file://${process.argv[1]}`) writeFileSync(FILE, builtFrom());
