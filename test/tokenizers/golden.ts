import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { diskFolder } from '../support/folder.ts';

export interface TokenizerCase {
  text: string;
  ids: number[];
  decoded: string;
}

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
}

export function goldenJson<T>(name: string): T {
  return JSON.parse(readFileSync(goldenPath(name), 'utf8'));
}

export function goldenFolder(name: string): FolderSource {
  return diskFolder(goldenPath(`tokenizers/${name}`));
}

/** The same folder without some of its files. */
export function without(folder: FolderSource, ...names: string[]): FolderSource {
  return { ...folder, has: async name => !names.includes(name) && (await folder.has(name)) };
}

/** The text that a failing case shows. */
export function title(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}
