/** A device that is lost in the middle of a call: another one is taken, and what comes out is the same bit for bit. */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Gpu } from '../../src/gpu/device.ts';
import { DeviceLostError } from '../../src/gpu/device-lost.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';
import type { DeviceLossEvent } from '../../src/pipeline/runtime/device-recovery.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { freshGpu } from '../support/gpu.ts';
import { openPipeline } from '../support/pipeline.ts';
import { shortRun } from '../support/scene.ts';

const gpu = await freshGpu();
afterAll(() => gpu.dispose());

const FOLDER = 'test/golden/sd1/model';
const told: DeviceLossEvent[] = [];
const onDeviceLoss = (event: DeviceLossEvent) => void told.push(event);
const opened: DiffEditPipeline[] = [];
afterEach(() => {
  for (const pipeline of opened.splice(0)) pipeline.dispose();
});
async function open(more: object = {}): Promise<DiffEditPipeline> {
  const pipeline = await openPipeline(FOLDER, { gpu, onDeviceLoss, ...more });
  opened.push(pipeline);
  return pipeline;
}
/** Three maps, six steps there, six back: copies are taken behind every second one. */
const run = { ...shortRun, numInferenceSteps: 8, numMapsPerMask: 3, returnLatents: true, outputType: 'np' } as const;
const deviceRecovery = { keepEvery: 2 };

/** What a run gives where the device is lost behind a step of a phase, and which events it told. */
async function lostIn(pipeline: DiffEditPipeline, phase: string, step: number, more: Partial<RunArgs> = {}) {
  const events: string[] = [];
  let lost = false;
  const onProgress = (e: ProgressEvent): void => {
    if (e.phase !== 'load') events.push(`${e.phase} ${e.step}`);
    if (lost || e.phase !== phase || e.step !== step) return;
    lost = true;
    gpu.device.destroy();
  };
  const { timings: _, ...result } = await pipeline.run({ ...run, ...more, onProgress });
  expect(lost).toBe(true);
  return { result, events };
}

describe('a device that is lost in a run', () => {
  type Case = [phase: string, step: number, what: string, more: Partial<RunArgs>];
  const every: Case[] = [
    ['text', 3, 'the prompts', {}],
    ['encode', 1, 'the picture', {}],
    ['mask', 1, 'the first map', {}],
    ['mask', 3, 'the last map', {}],
    ['invert', 1, 'a step before the first copy', {}],
    ['invert', 5, 'a step behind the second copy', {}],
    ['invert', 6, 'the last step', {}],
    ['edit', 3, 'a step', {}],
    ['edit', 5, 'a step that draws noise', { eta: 0.5 }],
    ['decode', 1, 'the pictures', {}],
    ['edit', 6, 'the last step', {}],
    ['invert', 3, 'a DDPM inversion', { inversion: 'ddpm' }],
    ['edit', 4, 'the edit of a DDPM inversion', { inversion: 'ddpm' }],
    ['invert', 5, 'inversion in rounds', { inversionRounds: 2 }],
    ['invert', 3, 'regularised predictions', { lambdaAutoCorr: 20, lambdaKl: 20, numRegSteps: 2 }],
  ];
  /** Those that differ most; all of them with PENTIMENTO_FULL. */
  const DAILY = /^(the (picture|last map)|a step (behind the second copy|that draws noise)|the pictures|a DDPM)/;
  const cases = every.filter(([, , what]) => process.env['PENTIMENTO_FULL'] || DAILY.test(what));
  /** What comes out where nothing is lost, once for each kind of run. */
  const whole = new Map<string, object>();
  test.each(cases)('behind %s %i, %s: the same comes out', async (phase, step, _what, more) => {
    const pipeline = await open({ deviceRecovery });
    told.length = 0;
    const { renewals } = gpu;
    const { result, events } = await lostIn(pipeline, phase, step, more);
    expect(gpu.memory.bytes).toBe(pipeline.bytes); // nothing of the lost device is counted
    const kind = JSON.stringify(more);
    // Behind the last phase it is the next call that takes another device.
    if (!whole.has(kind) || phase === 'decode') {
      const { timings: _, ...expected } = await pipeline.run({ ...run, ...more });
      whole.set(kind, expected);
    }
    expect(result).toEqual(whole.get(kind));
    expect(gpu.memory.bytes).toBe(pipeline.bytes);
    expect(told.map(e => e.state)).toEqual(['lost', 'restored']);
    expect(told[0]).toMatchObject({ reason: 'destroyed', phase: expect.any(String) });
    expect(gpu.renewals).toBe(renewals + 1);
    // Steps of loops are told once each, in their order.
    const steps = events.filter(e => /^(mask|invert|edit) /.test(e));
    expect(steps).toEqual([...new Set(steps)]);
    pipeline.dispose();
    expect(pipeline.bytes).toBe(0);
    expect(gpu.memory.bytes).toBe(0);
  });
});

