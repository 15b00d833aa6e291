/** What tells models apart without reading all of them. */
import { createHash, type Hash } from 'node:crypto';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { type CheckpointStem, candidates } from '../io/checkpoint.ts';
import { otherWeights } from '../io/other-weights.ts';
import { subfolder } from '../io/sources.ts';

/** So much of each file is read; training changes all of it. */
const END = 2 ** 18;

const NETWORKS = [
  ['text_encoder', 'model'],
  ['unet', 'diffusion_pytorch_model'],
  ['vae', 'diffusion_pytorch_model'],
] as const;

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

/** The files that hold a network's weights: one, or the shards of an index. */
async function weightFiles(
  folder: FolderSource,
  network: string,
  stem: CheckpointStem,
  variant: string | undefined,
): Promise<string[]> {
  const names = [...(variant === undefined ? [] : candidates(stem, variant)), ...candidates(stem, undefined)];
  const { variants } = await otherWeights(subfolder(folder, network), stem);
  if (variants.length === 1) names.push(...candidates(stem, variants[0]));
  for (const name of names) {
    if (!(await folder.has(`${network}/${name}`))) continue;
    if (!name.endsWith('.json')) return [`${network}/${name}`];
    const index = JSON.parse(await folder.text(`${network}/${name}`)) as { weight_map?: Record<string, string> };
    return [...new Set(Object.values(index.weight_map ?? {}))].sort().map(shard => `${network}/${shard}`);
  }
  return [];
}
