/** Which files of a model's folder hold its weights. */
import type { FolderSource } from '../core/tensor-source.ts';
import { type CheckpointStem, candidates } from '../io/checkpoint.ts';
import { otherWeights } from '../io/other-weights.ts';
import { subfolder } from '../io/sources.ts';

/** The networks of Stable Diffusion, and what their files of weights are called. */
export const NETWORKS = [
  ['text_encoder', 'model'],
  ['unet', 'diffusion_pytorch_model'],
  ['vae', 'diffusion_pytorch_model'],
] as const;

/** The files that hold a network's weights: one, or the shards of an index. */
export async function weightFiles(
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
