/** The UNet of a golden by itself, to replay in f64 what loops do with its predictions. */
import type { NdArray } from '../../src/core/ndarray.ts';
import { timestepFeatures } from '../../src/models/stable-diffusion/index.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { testGpu } from './gpu.ts';
import { loadPart } from './stable-diffusion.ts';

/** What the UNet makes of latents [1, 4, h, w] at a timestep, under embeddings [1, L, D]. */
export type Predictor = (latents: ArrayLike<number>, timestep: number, embeds: NdArray) => Promise<Float64Array>;

/** @param size [1, 4, h, w] */
export async function predictor(folder: string, size: readonly number[], embeds: NdArray): Promise<Predictor> {
  const gpu = await testGpu();
  const { model } = await loadPart(gpu, folder, 'unet');
  const graph = new Graph(gpu);
  const tensor = (shape: readonly number[]) => DeviceTensor.create(gpu, shape);
  const x = tensor(size);
  const time = tensor([1, timestepFeatures([0], model.config).length]);
  const text = tensor(embeds.shape);
  const out = tensor(size);
  graph.store(model.forward(graph.input(x), graph.input(time), model.context(graph.input(text))), out);
  const plan = await graph.compile();
  return async (latents, timestep, { data }) => {
    x.write(latents);
    time.write(timestepFeatures([timestep], model.config));
    text.write(data);
    plan.run();
    return Float64Array.from(await out.read());
  };
}