describe('a lost device', () => {
  const short = { ...shortRun, outputType: 'latent' } as const;

  test('between two calls is renewed by the next, also for another model on it', async () => {
    const [one, other] = [await open(), await open()];
    const expected = (await one.run(short)).images;
    told.length = 0;
    gpu.device.destroy();
    await gpu.device.lost;
    expect(told.map(e => [e.state, e.phase])).toEqual([
      ['lost', undefined],
      ['lost', undefined],
    ]);
    expect((await one.run(short)).images).toEqual(expected);
    const { bytes } = one;
    gpu.device.destroy();
    await gpu.device.lost;
    expect((await other.run(short)).images).toEqual(expected);
    expect((await one.run(short)).images).toEqual(expected);
    expect(one.bytes).toBe(bytes);
    expect(gpu.memory.bytes).toBe(one.bytes + other.bytes);
    for (const pipeline of [one, other]) pipeline.dispose();
    expect(gpu.memory.bytes).toBe(0);
  });

  test('gives the latents of the step at hand, to the iterator and to a callback', async () => {
    const pipeline = await open();
    const seen = async (lose: boolean) => {
      const [read, called]: [unknown[], unknown[]] = [[], []];
      let lostOnce = false;
      const callback = async (step: number, _: number, latents: () => Promise<unknown>) => {
        if (lose && step === 1 && !lostOnce) gpu.device.destroy();
        lostOnce ||= step === 1;
        called[step] = await latents();
      };
      for await (const { phase, step, latents } of pipeline.runSteps({ ...short, callback })) {
        if (lose && phase === 'invert' && step === 1) gpu.device.destroy();
        read.push([phase, step, await latents()]);
      }
      return { read, called };
    };
    const { renewals } = gpu;
    const lost = await seen(true);
    expect(gpu.renewals).toBeGreaterThanOrEqual(renewals + 2);
    expect(lost).toEqual(await seen(false));
    pipeline.dispose();
  });

  test('ends the call where the next ones are lost at the same step', async () => {
    const pipeline = await open({ deviceRecovery: { attempts: 2 } });
    let steps = 0;
    const lose = (): void => {
      steps++;
      gpu.device.destroy();
    };
    const call = pipeline.run({
      ...short,
      callback: async (step, _, latents) => {
        if (step === 1) lose();
        await latents();
      },
    });
    const error = await call.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(steps).toBe(2);
    expect(String(error)).toContain("run: the device was lost 2 times in one place, in the phase 'invert'");
    expect((error as DeviceLostError).toJSON()).toMatchObject({
      code: 'device',
      loss: { reason: 'destroyed', losses: 2 },
    });
    expect(pipeline.bytes).toBeGreaterThanOrEqual(0);
    expect(await pipeline.run(short)).toHaveProperty('images'); // with the next device
    pipeline.dispose();
    expect(gpu.memory.bytes).toBe(0);
  });

  test('ends the call where recovery is off, and a model on a device of the caller’s', async () => {
    const own = await freshGpu();
    const pipeline = await open({ gpu: own, deviceRecovery: false });
    told.length = 0;
    own.device.destroy();
    await own.device.lost;
    await expect(pipeline.run(short)).rejects.toBeInstanceOf(DeviceLostError);
    expect(told.map(e => e.state)).toEqual(['lost']);
    pipeline.dispose();
    own.dispose();
    const { device } = await freshGpu();
    const brought = await Gpu.request({ device });
    device.destroy();
    await device.lost;
    await expect(brought.renew()).rejects.toThrow('Make a new device, then a Gpu and models on it');
  });

  test.each([0, 1.5, 'often'])('is not got over by %s', async keepEvery => {
    const call = open({ deviceRecovery: { keepEvery } });
    await expect(call).rejects.toThrow(
      /not a count: expected a whole number >= 1, got .* \(deviceRecovery.keepEvery\)/,
    );
  });
});
