import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import { parseUNetConfig } from '../../src/models/stable-diffusion/index.ts';
import { silu } from '../../src/nn/functional.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { openPipeline } from '../support/pipeline.ts';
import { countedDevice, shortRun } from '../support/scene.ts';

const run = { ...shortRun, outputType: 'np' } as const;
const device = countedDevice();

test('bytes are those of the buffers on the device, and none are left behind', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu: device.gpu });
  expect(pipeline.bytes).toBe(device.counter.liveBytes);
  await pipeline.run(run);
  expect(pipeline.bytes).toBe(device.counter.liveBytes);
  await pipeline.run(run);
  expect(pipeline.bytes).toBe(device.counter.liveBytes);
  pipeline.dispose();
  expect(pipeline.bytes).toBe(0);
  expect(device.counter.liveBytes).toBe(0);
});

test('steps create, bind, compile and map nothing', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu: device.gpu });
  const soft = { ...run, maskMode: 'soft' as const, maskCleanup: true };
  for (const steps of [run, run, soft].map(args => pipeline.runSteps(args))) {
    let phase = '';
    for await (const step of steps) {
      const { submits, ...made } = device.counter.take();
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
  const whole = await openPipeline('test/golden/sd1/model', { gpu: device.gpu, onProgress: e => loaded.add(e.bytes) });
  const weights = device.counter.liveBytes;
  // Bytes held before anything, with the text encoder, with the UNet too, with all three.
  const [none, withText, withUnet, all] = loaded;
  expect([none, all]).toEqual([0, weights]);
  const unet = withUnet - withText;
  const expected = (await whole.run(run)).images as NdArray;
  whole.dispose();

  const stagingBytes = 64 * 2 ** 10;
  const pipeline = await openPipeline('test/golden/sd1/model', {
    gpu: device.gpu,
    modelCpuOffload: true,
    stagingBytes,
  });
  expect(device.counter.liveBytes).toBe(0);
  device.counter.resetPeak();
  const largest = new Map<string, number>();
  const { images } = await pipeline.run({
    ...run,
    // As a phase begins, the network of the one before is still there.
    onProgress: e => e.step > 0 && largest.set(e.phase, Math.max(largest.get(e.phase) ?? 0, e.bytes)),
  });
  expect(images).toEqual(expected);
  expect(device.counter.liveBytes).toBe(0);
  const activations = Math.max(...['mask', 'invert', 'edit'].map(phase => largest.get(phase) ?? 0)) - unet;
  expect(activations).toBeGreaterThan(0);
  // Weights stream through a small staging buffer, freed before the network computes; so does what is read back.
  expect(device.counter.peakBytes).toBeLessThanOrEqual(unet + activations + stagingBytes);
  expect(unet + stagingBytes).toBeLessThan(weights);
  expect(device.counter.largestBinding).toBeLessThanOrEqual(128 * 2 ** 20);
  for (const phase of ['text', 'encode', 'decode']) expect(largest.get(phase)).toBeLessThan(unet);
  pipeline.dispose();
});

test('offloading can be switched on later, and unloads at once', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu: device.gpu });
  await pipeline.encodePrompt('a bowl of fruits');
  pipeline.enableModelCpuOffload();
  expect(device.counter.liveBytes).toBe(0);
  const again = await pipeline.encodePrompt('a plate of lemons');
  expect(again.promptEmbeds.shape).toEqual([1, 77, 48]);
  expect(device.counter.liveBytes).toBe(0);
  pipeline.dispose();
});

test('a prompt, its keys and values, and the picture are each computed once in a run', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu: device.gpu });
  const made: string[] = [];
  const events: string[] = [];
  const { createBuffer } = device.gpu.device;
  device.gpu.device.createBuffer = d => {
    if (d.label === 'keys and values') made.push(d.label);
    return createBuffer(d);
  };
  await pipeline.run({ ...run, onProgress: e => e.step > 0 && events.push(e.phase) });
  const first = made.splice(0).length;
  await pipeline.run(run);
  device.gpu.device.createBuffer = createBuffer;
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
  const before = device.counter.liveBytes;
  const graph = new Graph(device.gpu);
  const [x, y] = [DeviceTensor.create(device.gpu, [1, 16, 9, 7]), DeviceTensor.create(device.gpu, [1, 16, 9, 7])];
  const tensors = device.counter.liveBytes;
  const input = graph.input(x);
  graph.store(silu(input.add(silu(input))).mul(input), y);
  const plan = await graph.compile();
  expect(device.counter.liveBytes - tensors).toBe(plan.peakBytes);
  device.counter.take();
  plan.run();
  plan.run();
  expect(device.counter.take()).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 2 });
  for (const thing of [plan, x, y]) thing.dispose();
  expect(device.counter.liveBytes).toBe(before);
});
