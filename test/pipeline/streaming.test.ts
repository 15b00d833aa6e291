import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { diskFolder } from '../support/folder.ts';
import { freshGpu } from '../support/gpu.ts';
import { seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';
import { countedDevice, image, SOURCE, shortRun } from '../support/scene.ts';

/** The UNet's largest weight takes 295 kB of 5 MB: about twenty groups pass through the slots. */
const SMALL = { slotBytes: 2 ** 18 };
const STAGING = 2 ** 16;

const run = { ...shortRun, numInferenceSteps: 3, numMapsPerMask: 1, outputType: 'np' } as const;

/** What the weights on the device give, and how many bytes are there then. */
interface Whole {
  readonly results: object;
  readonly images: NdArray;
  readonly bytes: number;
}

const device = countedDevice();
let whole: Whole;
/** Reads of the UNet's file since the last `open`, and what happens at one. */
let reads = 0;
let onRead: (() => void) | undefined;
renewed(async () => {
  const pipeline = await open();
  const made = await results(pipeline);
  whole = { results: made, images: made.images, bytes: device.counter.liveBytes };
  pipeline.dispose();
});

/** The model's folder, its UNet watched. */
function folder(): FolderSource {
  const disk = diskFolder(goldenPath('sd1/model'));
  return {
    ...disk,
    async bytes(path) {
      const file = await disk.bytes(path);
      if (!path.startsWith('unet/')) return file;
      return {
        ...file,
        read: async (offset, into) => {
          reads++;
          onRead?.();
          await file.read(offset, into);
        },
      };
    },
  };
}

async function open(options: PretrainedOptions = {}): Promise<DiffEditPipeline> {
  onRead = undefined;
  const pipeline = await DiffEditPipeline.fromPretrained(folder(), {
    gpu: device.gpu,
    stagingBytes: STAGING,
    ...options,
  });
  reads = 0;
  return pipeline;
}

async function imagesOf(pipeline: DiffEditPipeline, signal?: AbortSignal): Promise<NdArray> {
  return (await pipeline.run({ ...run, signal })).images as NdArray;
}

/** What every kind of program of the UNet makes: contexts, maps, plain and blended steps, predictions. */
async function results(pipeline: DiffEditPipeline): Promise<{ images: NdArray }> {
  const { images, mask, latents } = await pipeline.run({ ...run, returnLatents: true });
  const { latents: regularised } = await pipeline.invert({
    ...{ prompt: SOURCE, image, numInferenceSteps: 2, generator: seeded(1) },
    ...{ lambdaAutoCorr: 20, lambdaKl: 20 },
  });
  return { images: images as NdArray, ...{ mask, latents, regularised } };
}

describe('a UNet whose weights pass through the device', () => {
  test('gives the same bits in a fraction of the memory', async () => {
    const pipeline = await open({ streamWeights: SMALL });
    expect(pipeline.bytes).toBe(device.counter.liveBytes);
    expect(await results(pipeline)).toEqual(whole.results);
    expect(pipeline.bytes).toBe(device.counter.liveBytes);
    expect(whole.bytes - pipeline.bytes).toBeGreaterThan(3.5e6);
    expect(reads).toBeGreaterThan(700);
    expect(pipeline.hostBytes).toBeLessThan(8 * STAGING); // two panels of the largest gates, three times
    pipeline.dispose();
    expect([pipeline.bytes, pipeline.hostBytes, device.counter.liveBytes]).toEqual([0, 0, 0]);
  });

  test('comes from the host without a read where that holds it', async () => {
    const pipeline = await open({ streamWeights: SMALL, hostMemory: true });
    const file = readFileSync(goldenPath('sd1/model/unet/diffusion_pytorch_model.safetensors')).byteLength;
    expect(pipeline.hostBytes / file).toBeGreaterThan(0.97);
    expect(pipeline.hostBytes - file).toBeLessThan(8 * STAGING);
    expect(await imagesOf(pipeline)).toEqual(whole.images);
    expect(reads).toBe(0);
    pipeline.dispose();
    expect([pipeline.bytes, pipeline.hostBytes, device.counter.liveBytes]).toEqual([0, 0, 0]);
  });

  test('comes from the host too where a budget has one network at a time on the device', async () => {
    const free = await open({ loadWhenNeeded: true });
    const offloaded = (await free.planSavings(run)).find(({ savings }) => /one network at a time/.test(savings));
    free.dispose();
    const pipeline = await open({ maxBytes: offloaded?.plan?.peakBytes, hostMemory: true, loadWhenNeeded: true });
    const { hostBytes } = await pipeline.plan(run);
    expect(await imagesOf(pipeline)).toEqual(whole.images);
    expect(reads).toBeGreaterThan(0);
    expect(hostBytes).toBeGreaterThanOrEqual(pipeline.hostBytes);
    expect(pipeline.hostBytes / hostBytes).toBeGreaterThan(0.9);
    reads = 0;
    expect(await imagesOf(pipeline)).toEqual(whole.images);
    expect(reads).toBe(0);
    pipeline.dispose();
    expect([pipeline.hostBytes, device.counter.liveBytes]).toEqual([0, 0]);
  });

  test('creates, binds and compiles nothing in a step', async () => {
    const pipeline = await open({ streamWeights: SMALL });
    let steps = 0;
    for await (const { step } of pipeline.invertSteps({ prompt: SOURCE, image, numInferenceSteps: 3 })) {
      const { submits, buffers, bindGroups, pipelines } = device.counter.take();
      if (step === 0) continue; // the plan was made before it
      steps++;
      expect([buffers, bindGroups, pipelines], `step ${step}`).toEqual([0, 0, 0]);
      expect(submits).toBeGreaterThan(40);
    }
    expect(steps).toBeGreaterThan(0);
    pipeline.dispose();
  });

  test.runIf(process.env.PENTIMENTO_FULL)('keeps as many weights as it may', async () => {
    const bytes: number[] = [];
    for (const residentBytes of [0, 1e6, 1e9]) {
      const pipeline = await open({ streamWeights: { ...SMALL, residentBytes } });
      bytes.push(pipeline.bytes);
      expect(await imagesOf(pipeline)).toEqual(whole.images);
      if (residentBytes === 1e9) expect(reads).toBe(0);
      pipeline.dispose();
    }
    const [none, some, all] = bytes as [number, number, number];
    expect(some - none).toBeGreaterThan(0.8e6);
    expect(some - none).toBeLessThanOrEqual(1e6);
    expect(all).toBeGreaterThan(some + 3e6);
  });

  test.runIf(process.env.PENTIMENTO_FULL)('in float16, with a LoRA, one network at a time, read once', async () => {
    const source = new Uint8Array(readFileSync(goldenPath('lora/peft.safetensors')));
    const options = { dtype: 'float16', loras: [{ source }] } as const;
    const plain = await open(options);
    const expected = await imagesOf(plain);
    plain.dispose();
    const pipeline = await open({ ...options, streamWeights: SMALL, modelCpuOffload: true, hostMemory: true });
    expect(await imagesOf(pipeline)).toEqual(expected);
    expect(device.counter.liveBytes).toBe(0);
    const [once, { hostBytes }] = [reads, pipeline];
    expect(await imagesOf(pipeline)).toEqual(expected);
    expect([reads, pipeline.hostBytes]).toEqual([once, hostBytes]);
    pipeline.unloadLoraWeights();
    expect(await imagesOf(pipeline)).not.toEqual(expected);
    expect(reads).toBeGreaterThan(once); // another view of the checkpoint
    pipeline.dispose();
  });
});

describe('a step that does not come to its end', () => {
  /** The first reads are those of the weights that stay; a step of the mask is well on its way. */
  const LATE = 300;

  test('for the signal or a file that cannot be read ends there, and the next one is whole', async () => {
    const pipeline = await open({ streamWeights: SMALL });
    const controller = new AbortController();
    const reason = new Error('enough');
    onRead = () => {
      if (reads === LATE) controller.abort(reason);
    };
    await expect(imagesOf(pipeline, controller.signal)).rejects.toBe(reason);
    expect(reads).toBeLessThan(LATE + 20);
    onRead = () => {
      if (reads >= 2 * LATE) throw new WeightsError({ op: 'read', problem: 'the disk is gone', path: 'unet' });
    };
    await expect(imagesOf(pipeline)).rejects.toThrow(WeightsError);
    expect(reads).toBeLessThan(2 * LATE + 20);
    onRead = undefined;
    expect(await imagesOf(pipeline)).toEqual(whole.images);
    pipeline.dispose();
  });

  test('on a device that is lost says so, as does the next one, and is freed all the same', async () => {
    const gpu = await freshGpu();
    const pipeline = await open({ gpu, streamWeights: SMALL, deviceRecovery: false });
    onRead = () => {
      if (reads === LATE) gpu.device.destroy();
    };
    for (const _ of [1, 2]) await expect(imagesOf(pipeline)).rejects.toThrow('the device was lost');
    expect(reads).toBeLessThan(LATE + 20);
    pipeline.dispose();
    expect([pipeline.bytes, pipeline.hostBytes]).toEqual([0, 0]);
    gpu.dispose();
  });

  test('for a disposed pipeline says so, and leaves nothing on the device', async () => {
    const pipeline = await open({ streamWeights: SMALL });
    onRead = () => {
      if (reads === LATE) pipeline.dispose();
    };
    await expect(imagesOf(pipeline)).rejects.toThrow('the pipeline was disposed during a call');
    expect([device.counter.liveBytes, pipeline.bytes, pipeline.hostBytes]).toEqual([0, 0, 0]);
    await device.gpu.idle(); // and no error came late
  });
});

const REFUSED: readonly (readonly [string, unknown, string])[] = [
  ['streamWeights', 'yes', 'neither yes nor no: expected true, false or limits, got "yes" (streamWeights)'],
  ['streamWeights', { slotBytes: -1 }, 'not a count: expected a whole number, got -1 (streamWeights.slotBytes)'],
  ['streamWeights', { slot_bytes: 1 }, 'Write slotBytes'],
  ['hostMemory', 1, 'neither yes nor no: expected true or false, got 1 (hostMemory)'],
  ['modelCpuOffload', 'no', 'neither yes nor no: expected true or false, got "no" (modelCpuOffload)'],
  ['loadWhenNeeded', 'no', 'neither yes nor no: expected true or false, got "no" (loadWhenNeeded)'],
  ['allowTiles', 'no', 'neither yes nor no: expected true or false, got "no" (allowTiles)'],
  ['mendQuirks', 'no', 'neither yes nor no: expected true or false, got "no" (mendQuirks)'],
];
test.each(REFUSED)('%s %j is refused', async (name, value, message) => {
  await expect(open({ [name]: value })).rejects.toThrow(message);
});
