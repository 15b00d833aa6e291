/**
 * Writes what is measured into README.md, docs and docs/images, from bench/results.
 *
 *   npm run readme:figures
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { writtenDocuments } from '../bench/figures/documents.ts';

const ROOT = new URL('..', import.meta.url);
for (const [path, text] of writtenDocuments(ROOT)) {
  writeFileSync(new URL(path, ROOT), text);
  process.stdout.write(`${path}\n`);
}
