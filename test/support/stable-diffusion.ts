import { readFileSync } from 'node:fs';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/op.ts';
import { ClipTextModel } from '../../src/models/stable-diffusion/clip-text.ts';
import { parseClipTextConfig, parseUNetConfig, parseVaeConfig } from '../../src/models/stable-diffusion/config.ts';
import { UNet2DConditionModel } from '../../src/models/stable-diffusion/unet.ts';
import { AutoencoderKL } from '../../src/models/stable-diffusion/vae.ts';
import type { LoadedWeights } from '../../src/nn/load.ts';
import { Weights } from '../../src/nn/weights.ts';
import { checkpoint, goldenPath } from './checkpoint.ts';

export type Precision = 'float32' | 'float16';

const parts = {
  text_encoder: {
    file: 'model',
    build: (w: Weights, json: unknown, path: string) => new ClipTextModel(w, parseClipTextConfig(json, path)),
  },
  unet: {
    file: 'diffusion_pytorch_model',
    build: (w: Weights, json: unknown, path: string) => new UNet2DConditionModel(w, parseUNetConfig(json, path)),
  },
  vae: {
    file: 'diffusion_pytorch_model',
    build: (w: Weights, json: unknown, path: string) => new AutoencoderKL(w, parseVaeConfig(json, path)),
  },
};
type Part = keyof typeof parts;

/** A network of a folder under test/golden with its weights on the device. `change` alters the checkpoint first. */
export async function loadPart<P extends Part>(
  gpu: Gpu,
  folder: string,
  part: P,
  options: { dtype?: Precision; tuning?: Tuning | undefined; change?: (source: TensorSource) => TensorSource } = {},
): Promise<{ model: ReturnType<(typeof parts)[P]['build']>; weights: LoadedWeights }> {
  const { file, build } = parts[part];
  const path = `${folder}/${part}`;
  const json = JSON.parse(readFileSync(goldenPath(`${path}/config.json`), 'utf8'));
  const source = await checkpoint(`${path}/${file}.safetensors`);
  const w = Weights.open(options.change?.(source) ?? source);
  const model = build(w, json, `${path}/config.json`) as ReturnType<(typeof parts)[P]['build']>;
  const weights = await w.load(gpu, { dtype: options.dtype ?? 'float32', tuning: options.tuning });
  await source.close?.();
  return { model, weights };
}

/** The ways in which every network is run: fusion, precision, device. */
export const modes = [
  { name: 'float32, nothing fused', fuse: false, dtype: 'float32', bare: false, tolerance: 1e-4 },
  { name: 'float32, fused', fuse: true, dtype: 'float32', bare: false, tolerance: 1e-4 },
  { name: 'float16, nothing fused', fuse: false, dtype: 'float16', bare: false, tolerance: 1e-2 },
  { name: 'float16', fuse: true, dtype: 'float16', bare: false, tolerance: 1e-2 },
  { name: 'float32 on a bare device', fuse: true, dtype: 'float32', bare: true, tolerance: 1e-4 },
  { name: 'float16 packed on a bare device', fuse: true, dtype: 'float16', bare: true, tolerance: 1e-2 },
] as const;
