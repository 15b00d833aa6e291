/**
 * What a step costs the host: a guided step of Stable Diffusion 2.1's UNet, encoded and submitted to Dawn's null backend, which
 * validates all of it and runs nothing. That backend has 512 MB, so every width of 320 or more but the text's is a tenth: the step has the
 * same calls on the same bindings.
 */
import { openCheckpoint } from '../src/io/checkpoint.ts';
import { subfolder } from '../src/io/sources.ts';
import { parseUNetConfig, timestepFeatures, UNet2DConditionModel } from '../src/models/stable-diffusion/index.ts';
import { Weights } from '../src/nn/weights.ts';
import { requestGpu } from '../src/node/index.ts';
import { DeviceTensor } from '../src/tensor/device-tensor.ts';
import { Graph } from '../src/tensor/graph.ts';
import { guidedStep, STEP_SHAPE } from '../src/tensor/ops/diffusion.ts';
import { hollowModel } from '../test/support/fake-models.ts';
import { type Cost, costs, medianOf } from './cost.ts';

const TEXT_WIDTH = 1024;
/** Replays that are measured together: the processor's clock counts microseconds, but not each of them. */
const TOGETHER = 10;

const narrowed = (width: number): number => (width >= 320 && width !== TEXT_WIDTH ? width / 10 : width);

/**
 * @param root the repository
 * @param side of the latents
 * @returns the median cost of one replay, numbers of the step written beforehand as the loop does it, and its dispatches
 */
export async function replayCost(root: URL, side = 64): Promise<{ readonly cost: Cost; readonly dispatches: number }> {
  const gpu = await requestGpu({ dawnFlags: ['backend=null'] });
  const folder = subfolder(hollowModel('sd21', { root }), 'unet');
  const published = JSON.parse(await folder.text('config.json')) as Record<string, number[]>;
  const config = parseUNetConfig(
    {
      ...published,
      block_out_channels: published.block_out_channels?.map(narrowed),
      attention_head_dim: published.attention_head_dim?.map(heads => heads / 5),
    },
    'unet',
  );
  const source = await openCheckpoint(folder, 'diffusion_pytorch_model');
  const tensors = [...source.tensors].map(([name, stored]) => {
    const shape = stored.shape.map(narrowed);
    return [name, { ...stored, shape, byteLength: 2 * shape.reduce((a, b) => a * b, 1) }] as const;
  });
  const w = Weights.open({ label: 'unet', tensors: new Map(tensors), read: async () => {} });
  const model = new UNet2DConditionModel(w, config);
  await w.load(gpu, { dtype: 'float16' });
  const graph = new Graph(gpu, { dtype: 'float16' });
  const create = (shape: readonly number[], dtype: 'float32' | 'float16' = 'float32'): DeviceTensor =>
    DeviceTensor.create(gpu, shape, dtype, 'input');
  const features = timestepFeatures([481], config);
  const [x, time, step] = [create([1, 4, side, side]), create([1, features.length]), create(STEP_SHAPE)];
  const pairs = model.context(graph.input(create([2, 77, TEXT_WIDTH])));
  const context = pairs.map(({ tensor }) => ({ tensor: graph.input(create(tensor.shape, 'float16')) }));
  const latents = graph.input(x);
  const prediction = model.forward(latents.repeat(2), graph.input(time), context);
  guidedStep({ prediction, x: latents, step: graph.input(step) });
  const plan = await graph.compile({ label: 'replay' });
  const numbers = new Float32Array(STEP_SHAPE[1]);
  const replays = async (): Promise<void> => {
    for (let i = 0; i < TOGETHER; i++) {
      time.write(features);
      step.write(numbers);
      plan.run();
    }
    await gpu.idle();
  };
  await costs(5, replays);
  const { ms, cpu } = medianOf(await costs(30, replays));
  const { dispatches } = plan;
  gpu.dispose();
  return { cost: { ms: ms / TOGETHER, cpu: cpu / TOGETHER }, dispatches };
}
