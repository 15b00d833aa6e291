import { existsSync, readFileSync } from 'node:fs';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { type BlipConfig, BlipModel, parseBlipConfig } from '../../src/models/blip/index.ts';
import type { LoadedWeights } from '../../src/nn/load.ts';
import { Weights } from '../../src/nn/weights.ts';
import { goldenPath } from './checkpoint.ts';
import { diskFolder } from './folder.ts';
import type { Precision } from './stable-diffusion.ts';

function blipConfig(folder: string): BlipConfig {
  const path = goldenPath(`${folder}/config.json`);
  return parseBlipConfig(JSON.parse(readFileSync(path, 'utf8')), path, message => {
    throw new Error(message);
  });
}

/** The captioner of a folder under test/golden with its weights on the device. `change` alters the checkpoint first. */
export async function loadBlip(
  gpu: Gpu,
  folder: string,
  options: { dtype?: Precision; change?: (source: TensorSource) => TensorSource } = {},
): Promise<{ model: BlipModel; weights: LoadedWeights }> {
  if (!existsSync(goldenPath(folder))) throw new Error(`no folder ${folder}`);
  const file = await openCheckpoint(diskFolder(goldenPath(folder)), 'model');
  const source = { ...file, label: folder };
  const w = Weights.open(options.change?.(source) ?? source);
  const model = new BlipModel(w, blipConfig(folder));
  const weights = await w.load(gpu, { dtype: options.dtype ?? 'float32' });
  await source.close?.();
  return { model, weights };
}
