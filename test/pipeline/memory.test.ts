import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { parseUNetConfig } from '../../src/models/stable-diffusion/index.ts';
import { silu } from '../../src/nn/functional.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { type Counter, countDevice } from '../support/counting.ts';
import { loadGolden } from '../support/golden.ts';
import { freshGpu } from '../support/gpu.ts';
import { openPipeline, picture } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const image = picture(loadGolden('sd1'));
const prompts = { sourcePrompt: 'a bowl of fruits', targetPrompt: 'a basket of pears' };
const run = { ...prompts, image, numInferenceSteps: 4, numMapsPerMask: 2, seed: 0, outputType: 'np' as const };

let gpu: Gpu;
let counter: Counter;
renewed(async () => {
  gpu = await freshGpu();
  counter = countDevice(gpu);
});
afterAll(() => {
  counter.stop();
  gpu.dispose();
});

test('bytes are those of the buffers on the device, and none are left behind', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
  expect(pipeline.bytes).toBe(counter.liveBytes);
  await pipeline.run(run);
  expect(pipeline.bytes).toBe(counter.liveBytes);
  await pipeline.run(run);
  expect(pipeline.bytes).toBe(counter.liveBytes);
  pipeline.dispose();
  expect(pipeline.bytes).toBe(0);
  expect(counter.liveBytes).toBe(0);
});

test('steps create, bind, compile and map nothing', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
  const soft = { ...run, maskMode: 'soft' as const, maskCleanup: true };
  for (const steps of [run, run, soft].map(args => pipeline.runSteps(args))) {
    let phase = '';
    for await (const step of steps) {
      const { submits, ...made } = counter.take();
      // The first event of a phase comes after its plan was made.
      if (step.phase === phase) {
        expect(made, `${step.phase} ${step.step}`).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0 });
        expect(submits).toBe(1);
      }
      phase = step.phase;
    }
  }
  pipeline.dispose();
});

test('offloading keeps one network at a time on the device, with the same result', async () => {
  const loaded = new Set<number>();
  const whole = await openPipeline('test/golden/sd1/model', { gpu, onProgress: e => loaded.add(e.bytes) });
  const weights = counter.liveBytes;
  // Bytes held before anything, with the text encoder, with the UNet too, with all three.
  const [none, withText, withUnet, all] = loaded;
  expect([none, all]).toEqual([0, weights]);
  const unet = withUnet - withText;
  const expected = (await whole.run(run)).images as NdArray;
  whole.dispose();

  const stagingBytes = 64 * 2 ** 10;
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu, modelCpuOffload: true, stagingBytes });
  expect(counter.liveBytes).toBe(0);
  counter.resetPeak();
  const largest = new Map<string, number>();
  const { images } = await pipeline.run({
    ...run,
    onProgress: e => largest.set(e.phase, Math.max(largest.get(e.phase) ?? 0, e.bytes)),
  });
  expect(images).toEqual(expected);
  expect(counter.liveBytes).toBe(0);
  const activations = Math.max(...['mask', 'invert', 'edit'].map(phase => largest.get(phase) ?? 0)) - unet;
  expect(activations).toBeGreaterThan(0);
  // Weights stream through a small staging buffer, freed before the network computes; so does what is read back.
  expect(counter.peakBytes).toBeLessThanOrEqual(unet + activations + stagingBytes);
  expect(unet + stagingBytes).toBeLessThan(weights);
  expect(counter.largestBinding).toBeLessThanOrEqual(128 * 2 ** 20);
  for (const phase of ['text', 'encode', 'decode']) expect(largest.get(phase)).toBeLessThan(unet);
  pipeline.dispose();
});

test('offloading can be switched on later, and unloads at once', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
  await pipeline.encodePrompt('a bowl of fruits');
  pipeline.enableModelCpuOffload();
  expect(counter.liveBytes).toBe(0);
  const again = await pipeline.encodePrompt('a plate of lemons');
  expect(again.promptEmbeds.shape).toEqual([1, 77, 48]);
  expect(counter.liveBytes).toBe(0);
  pipeline.dispose();
});

test('a prompt, its keys and values, and the picture are each computed once in a run', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
  const made: string[] = [];
  const events: string[] = [];
  const { createBuffer } = gpu.device;
  gpu.device.createBuffer = d => {
    if (d.label === 'keys and values') made.push(d.label);
    return createBuffer(d);
  };
  await pipeline.run({ ...run, onProgress: e => events.push(e.phase) });
  const first = made.splice(0).length;
  await pipeline.run(run);
  gpu.device.createBuffer = createBuffer;
  expect(events.filter(e => e === 'encode')).toHaveLength(1);
  expect(events.filter(e => e === 'text')).toHaveLength(1);
  // For each cross-attention: the projection, one copy for each of source, target and the empty negative, and the rows of the
  // three plans. A second run needs those rows alone.
  const { levels, midDepth } = parseUNetConfig(
    JSON.parse(readFileSync(new URL('../golden/sd1/model/unet/config.json', import.meta.url), 'utf8')),
    'unet',
  );
  const attentions = levels.reduce((sum, l) => sum + l.layers * l.downDepth + (l.layers + 1) * l.upDepth, midDepth);
  expect(first).toBe(attentions * (1 + 3 + 3));
  expect(made.length).toBe(attentions * 3);
  pipeline.dispose();
});

test('a plan knows its bytes before it runs', async () => {
  const before = counter.liveBytes;
  const graph = new Graph(gpu);
  const [x, y] = [DeviceTensor.create(gpu, [1, 16, 9, 7]), DeviceTensor.create(gpu, [1, 16, 9, 7])];
  const tensors = counter.liveBytes;
  const input = graph.input(x);
  graph.store(silu(input.add(silu(input))).mul(input), y);
  const plan = await graph.compile();
  expect(counter.liveBytes - tensors).toBe(plan.peakBytes);
  counter.take();
  plan.run();
  plan.run();
  expect(counter.take()).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 2 });
  for (const thing of [plan, x, y]) thing.dispose();
  expect(counter.liveBytes).toBe(before);
});
