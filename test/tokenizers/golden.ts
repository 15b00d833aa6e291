import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import type { TextTokenizer } from '../../src/tokenizers/types.ts';
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

/** What transformers' classes made of seeded texts: scripts/golden/text_tokenizers.py. */
export interface TransformersGolden {
  texts: string[];
  cases: Record<string, { ids: number[][]; decoded: string[]; cleaned: string[]; cleansUp: boolean }>;
  wordPieces: { words: string[]; cases: { ids: number[]; decoded: string }[] };
  long: { text: string; ids: number[]; overflow: string | null }[];
  added: {
    names: string[];
    ids: number[];
    prompts: { text: string; ids: number[]; decoded: string; expanded: string }[];
  };
}

export const transformers = goldenJson<TransformersGolden>('tokenizers/transformers.json');

/** The folder with one of its JSON files changed. */
export function withJson(
  folder: FolderSource,
  name: string,
  change: (json: Record<string, unknown>) => unknown,
): FolderSource {
  return {
    ...folder,
    has: async path => path === name || folder.has(path),
    text: async path => {
      if (path !== name) return folder.text(path);
      return JSON.stringify(change((await folder.has(name)) ? JSON.parse(await folder.text(name)) : {}));
    },
  };
}

/** Asserts that a tokenizer treats all seeded texts as the class of transformers did. */
export function agrees(tokenizer: TextTokenizer, name: string): void {
  const rows = transformers.cases[name];
  const options = { padding: false, truncation: false } as const;
  const ours = transformers.texts.map((text, i) => ({
    text,
    ids: tokenizer.encode(text, options).ids,
    byDefault: tokenizer.decode(rows.ids[i], { skipSpecialTokens: true }),
    decoded: tokenizer.decode(rows.ids[i], { skipSpecialTokens: true, cleanUp: false }),
    cleaned: tokenizer.decode(rows.ids[i], { skipSpecialTokens: true, cleanUp: true }),
  }));
  const theirs = transformers.texts.map((text, i) => ({
    text,
    ids: rows.ids[i],
    byDefault: (rows.cleansUp ? rows.cleaned : rows.decoded)[i],
    decoded: rows.decoded[i],
    cleaned: rows.cleaned[i],
  }));
  const differ = (row: object, i: number) => JSON.stringify(row) !== JSON.stringify(theirs[i]);
  expect(ours.filter(differ)).toEqual(theirs.filter((row, i) => differ(ours[i], i) && row));
}
