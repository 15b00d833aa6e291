import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { BlipForConditionalGeneration, type CaptionerOptions } from '../../src/pipeline/text/blip.ts';
import { diskFolder } from './folder.ts';
import { testGpu } from './gpu.ts';

/** Files of the first folder that has them. */
export function overlay(...folders: readonly FolderSource[]): FolderSource {
  const owner = async (path: string): Promise<FolderSource> => {
    for (const folder of folders) if (await folder.has(path)) return folder;
    throw new Error(`no folder has ${path}`);
  };
  return {
    label: folders[0].label,
    has: async path => (await Promise.all(folders.map(folder => folder.has(path)))).includes(true),
    text: async path => (await owner(path)).text(path),
    bytes: async path => (await owner(path)).bytes(path),
  };
}

/** A folder of the repository. */
export function repositoryFolder(path: string): FolderSource {
  const url = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  if (!existsSync(url)) throw new Error(`no folder ${path}`);
  return { ...diskFolder(url), label: path };
}

/** A captioner on the tests' device; a folder without a tokenizer borrows the embedded model's. */
export async function openCaptioner(
  folder: string,
  options: CaptionerOptions = {},
): Promise<BlipForConditionalGeneration> {
  const files = overlay(repositoryFolder(folder), repositoryFolder('test/golden/tokenizers/orchard-blip'));
  return BlipForConditionalGeneration.fromPretrained(files, { gpu: await testGpu(), ...options });
}
