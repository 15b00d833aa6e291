// Runs in the page of page.test.ts: one prediction of a recorded UNet through the packed package.
import {
  DeviceTensor,
  Gpu,
  Graph,
  openSafetensors,
  parseUNetConfig,
  timestepFeatures,
  UNet2DConditionModel,
  urlFolder,
  Weights,
} from 'pentimento';

/** @param {{ sample: { data: number[], shape: number[] }, context: { data: number[], shape: number[] } }} inputs */
export async function predict({ sample, context }) {
  const gpu = await Gpu.request();
  const folder = urlFolder('/golden/sd2/model/unet');
  const weights = Weights.open(await openSafetensors(await folder.bytes('diffusion_pytorch_model.safetensors')));
  const config = parseUNetConfig(JSON.parse(await folder.text('config.json')), 'config.json');
  const unet = new UNet2DConditionModel(weights, config);
  const loaded = await weights.load(gpu, { dtype: 'float32' });
  const graph = new Graph(gpu, { dtype: 'float32' });
  const input = ({ data, shape }) => graph.input(DeviceTensor.from(gpu, Float32Array.from(data), shape));
  const features = timestepFeatures([481], config);
  const time = input({ data: features, shape: [1, features.length] });
  const predicted = unet.forward(input(sample), time, unet.context(input(context)));
  const target = DeviceTensor.create(gpu, predicted.shape, predicted.dtype);
  graph.store(predicted, target);
  const plan = await graph.compile({ fuse: true });
  plan.run();
  const values = [...(await target.read())];
  plan.dispose();
  loaded.dispose();
  gpu.dispose();
  return values;
}
