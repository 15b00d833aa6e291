/** Networks of the embedded family as plans that are replayed: what a model costs a call, encoding and waiting included. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../src/core/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { openCheckpoint } from '../src/io/checkpoint.ts';
import { BlipVisionModel, parseBlipConfig } from '../src/models/blip/index.ts';
import {
  AutoencoderKL,
  ClipTextModel,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  timestepFeatures,
  UNet2DConditionModel,
} from '../src/models/stable-diffusion/index.ts';
import { parseT5Config, T5Model } from '../src/models/t5/index.ts';
import type { LoadedWeights } from '../src/nn/load.ts';
import { Weights } from '../src/nn/weights.ts';
import { directory } from '../src/node/index.ts';
import { DeviceTensor } from '../src/tensor/device-tensor.ts';
import { Graph } from '../src/tensor/graph.ts';
import type { Plan } from '../src/tensor/plan.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import type { Meter } from '../src/tuning/meter.ts';
import { type Cost, costs } from './cost.ts';
import { timesOf } from './measure.ts';
import { randoms } from './random.ts';
import type { Opponents } from './run-kernels.ts';
import type { Ceilings, NetworkRow } from './schema.ts';

/** A network on the device, ready to be replayed. */
interface Network {
  readonly plan: Plan;
  readonly result: DeviceTensor;
  dispose(): void;
}

type DType = 'float32' | 'float16';

/** What a network is made with. */
interface Making {
  readonly gpu: Gpu;
  readonly dtype: DType;
}

/** A row of the table of networks. */
export interface NetworkCase {
  readonly name: string;
  /** Of the family, such as `stable-diffusion/unet`. */
  readonly folder: string;
  readonly dtype: DType;
  /** The file that it is exported to for onnxruntime; undefined where it is not. */
  readonly onnx?: string | undefined;
  open(folder: string, making: Making): Promise<Network>;
}

interface Recorder {
  readonly graph: Graph;
  /** An operand of seeded numbers, or of these values. */
  input(shape: readonly number[], values?: Float32Array): Tensor;
  ids(shape: readonly number[]): Tensor;
}

/** Reads a network, records it and compiles it. */
async function opened<M>(
  folder: string,
  stem: 'diffusion_pytorch_model' | 'model',
  making: Making,
  make: (w: Weights, config: unknown) => M,
  record: (model: M, recorder: Recorder) => Tensor,
): Promise<Network> {
  const source = await directory(folder);
  const checkpoint = await openCheckpoint(source, stem);
  const w = Weights.open(checkpoint);
  const model = make(w, JSON.parse(await source.text('config.json')));
  const { gpu, dtype } = making;
  const weights = await w.load(gpu, { dtype });
  await checkpoint.close?.();
  return compiled(gpu, { dtype, label: folder }, weights, recorder => record(model, recorder));
}

async function compiled(
  gpu: Gpu,
  { dtype, label }: { readonly dtype: DType; readonly label: string },
  weights: LoadedWeights,
  record: (recorder: Recorder) => Tensor,
): Promise<Network> {
  const graph = new Graph(gpu, { dtype });
  const owned: DeviceTensor[] = [];
  const kept = (tensor: DeviceTensor): Tensor => {
    owned.push(tensor);
    return graph.input(tensor);
  };
  const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
  const result = record({
    graph,
    input: (shape, values) => kept(DeviceTensor.from(gpu, values ?? randoms(count(shape), 1), shape)),
    ids: shape =>
      kept(
        DeviceTensor.from(
          gpu,
          Uint32Array.from({ length: count(shape) }, (_, i) => 3 + (i % 61)),
          shape,
        ),
      ),
  });
  const target = DeviceTensor.create(gpu, result.shape, result.dtype, label);
  graph.store(result, target);
  const plan = await graph.compile({ label });
  const dispose = (): void => {
    plan.dispose();
    for (const tensor of [...owned, target]) tensor.dispose();
    weights.dispose();
  };
  return { plan, result: target, dispose };
}

/** The UNet for a guided step: two latents of its own size, keys and values of the prompt known. */
function unet(folder: string, making: Making): Promise<Network> {
  return opened(
    folder,
    'diffusion_pytorch_model',
    making,
    (w, config) => new UNet2DConditionModel(w, parseUNetConfig(config, folder)),
    (model, { input }) => {
      const { inChannels, sampleSize, levels } = model.config;
      const features = timestepFeatures([481], model.config);
      const context = model.context(input([2, 77, levels[0]?.contextWidth ?? 0]));
      return model.forward(input([2, inChannels, ...sampleSize]), input([1, features.length], features), context);
    },
  );
}

/** The VAE's decoder for one picture of 128 x 128. */
function decoder(folder: string, making: Making): Promise<Network> {
  return opened(
    folder,
    'diffusion_pytorch_model',
    making,
    (w, config) => new AutoencoderKL(w, parseVaeConfig(config, folder)),
    (model, { input }) => model.decode(input([1, model.config.latentChannels, 16, 16])),
  );
}

