/** Recordings of diffusers' pipelines that make pictures, written by scripts/golden/image_generation.py, and what is done again of them. */
import { readFileSync } from 'node:fs';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import type { GreyImage, RgbImage } from '../../src/io/image.ts';
import { openSafetensors, type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { ImageToImagePipeline } from '../../src/pipeline/image-generation/image-to-image.ts';
import { InpaintPipeline } from '../../src/pipeline/image-generation/inpaint.ts';
import type { GenerationOptions } from '../../src/pipeline/image-generation/pretrained-options.ts';
import type { PipelineScheduler } from '../../src/pipeline/image-generation/schedulers.ts';
import { TextToImagePipeline } from '../../src/pipeline/image-generation/text-to-image.ts';
import type { GenerationArgs, GenerationOutput } from '../../src/pipeline/image-generation/types.ts';
import { Generator } from '../../src/schedulers/index.ts';
import { overlay, repositoryFolder } from './captioner.ts';
import { goldenPath } from './checkpoint.ts';
import { texture } from './dummies.ts';
import { memoryFolder } from './folder.ts';
import { testGpu } from './gpu.ts';
import { ALL_SAMPLERS } from './samplers.ts';
import { fieldsOf } from './scheduler-numbers.ts';

/** The pipelines by the recordings' names. */
export const PIPELINES = { text: TextToImagePipeline, image: ImageToImagePipeline, inpaint: InpaintPipeline };

/** Any of them: every recording has the arguments of its own. */
export interface AnyPipeline {
  generate(args: GenerationArgs): Promise<GenerationOutput>;
  as: TextToImagePipeline['as'];
  dispose(): void;
}

/** A recorded call. */
export interface RecordedCall {
  readonly name: string;
  readonly pipeline: keyof typeof PIPELINES;
  readonly model: 'sd1' | 'sd2' | 'sd1-inpainting';
  readonly scheduler: keyof typeof ALL_SAMPLERS;
  readonly config: Record<string, unknown>;
  readonly seed: number;
  /** Of pictures and masks that are given: [height, width]. */
  readonly sides: readonly [number, number];
  readonly args: Record<string, unknown>;
}

/** A mask with a light half, and values between. */
export function grey(height: number, width: number, p: number): GreyImage {
  const data = Uint8Array.from({ length: height * width }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return Math.min(255, Math.max(0, Math.floor(((x + (2 * p - 1) * y) * 255) / width) + 60 * p));
  });
  return { width, height, data, channels: 1 };
}

const noise = ({ shape, seed, times = 1 }: { shape: number[]; seed: number; times?: number }): NdArray => ({
  data: new Generator(seed).randn(shape).map(v => v * times),
  shape,
});

/** An argument as the recordings write it. */
function argument(value: unknown, [height, width]: readonly [number, number]): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const [[kind, what]] = Object.entries(value);
  const pictures = (make: (height: number, width: number, p: number) => RgbImage | GreyImage) =>
    Array.isArray(what) ? what.map(p => make(height, width, p)) : make(height, width, what);
  if (kind === 'texture') return pictures(texture);
  if (kind === 'grey') return pictures(grey);
  if (kind === 'generators') return what.map((seed: number) => new Generator(seed));
  return noise(what);
}

/** The arguments of a recorded call in camelCase, with the generator that it began with. */
export function argumentsOf({ args, seed, sides }: RecordedCall): GenerationArgs {
  const pairs = Object.entries(fieldsOf<Record<string, unknown>>(args)).filter(([, value]) => value !== null);
  const given = Object.fromEntries(pairs.map(([name, value]) => [name, argument(value, sides)]));
  return { generator: new Generator(seed), ...given };
}

/** The sampler of a recorded call, from its model's folder. */
export function schedulerOf({ model, scheduler, config }: RecordedCall): PipelineScheduler {
  const folder = model === 'sd2' ? 'sd2' : 'sd1';
  const json = JSON.parse(readFileSync(goldenPath(`${folder}/model/scheduler/scheduler_config.json`), 'utf8'));
  return ALL_SAMPLERS[scheduler].fromConfig(json, fieldsOf(config));
}

/** The folder of a recorded call's model. */
export async function modelFolder(model: RecordedCall['model']): Promise<FolderSource> {
  if (model !== 'sd1-inpainting') return repositoryFolder(`test/golden/${model}/model`);
  const own = repositoryFolder('test/golden/sd1/model');
  const config = JSON.parse(await own.text('unet/config.json'));
  const changed = memoryFolder({
    'unet/config.json': JSON.stringify({ ...config, in_channels: 9 }),
    'unet/diffusion_pytorch_model.safetensors': await widened(),
  });
  return { ...overlay(changed, own), label: 'inpainting' };
}

/** The UNet with five channels more at its beginning. */
async function widened(): Promise<Uint8Array> {
  const bytes = readFileSync(goldenPath('sd1/model/unet/diffusion_pytorch_model.safetensors'));
  const source = await openSafetensors(memorySource(new Uint8Array(bytes), 'unet'));
  const tensors: Record<string, WritableTensor> = {};
  for (const { name, shape } of source.tensors.values()) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    await source.read(name, 0, new Uint8Array(data.buffer));
    tensors[name] = { dtype: 'F32', shape, data };
  }
  const { shape, data } = tensors['conv_in.weight'] as unknown as { shape: number[]; data: Float32Array };
  const [rows] = shape;
  const more = noise({ shape: [rows, 5, 3, 3], seed: 9, times: 0.1 }).data;
  const wide = new Float32Array(rows * 81);
  for (let row = 0; row < rows; row++) {
    wide.set(data.subarray(row * 36, row * 36 + 36), row * 81);
    wide.set(more.subarray(row * 45, row * 45 + 45), row * 81 + 36);
  }
  tensors['conv_in.weight'] = { dtype: 'F32', shape: [rows, 9, 3, 3], data: wide };
  return writeSafetensors(tensors);
}

/** A pipeline of a recorded call's kind on the tests' device. */
export async function openGeneration(
  { pipeline, model }: Pick<RecordedCall, 'pipeline' | 'model'>,
  options: GenerationOptions = {},
): Promise<AnyPipeline> {
  const opened = await PIPELINES[pipeline].fromPretrained(await modelFolder(model), {
    ...{ gpu: await testGpu(), onWarning: () => {}, ...options },
  });
  return opened as never;
}
