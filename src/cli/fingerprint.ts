/** What tells models apart without reading all of them. */
import { createHash, type Hash } from 'node:crypto';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { NETWORKS, weightFiles } from '../node/weight-files.ts';

/** So much of each file is read; training changes all of it. */
const END = 2 ** 18;

/**
 * SHA-256 over the configs, and the sizes and ends of all weight files, shortened.
 * @param folder in diffusers' layout
 * @param variant as `fromPretrained` takes it
 */
export async function fingerprintOf(folder: FolderSource, variant: string | undefined): Promise<string> {
  const hash = createHash('sha256');
  for (const scheduler of ['scheduler', 'inverse_scheduler']) {
    const file = `${scheduler}/scheduler_config.json`;
    if (await folder.has(file)) hash.update(await folder.text(file));
  }
  for (const [network, stem] of NETWORKS) {
    hash.update(await folder.text(`${network}/config.json`));
    for (const file of await weightFiles(folder, network, stem, variant)) {
      await addFile(hash, await folder.bytes(file));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Adds a file's size and its end to a hash, and closes it. */
export async function addFile(hash: Hash, file: ByteSource): Promise<void> {
  const end = new Uint8Array(Math.min(file.byteLength, END));
  await file.read(file.byteLength - end.length, end);
  await file.close?.();
  hash.update(`${file.byteLength}`).update(end);
}
