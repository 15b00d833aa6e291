import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { DDIMInverseScheduler, DDIMScheduler, Generator } from '../../src/schedulers/index.ts';
import { goldenPath } from './checkpoint.ts';
import { memoryFolder } from './folder.ts';
import { testGpu } from './gpu.ts';

/**
 * The networks of diffusers' own DiffEdit tests. Their weights are torch's initial ones, so not they but the draws are stored
 * (scripts/golden/dummies.py). The text encoder is never run: prompts are embeddings.
 */

/** [name, shape, bound of its uniform draw, or 0 or 1 for a constant], in the order of the draws. */
type Row = readonly [string, readonly number[], number];
type Tensors = Record<string, WritableTensor>;

const text = (path: string): string => readFileSync(goldenPath(path), 'utf8');
const WIDTH = 32;

/** Weights as torch draws them after manual_seed(0), their checksum, and that of what torch drew. */
export function drawnWeights(network: 'unet' | 'vae'): { tensors: Tensors; sha256: string; expected: string } {
  const recorded: { tensors: Row[]; sha256: string } = JSON.parse(text('dummies/weights.json'))[network];
  const stream = new Generator(0);
  const digest = createHash('sha256');
  const tensors: Tensors = {};
  for (const [name, shape, bound] of recorded.tensors) {
    const size = shape.reduce((a, b) => a * b, 1);
    const [low, range] = [Math.fround(-bound), 2 * Math.fround(bound)];
    const data =
      bound === 0 || bound === 1 ? new Float32Array(size).fill(bound) : stream.uniform(size).map(u => u * range + low); // rounded once
    digest.update(data);
    tensors[name] = { dtype: 'F32', shape, data };
  }
  return { tensors, sha256: digest.digest('hex'), expected: recorded.sha256 };
}

let folder: FolderSource | undefined;

function modelFolder(): FolderSource {
  const sd1 = (path: string): string => text(`sd1/model/${path}`);
  const config = { ...JSON.parse(sd1('text_encoder/config.json')), hidden_size: WIDTH, num_hidden_layers: 1 };
  const files: Record<string, string | Uint8Array> = {
    'model_index.json': sd1('model_index.json'),
    'text_encoder/config.json': JSON.stringify(config),
    'text_encoder/model.safetensors': writeSafetensors(emptyTextEncoder(config)),
  };
  for (const name of ['merges.txt', 'vocab.json', 'special_tokens_map.json', 'tokenizer_config.json'])
    files[`tokenizer/${name}`] = sd1(`tokenizer/${name}`);
  for (const name of ['unet', 'vae'] as const) {
    files[`${name}/config.json`] = text(`dummies/${name}.json`);
    files[`${name}/diffusion_pytorch_model.safetensors`] = writeSafetensors(drawnWeights(name).tensors);
  }
  return memoryFolder(files, 'dummies');
}

function emptyTextEncoder(config: { vocab_size: number; intermediate_size: number }): Tensors {
  const inner = config.intermediate_size;
  const tensors: Tensors = {};
  const add = (name: string, ...shape: number[]) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    tensors[`text_model.${name}`] = { dtype: 'F32', shape, data };
  };
  add('embeddings.token_embedding.weight', config.vocab_size, WIDTH);
  add('embeddings.position_embedding.weight', 77, WIDTH);
  const layer = 'encoder.layers.0';
  for (const [name, shape] of [
    [`${layer}.mlp.fc1`, [inner, WIDTH]],
    [`${layer}.mlp.fc2`, [WIDTH, inner]],
    ...['q', 'k', 'v', 'out'].map(n => [`${layer}.self_attn.${n}_proj`, [WIDTH, WIDTH]] as const),
    ...[`${layer}.layer_norm1`, `${layer}.layer_norm2`, 'final_layer_norm'].map(n => [n, [WIDTH]] as const),
  ] as const) {
    add(`${name}.weight`, ...shape);
    add(`${name}.bias`, shape[0]);
  }
  return tensors;
}

/** A pipeline with schedulers made by hand from one config; `forward` changes that of the forward one. */
export async function openDummies(
  config: Readonly<Record<string, unknown>>,
  { forward = {}, ...options }: PretrainedOptions & { forward?: Readonly<Record<string, unknown>> } = {},
): Promise<DiffEditPipeline> {
  folder ??= modelFolder();
  return DiffEditPipeline.fromPretrained(folder, {
    gpu: await testGpu(),
    onWarning: () => {},
    scheduler: DDIMScheduler.fromConfig({ ...config, ...forward }),
    inverseScheduler: DDIMInverseScheduler.fromConfig(config),
    ...options,
  });
}

/** torch.randn(1, 77, 32) of each seed, stacked. */
export function embeds(...seeds: number[]): NdArray {
  const size = 77 * WIDTH;
  const data = new Float32Array(seeds.length * size);
  seeds.forEach((seed, i) => {
    data.set(new Generator(seed).randn(size), i * size);
  });
  return { data, shape: [seeds.length, 77, WIDTH] };
}

/** Picture `p` of the script. */
export function texture(height: number, width: number, p: number): RgbImage {
  const data = Uint8Array.from({ length: height * width * 3 }, (_, i) => {
    const [y, x, c] = [Math.floor(i / (3 * width)), Math.floor(i / 3) % width, i % 3];
    return (y * (3 + p) + x * 5 + ((x * y) % 11) * 13 + c * 60 + 31 * p) % 256;
  });
  return { width, height, data };
}
