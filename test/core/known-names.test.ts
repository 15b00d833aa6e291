import { describe, expect, test } from 'vitest';
import { checkNames, namesOf, nearestName } from '../../src/core/known-names.ts';

const KNOWN = ['guidanceScale', 'numInferenceSteps', 'prompt', 'topK', 'eta'];
const refused = (options: unknown, elsewhere?: (name: string) => string | undefined): string => {
  try {
    checkNames('op', options, KNOWN, elsewhere);
    return 'accepted';
  } catch (error) {
    return String(error);
  }
};

describe('the nearest name', () => {
  test.each([
    ['guidance_scale', 'guidanceScale'],
    ['guidance-scale', 'guidanceScale'],
    ['GuidanceScale', 'guidanceScale'],
    ['guidanceScael', 'guidanceScale'],
    ['numInferenceStep', 'numInferenceSteps'],
    ['promt', 'prompt'],
    ['topk', 'topK'],
    ['tpoK', 'topK'],
    ['eat', 'eta'],
  ])('of %s is %s', (name, near) => expect(nearestName(name, KNOWN)).toBe(near));

  test.each(['seed', 'x', 'strength', 'image'])('of %s is none', name =>
    expect(nearestName(name, KNOWN)).toBeUndefined(),
  );

  test('is the nearest of several, the first of equals', () => {
    expect(nearestName('prompts', ['prompt', 'promptE'])).toBe('prompt');
    expect(nearestName('maskImag', ['maskImages', 'maskImage'])).toBe('maskImage');
  });
});

describe('an options object', () => {
  test('may hold what is known, and names without a value', () => {
    for (const options of [undefined, {}, { eta: 1 }, { eta: null }, { unknown: undefined }])
      expect(refused(options)).toBe('accepted');
  });

  test('with another name is refused, with a remedy', () => {
    expect(refused({ eta: 0, guidance_scale: 1 })).toMatchInlineSnapshot(
      `"InputError: op: there is no such argument: got guidance_scale. Write guidanceScale."`,
    );
    expect(refused({ seed: 1 })).toMatchInlineSnapshot(
      `"InputError: op: there is no such argument: got seed. Known are guidanceScale, numInferenceSteps, prompt, topK, eta."`,
    );
    expect(refused({ seed: null }, name => `${name} belongs to run().`)).toMatchInlineSnapshot(
      `"InputError: op: there is no such argument: got seed. seed belongs to run()."`,
    );
    expect(() => checkNames('op', { x: 1 }, [])).toThrow('got x. It takes none.');
  });

  test('is one: no signal, no list, no text, no null', () => {
    expect(refused(null)).toMatchInlineSnapshot(`"InputError: op: arguments go by name: expected an object, got null"`);
    expect(refused(['eta'])).toContain('got a list');
    expect(refused('eta')).toContain('got string');
    expect(refused(new AbortController().signal)).toContain('there is no such argument');
    expect(refused(Object.create({ ete: 1 }))).toContain('Write eta.');
  });
});

test('a list of names holds every key of its type, and no other', () => {
  interface Options {
    readonly gap?: number;
    readonly size?: number | undefined;
  }
  expect(namesOf<Options>({ gap: 1, size: 1 })).toEqual(['gap', 'size']);
  // @ts-expect-error a key is missing
  namesOf<Options>({ gap: 1 });
  // @ts-expect-error the type has no such key
  namesOf<Options>({ gap: 1, size: 1, colour: 1 });
});