/** The text encoder for two prompts. */
function textEncoder(folder: string, making: Making): Promise<Network> {
  return opened(
    folder,
    'model',
    making,
    (w, config) => new ClipTextModel(w, parseClipTextConfig(config, folder)),
    (model, { ids }) => model.forward(ids([2, 77])),
  );
}

/** BLIP's vision tower for one picture. */
function vision(folder: string, making: Making): Promise<Network> {
  return opened(
    folder,
    'model',
    making,
    (w, config) => {
      const model = new BlipVisionModel(w.at('vision_model'), parseBlipConfig(config, folder, () => {}).vision);
      w.ignore(/^text_decoder\./);
      return model;
    },
    (model, { input }) => model.forward(input([1, 3, model.config.imageSize, model.config.imageSize])),
  );
}

/** T5's encoder for 64 ids. */
function encoder(folder: string, making: Making): Promise<Network> {
  return opened(
    folder,
    'model',
    making,
    (w, config) => new T5Model(w, parseT5Config(config, folder)),
    (model, { ids }) => model.encoder.forward(ids([1, 64])),
  );
}

const KINDS = [
  ['UNet, a guided step (batch of 2)', 'stable-diffusion/unet', unet, 'unet.onnx'],
  ['VAE decoder, 128 x 128', 'stable-diffusion/vae', decoder],
  ['text encoder, 2 prompts', 'stable-diffusion/text_encoder', textEncoder],
  ['BLIP vision tower', 'blip', vision, 'blip-vision.onnx'],
  ['T5 encoder, 64 ids', 't5', encoder],
] as const;

/** Every network, with values of both types. */
export const NETWORKS: readonly NetworkCase[] = KINDS.flatMap(([what, folder, open, onnx]) => [
  { name: `orchard ${what}, float32`, folder, dtype: 'float32', open, onnx },
  { name: `orchard ${what}, float16`, folder, dtype: 'float16', open },
]);

/**
 * The folder of the embedded family, which every network is below.
 * @param models of the repository
 * @throws InputError where it is not there, as in the npm package
 */
export function checkModels(models: string): void {
  if (existsSync(join(models, KINDS[0][1]))) return;
  throw new InputError({
    op: 'bench networks',
    problem: 'the embedded models come with the repository, not with the npm package',
    path: models,
    fix: 'Clone the repository and run it there, or measure kernels, which need no model: pentimento bench kernels',
  });
}

/** How networks are measured. */
export interface NetworkOptions {
  /** The folder of the embedded family. */
  readonly models: string;
  readonly ceilings: Ceilings;
  readonly samples: number;
  /** Run the networks that were exported for them. */
  readonly opponents?: Opponents | undefined;
  /** Folder of what bench/peers/export.py wrote; networks that are not in it are ours alone. */
  readonly exported?: string | undefined;
  readonly onRow?: ((row: NetworkRow) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Measures networks one after the other. @throws what `signal` was aborted with, and whatever model or device throw */
export async function runNetworks(
  gpu: Gpu,
  meter: Meter,
  cases: readonly NetworkCase[],
  options: NetworkOptions,
): Promise<NetworkRow[]> {
  const rows: NetworkRow[] = [];
  for (const one of cases) {
    options.signal?.throwIfAborted();
    const network = await one.open(join(options.models, one.folder), {
      gpu,
      dtype: one.dtype,
    });
    try {
      const row = await measured(gpu, meter, one, network, options);
      rows.push(row);
      options.onRow?.(row);
    } finally {
      network.dispose();
    }
  }
  return rows;
}

async function measured(
  gpu: Gpu,
  meter: Meter,
  { name, dtype, onnx }: NetworkCase,
  { plan, result }: Network,
  { ceilings, samples, signal, opponents, exported }: NetworkOptions,
): Promise<NetworkRow> {
  const replay = async (): Promise<void> => {
    signal?.throwIfAborted();
    plan.run();
    await gpu.idle();
  };
  await costs(2, replay);
  const wrong = !(await result.read()).every(Number.isFinite);
  const file = onnx === undefined || exported === undefined ? undefined : join(exported, onnx);
  const against = file !== undefined && existsSync(file) ? opponents : undefined;
  await against?.open({ name, op: 'network', shape: {}, storage: { activations: 'f32' }, file });
  const taken: Cost[] = [];
  for (let i = 0; i < samples && !wrong; i++) {
    taken.push(...(await costs(1, replay)));
    await against?.sample();
  }
  const times = timesOf(taken, meter);
  const matrix = dtype === 'float16' && gpu.caps.matrix?.preferred ? ceilings.matrix : null;
  const gflops = times.medianMs === null ? null : plan.flops / times.medianMs / 1e6;
  const share = gflops === null ? null : gflops / (matrix ?? ceilings.fmaF32);
  const { dispatches, peakBytes } = plan;
  against?.close({ medianMs: times.medianMs, gflops });
  return { name, ...times, gflops, share, dispatches, peakBytes, ...(wrong ? { wrong: true } : {}) };
}
