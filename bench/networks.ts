/** Single networks as plans that can be timed: what bench/peers/export.py gives the peer, on our side. */

import type { Gpu } from '../src/gpu/device.ts';
import { openCheckpoint } from '../src/io/checkpoint.ts';
import { BlipVisionModel, parseBlipConfig } from '../src/models/blip/index.ts';
import { parseUNetConfig, timestepFeatures, UNet2DConditionModel } from '../src/models/stable-diffusion/index.ts';
import type { LoadedWeights } from '../src/nn/load.ts';
import { Weights } from '../src/nn/weights.ts';
import { directory } from '../src/node/index.ts';
import { DeviceTensor } from '../src/tensor/device-tensor.ts';
import { Graph } from '../src/tensor/graph.ts';
import type { Plan } from '../src/tensor/plan.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { randoms } from './random.ts';

/** A network on the device, ready to be replayed. */
export interface Network {
  readonly plan: Plan;
  dispose(): void;
}

type Input = (shape: readonly number[], values?: Float32Array) => Tensor;

async function compiled(
  gpu: Gpu,
  label: string,
  weights: LoadedWeights,
  record: (graph: Graph, input: Input) => Tensor,
): Promise<Network> {
  const graph = new Graph(gpu, { dtype: 'float32' });
  const owned: DeviceTensor[] = [];
  const result = record(graph, (shape, values) => {
    const tensor = DeviceTensor.from(gpu, values ?? randoms(shape.reduce((a, b) => a * b, 1)), shape);
    owned.push(tensor);
    return graph.input(tensor);
  });
  const target = DeviceTensor.create(gpu, result.shape, result.dtype, label);
  graph.store(result, target);
  const plan = await graph.compile({ label });
  return {
    plan,
    dispose: () => {
      plan.dispose();
      for (const tensor of [...owned, target]) tensor.dispose();
      weights.dispose();
    },
  };
}

/** The embedded UNet for a guided step: two latents of its own size, keys and values of the prompt known. */
export async function orchardUNet(gpu: Gpu, folder: string): Promise<Network> {
  const source = await directory(folder);
  const checkpoint = await openCheckpoint(source, 'diffusion_pytorch_model');
  const w = Weights.open(checkpoint);
  const model = new UNet2DConditionModel(w, parseUNetConfig(JSON.parse(await source.text('config.json')), folder));
  const weights = await w.load(gpu);
  await checkpoint.close?.();
  const { inChannels, sampleSize, levels } = model.config;
  const features = timestepFeatures([481], model.config);
  return compiled(gpu, 'unet', weights, (_, input) => {
    const context = model.context(input([2, 77, levels[0]?.contextWidth ?? 0]));
    return model.forward(input([2, inChannels, ...sampleSize]), input([1, features.length], features), context);
  });
}

/** The embedded BLIP's vision tower for one picture. */
export async function orchardVision(gpu: Gpu, folder: string): Promise<Network> {
  const source = await directory(folder);
  const checkpoint = await openCheckpoint(source, 'model');
  const w = Weights.open(checkpoint);
  const config = parseBlipConfig(JSON.parse(await source.text('config.json')), folder, () => {});
  const model = new BlipVisionModel(w.at('vision_model'), config.vision);
  w.ignore(/^text_decoder\./);
  const weights = await w.load(gpu);
  await checkpoint.close?.();
  const side = config.vision.imageSize;
  return compiled(gpu, 'blip vision', weights, (_, input) => model.forward(input([1, 3, side, side])));
}
