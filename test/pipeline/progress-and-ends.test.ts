/** What a call tells while it works, and how it ends. */
import { describe, expect, test } from 'vitest';
import { DeviceError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { StepEvent } from '../../src/pipeline/diffusion/sampling-loop.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { openPipeline, seeded } from '../support/pipeline.ts';
import { edit, few, H, image, SOURCE, scene, W } from '../support/scene.ts';

const shared = scene();
const { editLatents } = shared;

describe('progress', () => {
  test('callbacks come every callbackSteps, with the latents of their step', async () => {
    const calls: [number, number, NdArray][] = [];
    await editLatents({
      callbackSteps: 2,
      callback: async (i: number, t: number, read: () => Promise<NdArray>) => void calls.push([i, t, await read()]),
    });
    expect(calls.map(([i, t]) => [i, t])).toEqual([
      [0, 501],
      [2, 1],
    ]);
    expect(calls[0][2].shape).toEqual([1, 4, H, W]);
    expect(calls[1][2]).toEqual(await editLatents({}));
  });

  test('the iterator yields every step and returns what the call would', async () => {
    const steps = shared.pipeline.editSteps({ ...edit, imageLatents: shared.inverted });
    const seen: StepEvent[] = [];
    let last: NdArray | undefined;
    let next = await steps.next();
    for (; !next.done; next = await steps.next()) {
      seen.push(next.value);
      last = await next.value.latents();
    }
    expect(seen.map(({ phase, step, of, timestep }) => [phase, step, of, timestep])).toEqual([
      ['edit', 0, 3, 501],
      ['edit', 1, 3, 251],
      ['edit', 2, 3, 1],
    ]);
    expect(next.value.images).toEqual(last);
    expect(next.value.images).toEqual(await editLatents({}));
    await expect(seen[0].latents()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: edit: the latents of step 0 are gone: expected a call before the next step. Read the latents inside the callback, or before asking the iterator for the next step.]`,
    );
  });

  test('leaving the iterator early frees everything and the pipeline works on', async () => {
    const args = { ...few, image, prompt: SOURCE };
    const whole = async () => (await shared.pipeline.invert({ ...args, generator: seeded(1) })).latents;
    await whole();
    const before = shared.pipeline.bytes;
    for await (const step of shared.pipeline.invertSteps({ ...args, generator: seeded(1) })) {
      expect(shared.pipeline.bytes).toBeGreaterThan(before);
      if (step.step === 1) break;
    }
    expect(shared.pipeline.bytes).toBe(before);
    expect(await whole()).toEqual(shared.inverted);
  });

  test('events count steps and bytes', async () => {
    const events: ProgressEvent[] = [];
    const onProgress = (e: ProgressEvent) => void (e.phase === 'compile' || events.push(e));
    await shared.pipeline.invert({ ...few, image, prompt: SOURCE, onProgress });
    expect(events.map(e => `${e.phase} ${e.step}/${e.of} ${e.timestep ?? ''}`)).toEqual([
      'encode 0/1 ',
      'encode 1/1 ',
      'invert 0/3 ',
      'invert 1/3 1',
      'invert 2/3 251',
      'invert 3/3 501',
    ]);
    for (const e of events) expect(e.bytes).toBeGreaterThan(1e6);
  });
});

describe('ends', () => {
  test('an aborted call rejects with the reason, frees its memory, and the pipeline works on', async () => {
    await editLatents({});
    const before = shared.pipeline.bytes;
    const stop = new AbortController();
    const reason = new Error('enough');
    const call = shared.pipeline.edit({
      ...edit,
      imageLatents: shared.inverted,
      signal: stop.signal,
      callback: i => void (i === 1 && stop.abort(reason)),
    });
    await expect(call).rejects.toBe(reason);
    expect(shared.pipeline.bytes).toBe(before);
    await expect(
      shared.pipeline.invert({ ...few, image, prompt: SOURCE, signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect((await editLatents({})).shape).toEqual([1, 4, H, W]);
  });

  test('a second call at the same time is refused, a second pipeline on the device is not', async () => {
    const other = await openPipeline('test/golden/sd1/model');
    const first = editLatents({});
    const elsewhere = other.edit({ ...edit, imageLatents: shared.inverted });
    const second = editLatents({});
    await expect(second).rejects.toBeInstanceOf(DeviceError);
    await expect(second).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: edit: the pipeline is busy: expected one call at a time, got edit is still running. Await the other call, abort it by its signal, or open a second pipeline on the same device.]`,
    );
    expect((await elsewhere).images).toEqual(await first);
    other.dispose();
  });

  test('a disposed pipeline holds nothing and refuses calls', async () => {
    const other = await openPipeline('test/golden/sd1/model');
    await other.invert({ ...few, image, prompt: SOURCE });
    expect(other.bytes).toBeGreaterThan(0);
    other.dispose();
    other.dispose();
    expect(other.bytes).toBe(0);
    await expect(other.invert({ ...few, image, prompt: SOURCE })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: invert: the pipeline was disposed. Open it again with fromPretrained().]`,
    );
  });
});
