/** An edit as plain data: defaults filled in, wrong values refused, one text for one meaning. */
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../src/core/canonical-json.ts';
import { editOf, type PlainEdit, plainNames, settledEdit } from '../../../src/pipeline/batch/plain-edit.ts';

const PROMPTS = { sourcePrompt: 'a bowl', targetPrompt: 'a basket', seed: 0 };

describe('a settled edit', () => {
  it('has every name, with defaults where there are any and null where there are none', () => {
    const settled = settledEdit('test', PROMPTS);
    expect(Object.keys(settled)).toEqual(plainNames());
    expect(settled).toMatchObject({
      ...{ ...PROMPTS, numInferenceSteps: 50, guidanceScale: 7.5, numMapsPerMask: 10, maskMode: 'binary' },
      ...{ negativePrompt: null, guidanceInterval: null, maskGuidanceScale: null, clipSkip: null },
      ...{ fit: null, size: null, pasteBack: false, continuous: false, numImagesPerPrompt: 1, eta: 0 },
    });
    expect(settledEdit('test', { ...PROMPTS, fit: 'nearest' })).toMatchObject({ pasteBack: true });
    expect(settledEdit('test', { ...PROMPTS, fit: 'squash' })).toMatchObject({ pasteBack: false });
  });

  it('is one text, however it was written', () => {
    const text = (edit: PlainEdit) => canonicalJson(settledEdit('test', edit));
    const size = { height: 64, width: 96, name: 'mine' };
    const same: PlainEdit[] = [
      { ...PROMPTS, fit: 'pad', size: { width: 96, height: 64 } },
      { size, fit: 'pad', seed: 0, targetPrompt: 'a basket', sourcePrompt: 'a bowl' },
      { ...PROMPTS, fit: 'pad', size, numInferenceSteps: 50, pasteBack: true, eta: undefined },
    ];
    expect(new Set(same.map(text)).size).toBe(1);
    const others: PlainEdit[] = [
      { ...PROMPTS, seed: 1 },
      { ...PROMPTS, eta: 0.5 },
      { ...PROMPTS, negativePrompt: '' },
    ];
    expect(new Set([...same, ...others, PROMPTS].map(text)).size).toBe(5);
  });

  it('comes back as an edit that settles to the same', () => {
    const edit: PlainEdit = { ...PROMPTS, guidanceInterval: [0.2, 1], fit: 'crop', size: 'own', maskMode: 'soft' };
    const settled = settledEdit('test', edit);
    expect(editOf(settled)).toMatchObject(edit);
    expect(settledEdit('test', editOf(settled))).toEqual(settled);
    expect(JSON.parse(JSON.stringify(settled))).toEqual(settled);
  });

  it.each<[object, string]>([
    [{ seed: undefined }, 'test: an edit without a seed (seed). Give one, such as seed: 0.'],
    [{ seed: 1.5 }, 'test: a wrong value: expected a whole number of at most 53 bits, got 1.5 (seed)'],
    [{ seed: 5n }, 'test: a wrong value: expected a whole number of at most 53 bits'],
    [{ continuous: 'yes' }, 'test: a wrong value: expected true or false, got "yes" (continuous)'],
    [{ maskThresholdingRatio: Number.POSITIVE_INFINITY }, 'expected a finite number, got Infinity'],
    [{ sourcePrompt: ['a'], targetPrompt: ['b'] }, 'test: a wrong value: expected one text, got ["a"] (sourcePrompt)'],
    [{ negativePrompt: 5 }, 'not a prompt'],
    [{ sourcePrompt: undefined }, 'sourcePrompt'],
    [{ inpaintStrength: 2 }, 'test: strength out of range: expected a number from 0 to 1, got 2 (inpaintStrength)'],
    [{ numInferenceSteps: 4, inpaintStrength: 0.1 }, 'leave no step'],
    [{ maskEncodeStrength: 'much' }, 'maskEncodeStrength'],
    [{ guidanceInterval: [1, 0] }, 'guidanceInterval'],
    [{ fit: 'stretch' }, 'test: a wrong value: expected nearest, crop, pad, squash, got "stretch" (fit)'],
    [{ fit: 'pad', size: { width: 0, height: 8 } }, 'test: a wrong value: expected { width, height } in whole pixels'],
    [{ size: { width: 64, height: 64 } }, 'test: a size without a fit: got 64x64 (size)'],
    [{ pasteBack: 1 }, 'test: a wrong value: expected true or false, got 1 (pasteBack)'],
    [{ guidanceScal: 2 }, 'Write guidanceScale.'],
    [{ image: {} }, 'there is no such argument: got image'],
    [{ generator: {} }, 'there is no such argument: got generator'],
  ])('%# refuses %o', (wrong, message) => {
    expect(() => settledEdit('test', { ...PROMPTS, ...wrong })).toThrow(message);
  });

  it('asks nothing of a mask where one is given', () => {
    const edit = { ...PROMPTS, numInferenceSteps: 4, maskEncodeStrength: 0 };
    expect(settledEdit('test', edit, true)).toMatchObject({ maskEncodeStrength: 0 });
  });
});

describe('canonical JSON', () => {
  it('orders names by their code units, however deep, and leaves lists as they are', () => {
    expect(canonicalJson({ b: [{ z: 1, a: null }, 'é'], a: { '\u{1f600}': 1, '\uff5e': 2, B: true } })).toBe(
      '{"a":{"B":true,"\u{1f600}":1,"\uff5e":2},"b":[{"a":null,"z":1},"é"]}',
    );
    expect(canonicalJson([1e21, -0, 0.1, '\u2028"\n'])).toBe('[1e+21,0,0.1,"\u2028\\"\\n"]');
  });
});
