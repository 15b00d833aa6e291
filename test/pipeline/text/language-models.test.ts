import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import type { GenerateOptions } from '../../../src/generation/index.ts';
import type { CaptionInput } from '../../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../../src/pipeline/text/t5.ts';
import { openCaptioner, repositoryFolder } from '../../support/captioner.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';

const { data, shape }: NdArray = loadGolden('blip').floats('pixel_values');
const pixels: CaptionInput = { pixels: { data, shape } };

const DISPOSED = 'was disposed during a call. Abort the call by its signal and await it first.';

interface Options {
  readonly modelCpuOffload?: boolean;
  readonly signal?: AbortSignal;
}

/** Both text models behind one face. */
const MODELS = {
  T5ForConditionalGeneration: async (options: Options = {}) => {
    const folder = repositoryFolder('test/golden/t5/model');
    const model = await T5ForConditionalGeneration.fromPretrained(folder, { gpu: await testGpu(), ...options });
    return { model, write: (more: GenerateOptions = {}) => model.generate({ ids: [[3, 9, 1]] }, more) };
  },
  BlipForConditionalGeneration: async (options: Options = {}) => {
    const model = await openCaptioner('test/golden/blip/model', options);
    return { model, write: (more: GenerateOptions = {}) => model.generate(pixels, more) };
  },
};

describe.each(Object.entries(MODELS))('%s', (_, open) => {
  test.each([true, false])(
    'disposed as a call begins, the call ends with an error and nothing stays (%s)',
    async off => {
      const { model, write } = await open({ modelCpuOffload: off });
      const running = write();
      model.dispose();
      await expect(running).rejects.toThrow(DISPOSED);
      expect(model.bytes).toBe(0);
      await expect(write()).rejects.toThrow('was disposed. Open it again with fromPretrained().');
    },
  );

  test('disposed between two ids, the same', async () => {
    for (const position of [1, 2, 3]) {
      const { model, write } = await open();
      const onToken = (e: { position: number }) => e.position === position && model.dispose();
      await expect(write({ onToken, eosTokenId: null })).rejects.toThrow(DISPOSED);
      expect(model.bytes).toBe(0);
    }
  });

  test('disposed while a plan is made, the same', async () => {
    for (const settings of [{ numBeams: 2, eosTokenId: null }, { eosTokenId: null }]) {
      const { model, write } = await open();
      let turns = 0;
      const end = () => {
        if (++turns === 2) queueMicrotask(() => model.dispose());
        return false;
      };
      await expect(write({ ...settings, stoppingCriteria: [end] })).rejects.toThrow(DISPOSED);
      expect(model.bytes).toBe(0);
    }
  });

  test('busy, it can neither be called nor unloaded', async () => {
    const { model, write } = await open();
    const running = write();
    await expect(write()).rejects.toThrow(
      'is busy: expected one call at a time, got generate is still running. Await the other call',
    );
    expect(() => model.unload()).toThrow('busy');
    await running;
    model.unload();
    expect(model.bytes).toBe(0);
    model.dispose();
  });

  test('an aborted or failed call leaves it usable', async () => {
    const { model, write } = await open();
    const expected = await write();
    const reason = new TypeError('enough');
    const control = new AbortController();
    const { signal } = control;
    const onToken = (e: { position: number }) => e.position === 3 && control.abort(reason);
    await expect(write({ signal, onToken })).rejects.toBe(reason);
    await expect(write({ signal })).rejects.toBe(reason);
    const broken = () => {
      throw reason;
    };
    await expect(write({ logitsProcessor: [broken] })).rejects.toBe(reason);
    expect(await write()).toEqual(expected);
    model.dispose();
    expect(model.bytes).toBe(0);
  });

  test('settings that make no sense are refused before weights are loaded', async () => {
    const { model, write } = await open({ modelCpuOffload: true });
    await expect(write({ numBeams: 0 })).rejects.toThrow('numBeams');
    await expect(write({ numBeams: 65 })).rejects.toThrow(
      'generate: more beams than the decoder holds: expected at most 64, got 65 (numBeams). Lower numBeams.',
    );
    await expect(write({ stopStrings: [''] })).rejects.toThrow('stopStrings');
    expect(model.peakBytes).toBe(0);
    expect((await write({ numBeams: 64, maxNewTokens: 2 })).sequences).toHaveLength(1);
    model.dispose();
  });

  test('opened in vain, it says why', async () => {
    const reason = new TypeError('never mind');
    await expect(open({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
